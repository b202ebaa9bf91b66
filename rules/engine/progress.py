"""What the training loss came to: the one measure of harm that rules about symptoms share.

Many odd things inside a network do no harm. Whether one did is asked of the loss: where it began, where it is now, and
what is known of guessing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from .finding import NotApplicable, Phase
from .records import JUDGE
from .signals import EPOCH_LOSS, LOSS, TRAIN_ACCURACY, VAL_ACCURACY, VAL_LOSS
from .tables import table
from .trace import Series, Trace

FIRST, LEAST_STEPS, LEAST_EPOCHS = 3, 20, 3
"""Losses that give the initial level, at least, and losses of steps, or of epochs, from which on anything is said."""

SETTLED = 500
"""Steps from which on a training that has not taken off is judged while it goes on; before, only at its end.

Deep networks with torch's own initialisation rest for some tens to hundreds of steps before they begin to learn.
"""

LEAST_COMPARED = 10
"""Losses from which on their first level is compared with their last."""

_SOFTMAX = ("cross_entropy", "nll_loss", "crossentropyloss", "nllloss")
_SIGMOID = ("binary_cross_entropy", "bceloss", "bcewithlogitsloss")


@dataclass(frozen=True)
class Progress:
    """Levels of the training loss: at the start, at best, and now."""

    n: int
    """Losses that were recorded."""
    initial: float
    """Median of the first losses."""
    now: float
    """Median of the last fifth of the losses."""
    best: float
    """Lowest median of a stretch as long as the last."""
    error: float
    """Standard error of the difference between `initial` and `now`."""
    guess: float | None
    """Loss of giving every class the same probability, in nats, where the loss function tells."""
    accuracy: float | None
    """The latest accuracy, 0 to 1, held out where known."""
    is_pretrained: bool = False
    """Whether the weights were loaded, or trained earlier in the run."""
    later_fall: float = 0.0
    """How far the held-out loss, or the mean loss of an epoch, came down since the first of them, as a share of it.

    Where single losses scatter widely these tell what they do not; 0 where they are few, or within their scatter.
    """

    @property
    def fall(self) -> float:
        """How far the loss came down; negative when it rose."""
        return self.initial - self.now

    @property
    def share(self) -> float:
        """How far it came down below where an untrained model stands, as a share of that: 1 is a loss of 0.

        That is the initial loss, or that of guessing where it is lower: a start that is far too high is soon mended.
        """
        start = self.initial if self.guess is None else min(self.initial, self.guess)
        scale = max(abs(start), abs(start - self.best))
        return (start - self.now) / scale if scale > 0 and math.isfinite(scale) else 0.0

    @property
    def was_trained(self) -> bool:
        """Whether there was little to learn from the start: the loss began far below guessing, or accuracy is high."""
        knew = self.guess is not None and self.initial < 0.5 * self.guess
        return knew or self.is_pretrained or (self.accuracy is not None and self.accuracy > 0.9)

    def has_learned(self, ratio: float) -> bool:
        """Whether the loss fell by that share of where it began, and by more than twice its error; or need not fall,
        and did not rise."""
        if self.was_trained and self.fall >= -2 * self.error:
            return True
        if self.fall < -2 * self.error:
            return False
        return (self.share > ratio and self.fall > 2 * self.error) or self.later_fall > ratio


def lost_share(losses: Series, share: float = 0.1) -> float | None:
    """How much of its first level a loss has lost, 0 to 1; negative when it rose. None where that cannot be said.

    The levels are medians over the first and last `share` of the losses, at least five of each. Unlike a `Progress`,
    this knows the losses alone: rules that blame a setting ask whether the training came on, not what it could reach.
    """
    if len(losses) < LEAST_COMPARED or not losses.is_finite:
        return None
    n = min(len(losses) // 2, max(5, int(share * len(losses))))
    first, last = median(losses.values[:n]), median(losses.values[-n:])
    return (first - last) / first if first > 0 else None


def stands(trace: Trace, least: float = 0.1) -> bool:
    """Whether the training loss lost less than `least` of its first level, or rose, or is no longer finite."""
    losses = trace.series(LOSS)
    if len(losses) and not losses.is_finite:
        return True
    lost = lost_share(losses)
    return lost is not None and lost < least


def settled_progress(trace: Trace, settled: int = SETTLED) -> Progress:
    """The progress of a training that has had its time; raises `NotApplicable` with the reason where it has not."""
    if trace.step < settled and not is_over(trace):
        raise NotApplicable(f"step {trace.step}: until step {settled} a training may still take off; judged at its end")
    progress = progress_of(trace)
    if progress is None:
        raise NotApplicable("whether the training took harm cannot be told: too few losses, or not all finite")
    return progress


def is_over(trace: Trace) -> bool:
    """Whether this is the judgement at the end of the training."""
    asked = trace.events(JUDGE)
    return bool(asked) and asked[-1].data.get("phase") == Phase.RUN.value


def progress_of(trace: Trace) -> Progress | None:
    """The progress of the training so far; None where the losses are too few, or not all finite."""
    losses, least = trace.series(LOSS), LEAST_STEPS
    if not losses:
        losses, least = trace.series(EPOCH_LOSS), LEAST_EPOCHS
    n = len(losses)
    if n < least or not losses.is_finite:
        return None
    values = losses.values
    first = values[: max(FIRST, min(10, n // 50))] if least == LEAST_STEPS else values[:1]
    width = max(2, n // 5)
    stretches = [median(values[at : at + width]) for at in range(0, n - width + 1, max(1, width // 2))]
    now = median(values[-width:])
    error = 1.2533 * scatter(values) * math.hypot(len(first) ** -0.5, width**-0.5)
    guess = guess_of(trace)
    later = max(
        _later_fall(trace.series(VAL_LOSS), guess, 0.0), _later_fall(trace.series(EPOCH_LOSS), guess, _error(trace))
    )
    is_pretrained = table(trace.facts.get("signs")).get("pretrained") is True
    best = min(now, *stretches)
    return Progress(losses.count, median(first), now, best, error, guess, _accuracy(trace), is_pretrained, later)


def _error(trace: Trace) -> float:
    """Standard error of the mean loss of an epoch."""
    losses, means = trace.series(LOSS), trace.series(EPOCH_LOSS)
    return scatter(losses.values) / math.sqrt(max(1.0, len(losses) / max(1, len(means)))) if losses else 0.0


def _later_fall(levels: Series, guess: float | None, error: float) -> float:
    """Share of the first level, or of guessing, by which the latest levels are below it; 0 within three errors.

    Four levels at least, of which the later half must all be below.
    """
    if len(levels) < 4 or not levels.is_finite or levels[0] <= 0:
        return 0.0
    start = levels[0] if guess is None else min(levels[0], guess)
    fall = start - median(levels.values[-2:])
    is_lasting = max(levels.values[len(levels) // 2 :]) < start
    return fall / start if is_lasting and fall > 3 * error else 0.0


def scatter(values: Sequence[float]) -> float:
    """Robust standard deviation of single values around a trend, from the differences of neighbours.

    1.4826 makes the median absolute deviation of normal noise its standard deviation; a difference has two noises.
    """
    steps = [b - a for a, b in pairwise(values)]
    if not steps:
        return 0.0
    middle = median(steps)
    return 1.4826 * median(abs(step - middle) for step in steps) / math.sqrt(2)


def guess_of(trace: Trace) -> float | None:
    """Loss, in nats, of giving every class the same probability; None where the loss function does not tell."""
    loss = trace.facts.get("loss")
    if not isinstance(loss, dict) or loss.get("weighted") or loss.get("reduction", "mean") != "mean":
        return None
    if loss.get("logarithms") is False:
        return None
    function = str(loss.get("function", "")).lower().rsplit(".", 1)[-1]
    if function.startswith(_SIGMOID):
        return math.log(2)
    classes = loss.get("n_classes")
    if function in _SOFTMAX and isinstance(classes, int) and not isinstance(classes, bool) and classes > 1:
        return math.log(classes)
    return None


def _accuracy(trace: Trace) -> float | None:
    seen: Series = trace.series(VAL_ACCURACY) or trace.series(TRAIN_ACCURACY)
    if not seen or not math.isfinite(seen[-1]):
        return None
    return seen[-1] / (100.0 if max(seen) > 1 else 1.0)  # some log percent
