"""A model that does no better than a constant answer."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from pydantic import Field, PositiveInt

from ..engine import Finding, NotApplicable, Phase, Rule, Series, Severity, Trace
from ..engine.signals import (
    CLASS_COUNT,
    EPOCH_LOSS,
    LOSS,
    TARGET_ERROR,
    TARGET_SPREAD,
    TRAIN_ACCURACY,
    VAL_ACCURACY,
    VAL_LOSS,
)


class NoBetterThanBaseline(Rule):
    """After several epochs the model is no better than always giving the most frequent answer.

    Accuracy is compared with the share of the most frequent class, or with 1/classes where counts are not known or
    classes are weighted. Without an accuracy the loss is compared with the entropy of the class shares, and the error
    of a regression with the standard deviation of its targets, on the same samples.

    ## Why it matters
    Whatever the curves look like, nothing that generalises has been learned from the inputs.

    ## What to try
    - Check that inputs and labels are still in the same order after shuffling, sorting or caching.
    - Overfit one batch: when that fails, the fault is in the model, the loss or the loop.
    - Change the learning rate tenfold; look at class weights when one class is most of the data.

    ## When it is wrong
    Hard tasks may rest at the baseline for a long time: while the loss on the same data still falls, nothing is
    reported. With many classes or a rare positive one, accuracy says little; log the metric that you care about.

    ## References
    - Karpathy 2019, A Recipe for Training Neural Networks, "human baselines" and "input-independent baseline".
    - deepchecks, Simple Model Comparison: a gain below 0.1 over a constant answer. For many classes half the
      baseline is used instead, as 0.1 would be tens of times the chance level.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.WARNING
    bars = {"accuracy": VAL_ACCURACY, "bar": VAL_ACCURACY, "loss": VAL_LOSS}
    profiles = frozenset({"supervised", "regression", "language-model", "fine-tune", "unknown"})
    explains = ("overfitting",)

    min_gain: float = Field(0.1, gt=0, lt=1)
    """Share of the constant answer's errors that the model must avoid."""

    ratio: float = Field(0.5, gt=0)
    """Gain over the baseline, as a share of it, that is enough where that is less."""

    tolerance: float = Field(0.02, ge=0, lt=1)
    """Share by which a loss must be below that of a constant answer."""

    min_explained: float = Field(0.005, gt=0, lt=1)
    """Share of the variance of held-out targets that a regression with some signal explains at its best."""

    min_epochs: PositiveInt = 3
    """Epochs before anything is judged; also how many latest values are looked at."""

    min_steps: PositiveInt = 100
    """Steps before anything is judged, where losses of single steps are known."""

    healthy = {"accuracy/val": [0.4, 0.6, 0.7, 0.8], "facts": {"loss": {"function": "cross_entropy", "n_classes": 10}}}
    faulty = {"accuracy/val": [0.1, 0.11, 0.1, 0.11], "facts": {"loss": {"function": "cross_entropy", "n_classes": 10}}}

    def check(self, trace: Trace) -> Iterator[Finding]:
        steps = trace.series(LOSS)
        if steps and steps.count < self.min_steps:
            raise NotApplicable(f"{steps.count} steps were seen; {self.min_steps} are needed")
        if trace.by_subject(TARGET_SPREAD):
            yield from self._by_error(trace)
            return
        held_out = trace.series(VAL_ACCURACY)
        accuracy = held_out or trace.series(TRAIN_ACCURACY)
        losses = trace.series(VAL_LOSS) if held_out else trace.series(EPOCH_LOSS)
        judged = accuracy or losses
        if len(judged) < self.min_epochs:
            raise NotApplicable(f"{len(judged)} epochs with accuracy or loss; {self.min_epochs} are needed")
        if not (accuracy.is_finite and losses.is_finite):
            raise NotApplicable("an accuracy or loss is not finite")

        shares = _shares(trace)
        if accuracy:
            yield from self._by_accuracy(trace, accuracy, losses, shares)
        else:
            yield from self._by_loss(trace, losses, shares)

    def _by_accuracy(self, trace: Trace, accuracy: Series, losses: Series, shares: list[float]) -> Iterator[Finding]:
        base, constant = max(shares), "always answering the most frequent class"
        if _is_weighted(trace) or base <= 1.001 / len(shares):
            base, constant = 1 / len(shares), "guessing"
        scale = 100 if max(accuracy) > 1 else 1  # some log percent
        seen = accuracy.last(self.min_epochs).median / scale
        bar = base + min(self.min_gain * (1 - base), self.ratio * base)
        if seen > bar or self._falls(losses) or self._is_below_entropy(trace, losses, shares):
            return
        yield Finding(
            message=f"accuracy {seen:.3g} over the last {self.min_epochs} of {len(accuracy)} epochs (median); "
            f"{constant} gives {base:.3g}",
            advice=_ADVICE,
            evidence={"accuracy": seen, "baseline": base, "bar": bar},
        )

    def _by_error(self, trace: Trace) -> Iterator[Finding]:
        """A regression: the mean of the targets is off by their standard deviation, on whatever samples."""
        split = "val" if trace.series(TARGET_SPREAD, "val") else "train"
        ratios = [
            error / spread
            for error, spread in zip(
                trace.series(TARGET_ERROR, split), trace.series(TARGET_SPREAD, split), strict=False
            )
            if spread > 0 and math.isfinite(error / spread)
        ]
        losses = trace.series(VAL_LOSS if split == "val" else EPOCH_LOSS)
        if len(ratios) < self.min_epochs or "mse" not in str(trace.facts.get("loss")):
            raise NotApplicable(f"{len(ratios)} errors with the spread of the targets; {self.min_epochs} are needed")
        # On held-out samples any gain at all counts as a signal; in training, what a few numbers fitted is not one.
        bar = 1.0 if split == "val" else 1.0 - self.tolerance
        least = math.sqrt(1.0 - self.min_explained) if split == "val" else bar - self.tolerance
        if min(ratios[-self.min_epochs :]) < bar or min(ratios) < least or self._falls(losses):
            return
        yield Finding(
            message=f"error {ratios[-1]:.4g} of the standard deviation of the {split} targets after {len(ratios)} "
            f"epochs; always giving their mean has 1",
            advice=_ADVICE,
            evidence={"ratio": ratios[-1], "best": min(ratios)},
        )

    def _by_loss(self, trace: Trace, losses: Series, shares: list[float]) -> Iterator[Finding]:
        bound = _entropy(trace, shares)
        if bound is None:
            raise NotApplicable("no accuracy is known, and the loss of a constant answer cannot be computed")
        seen = min(losses.last(self.min_epochs))
        if seen < (1 - self.tolerance) * bound or self._falls(losses):
            return
        yield Finding(
            message=f"loss {seen:.4g} after {len(losses)} epochs; a constant answer has {bound:.4g}",
            advice=_ADVICE,
            evidence={"loss": seen, "baseline": bound},
        )

    def _falls(self, losses: Series) -> bool:
        """Whether the loss on the same data still goes down: a slow start is not a fault."""
        if len(losses) < self.min_epochs:
            return False
        fall = losses[-self.min_epochs] - losses[-1]
        # A quarter of the tolerance within the latest epochs: at that pace the whole of it is a matter of a few more.
        return losses[-1] <= min(losses) and fall > 0.25 * self.tolerance * abs(losses[0])

    def _is_below_entropy(self, trace: Trace, losses: Series, shares: list[float]) -> bool:
        """Whether the loss shows that something was learned although the accuracy does not, as with rare classes."""
        bound = _entropy(trace, shares)
        return bound is not None and len(losses) > 0 and losses[-1] < (1 - self.tolerance) * bound


