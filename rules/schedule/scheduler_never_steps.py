"""A scheduler that was made and never stepped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import PositiveInt

from ..engine import Finding, Json, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.profiles import EVERY
from ..engine.signals import LR
from ..engine.tables import number, table, tables, text


class SchedulerNeverSteps(Rule):
    """A learning-rate scheduler was made for an optimizer that steps, and never stepped itself; or it steps, and its
    optimizer never does, while another one trains.

    ## Why it matters
    The rate stays at the first value of the schedule, which for a warm-up is a small part of the rate that was meant.

    ## What to try
    - Call `scheduler.step()` once for each batch, or once for each epoch, as the schedule was planned.
    - Make the scheduler for the optimizer that is stepped, behind the last time that one is made anew.

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
            if (found := self._drives_nothing(trace, one, schedulers)) is not None:
                yield found
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

    def _drives_nothing(
        self, trace: Trace, one: Mapping[str, Json], schedulers: list[Mapping[str, Json]]
    ) -> Finding | None:
        """A finding for a scheduler whose optimizer never steps, where the rate of those that do never changes."""
        steps, epochs = number(one.get("steps")) or 0.0, number(one.get("epochs")) or 0.0
        backwards = number(one.get("backwards")) or 0.0
        if one.get("optimizer") is not None or one.get("optimizer_steps") != 0 or epochs < self.min_epochs:
            return None
        if steps < self.min_epochs or backwards < self.min_steps or not tables(trace.facts.get("optimizer")):
            return None
        rates = trace.by_subject(LR).values()
        # A wrapped optimizer is not seen to step either, but its rate is that of the wrapper.
        if not rates or any(max(series) != min(series) for series in rates) or len(schedulers) > 1:
            return None
        name = text(one.get("class")) or "scheduler"
        return Finding(
            subject=name,
            message=f"{name} made {steps:g} steps, and its optimizer 0: in {backwards:g} backward calls another one "
            "stepped, at the same rate throughout; a scheduler of the optimizer that steps was expected",
            advice="Make the scheduler for the optimizer that is stepped.",
            evidence={"n_steps": steps, "n_epochs": epochs},
        )
