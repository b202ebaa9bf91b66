"""A scheduler that steps ahead of its optimizer."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.profiles import EVERY
from ..engine.tables import number, tables, text


class SchedulerBeforeOptimizer(Rule):
    """A learning-rate scheduler stepped before the first step of its optimizer.

    ## Why it matters
    The first value of the schedule is never used, and every later one comes one step, or one epoch, too early.

    ## What to try
    - Call `scheduler.step()` after `optimizer.step()`; per epoch, at the end of the epoch.

    ## When it is wrong
    A scaler that skips the first step leaves the scheduler ahead; that is not named when a step was skipped. A
    scheduler that is stepped by itself, to draw a schedule, has an optimizer that never steps, and is not meant.

    ## References
    - PyTorch documentation, torch.optim, How to adjust learning rate: the order since 1.1.0.
    - PyTorch issues 44511 and 55585: the warning is false where a scaler skips the first step.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.WARNING
    level = Level.LOGIC
    needs_facts = ("schedulers",)
    waits_for_warmup = False
    finite = False
    profiles = EVERY

    min_steps: PositiveInt = 1
    """Steps of the scheduler before anything is said."""

    healthy = {
        "loss": [1.0] * 20,
        "facts": {"schedulers": [{"class": "StepLR", "steps": 2, "before_optimizer": False}]},
    }
    faulty = {"loss": [1.0] * 20, "facts": {"schedulers": [{"class": "StepLR", "steps": 2, "before_optimizer": True}]}}

    def check(self, trace: Trace) -> Iterator[Finding]:
        schedulers = [one for one in tables(trace.facts.get("schedulers")) if number(one.get("steps")) is not None]
        if not schedulers:
            raise NotApplicable("no scheduler was seen")
        if any(event.step <= 1 for event in trace.events("step_skipped")):
            raise NotApplicable("a gradient scaler skipped the first step")
        for one in schedulers:
            steps = number(one.get("steps")) or 0.0
            is_by_itself = one.get("optimizer_steps") == 0
            if one.get("before_optimizer") is True and steps >= self.min_steps and not is_by_itself:
                name = text(one.get("class")) or "scheduler"
                yield Finding(
                    subject=name,
                    message=f"{name} stepped before the first step of its optimizer: value 0 of the schedule was never "
                    f"used, in {steps:g} steps so far; the optimizer was expected first",
                    advice=(
                        "Call scheduler.step() after optimizer.step().",
                        "Where it steps once an epoch, call it at the end of the epoch.",
                    ),
                    evidence={"n_steps": steps},
                )
