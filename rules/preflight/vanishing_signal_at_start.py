"""A gradient that is lost on its way through the untouched model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import Field, PositiveInt

from ..engine import Finding, Json, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.tables import number, table, tables, text


class VanishingSignalAtStart(Rule):
    """Each layer of the untouched model shrinks the gradient, until next to nothing is left at the first one.

    ## Why it matters
    The first layers get gradients that are millions of times smaller than those of the last: they stay as they were
    initialised, and what differs from sample to sample does not arrive at the end.

    ## What to try
    - Leave the layers as PyTorch makes them, or use `kaiming_normal_` for ReLU and `xavier_uniform_` for tanh.
    - Use ReLU or GELU in hidden layers in place of sigmoids.
    - Add norm layers or skip connections.

    ## When it is wrong
    PyTorch's own initialisation shrinks a signal by 0.4 a layer with ReLU, which trains well up to about ten layers and
    is not reported up to fifteen. Branches that begin at zero on purpose are left out: what is reported lasts behind
    three steps of the training.

    ## References
    - Glorot & Bengio 2010; He et al. 2015. Hochreiter 1991 on products of many small slopes.
    - AUTOTRAINER (Zhang et al. 2021): gradients of the first and the last layer 1e-3 times apart.
    """

    phases = (Phase.PREFLIGHT,)
    severity = Severity.WARNING
    level = Level.SETTING
    needs_facts = ("drill/signal-propagation",)
    waits_for_warmup = False
    profiles = Rule.profiles | {"gan", "rl", "contrastive", "autoencoder", "diffusion"}

    ratio: float = Field(2e-3, gt=0, lt=1)
    """Gradient of the first hidden layer over that of the last, where each layer takes off more than `factor`."""

    factor: float = Field(0.2, gt=0, lt=1)
    """What a layer leaves of the gradient: sigmoids with PyTorch's initialisation 0.14, ReLU 0.4, tanh 0.55."""

    min_ratio: float = Field(1e-6, gt=0, lt=1)
    """The same, whatever each layer takes off: float32 has seven digits."""

    slack: float = Field(10.0, ge=1)
    """How many times above the bar it may be behind the first steps: they change the last layers."""

    min_layers: PositiveInt = 4
    """Hidden layers with weights from which on there is a way to be lost on."""

    healthy = {
        "facts": {
            "drill/signal-propagation": {
                "depth": {"layers": 8, "factor": 0.41, "first": 2.2e-4, "last": 0.06},
                "later": {"depth": {"layers": 8, "factor": 0.41, "first": 2.2e-4, "last": 0.06}},
                "layers": [{"name": "0", "weighted": True, "spread": 0.57}],
            }
        }
    }
    faulty = {
        "facts": {
            "drill/signal-propagation": {
                "depth": {"layers": 10, "factor": 0.14, "first": 4e-10, "last": 0.02},
                "later": {"depth": {"layers": 10, "factor": 0.14, "first": 4e-10, "last": 0.02}},
                "layers": [{"name": "0", "weighted": True, "spread": 0.57}],
            }
        }
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        told = table(trace.facts.get("drill/signal-propagation"))
        first, later = table(told.get("depth")), table(table(told.get("later")).get("depth"))
        layers = number(first.get("layers"))
        if layers is None or layers < self.min_layers:
            raise NotApplicable(f"{layers or 0:.0f} hidden layers in a row; {self.min_layers} are needed")
        if number(first.get("factor")) is None or number(first.get("last")) is None:
            raise NotApplicable("the gradients of the layers are not known")
        if not self._is_lost(first, 1.0) or (later and not self._is_lost(later, self.slack)):
            return
        ratio, factor = _ratio(first), number(first.get("factor")) or 0.0
        weighted = [one for one in tables(told.get("layers")) if one.get("weighted") is True]
        yield Finding(
            subject=text(weighted[0].get("name")) if weighted else "",
            message=f"the gradient at the first hidden layer is {ratio:.2g} times that at the last, over {layers:.0f} "
            f"layers, {factor:.2g} each; at least {self.ratio:g} is expected",
            advice=(
                "Leave the layers as PyTorch makes them, or use kaiming_normal_ (ReLU) or xavier_uniform_ (tanh).",
                "Use ReLU or GELU in hidden layers in place of sigmoids.",
                "Add norm layers or skip connections.",
            ),
            evidence={"ratio": ratio, "factor": factor, "n_layers": layers},
        )

    def _is_lost(self, depth: Mapping[str, Json], slack: float) -> bool:
        factor, ratio = number(depth.get("factor")), _ratio(depth)
        if factor is None:
            return False
        if ratio < self.min_ratio * slack and factor < 1:
            return True
        return ratio < self.ratio * slack and factor < self.factor * min(slack, 1.5)


def _ratio(depth: Mapping[str, Json]) -> float:
    first, last = number(depth.get("first")), number(depth.get("last"))
    return first / last if first is not None and last else 1.0
