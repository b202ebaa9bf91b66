"""A model that answers the same whatever it is asked."""

from __future__ import annotations

import math
from collections.abc import Iterator

from pydantic import Field, PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.labels import as_shares, n_classes, recalls, shares
from ..engine.signals import PREDICTIONS, VAL_ACCURACY


class CollapsedPredictions(Rule):
    """Nearly all predictions are one class, over several evaluations, though that class is not nearly all of the data.

    ## Why it matters
    The answer does not depend on the input any more: what is left of the model is its bias.

    ## What to try
    - Lower the learning rate, and look for dead or saturated units: a first step that is too large does this.
    - Check that held-out inputs are prepared as those of the training are.
    - With rare classes, weigh them or sample them more often.

    ## When it is wrong
    Early in training one class may lead for a while: the last evaluations have to agree. A class that is most of the
    held-out data may be the right answer most of the time.

    ## References
    - TheDeepChecker, constant outputs.
    - Karpathy 2019, A Recipe for Training Neural Networks: predictions that do not depend on the input.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.WARNING
    level = Level.OUTCOME
    profiles = frozenset({"supervised", "fine-tune", "unknown"})
    explains = ("no-better-than-baseline", "per-class-failure")

    share: float = Field(0.98, gt=0.5, lt=1)
    """Share of the predictions that are one class."""

    max_prior: float = Field(0.8, gt=0.5, lt=1)
    """Share of that class in the training, or accuracy it gives, above which it may be right."""

    window: PositiveInt = 2
    """Latest evaluations that must all show it."""

    min_evaluations: PositiveInt = 3
    """Evaluations before anything is said."""

    min_predictions: PositiveInt = 50
    """Predictions that must have been counted."""

    healthy = {
        "recall": {"val/0": [0.9, 0.9, 0.9, 0.9], "val/1": [0.2, 0.8, 0.8, 0.9]},
        "arrays": {"predictions": {"val": [100, 90]}},
        "facts": {"loss": {"function": "cross_entropy", "n_classes": 2}},
        "class_count": {"0": [500.0] * 4, "1": [480.0] * 4},
    }
    faulty = {
        "recall": {"val/0": [1.0, 1.0, 1.0, 1.0], "val/1": [0.0, 0.0, 0.0, 0.0]},
        "arrays": {"predictions": {"val": [190, 0]}},
        "facts": {"loss": {"function": "cross_entropy", "n_classes": 2}},
        "class_count": {"0": [500.0] * 4, "1": [480.0] * 4},
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        split = "val" if trace.array(PREDICTIONS, "val") is not None else "train"
        array = trace.array(PREDICTIONS, split)
        if array is None or n_classes(trace) is None:
            raise NotApplicable("predictions of classes were not counted")
        counts = [float(value) for value in array.values]
        total = sum(counts)
        if not math.isfinite(total) or total < self.min_predictions or min(counts) < 0:
            raise NotApplicable(f"{total:g} predictions were counted; {self.min_predictions} are needed")
        top = max(range(len(counts)), key=counts.__getitem__)
        if counts[top] < self.share * total:
            return
        history = recalls(trace, split)
        n = max((len(values) for values in history.values()), default=0)
        if n < self.min_evaluations:
            raise NotApplicable(f"{n} evaluations were seen; {self.min_evaluations} are needed")
        always = all(value >= self.share for value in history.get(str(top), ())[-self.window :])
        others = [value for label, values in history.items() if label != str(top) for value in values[-self.window :]]
        if not always or not others or max(others) > 1 - self.share + 0.02:
            return
        prior = shares(trace).get(str(top), 0.0)
        accuracy = as_shares(trace.series(VAL_ACCURACY))
        if max(prior, accuracy[-1] if accuracy and split == "val" else 0.0) > self.max_prior:
            return
        yield Finding(
            subject=split,
            message=f"{counts[top] / total:.1%} of {total:.6g} predictions are class {top}, which is {prior:.1%} of "
            f"the labels in training; the last {self.window} of {n} evaluations agree",
            advice=(
                "Lower the learning rate, and look for dead or saturated units.",
                "Check that the inputs that are evaluated are prepared as those of the training are.",
                "With rare classes, weigh them or sample them more often.",
            ),
            evidence={"share": counts[top] / total, "prior": prior, "predictions": total},
        )