_ADVICE = (
    "Check that inputs and labels are still in the same order after shuffling, sorting or caching.",
    "Overfit one batch: when that fails, the fault is in the model, the loss or the loop.",
    "Change the learning rate tenfold.",
)


def _shares(trace: Trace) -> list[float]:
    """Share of each class in the training labels, equal ones where only their number is known; else `NotApplicable`."""
    counts = [series[-1] for series in trace.by_subject(CLASS_COUNT).values()]
    fact = trace.facts.get("class_counts")
    if not counts and isinstance(fact, Mapping):
        counts = [float(n) for n in fact.values() if isinstance(n, (int, float))]
    total = sum(counts)
    if len(counts) > 1 and math.isfinite(total) and total > 0:
        return [count / total for count in counts]
    loss = trace.facts.get("loss")
    classes = loss.get("n_classes") if isinstance(loss, Mapping) else None
    if isinstance(classes, int) and not isinstance(classes, bool) and classes > 1:
        return [1 / classes] * classes
    raise NotApplicable("neither class counts nor the number of classes is known")


def _entropy(trace: Trace, shares: list[float]) -> float | None:
    """Cross entropy, in nats, of always answering with the class shares; None for a loss that is not that."""
    loss = trace.facts.get("loss")
    if not isinstance(loss, Mapping) or loss.get("weighted") or loss.get("label_smoothing"):
        return None
    if "cross_entropy" not in str(loss.get("function", "")) or loss.get("reduction", "mean") != "mean":
        return None
    return -sum(share * math.log(share) for share in shares if share > 0)


def _is_weighted(trace: Trace) -> bool:
    loss = trace.facts.get("loss")
    of_loss = isinstance(loss, Mapping) and bool(loss.get("weighted"))
    return of_loss or bool(trace.facts.get("class_weights")) or bool(trace.facts.get("sampler_weights"))
