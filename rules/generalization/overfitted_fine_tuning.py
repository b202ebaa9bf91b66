"""A fine-tuning that was evaluated a few times, each time worse."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from statistics import median

from pydantic import Field, PositiveInt

from ..engine import Finding, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.signals import LOSS, VAL_ACCURACY, VAL_LOSS


class OverfittedFineTuning(Rule):
    """The last of a few evaluations has a multiple of the best held-out loss, while the training loss was halved.

    Fine-tunings are evaluated once an epoch, three times or four: too few to tell a bend from noise, and enough to see
    a loss that doubles. Longer series are left to `overfitting`.

    ## Why it matters
    The last checkpoint, which most scripts keep, is not the best one; what it learned since is the training samples.

    ## What to try
    - Keep the best checkpoint: load_best_model_at_end=True, with an evaluation each epoch or more often.
    - Train for fewer epochs, or at a lower rate.
    - Add weight decay or dropout, or train fewer layers (a smaller rank of the adapters).

    ## When it is wrong
    The loss of a classifier that grows sure of itself rises while its accuracy holds: then it has to double.

    ## References
    - Guo et al. 2017, On Calibration of Modern Neural Networks: held-out loss rises while accuracy still improves.
    """

    phases = (Phase.RUN,)
    severity = Severity.WARNING
    needs = (VAL_LOSS, LOSS)
    bars = {"val_loss": VAL_LOSS, "best": VAL_LOSS, "train_loss": LOSS}
    history = 3
    profiles = frozenset({"fine-tune"})

    max_evaluations: PositiveInt = 4
    """Evaluations up to which this rule judges; `overfitting` judges more of them."""

    factor: float = Field(1.5, gt=1)
    """Last held-out loss over the best one, from which on it counts while the accuracy falls, or is not known."""

    max_ratio: float = Field(2.0, gt=1)
    """The same while the accuracy holds."""

    ratio: float = Field(0.5, gt=0, lt=1)
    """Training loss at the end over that at the best evaluation, below which the samples are being learned by heart."""

    tolerance: float = Field(0.01, ge=0)
    """Fall of the accuracy, as a share of all samples, up to which it holds."""

    healthy = {
        "profile": "fine-tune",
        "loss": [0.6 * 0.95**i for i in range(60)],
        "val_loss": {"": {19: 0.40, 39: 0.42, 59: 0.47}},
        "epochs": 60,
    }
    faulty = {
        "profile": "fine-tune",
        "loss": [0.6 * 0.95**i for i in range(60)],
        "val_loss": {"": {19: 0.40, 39: 0.55, 59: 0.90}},
        "epochs": 60,
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        held_out, training = trace.series(VAL_LOSS), trace.series(LOSS)
        n = len(held_out)
        if not 3 <= n <= self.max_evaluations:
            raise NotApplicable(f"{n} evaluations; judged for 3 to {self.max_evaluations}")
        best_at = min(range(n), key=held_out.values.__getitem__)
        best, last = held_out[best_at], held_out[-1]
        factor = self.max_ratio if self._accuracy_holds(trace) else self.factor
        if best_at == n - 1 or not 0 < best * factor <= last < 1e300:
            return
        at = max(1, bisect_right(training.steps, held_out.steps[best_at]))
        window = max(1, min(10, len(training) // 10))
        then, now = median(training.values[max(0, at - window) : at]), median(training.values[-window:])
        if not now <= self.ratio * then:
            return
        yield Finding(
            message=f"held-out loss {last:.4g} at the last of {n} evaluations, {best:.4g} at number {best_at + 1}; the "
            f"training loss fell from {then:.4g} to {now:.4g} since",
            advice=(
                f"Keep the checkpoint of evaluation {best_at + 1} (load_best_model_at_end), or train for fewer epochs.",
                "Lower the learning rate, or add weight decay or dropout.",
                "Train fewer layers, or adapters of a smaller rank.",
            ),
            evidence={"val_loss": last, "best": best, "train_loss": now},
        )

    def _accuracy_holds(self, trace: Trace) -> bool:
        accuracy = trace.series(VAL_ACCURACY)
        return len(accuracy) > 1 and accuracy[-1] >= max(accuracy) - self.tolerance
