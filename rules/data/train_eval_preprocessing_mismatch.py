"""Held-out inputs on another scale than those of the training."""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import median

from pydantic import Field, PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.labels import is_classification
from ..engine.signals import EPOCH_LOSS, INPUT_HIGH, INPUT_LOW, INPUT_MEAN, INPUT_STD, VAL_LOSS


class TrainEvalPreprocessingMismatch(Rule):
    """The spread or the mean of an input differs between training and evaluation by more than augmentation explains.

    ## Why it matters
    A model that is trained on normalised data and evaluated on raw data is asked about something it has never seen:
    the held-out score is that of the preprocessing.

    ## What to try
    - Apply the same scaling to both: fit it on the training data, transform the held-out data with it.
    - Compare the transforms of the two data sets line by line; only random ones belong to training alone.

    ## When it is wrong
    Data of another time or place may differ by nature. Noise and erasing change the spread by less than a factor of
    two. A series that grows shifts its mean: that alone counts only when it is far, and the held-out loss suffers.

    ## References
    - TheDeepChecker, augmentation and normalisation are the same faults in training and evaluation.
    - deepchecks, Image Property Drift: above 0.2.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.WARNING
    level = Level.SETTING
    needs = (INPUT_MEAN, INPUT_STD)
    waits_for_warmup = False
    explains = (Level.OUTCOME, "train-eval-gap", "unlearnable-labels")

    factor: float = Field(2.0, gt=1)
    """Larger over smaller standard deviation, from which on the preprocessing differs; the square of it where the
    targets are no classes: series change their scale with time."""

    shift: float = Field(3.0, gt=0)
    """Difference of the means, in standard deviations, from which on it does when the held-out loss suffers."""

    harm: float = Field(2.0, gt=1)
    """Held-out loss over training loss that counts as suffering."""

    min_batches: PositiveInt = 3
    """Batches of the training that must have been measured."""

    healthy = {
        "input/mean": {"train/x": [0.0] * 6, "val/x": [0.02] * 2},
        "input/std": {"train/x": [1.0] * 6, "val/x": [0.97] * 2},
    }
    faulty = {
        "input/mean": {"train/x": [0.0] * 6, "val/x": [33.0] * 2},
        "input/std": {"train/x": [1.0] * 6, "val/x": [78.0] * 2},
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        spreads = trace.by_subject(INPUT_STD)
        pairs = [
            (f"train/{name}", subject)
            for subject in spreads
            for split, _, name in [subject.partition("/")]
            if split == "val" and f"train/{name}" in spreads
        ]
        if not pairs:
            raise NotApplicable("no input was measured both in training and on held-out data")
        factor = self.factor if is_classification(trace) else self.factor**2
        for ours, theirs in pairs:
            if len(spreads[ours]) < self.min_batches:
                raise NotApplicable(f"fewer than {self.min_batches} batches of the training were measured")
            mean, std = _typical(trace, ours)
            other, spread = _typical(trace, theirs)
            if not all(map(math.isfinite, (mean, std, other, spread))) or min(std, spread) <= 0:
                continue
            ratio = max(std / spread, spread / std)
            away = abs(mean - other) / max(std, spread)
            if ratio < factor and not (away >= self.shift and self._suffers(trace)):
                continue
            if ratio >= factor and not _differs_in_range(trace, ours, theirs, factor):
                continue
            yield Finding(
                subject=ours.partition("/")[2],
                message=f"the input has mean {mean:.3g} and standard deviation {std:.3g} in training, {other:.3g} and "
                f"{spread:.3g} on held-out data; the same are expected",
                advice=(
                    "Apply the same scaling to both: fitted on the training data, applied to the held-out data.",
                    "Compare the transforms of the two data sets; only random ones belong to training alone.",
                ),
                evidence={"mean": mean, "std": std, "val_mean": other, "val_std": spread},
            )

    def _suffers(self, trace: Trace) -> bool:
        losses, training = trace.series(VAL_LOSS), trace.series(EPOCH_LOSS)
        if not losses or not training or not (losses.is_finite and training.is_finite):
            return False
        return median(losses.last(3)) > self.harm * max(median(training.last(3)), 0.0)


def _typical(trace: Trace, subject: str) -> tuple[float, float]:
    return median(trace.series(INPUT_MEAN, subject) or [math.nan]), median(trace.series(INPUT_STD, subject))


def _differs_in_range(trace: Trace, ours: str, theirs: str, factor: float) -> bool:
    """Whether the range tells the same as the spread: held-out batches may be sorted, or mostly padding."""
    widths = []
    for subject in (ours, theirs):
        low, high = trace.series(INPUT_LOW, subject), trace.series(INPUT_HIGH, subject)
        if not low or not high:
            return True
        widths.append(max(high) - min(low))
    smaller, larger = sorted(widths)
    return not math.isfinite(larger) or larger > math.sqrt(factor) * smaller
