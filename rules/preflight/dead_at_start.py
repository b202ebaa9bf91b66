"""Hidden units that no sample wakes before the training begins."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field, PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.tables import number, table, tables, text


class DeadAtStart(Rule):
    """Nearly all units of a hidden layer of the untouched model are zero for every sample of the batch.

    ## Why it matters
    A unit that is zero for all inputs gets no gradient, so that it stays dead. Where nearly all are, nothing in front
    of them learns, and what is behind sees the same for every input.

    ## What to try
    - Check biases and weights set by hand: a bias far below zero kills a ReLU.
    - Check the scale and the sign of the inputs.
    - Use LeakyReLU or GELU, or normalise in front of the activation.

    ## When it is wrong
    A layer that is sparse on purpose, such as a choice of the few largest, may wake only a few units for a small batch.
    Narrow layers and small batches are not judged, nor what wakes up within three steps of the training.

    ## References
    - Lu et al. 2019, Dying ReLU and Initialization: deep, narrow networks are born dead.
    - SageMaker Debugger, DeadRelu; TheDeepChecker: half of a layer. At the start a healthy deep network has as many.
    """

    phases = (Phase.PREFLIGHT,)
    severity = Severity.WARNING
    level = Level.SETTING
    needs_facts = ("drill/signal-propagation",)
    waits_for_warmup = False
    profiles = Rule.profiles | {"gan", "rl", "contrastive", "autoencoder", "diffusion"}

    max_dead: float = Field(0.9, gt=0, le=1)
    """Share of dead units above which a layer is reported: deep healthy networks were seen at 0.6."""

    min_units: PositiveInt = 8
    """Units that a layer must have: of a few, all may be dead by chance."""

    min_samples: PositiveInt = 16
    """Values of each unit: a healthy one is zero for every second, for all of 16 with a chance of 1 in 65,000."""

    healthy = {
        "facts": {
            "drill/signal-propagation": {
                "layers": [{"name": "1", "hidden": True, "dead": 0.4, "units": 64, "samples": 64}],
                "later": {"layers": [{"name": "1", "hidden": True, "dead": 0.4, "units": 64, "samples": 64}]},
            }
        }
    }
    faulty = {
        "facts": {
            "drill/signal-propagation": {
                "layers": [{"name": "1", "hidden": True, "dead": 1.0, "units": 64, "samples": 64}],
                "later": {"layers": [{"name": "1", "hidden": True, "dead": 1.0, "units": 64, "samples": 64}]},
            }
        }
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        told = table(trace.facts.get("drill/signal-propagation"))
        layers = [
            one
            for one in tables(told.get("layers"))
            if one.get("hidden") is True
            and number(one.get("dead")) is not None
            and (number(one.get("units")) or 0) >= self.min_units
            and (number(one.get("samples")) or 0) >= self.min_samples
        ]
        if not layers:
            raise NotApplicable(
                f"no activation of {self.min_units} units that can die was seen on {self.min_samples} samples"
            )
        later = {
            text(one.get("name")): number(one.get("dead")) for one in tables(table(told.get("later")).get("layers"))
        }
        found = []
        for layer in layers:
            dead, after = number(layer.get("dead")) or 0.0, later.get(text(layer.get("name")))
            if dead > self.max_dead and (after is None or after > self.max_dead):
                found.append((text(layer.get("name")), dead))
        if not found:
            return
        name, dead = found[0]
        others = f", and in {len(found) - 1} more layers" if len(found) > 1 else ""
        yield Finding(
            subject=name,
            message=f"{dead:.0%} of the units of {name} are 0 for the whole batch{others}; at most {self.max_dead:.0%} "
            "is expected",
            advice=(
                "Check biases and weights that are set by hand, and the scale and sign of the inputs.",
                "Use LeakyReLU or GELU, or normalise in front of the activation.",
            ),
            evidence={"dead": dead, "n_layers": len(found)},
        )
