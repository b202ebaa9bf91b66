"""A loss that never came down."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from statistics import median

from pydantic import Field, PositiveInt

from ..engine import Finding, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.gates import profile_of, why_incomparable
from ..engine.profiles import ONE_OBJECTIVE
from ..engine.progress import is_over, progress_of
from ..engine.signals import EPOCH_LOSS, LOSS, TRAIN_ACCURACY, VAL_ACCURACY


class LossNotDecreasing(Rule):
    """The training loss is where it was at the start of the run.

    The question is asked of the whole run, not of its latest part: a loss that came down and then rests is not judged.
    It counts as decreasing when its level fell by more than a share of the initial loss and more than its noise, or
    when it falls slowly but steadily. A run of several epochs must have come somewhere.

    ## Why it matters
    Nothing is being learned, and more epochs of the same will not change it.

    ## What to try
    - Change the learning rate tenfold, up when the update ratio is below 1e-4, down when it is above 1e-1.
    - Overfit a single batch: if that fails, the fault is in the model, the loss or the loop.
    - Check that the optimizer holds the model's parameters and that nothing detaches the loss from them.

    ## When it is wrong
    A run that goes on from a trained checkpoint has nothing left to learn; one whose loss starts below half of that of
    guessing, or whose accuracy is above 0.9, is not judged. Some tasks rest on a plateau before they start.
    Fine-tuning, adversarial, contrastive and reinforcement learning are not judged.

    ## References
    - SageMaker Debugger, LossNotDecreasing: less than 0.1 % in 10 steps. Over 100 steps that is the 1 % used here; on
      single batches as there it alarms on healthy runs.
    - Mann 1945 and Kendall 1975, the trend test; 1.64 is its one-sided 5 % point.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.WARNING
    bars = {"loss": LOSS, "initial": LOSS}
    explains = ("no-better-than-baseline",)
    profiles = ONE_OBJECTIVE - {"fine-tune"}

    ratio: float = Field(0.01, gt=0, lt=1)
    """Decrease since the start, as a share of the initial loss, from which on the loss counts as decreasing."""

    min_fall: float = Field(0.03, gt=0, lt=1)
    """The same for a supervised run of `long_steps` losses in `long_epochs` epochs, however steadily it falls."""

    long_steps: PositiveInt = 150
    """Losses from which on a run counts as long."""

    long_epochs: PositiveInt = 3
    """Epochs from which on a run counts as long."""

    tolerance: float = Field(2.0, ge=0)
    """A decrease within this many standard errors of the two levels is not told from none."""

    min_steps: PositiveInt = 300
    """Losses needed before the run is judged while it goes on: some tasks rest for long before they start."""

    least_steps: PositiveInt = 60
    """Losses needed at its end: many networks rest for some tens of steps before they begin to learn."""

    min_epochs: PositiveInt = 4
    """Epochs needed where only one loss an epoch is known."""

    window: PositiveInt = 10
    """Losses at the start that give the initial level, at least 5 % of all; and number of levels in the trend test."""

    max_error: float = Field(0.05, gt=0)
    """Standard errors, times the tolerance and as a share of the initial loss, above which nothing can be told.

    TheDeepChecker (Braiek & Khomh 2022) takes a fall of 5 % for the least that a healthy loss shows.
    """

    max_accuracy: float = Field(0.9, gt=0, le=1)
    """Accuracy above which a resting loss means that the task is learned."""

    quantile: float = Field(1.64, gt=0)
    """Normal quantile beyond which the trend test calls a fall steady."""

    healthy = {"loss": [2.3 * 0.99**i + 0.05 * (i % 4) for i in range(300)]}
    faulty = {"loss": [2.30 + 0.02 * ((7 * i) % 5 - 2) for i in range(300)]}

    def check(self, trace: Trace) -> Iterator[Finding]:
        incomparable = why_incomparable(trace)
        if incomparable is not None:
            raise NotApplicable(incomparable)
        losses, epochs = trace.series(LOSS), trace.series(EPOCH_LOSS)
        over = is_over(trace)
        needed = self.least_steps if over else self.min_steps
        if losses and losses.count < needed:
            raise NotApplicable(f"{losses.count} losses were recorded; {needed} are needed")
        if not losses and len(epochs) < self.min_epochs:
            raise NotApplicable(f"{len(epochs)} epoch losses were recorded; {self.min_epochs} are needed")
        if not (losses.is_finite and epochs.is_finite):
            raise NotApplicable("a loss is not finite")

        levels = _levels(losses.values, self.window) if losses else epochs.values
        first = min(self.window, max(3, len(losses) // 10))
        start = losses.values[: max(first, len(losses) // 20)] if losses else epochs.values[:1]
        end = losses.values[-max(self.window, len(losses) // 5) :] if losses else epochs.values[-2:]
        initial, now = median(start), median(end)
        self._refuse_what_is_trained(trace, initial)

        decrease = initial - now
        error = math.hypot(_error(start), _error(end))
        # The entropy of soft targets is a floor below which no loss can fall, and it may be close.
        is_plain = profile_of(trace) in ("supervised", "regression", "language-model") and not _is_soft(trace)
        is_long = is_plain and over and losses.count >= self.long_steps and len(epochs) >= self.long_epochs
        wanted = self.min_fall if is_long else self.ratio
        if decrease > max(wanted * abs(initial), self.tolerance * error):
            return
        # A tenth of the bar: a full batch without noise shows a steady fall at any learning rate, however small.
        if not is_long and _trend(levels) < -self.quantile and decrease > 0.1 * self.ratio * abs(initial):
            return
        if max(decrease, 0.0) + self.tolerance * error > self.max_error * abs(initial) - min(decrease, 0.0):
            raise NotApplicable(f"losses vary too much: {initial:.3g} at the start is known to {error:.2g} only")
        progress = progress_of(trace)
        if progress is not None and decrease > -self.tolerance * error and progress.later_fall > self.max_error:
            return  # single losses hide what the means of epochs, or the held-out loss, show
        change = -100 * decrease / abs(initial)
        yield Finding(
            message=f"loss {now:.4g} after {losses.count or len(epochs)} losses, {initial:.4g} at the start: "
            f"{change:+.2g} %; a fall of more than {100 * wanted:g} % was expected",
            advice=(
                "Change the learning rate tenfold: up when the update ratio is below 1e-4, down when it is above 1e-1.",
                "Overfit one batch: when that fails, the fault is in the model, the loss or the loop.",
                "Check that the optimizer holds the model's parameters and that nothing detaches the loss from them.",
            ),
            evidence={"loss": now, "initial": initial, "decrease": decrease, "error": error},
        )

    def _refuse_what_is_trained(self, trace: Trace, initial: float) -> None:
        """Raises `NotApplicable` when the run starts, or rests, where there is nothing left to learn."""
        if initial == 0:
            raise NotApplicable("the loss is 0 from the start")
        if initial < 0:
            # A difference of energies, a critic's: its size says nothing, and neither does a share of it.
            raise NotApplicable(f"the loss starts at {initial:.3g}, below 0: there is no scale to judge its fall by")
        accuracy = max([*trace.series(VAL_ACCURACY), *trace.series(TRAIN_ACCURACY)], default=0.0)
        if accuracy > self.max_accuracy:
            raise NotApplicable(f"accuracy is {accuracy:.3g}: the task is learned")
        loss = trace.facts.get("loss")
        classes = loss.get("n_classes") if isinstance(loss, dict) else None
        if isinstance(classes, int) and classes > 1 and initial < 0.5 * math.log(classes):
            raise NotApplicable(f"the loss starts at {initial:.3g}, below half of that of guessing: already trained")


def _is_soft(trace: Trace) -> bool:
    loss = trace.facts.get("loss")
    return any(isinstance(one, dict) and one.get("soft_targets") is True for one in (loss, *_items(loss)))


def _items(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _levels(losses: Sequence[float], n: int) -> list[float]:
    """Medians of `n` equal stretches."""
    return [median(losses[len(losses) * i // n : len(losses) * (i + 1) // n]) for i in range(n)]


def _error(losses: Sequence[float]) -> float:
    """Standard error of the median: 1.2533 standard deviations over the root of n, for normal noise."""
    middle = median(losses)
    deviation = 1.4826 * median(abs(loss - middle) for loss in losses)
    return 1.2533 * deviation / math.sqrt(len(losses))


def _trend(values: Sequence[float]) -> float:
    """The Mann-Kendall statistic: standard normal without a trend, negative when the values fall."""
    n = len(values)
    score = sum((b > a) - (b < a) for i, a in enumerate(values) for b in values[i + 1 :])
    deviation = math.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    return (score - math.copysign(1, score)) / deviation if score else 0.0
