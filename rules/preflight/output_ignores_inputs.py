"""Whatever a model is given, the same comes out."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.profiles import EVERY
from ..engine.tables import number, table


class OutputIgnoresInputs(Rule):
    """The output stayed the same when every input was exchanged for that of another sample.

    Weights that are all zero, as in an output layer that starts at zero, were set to small numbers before this was
    said: they pass nothing on before the first step.

    ## Why it matters
    Such a model can learn one answer for all samples, and nothing else: its loss ends at that of guessing.

    ## What to try
    - Look for units that are never active: biases far below zero, inputs of a scale the layers cannot take.
    - Look for a softmax over one value, which is 1 whatever is given, and for a rounding or comparison.
    - Follow the input through `forward`: is a layer's result thrown away, or another variable used instead?

    ## When it is wrong
    Where the inputs of one batch are alike for what the model looks at. A model that chooses a code, and passes
    gradients straight through, may give all of an untrained batch the same: nothing is said where gradients pass.

    ## References
    - Karpathy 2019, A Recipe for Training Neural Networks, "input-independent baseline".
    """

    phases = (Phase.PREFLIGHT,)
    severity = Severity.ERROR
    level = Level.LOGIC
    needs_facts = ("drill/inputs-reach",)
    waits_for_warmup = False
    profiles = EVERY

    min_effect: float = Field(5e-7, gt=0, lt=1)
    """Change of the output, as a share of its size, below which it is none: a few roundings of float32 (6e-8 each)."""

    min_promised: float = Field(1e-4, gt=0, lt=1)
    """Change that the gradient of the outputs promises from which on they do follow the inputs, as a share of them."""

    healthy = {"facts": {"drill/inputs-reach": {"effect": 0.3, "started": None, "inputs": []}}}
    faulty = {"facts": {"drill/inputs-reach": {"effect": 0.0, "started": None, "inputs": []}}}

    def check(self, trace: Trace) -> Iterator[Finding]:
        told = table(trace.facts.get("drill/inputs-reach"))
        effect, started = number(told.get("effect")), number(told.get("started"))
        if effect is None:
            raise NotApplicable("what the inputs change is not known")
        if effect > self.min_effect:
            return
        if started is not None and started > self.min_effect:
            return
        promised = number(told.get("by_gradient"))
        if promised is not None and promised > self.min_promised:
            raise NotApplicable("gradients reach the inputs, and values do not: a choice or a rounding stands between")
        yield Finding(
            message=f"inputs of other samples change the output by {effect:.2g} of its size; more than "
            f"{self.min_effect:g} expected",
            advice=(
                "Look for units that are never active, and for a softmax over a single value.",
                "Follow the input through forward: is what a layer gives thrown away?",
            ),
            evidence={"effect": effect},
        )
