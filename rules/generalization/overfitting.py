"""Validation that gets worse while training gets better."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from statistics import median

from pydantic import Field, PositiveInt

from ..engine import Finding, NotApplicable, Phase, Rule, Series, Severity, Trace
from ..engine.signals import EPOCH_LOSS, VAL_ACCURACY, VAL_LOSS


class Overfitting(Rule):
    """The validation loss has been well above its best for several epochs while the training loss went on falling.

    The rise must exceed a share of the best value *and* the validation loss's own noise, for several epochs in a row.
    While the validation accuracy holds, only a loss that doubled is reported: the model is then overconfident.

    ## Why it matters
    What is learned from here on is about the training samples, not about the task; the best model is behind.

    ## What to try
    - Keep the checkpoint of the best validation epoch, and stop early.
    - Add data or augmentation; then weight decay or dropout.
    - Make the model smaller, or train fewer of its layers.

    ## When it is wrong
    A small validation set is noisy. Dropout and augmentation put the training loss above the validation loss: the two
    are never compared with each other here. Very large models may recover after such a rise (double descent).

    ## References
    - SageMaker Debugger, Overfit: a gap of 10 % between the losses; the 10 % stand, but for the rise above the best.
    - Prechelt 1998, Early Stopping - But When?: generalisation loss against the best so far, and patience.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.WARNING
    needs = (VAL_LOSS, EPOCH_LOSS)
    history = 6

    ratio: float = Field(0.1, gt=0)
    """Rise of the validation loss above its best, as a share of it."""

    factor: float = Field(2.0, gt=1)
    """Rise above the best, as a multiple of it, that is reported even while the accuracy holds."""

    patience: PositiveInt = 3
    """Latest evaluations that must all be above; at least 5 % of all evaluations."""

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
        losses, training = trace.series(VAL_LOSS), trace.series(EPOCH_LOSS)
        patience = max(self.patience, math.ceil(len(losses) / 20))
        if len(losses) < 2 * patience:
            raise NotApplicable(f"{len(losses)} validation losses; {2 * patience} are needed")
        recent = losses.last(patience)
        # Medians of as many evaluations as must be above, as the lowest of many noisy values is a lucky one.
        levels = [losses[at : at + patience].median for at in range(len(losses) - 2 * patience + 1)]
        best_level = min(range(len(levels)), key=levels.__getitem__)
        best, lowest = levels[best_level], min(recent)
        best_at = min(range(best_level, best_level + patience), key=losses.values.__getitem__)
        rise = max(self.ratio * abs(best), self.tolerance * _noise(losses.values))
        if lowest <= best + rise:
            return
        train_then, train_now = _at(training, losses, best_at), training[-1]
        if train_now >= train_then:
            return
        if self._accuracy_holds(trace, patience) and lowest <= self.factor * best:
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
            evidence={"val_loss": recent.median, "best": best, "bar": best + rise, "train_loss": train_now},
        )

    def _accuracy_holds(self, trace: Trace, patience: int) -> bool:
        accuracy = trace.series(VAL_ACCURACY)
        if len(accuracy) < 2 * patience:
            return False
        before = sorted(accuracy.values[:-patience])
        # The third best of the past, as the very best of many noisy values is a lucky one.
        return accuracy.last(patience).median >= before[-min(3, len(before))] - self.tolerance * _noise(accuracy.values)


def _noise(values: Sequence[float]) -> float:
    """Standard deviation of one value, from how far each is from the middle of its neighbours (no slope counts)."""
    bends = [b - (a + c) / 2 for a, b, c in zip(values, values[1:], values[2:], strict=False)]
    return 1.4826 * median(map(abs, bends)) / math.sqrt(1.5)


def _at(training: Series, losses: Series, at: int) -> float:
    """The training loss that belongs to evaluation `at`: by position when there is one for each, else by step."""
    if abs(len(training) - len(losses)) <= 1:
        return training[min(at, len(training) - 1)]
    step = losses.steps[at]
    until = [value for at_step, value in zip(training.steps, training, strict=True) if at_step <= step]
    return until[-1] if until else training[0]
