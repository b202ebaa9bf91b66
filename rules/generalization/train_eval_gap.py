"""A model that is good in training mode and bad in evaluation mode."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from pydantic import Field, PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.labels import as_shares
from ..engine.signals import EPOCH_LOSS, TRAIN_ACCURACY, VAL_ACCURACY, VAL_LOSS
from ..engine.tables import number, table


class TrainEvalGap(Rule):
    """From the first epochs on, evaluation is far worse than training, before anything could have been memorised.

    Judged are models whose layers act differently in evaluation: normalisation with running statistics, dropout.

    ## Why it matters
    Running statistics that do not fit, or dropout that shifts the variance of what follows, make the model that is
    evaluated, and kept, another one than was trained.

    ## What to try
    - Look at the momentum of normalisation layers: 0.1 in torch is the share of the new batch, not of the old.
    - Put dropout behind the last normalisation layer.
    - Check that held-out inputs are prepared as those of the training are; use larger batches, or GroupNorm.

    ## When it is wrong
    Overfitting looks alike later: at the beginning, training and held-out loss must be apart already, and stay so.
    Held-out data from elsewhere may be that much harder.

    ## References
    - Li et al. 2019, Understanding the disharmony between dropout and batch normalization by variance shift.
    - Ioffe & Szegedy 2015, Batch Normalization: evaluation uses running statistics.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.WARNING
    level = Level.DYNAMICS
    needs = (VAL_LOSS, EPOCH_LOSS)
    bars = {"val_loss": VAL_LOSS, "train_loss": EPOCH_LOSS}
    needs_facts = ("model",)
    profiles = frozenset({"supervised", "regression", "unknown"})
    explains = (Level.OUTCOME,)

    factor: float = Field(1.5, gt=1)
    """Held-out loss over training loss of the same epoch; twice that where no accuracy is known beside it."""

    min_gap: float = Field(0.2, gt=0, lt=1)
    """Training accuracy less held-out accuracy, where both are known."""

    min_evaluations: PositiveInt = 3
    """Evaluations before anything is said."""

    early: PositiveInt = 2
    """First evaluations of which one at least must show it: later, it may be memorising."""

    share: float = Field(0.7, gt=0.5, le=1)
    """Share of the evaluations that must show it, the latest among them."""

    healthy = {
        "loss/val": [0.9, 0.6, 0.5, 0.5],
        "loss/epoch": [1.2, 0.7, 0.4, 0.3],
        "facts": {"model": {"": {"norms": 2}}},
    }
    faulty = {
        "loss/val": [5.4, 9.1, 9.4, 6.3],
        "loss/epoch": [1.2, 0.3, 0.1, 0.05],
        "accuracy/val": [0.3, 0.3, 0.26, 0.34],
        "accuracy/train": [0.5, 0.9, 0.97, 1.0],
        "facts": {"model": {"": {"norms": 2}}},
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        models = [table(about) for about in table(trace.facts.get("model")).values()]
        norms = sum(number(about.get("norms")) or 0.0 for about in models)
        if not norms and not sum(number(about.get("dropout")) or 0.0 for about in models):
            raise NotApplicable("no layer of the model acts differently in evaluation")
        factor = self.factor
        if not trace.series(VAL_ACCURACY) or not trace.series(TRAIN_ACCURACY):
            if not norms:
                raise NotApplicable("dropout and a loss alone do not tell a gap from data that is harder")
            factor = 2 * self.factor
        losses = [(step, value) for step, value in zip(*_of(trace), strict=True)]
        epochs = trace.series(EPOCH_LOSS)
        if len(losses) < self.min_evaluations or not epochs:
            raise NotApplicable(f"{len(losses)} evaluations were seen; {self.min_evaluations} are needed")
        shows = []
        for step, value in losses:
            at = min(sum(end < step for end in epochs.steps), len(epochs) - 1)
            # The mean of an epoch is of all its steps: the model at its end is better than that.
            shows.append(value > factor * max(epochs[at], 0.0) + 0.1)
        if not shows[-1] or not any(shows[: self.early]) or sum(shows) < self.share * len(shows):
            return
        if not any(shows[: max(self.early, 1)]) or not self._accuracies_agree(trace):
            return
        held_out, training = median(v for _, v in losses[-3:]), epochs.last(3).median
        yield Finding(
            message=f"held-out loss {held_out:.4g} and training loss {training:.4g} (median of the last 3), apart "
            f"since evaluation {shows.index(True) + 1} of {len(shows)}; less than {factor:g} times is expected",
            advice=(
                "Check momentum and batch size of normalisation layers, and that dropout stands behind them.",
                "Check that held-out inputs are prepared as those of the training are.",
            ),
            evidence={"val_loss": held_out, "train_loss": training, "evaluations": len(shows)},
        )

    def _accuracies_agree(self, trace: Trace) -> bool:
        held_out, training = as_shares(trace.series(VAL_ACCURACY)), as_shares(trace.series(TRAIN_ACCURACY))
        if not held_out or not training:
            return True
        return median(training[-3:]) - median(held_out[-3:]) >= self.min_gap


def _of(trace: Trace) -> tuple[list[int], list[float]]:
    series = trace.series(VAL_LOSS)
    return series.steps, series.values
