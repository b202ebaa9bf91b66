"""A scheduler that was made and never stepped."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.profiles import EVERY
from ..engine.tables import number, table, tables, text


class SchedulerNeverSteps(Rule):
    """A learning-rate scheduler was made for an optimizer that steps, and never stepped itself.

    ## Why it matters
    The rate stays at the first value of the schedule, which for a warm-up is a small part of the rate that was meant.

    ## What to try
    - Call `scheduler.step()` once for each batch, or once for each epoch, as the schedule was planned.

    ## When it is wrong
    A schedule that starts late, such as the one of an average of weights, has not begun in a run that ends before.

    ## References
    - PyTorch documentation, torch.optim, How to adjust learning rate.
    """

    phases = (Phase.RUN,)
    severity = Severity.WARNING
    level = Level.LOGIC
    needs_facts = ("schedulers",)
    waits_for_warmup = False
    finite = False
    profiles = EVERY
    explains = ("learning-rate-too-low", "learning-rate-zero", "learning-rate-too-high")

    min_steps: PositiveInt = 20
    """Optimizer steps before anything is said."""

    min_epochs: PositiveInt = 2
    """Epochs before anything is said: one that steps by epoch has its turn after the first."""

    healthy = {
        "loss": [1.0] * 40,
        "facts": {"schedulers": [{"class": "StepLR", "optimizer": 0, "steps": 4, "optimizer_steps": 40, "epochs": 4}]},
    }
    faulty = {
        "loss": [1.0] * 40,
        "facts": {"schedulers": [{"class": "StepLR", "optimizer": 0, "steps": 0, "optimizer_steps": 40, "epochs": 4}]},
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        schedulers = [one for one in tables(trace.facts.get("schedulers")) if number(one.get("steps")) is not None]
        if not schedulers:
            raise NotApplicable("no scheduler was seen")
        for one in schedulers:
            steps, epochs = number(one.get("optimizer_steps")) or 0.0, number(one.get("epochs")) or 0.0
            # Which of several schedulers of one optimizer is in use may be a matter of settings.
            others = [
                other for other in schedulers
                if other is not one and other.get("optimizer") == one.get("optimizer") and number(other.get("steps"))
            ]  # fmt: skip
            if one.get("steps") == 0 and steps >= self.min_steps and epochs >= self.min_epochs and not others:
                name = text(one.get("class")) or text(table(one.get("settings")).get("class")) or "scheduler"
                yield Finding(
                    subject=name,
                    message=f"{name} made 0 steps in {steps:g} steps of its optimizer and {epochs:g} epochs; one "
                    "for each "
                    "batch or each epoch was expected",
                    advice="Call scheduler.step() once for each batch, or each epoch, as the schedule was planned.",
                    evidence={"n_steps": steps, "n_epochs": epochs},
                )
