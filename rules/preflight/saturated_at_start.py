"""Hidden units that begin where their function is flat."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.tables import number, table, tables, text


class SaturatedAtStart(Rule):
    """Nearly all outputs of a hidden tanh or sigmoid layer of the untouched model are where the function is flat.

    ## Why it matters
    Where the function is flat the gradient does not get through: layers in front of it hardly learn, whatever the rate.

    ## What to try
    - Bring the inputs to mean 0 and standard deviation 1.
    - Use `xavier_uniform_` weights, or leave them as PyTorch makes them.
    - Normalise in front of the activation.

    ## When it is wrong
    A gate that is to begin closed, or open, is set so by its bias. Layers that make a choice on purpose, with a low
    temperature, begin decided.

    ## References
    - Glorot & Bengio 2010 on sigmoids that saturate at the start; DeepDiagnosis (Wardat et al. 2022): beyond 5.
    """

    phases = (Phase.PREFLIGHT,)
    severity = Severity.WARNING
    level = Level.SETTING
    needs_facts = ("drill/signal-propagation",)
    waits_for_warmup = False
    profiles = Rule.profiles | {"gan", "rl", "contrastive", "autoencoder", "diffusion"}

    max_saturated: float = Field(0.9, gt=0, le=1)
    """Share of values where the slope is below 2 % of its largest, above which a layer is reported."""

    healthy = {
        "facts": {
            "drill/signal-propagation": {"layers": [{"name": "1", "hidden": True, "saturated": 0.1}], "later": None}
        }
    }
    faulty = {
        "facts": {
            "drill/signal-propagation": {"layers": [{"name": "1", "hidden": True, "saturated": 0.97}], "later": None}
        }
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        told = table(trace.facts.get("drill/signal-propagation"))
        later = {
            text(one.get("name")): number(one.get("saturated"))
            for one in tables(table(told.get("later")).get("layers"))
        }
        judged, found = 0, []
        for layer in tables(told.get("layers")):
            name, share = text(layer.get("name")), number(layer.get("saturated"))
            if layer.get("hidden") is not True or share is None:
                continue
            judged += 1
            after = later.get(name)
            if share > self.max_saturated and (after is None or after > self.max_saturated):
                found.append((name, share))
        if not judged:
            raise NotApplicable("no hidden activation that can saturate was seen")
        if not found:
            return
        name, share = found[0]
        others = f", and in {len(found) - 1} more layers" if len(found) > 1 else ""
        yield Finding(
            subject=name,
            message=f"{share:.0%} of the outputs of {name} are where the function is flat{others}; at most "
            f"{self.max_saturated:.0%} is expected",
            advice=(
                "Bring the inputs to mean 0 and standard deviation 1.",
                "Use xavier_uniform_ weights, or leave them as PyTorch makes them.",
            ),
            evidence={"saturated": share, "n_layers": len(found)},
        )
