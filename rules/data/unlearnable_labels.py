"""Labels that have nothing to do with their inputs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from statistics import median

from pydantic import Field, PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.labels import as_shares, class_counts, entropy, is_classification, loaders, loss_of, shares_of
from ..engine.layers import in_order
from ..engine.progress import is_over
from ..engine.records import Json
from ..engine.signals import (
    DEAD,
    EPOCH_LOSS,
    GRAD_NORM,
    INPUT_VARIED,
    LOSS,
    OUTPUT_RMS,
    OUTPUT_VARIANCE,
    TARGET_ERROR,
    TARGET_SPREAD,
    TRAIN_ACCURACY,
    UPDATE_RATIO,
    VAL_ACCURACY,
    VAL_LOSS,
)
from ..engine.tables import layers_of, number, table, targets_of, text


class UnlearnableLabels(Rule):
    """The model trains as it should, and held-out data still shows nothing but guessing: labels do not fit inputs.

    Weights move at a usual pace, units are alive, and samples differ; in the first epoch, when every sample is new, the
    loss stays that of guessing, and whatever it loses later is memorised: held-out data never gains. Labels that are
    others in each epoch cannot be memorised either: then the training loss stays there to the end.

    ## Why it matters
    Labels that were shuffled, shifted by one row or joined by the wrong key cannot be learned by any model.

    ## What to try
    - Show some samples with their labels, as the loop sees them.
    - Look for a shuffle, sort or filter that was applied to inputs or labels alone.
    - Compare the order of files with that of the rows of labels.

    ## When it is wrong
    A task may be as hard as that, or need another kind of model. Tasks with a weak signal are not reported: held-out
    loss or accuracy has to stay at that of a constant answer throughout.

    ## References
    - Zhang et al. 2017, Understanding deep learning requires rethinking generalization: networks fit random labels, at
      no gain on new data.
    - Northcutt, Jiang & Chuang 2021, Confident learning.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.WARNING
    level = Level.SETTING
    needs = (LOSS,)
    bars = {"loss": LOSS, "guess": LOSS, "accuracy": VAL_ACCURACY, "error": TARGET_ERROR, "spread": TARGET_ERROR}
    profiles = frozenset({"supervised", "regression", "unknown"})
    explains = (Level.OUTCOME, "dead-units")

    min_steps: PositiveInt = 150
    """Steps before anything is said."""

    min_epochs: PositiveInt = 3
    """Epochs, and held-out evaluations, before anything is said; also how many of the latest are looked at."""

    tolerance: float = Field(0.01, ge=0, lt=1)
    """Share by which a loss may lie below that of a constant answer and count as that."""

    min_gain: float = Field(0.1, gt=0, lt=1)
    """Share of the constant answer's errors that a model with some signal avoids on held-out data; half of that where
    there are two classes."""

    min_explained: float = Field(0.005, gt=0, lt=1)
    """Share of the variance of held-out targets that a regression with some signal explains at its best."""

    min_update: float = Field(1e-5, gt=0)
    """Median change of a parameter in a step, as a share of it, below which too little moves to judge."""

    min_stuck: PositiveInt = 250
    """Steps of a training that never does better than a constant answer, before that alone is said, at its end."""

    min_pace: float = Field(1e-4, gt=0)
    """As `min_update`, where the training itself does not do better: rates that are too low must not pass for it."""

    max_update: float = Field(0.1, gt=0)
    """The same, above which steps are too large to judge."""

    max_dead: float = Field(0.9, gt=0, le=1)
    """Share of dead units in a layer from which on the fault is elsewhere: with those that are left a network learns,
    and labels that cannot be learned kill many themselves."""

    healthy = {
        "loss": [2.3 * 0.98 ** (i // 4) for i in range(400)],
        "loss/val": [2.2, 1.9, 1.6, 1.4],
        "accuracy/val": [0.2, 0.4, 0.5, 0.6],
        "update_ratio": {"fc": [1e-3] * 400},
        "class_count": {str(label): [4000.0] * 400 for label in range(10)},
        "facts": {
            "loss": {"function": "cross_entropy", "n_classes": 10},
            "model": {"": {"layers": {"a": {"class": "Linear", "parameters": 9}, "b": {"class": "Linear"}}}},
        },
    }
    faulty = {
        "loss": [2.31] * 100 + [2.30] * 100 + [2.28] * 100 + [2.26] * 100,
        "loss/val": [2.31, 2.32, 2.33, 2.36],
        "accuracy/val": [0.1, 0.09, 0.11, 0.1],
        "update_ratio": {"fc": [1e-3] * 400},
        "class_count": {str(label): [4000.0] * 400 for label in range(10)},
        "facts": {
            "loss": {"function": "cross_entropy", "n_classes": 10},
            "model": {"": {"layers": {"a": {"class": "Linear", "parameters": 9}, "b": {"class": "Linear"}}}},
        },
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        losses, epochs = trace.series(LOSS), trace.series(EPOCH_LOSS)
        if losses.count < self.min_steps or len(epochs) < self.min_epochs:
            raise NotApplicable(f"{losses.count} steps and {len(epochs)} epochs; {self.min_steps} and 3 are needed")
        if not (losses.is_finite and epochs.is_finite):
            raise NotApplicable("a loss is not finite")
        if is_classification(trace):
            yield from self._labels(trace)
        else:
            yield from self._quantities(trace)

    def _labels(self, trace: Trace) -> Iterator[Finding]:
        counts, loss = class_counts(trace), loss_of(trace)
        prior = shares_of(counts)
        bound = entropy(prior)
        if bound <= 0 or loss.get("weighted") or loss.get("label_smoothing") or loss.get("reduction") == "sum":
            raise NotApplicable("the loss of a constant answer cannot be computed")
        held_out, training = trace.series(VAL_LOSS), trace.series(EPOCH_LOSS)
        accuracy = as_shares(trace.series(VAL_ACCURACY))
        if self._is_stuck(trace, bound, max(prior.values())):
            self._refuse_what_does_not_train(trace, self.min_pace)
            yield Finding(
                message=f"mean training loss {min(training):.4g} at best in {len(training)} epochs, while weights move "
                f"as usual; a constant answer has {bound:.4g}",
                advice=_ADVICE,
                evidence={"loss": min(training), "guess": bound, "epochs": len(training)},
            )
            return
        if len(accuracy) < self.min_epochs or len(held_out) < self.min_epochs or not held_out.is_finite:
            raise NotApplicable(f"fewer than {self.min_epochs} held-out evaluations are known")
        # By chance, the labels of n samples depend on their classes by (k - 1)^2 / 2n nats: twice that is no signal.
        seen = max(_length(trace) or sum(counts.values()), 1.0)
        slack = self.tolerance + min(0.04, (len(prior) - 1) ** 2 / (seen * bound))
        base = max(prior.values())
        bar = base + min(self.min_gain / (1 + (len(prior) < 3)) * (1 - base), 0.5 * base)
        # Of many evaluations around the bar, the best lie above it.
        gained = sorted(accuracy)[-max(2, len(accuracy) // 3)]
        if min(held_out) < (1 - slack) * bound or gained > bar or training[0] < (1 - slack) * bound:
            return
        if not is_over(trace) and held_out[-1] < held_out[0] and held_out[-1] <= min(held_out):
            return
        self._refuse_what_does_not_train(trace)
        yield Finding(
            message=f"held-out loss {min(held_out):.4g} at best and accuracy {max(accuracy):.3g} in {len(held_out)} "
            f"evaluations, while weights move as usual; a constant answer has {bound:.4g} and {base:.3g}",
            advice=_ADVICE,
            evidence={"loss": min(held_out), "guess": bound, "accuracy": max(accuracy), "share": base},
        )

    def _is_stuck(self, trace: Trace, bound: float, base: float) -> bool:
        """Whether the training itself ended where a constant answer is: labels that are new in each epoch, as those of
        a loader of their own are, cannot even be memorised."""
        training, steps = trace.series(EPOCH_LOSS), trace.series(LOSS).count
        if not is_over(trace) or steps < self.min_stuck or len(training) < self.min_epochs:
            return False
        bar = base + self.min_gain * (1 - base)
        for signal in (TRAIN_ACCURACY, VAL_ACCURACY):
            accuracy = as_shares(trace.series(signal))[-self.min_epochs :]
            if accuracy and median(accuracy) > bar:
                return False
        return min(training) > (1 - self.tolerance) * bound

    def _quantities(self, trace: Trace) -> Iterator[Finding]:
        error, spread = trace.series(TARGET_ERROR, "val"), trace.series(TARGET_SPREAD, "val")
        n = min(len(error), len(spread))
        if n < self.min_epochs or not (error.is_finite and spread.is_finite):
            raise NotApplicable("error and spread of held-out targets are not known")
        ratios = [a / b for a, b in zip(error, spread, strict=False) if b > 0]
        first = _early(trace)
        if len(ratios) < self.min_epochs or min(ratios) < math.sqrt(1 - self.min_explained) or first is None:
            return
        if first < 1 - 0.05:  # of the watched steps of an epoch, the error is known to a few percent
            return
        function = text(loss_of(trace).get("function"))
        if function != "mse_loss" and not (function in _ROBUST and _is_even(targets_of(trace, function))):
            raise NotApplicable("of this loss, the mean is not the best constant")
        held_out, training = trace.series(VAL_LOSS), trace.series(EPOCH_LOSS)
        if function != "mse_loss" and min(held_out, default=0.0) < (1 - self.min_gain) * training[0]:
            return  # large errors may hide what it gains on the others
        if max(ratios) > 2:
            raise NotApplicable("the error is far above that of a constant: the fault is elsewhere")
        self._refuse_what_does_not_train(trace)
        yield Finding(
            message=f"held-out error {min(error):.4g} at best in {n} evaluations, while weights move as usual; a "
            f"constant answer is off by {spread[-1]:.4g}",
            advice=_ADVICE,
            evidence={"error": min(error), "spread": spread[-1], "ratio": min(ratios)},
        )

    def _refuse_what_does_not_train(self, trace: Trace, min_update: float | None = None) -> None:
        """Raises `NotApplicable` where guessing may have another reason than the labels."""
        ratios = [value for series in trace.by_subject(UPDATE_RATIO).values() for value in [series.last(5).median]]
        if not ratios or not (min_update or self.min_update) <= median(ratios) <= self.max_update:
            raise NotApplicable("whether the weights move at a usual pace is not known, or they do not")
        trained = [leaf for leaf in layers_of(trace).values() if (number(leaf.get("parameters")) or 0) > 0]
        if len(layers_of(trace)) < 2 or (trained and len(layers_of(trace)) == len(trained) == 1):
            raise NotApplicable("a single layer can learn very little")
        if any(series.last(5).median >= self.max_dead for series in trace.by_subject(DEAD).values()):
            raise NotApplicable("most units of a layer are dead")
        varied = [
            series.last(5).median for name, series in trace.by_subject(INPUT_VARIED).items() if name.startswith("train")
        ]
        if varied and max(varied) == 0:
            raise NotApplicable("all samples are the same")
        norms = trace.series(GRAD_NORM)
        if norms and not 1e-6 < norms.last(20).median < 1e6:
            raise NotApplicable("gradients vanish or explode")
        for name in in_order(trace, trace.by_subject(OUTPUT_VARIANCE))[:-1]:
            scale, spread = trace.series(OUTPUT_RMS, name), trace.series(OUTPUT_VARIANCE, name)
            if scale and spread[0] < 1e-6 * scale[0] * scale[0]:
                raise NotApplicable(f"the output of {name} is the same for all samples from the start")


_ROBUST = ("l1_loss", "smooth_l1_loss", "huber_loss")
"""Losses whose best constant is the median, or near to it."""

_MOST_AWAY, _MOST_UNEVEN = 5.0, 1.6
"""Targets whose extremes are at most so many standard deviations from the mean, and at most so many times as far on one
side as on the other, have their median at the mean: of 10 000 exponential ones the largest is at 8, of normal at 4."""


def _is_even(targets: Mapping[str, Json]) -> bool:
    """Whether targets lie about their mean so evenly that median and mean are the same constant."""
    low, high, mean, std = (number(targets.get(key)) for key in ("low", "high", "mean", "std"))
    if low is None or high is None or mean is None or not std:
        return False
    near, far = sorted((mean - low, high - mean))
    return 0.0 < far <= min(_MOST_AWAY * std, _MOST_UNEVEN * near)


_ADVICE = (
    "Show samples with their labels as the loop sees them, and check that they belong together.",
    "Look for a shuffle, sort or filter that was applied to the inputs or the labels alone.",
    "Overfit one batch: when that fails, the fault is in the model, the loss or the loop.",
)


def _early(trace: Trace) -> float | None:
    """Error over spread in the first epoch of the training, where every sample is new."""
    error, spread = trace.series(TARGET_ERROR, "train"), trace.series(TARGET_SPREAD, "train")
    if not error or not spread or spread[0] <= 0 or not math.isfinite(error[0] / spread[0]):
        return None
    return error[0] / spread[0]


def _length(trace: Trace) -> float:
    """Samples of the training data, where known: what was counted may be some of them many times."""
    lengths = [number(loader.get("dataset_length")) for loader in loaders(trace, "train")]
    rows = number(table(trace.facts.get("batches")).get("rows"))
    return max([n for n in (*lengths, rows) if n is not None], default=0.0)
