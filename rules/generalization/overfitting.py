"""Validation that gets worse while training gets better."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from statistics import fmean, median, stdev

from pydantic import Field, PositiveInt

from ..engine import Finding, NotApplicable, Phase, Rule, Series, Severity, Trace
from ..engine.gates import why_incomparable
from ..engine.profiles import ONE_OBJECTIVE
from ..engine.progress import is_over
from ..engine.signals import EPOCH_LOSS, LOSS, VAL_ACCURACY, VAL_LOSS
from ..engine.tables import table


class Overfitting(Rule):
    """The validation loss has been well above its best for several epochs while the training loss went on falling.

    The rise must exceed a share of the best value, a share of where it began, *and* the validation loss's own noise,
    for several epochs in a row. While the validation accuracy holds, only a loss that doubled is reported, or one far
    above a training loss that has gone to nothing: the model is then overconfident. Few evaluations need a larger rise.

    ## Why it matters
    What is learned from here on is about the training samples, not about the task; the best model is behind.

    ## What to try
    - Keep the checkpoint of the best validation epoch, and stop early.
    - Add data or augmentation; then weight decay or dropout.
    - Make the model smaller, or train fewer of its layers.

    ## When it is wrong
    A small validation set is noisy. Dropout and augmentation put the training loss above the validation loss: the two
    are never compared by themselves. Very large models may recover after such a rise (double descent). A run that
    puts the state of its best evaluation back at the end, or keeps it and stops within ten times as long, has guarded
    itself, and is not reported.

    ## References
    - SageMaker Debugger, Overfit: a gap of 10 % between the losses; the 10 % stand, but for the rise above the best.
    - Prechelt 1998, Early Stopping - But When?: generalisation loss against the best so far, and patience.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.WARNING
    needs = (VAL_LOSS, EPOCH_LOSS)
    bars = {"val_loss": VAL_LOSS, "best": VAL_LOSS, "bar": VAL_LOSS, "train_loss": EPOCH_LOSS}
    history = 3
    explains = ("overtraining",)
    profiles = ONE_OBJECTIVE

    ratio: float = Field(0.1, gt=0)
    """Rise of the validation loss above its best, as a share of it."""

    few_ratio: float = Field(0.5, gt=0)
    """The same where there are fewer evaluations than twice the patience."""

    spread: float = Field(2.5, gt=0)
    """How many of their own standard deviations later evaluations must be above a first or second that was the best."""

    min_share: float = Field(0.05, ge=0)
    """Rise as a share of the first losses: what moves at a thousandth of where it began has been learned."""

    margin: float = Field(10.0, gt=1)
    """How many times the training loss the validation loss must be, after a rise of `wide_ratio` that has lasted for
    half of the evaluations, to be reported even while the accuracy holds."""

    wide_ratio: float = Field(0.2, gt=0)
    """See `margin`."""

    factor: float = Field(2.0, gt=1)
    """Rise above the best, as a multiple of it, that is reported even while the accuracy holds."""

    patience: PositiveInt = 3
    """Latest evaluations that must all be above; at least 5 % of all evaluations."""

    min_part: float = Field(0.1, gt=0, lt=1)
    """Part of the evaluations up to the best one, at least, for keeping its state to be a guard: a longer rest is
    training in vain, whatever is kept of it. The tenth is ours."""

    tolerance: float = Field(3.0, ge=0)
    """A rise within this many standard deviations of a single evaluation is noise."""

    healthy = {
        "loss/val": [1.2, 0.9, 0.7, 0.6, 0.55, 0.54, 0.55, 0.54, 0.56, 0.55],
        "loss/epoch": [1.3, 0.9, 0.7, 0.6, 0.5, 0.45, 0.4, 0.36, 0.33, 0.3],
    }
    faulty = {
        "loss/val": [1.2, 0.9, 0.7, 0.6, 0.62, 0.66, 0.72, 0.8, 0.88, 0.95],
        "loss/epoch": [1.3, 0.9, 0.7, 0.5, 0.4, 0.3, 0.2, 0.15, 0.1, 0.05],
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        incomparable = why_incomparable(trace)
        if incomparable is not None:
            raise NotApplicable(incomparable)
        losses, training = trace.series(VAL_LOSS), trace.series(EPOCH_LOSS)
        if len(losses) < self.history or not training:
            raise NotApplicable(f"{len(losses)} evaluations; {self.history} are needed, and a training loss")
        n = len(losses)
        found = self._risen(losses, self.min_share * max(abs(losses[0]), abs(training[0])))
        if found is None:
            return
        best, best_at, patience, bar = found
        recent = losses.last(patience)
        lowest = min(recent)
        train_then, train_now = _at(training, losses, best_at), training[-1]
        if train_now >= train_then:
            return
        lasts = n - 1 - best_at >= n / 2 and lowest > (1 + self.wide_ratio) * best
        is_gross = lowest > self.factor * best or (lasts and lowest > self.margin * abs(train_now))
        if self._accuracy_holds(trace, patience) and not is_gross:
            return
        # Until the end it may still be put back.
        is_guarded = best_at >= self.min_part * n or not is_over(trace)
        if _restores(trace, losses) or (is_guarded and _keeps_the_best(trace, losses, best_at)):
            return
        yield Finding(
            message=f"validation loss {recent.median:.4g} over the last {patience} evaluations; it was {best:.4g} "
            f"around evaluation {best_at + 1} of {len(losses)}, and the training loss fell from {train_then:.4g} to "
            f"{train_now:.4g} since",
            advice=(
                f"Keep the checkpoint of evaluation {best_at + 1}, and stop early.",
                "Add data or augmentation, then weight decay or dropout.",
                "Make the model smaller, or train fewer of its layers.",
            ),
            evidence={"val_loss": recent.median, "best": best, "bar": bar, "train_loss": train_now},
        )

    def _risen(self, losses: Series, least: float) -> tuple[float, int, int, float] | None:
        """The best level, its evaluation, how many of the latest count, and the bar they are above; or None.

        `least` is what a rise must exceed in any case.
        """
        n, patience = len(losses), max(self.patience, math.ceil(len(losses) / 20))
        lowest_at = min(range(n), key=losses.values.__getitem__)
        since, lucky = losses.values[lowest_at + 1 :], losses[lowest_at]
        bar = lucky + max(self.few_ratio * abs(lucky), least)
        from_the_start = lowest_at <= 1 and len(since) > patience and min(since) > bar
        if from_the_start and fmean(since) - lucky > self.spread * stdev(since):
            return lucky, lowest_at, patience, bar  # and never again anywhere near
        ratio, noise = self.ratio, _noise(losses.values)
        if n < 2 * patience:
            patience, ratio, noise = 2, self.few_ratio, 0.0  # too few to tell a bend from noise
        # Medians of as many evaluations as must be above, as the lowest of many noisy values is a lucky one.
        width = min(patience, n - patience)
        levels = [losses[at : at + width].median for at in range(n - patience - width + 1)]
        best_level = min(range(len(levels)), key=levels.__getitem__)
        best = levels[best_level]
        best_at = min(range(best_level, best_level + width), key=losses.values.__getitem__)
        bar = best + max(ratio * abs(best), least, self.tolerance * noise)
        return (best, best_at, patience, bar) if min(losses.last(patience)) > bar else None

    def _accuracy_holds(self, trace: Trace, patience: int) -> bool:
        accuracy = trace.series(VAL_ACCURACY)
        if len(accuracy) <= patience:
            return False
        before = sorted(accuracy.values[:-patience])
        # The third best of the past, as the very best of many noisy values is a lucky one.
        return accuracy.last(patience).median >= before[-min(3, len(before))] - self.tolerance * _noise(accuracy.values)


def _restores(trace: Trace, losses: Series) -> bool:
    """Whether the weights were put back when all was over."""
    return any(step >= _end(trace, losses) for step in _kept(trace, "loaded"))


def _keeps_the_best(trace: Trace, losses: Series, best_at: int) -> bool:
    """Whether the last state that was taken is about the best one."""
    steps = _kept(trace, "saved")
    # An evaluation is noted at the last step before it, as is a state that is taken behind it.
    after = losses.steps[best_at + 2] if best_at + 2 < len(losses) else _end(trace, losses)
    return bool(steps) and losses.steps[max(0, best_at - 1)] <= steps[-1] < after


def _kept(trace: Trace, what: str) -> list[int]:
    steps = table(trace.facts.get("kept")).get(what)
    return [step for step in steps if isinstance(step, int)] if isinstance(steps, list) else []


def _end(trace: Trace, losses: Series) -> int:
    """The last step of the training."""
    return (trace.series(LOSS) or losses).steps[-1]


def _noise(values: Sequence[float]) -> float:
    """Standard deviation of one value, from how far each is from the middle of its neighbours (no slope counts)."""
    bends = [b - (a + c) / 2 for a, b, c in zip(values, values[1:], values[2:], strict=False)]
    return 1.4826 * median(map(abs, bends)) / math.sqrt(1.5) if len(bends) > 1 else 0.0


def _at(training: Series, losses: Series, at: int) -> float:
    """The training loss that belongs to evaluation `at`: by position when there is one for each, else by step."""
    if abs(len(training) - len(losses)) <= 1:
        return training[min(at, len(training) - 1)]
    step = losses.steps[at]
    until = [value for at_step, value in zip(training.steps, training, strict=True) if at_step <= step]
    return until[-1] if until else training[0]
