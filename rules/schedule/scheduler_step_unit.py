"""A schedule planned in one unit and stepped in another."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import pairwise

from pydantic import Field, PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.profiles import EVERY
from ..engine.rates import rate_at
from ..engine.records import EPOCH, Json
from ..engine.tables import number, table, tables, text


class SchedulerStepUnit(Rule):
    """A scheduler is stepped per batch with settings that count epochs, or per epoch with settings that count batches.

    ## Why it matters
    Stepped too often, the rate is at its end within the first epochs, or swings up and down where it was to fall once.
    Stepped too rarely, it hardly leaves its first value: a warm-up never ends, a decay never comes.

    ## What to try
    - Call `scheduler.step()` in the loop over epochs when T_max, step_size or milestones are epochs.
    - Or multiply these settings with the number of batches an epoch.
    - OneCycleLR and warm-ups are planned in batches: step them after each `optimizer.step()`.

    ## When it is wrong
    Warm restarts and cyclic schedules go up and down by design and are not judged. A short half period of a cosine may
    be meant as a cycle. Settings of other schedulers, functions above all, are not known: of those only a warm-up that
    goes on to the end of the run is told, and `schedule-collapsed` looks at what becomes of the rate.

    ## References
    - PyTorch documentation, torch.optim.lr_scheduler: what each setting counts are calls of `step`.
    """

    phases = (Phase.RUN,)
    severity = Severity.ERROR
    level = Level.LOGIC
    needs_facts = ("schedulers",)
    waits_for_warmup = False
    finite = False
    profiles = EVERY
    explains = (
        Level.DYNAMICS, Level.OUTCOME, "schedule-collapsed", "learning-rate-zero", "learning-rate-too-low",
        "learning-rate-too-high", Severity.FATAL,
    )  # fmt: skip

    min_epochs: PositiveInt = 2
    """Epochs, and steps in each, from which on the two units can be told apart."""

    factor: float = Field(2.0, gt=1)
    """How many times its planned length a schedule must have gone on, or remain, to be in the wrong unit."""

    ratio: float = Field(1e-3, gt=0, lt=1)
    """Share of the peak below which a decay was not planned."""

    min_gamma: float = Field(0.99, gt=0, lt=1)
    """Factor of an exponential decay from which on it is one of batches: by epochs it would do next to nothing."""

    min_rises: PositiveInt = 4
    """Times that a rate must have risen, and never fallen, to be in a warm-up; one each epoch."""

    warm: float = Field(0.5, gt=0, lt=1)
    """Share of the full rate below which a warm-up that lasted the whole run was planned for many times as many."""

    tolerance: float = Field(0.1, ge=0, lt=1)
    """Share by which a length in batches may differ from the number of steps and still be planned for them."""

    healthy = {
        "loss": [1.0] * 200,
        "facts": {
            "schedulers": [
                {"class": "CosineAnnealingLR", "settings": {"T_max": 10}, "steps": 10, "optimizer_steps": 200,
                 "epochs": 10, "per": "epoch"}
            ]
        },
    }  # fmt: skip
    faulty = {
        "loss": [1.0] * 200,
        "facts": {
            "schedulers": [
                {"class": "CosineAnnealingLR", "settings": {"T_max": 10}, "steps": 200, "optimizer_steps": 200,
                 "epochs": 10, "per": "step"}
            ]
        },
    }  # fmt: skip

    def check(self, trace: Trace) -> Iterator[Finding]:
        schedulers = [one for one in tables(trace.facts.get("schedulers")) if text(one.get("per"))]
        if not schedulers:
            raise NotApplicable("no scheduler was seen")
        judged = 0
        for one in schedulers:
            steps, made, epochs = (number(one.get(key)) or 0.0 for key in ("steps", "optimizer_steps", "epochs"))
            is_rare = steps * self.min_epochs <= made
            if is_rare and (_are_made_up(trace) or epochs < self.min_epochs):
                epochs = steps  # of a loop that is written by hand, the scheduler knows the epochs best
            swings = steps / (number(table(one.get("settings")).get("T_max")) or math.inf)
            is_wave = one.get("class") == "CosineAnnealingLR" and swings >= 2 * self.factor and not is_rare
            if is_wave and epochs < self.min_epochs:
                epochs = 1.0  # several waves in one stretch of batches are none of epochs
            elif epochs < self.min_epochs or made < self.min_epochs * epochs:
                continue
            judged += 1
            name, settings = text(one.get("class")), table(one.get("settings"))
            if one.get("per") == "epoch" or epochs == steps:
                wrong = self._too_rarely(trace, name, settings, made, epochs) or self._never_warm(trace, settings)
            elif steps > self.factor * epochs:
                wrong = self._too_often(trace, name, settings, steps, made, epochs)
            else:
                wrong = None
            if wrong is not None:
                setting, value, what = wrong
                yield Finding(
                    subject=name,
                    message=f"{name} with {setting}={value:g} made {steps:g} steps in {epochs:g} epochs of "
                    f"{made / epochs:.3g} batches: {what}",
                    advice=_advice(is_rare, setting, value, made / epochs),
                    evidence={"n_steps": steps, "n_epochs": epochs, "n_optimizer_steps": made, "setting": value},
                )
        if not judged:
            raise NotApplicable(f"fewer than {self.min_epochs} epochs of {self.min_epochs} batches or more")

    def _too_often(
        self, trace: Trace, name: str, settings: Mapping[str, Json], steps: float, made: float, epochs: float
    ) -> tuple[str, float, str] | None:
        """Setting, its value and what is wrong, for a scheduler that is stepped with each batch."""
        longest = max(3 * epochs, 100.0)  # a count of epochs; more is a count of batches
        if name == "CosineAnnealingLR":
            half = number(settings.get("T_max"))
            if half and half <= longest and steps >= self.factor * half:
                return "T_max", half, f"the rate goes up again every {half:g} batches; T_max looks like epochs"
        elif name in ("PolynomialLR",):
            end = number(settings.get("total_iters"))
            if end and end <= epochs + 1 and steps >= self.factor * end:
                return (
                    "total_iters",
                    end,
                    f"the rate is at its end after {end:g} batches; total_iters looks like epochs",
                )
        elif name in ("StepLR", "MultiStepLR", "ExponentialLR"):
            return self._decayed(name, settings, steps, epochs)
        elif name == "ReduceLROnPlateau":
            patience = number(settings.get("patience"))
            rates = [rate for _, rate in rate_at(trace)]
            is_gone = bool(rates) and rates[-1] < self.ratio * 10 * max(rates)
            if patience is not None and patience < made / epochs and is_gone:
                return "patience", patience, f"the rate fell to {rates[-1]:.2g}; patience looks like epochs"
        return None

    def _decayed(
        self, name: str, settings: Mapping[str, Json], steps: float, epochs: float
    ) -> tuple[str, float, str] | None:
        """The same for decays by a factor: too much of it by batches, and a usual amount by epochs."""
        gamma = number(settings.get("gamma"))
        if gamma is None or not 0 < gamma < 1:
            return None
        every, marks = number(settings.get("step_size")), _milestones(settings)
        if name == "StepLR" and every:
            setting, value, by_batch, by_epoch = "step_size", every, steps // every, epochs // every
        elif name == "MultiStepLR" and marks:
            setting, value = "milestones", max(marks)
            by_batch, by_epoch = sum(at <= steps for at in marks), sum(at <= epochs for at in marks)
            if max(marks) > 2 * epochs or steps < 4 * max(marks):
                return None  # they are not epochs of this run, or there was time between them
            return (
                setting,
                value,
                f"the last one was passed in epoch {max(marks) * epochs // steps:g}; they look like epochs",
            )
        elif name == "ExponentialLR":
            setting, value, by_batch, by_epoch = "gamma", gamma, steps, epochs
        else:
            return None
        if gamma**by_batch >= self.ratio or gamma**by_epoch < gamma**by_batch * self.factor:
            return None
        is_early = steps / by_batch * math.log(self.ratio) / math.log(gamma) < 0.5 * steps
        is_epochs = value <= max(2 * epochs, 30) if setting == "step_size" else gamma < self.min_gamma
        if not is_early or not is_epochs:
            return None
        return (
            setting,
            value,
            f"the rate is {gamma**by_batch:.1g} of its first value; by epochs it would be {gamma**by_epoch:.2g}",
        )

    def _too_rarely(
        self, trace: Trace, name: str, settings: Mapping[str, Json], made: float, epochs: float
    ) -> tuple[str, float, str] | None:
        """The same for a scheduler that is stepped with each epoch."""
        key = {
            "OneCycleLR": "total_steps",
            "CosineAnnealingLR": "T_max",
            "PolynomialLR": "total_iters",
            "LinearLR": "total_iters",
        }.get(name)
        length = number(settings.get(key)) if key else None
        if key is None or length is None or length <= self.factor * epochs:
            return None
        # What was counted last may be an epoch old: the scheduler may be gone by the end of the run.
        fits = any(abs(length - n) <= self.tolerance * n for n in (made, trace.step + 1))
        if name == "LinearLR":
            start, end = number(settings.get("start_factor")), number(settings.get("end_factor"))
            rises = start is not None and end is not None and start < end / 2
            if not rises or length < 5 * epochs:
                return None
        elif name == "OneCycleLR":
            if not fits and length < 5 * epochs:
                return None
        elif not fits or made < 3 * epochs:
            return None
        return key, length, f"{epochs / length:.1%} of the schedule is done; {key} looks like batches"

    def _never_warm(self, trace: Trace, settings: Mapping[str, Json]) -> tuple[str, float, str] | None:
        """The same for a warm-up of unknown length that is not over when the run is: each step raised the rate."""
        given, rates = settings.get("base_lrs"), [rate for _, rate in rate_at(trace)]
        full = [rate for one in given if (rate := number(one)) is not None] if isinstance(given, list) else []
        if not full:
            groups = [group for one in tables(trace.facts.get("optimizer")) for group in tables(one.get("groups"))]
            full = [rate for group in groups if (rate := number(group.get("initial_lr"))) is not None]
        top = max(full, default=0.0)
        is_rising = len(rates) > self.min_rises and all(rate > before for before, rate in pairwise(rates))
        if not is_rising or rates[-1] >= self.warm * top:
            return None
        share = rates[-1] / top
        return "lr", top, f"{rates[-1]:.2g} at the end is {share:.0%} of it, still warming up; it looks like batches"


def _are_made_up(trace: Trace) -> bool:
    """Whether nothing told the epochs, so that a number of steps stands for them."""
    ends = trace.events(EPOCH)
    return bool(ends) and ends[-1].data.get("source") == "steps"


def _milestones(settings: Mapping[str, Json]) -> list[float]:
    """The milestones of a schedule, whether they are told as a list or as a table of counts."""
    told = settings.get("milestones")
    items = list(told) if isinstance(told, (list, Mapping)) else []
    found = [number(float(one) if isinstance(one, str) and one.isdigit() else one) for one in items]
    return [one for one in found if one is not None and one > 0]


def _advice(per_epoch: bool, setting: str, value: float, batches: float) -> tuple[str, ...]:
    if per_epoch:
        length = "the length of the warm-up" if setting == "lr" else setting
        return (
            "Call scheduler.step() after each optimizer.step(), in the loop over batches.",
            f"Or divide {length} by the {batches:.3g} batches of an epoch.",
        )
    if setting == "gamma":
        return ("Call scheduler.step() once an epoch, in the loop over epochs.",)
    return (
        "Call scheduler.step() once an epoch, in the loop over epochs.",
        f"Or multiply {setting} with the {batches:.3g} batches of an epoch.",
    )
