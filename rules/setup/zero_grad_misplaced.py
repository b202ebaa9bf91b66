"""Gradients that are cleared before they are used."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.profiles import EVERY
from ..engine.tables import number, table, texts


class ZeroGradMisplaced(Rule):
    """Gradients are cleared between `backward` and `step`, or between the backwards of one accumulated step.

    ## Why it matters
    In the first case the optimizer steps without gradients: nothing is learned, or only by weight decay. In the second
    all batches of a window but the last are computed for nothing.

    ## What to try
    - Order the step as zero_grad, forward, backward, step; or backward, step, zero_grad.
    - With accumulation, call `zero_grad` only where `step` is called.

    ## When it is wrong
    Gradients of single layers that are taken out on purpose, such as those of a layer that waits for its warm-up, are
    not meant: all of an optimizer's must be gone. Nor are the gradients left by a pass that makes adversarial samples.

    ## References
    - PyTorch documentation, torch.optim: the order of a step.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.ERROR
    level = Level.LOGIC
    needs_facts = ("loop",)
    waits_for_warmup = False
    finite = False
    profiles = EVERY
    explains = (
        Level.DYNAMICS, Level.OUTCOME, "step-does-nothing", "learning-rate-too-low", "weight-decay-dominates",
        "accumulation-not-averaged",
    )  # fmt: skip

    min_steps: PositiveInt = 2
    """Steps before anything is said."""

    min_batches: PositiveInt = 2
    """Batches of a step from which on gradients that are cleared within it were meant to add up."""

    healthy = {"loss": [1.0] * 20, "facts": {"loop": {"order": ["zero_grad", "backward", "step"], "discarded": False}}}
    faulty = {"loss": [1.0] * 20, "facts": {"loop": {"order": ["backward", "zero_grad", "step"], "discarded": True}}}

    def check(self, trace: Trace) -> Iterator[Finding]:
        loop, window = table(trace.facts.get("loop")), table(trace.facts.get("accumulation"))
        if not isinstance(loop.get("discarded"), bool):
            raise NotApplicable("the order of a step was not seen")
        if trace.step < self.min_steps:
            raise NotApplicable(f"step {trace.step}; judged from step {self.min_steps} on")
        order = " -> ".join(texts(loop.get("order"))) or "not known"
        backwards, batches = number(window.get("backwards")) or 1.0, number(window.get("batches")) or 0.0
        if loop.get("discarded") is True:
            message = (
                f"0 gradients were left of what backward had computed when the optimizer stepped; the order of "
                "the step "
                f"is {order}, zero_grad ahead of backward was expected"
            )
        elif loop.get("wiped") is True and batches >= self.min_batches:
            message = (
                f"gradients are cleared before each of the {backwards:g} backward calls of a step: 1 of {batches:g} "
                f"batches counts; zero_grad was expected once for each step"
            )
        else:
            return
        yield Finding(
            message=message,
            advice=(
                "Order the step as zero_grad, forward, backward, step.",
                "With gradient accumulation call zero_grad only where step is called.",
            ),
            evidence={"n_backwards": backwards, "n_batches": batches},
        )
