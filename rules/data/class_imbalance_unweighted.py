"""Rare classes that count no more than frequent ones."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from pydantic import Field, PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.labels import class_counts, recalls
from ..engine.progress import is_over
from ..engine.signals import CLASS_COUNT, EPOCH_LOSS, TRAIN_ACCURACY, VAL_ACCURACY


class ClassImbalanceUnweighted(Rule):
    """Some class has less than a tenth of the labels of another, and neither weights nor a sampler make up for it.

    ## Why it matters
    The loss is a mean over samples: a class of 1 % moves it by 1 %, and the model may never answer it.

    ## What to try
    - Give the loss class weights of one over the class's share, or sample classes evenly.
    - Watch recall per class instead of accuracy.
    - Start the last layer's bias at the logarithm of the class shares.

    ## When it is wrong
    Where calibrated probabilities are wanted the natural shares are right. Nothing is reported when the accuracy shows
    that the rare classes are learned anyway: at least half the errors of always answering the most frequent class are
    gone. Vocabularies and other long lists of classes are not judged.

    ## References
    - SageMaker Debugger, ClassImbalance: largest over smallest count above 10, from 500 labels on.
    - deepchecks and cleanlab Datalab use the same tenth.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.WARNING
    level = Level.SETTING
    bars = {"rarest": CLASS_COUNT, "commonest": CLASS_COUNT}
    waits_for_warmup = False
    profiles = frozenset({"supervised", "fine-tune", "unknown"})
    explains = (Level.OUTCOME,)

    max_ratio: float = Field(10.0, gt=1)
    """Labels of the most frequent class for each label of the rarest."""

    min_labels: PositiveInt = 500
    """Labels that must have been counted; and on average fifty for each class, as small counts differ by chance."""

    max_classes: PositiveInt = 1000
    """More classes than this are a vocabulary."""

    min_epochs: PositiveInt = 3
    """Epochs before anything is judged, so that the accuracy can show whether the rare classes are learned."""

    min_gain: float = Field(0.5, gt=0, le=1)
    """Share of the constant answer's errors avoided from which on the rare classes count as learned."""

    tolerance: float = Field(0.1, gt=0, lt=1)
    """Where an accuracy is known, nothing is reported while the loss fell by more than this in the latest epochs."""

    ratio: float = Field(0.3, gt=0, lt=1)
    """Recall of the rare classes over that of the frequent ones from which on they are learned, where it is known."""

    healthy = {"class_count": {"0": [300.0, 600.0, 900.0], "1": [200.0, 400.0, 600.0]}}
    faulty = {"class_count": {"0": [900.0, 1800.0, 2700.0], "1": [20.0, 40.0, 60.0]}}

    def check(self, trace: Trace) -> Iterator[Finding]:
        counts = class_counts(trace)
        total = sum(counts.values())
        if len(counts) < 2 or len(counts) > self.max_classes:
            raise NotApplicable(f"{len(counts)} classes were counted; judged for 2 to {self.max_classes}")
        if not math.isfinite(total) or total < max(self.min_labels, 50 * len(counts)):
            raise NotApplicable(f"{total:g} labels were counted; {max(self.min_labels, 50 * len(counts))} are needed")
        if trace.epoch + 1 < self.min_epochs:
            raise NotApplicable(f"{trace.epoch + 1} epochs were seen; {self.min_epochs} are needed")
        rarest, commonest = min(counts, key=counts.__getitem__), max(counts, key=counts.__getitem__)
        ratio = counts[commonest] / max(counts[rarest], 1.0)
        if ratio <= self.max_ratio or _makes_up(trace):
            return

        recall = _recall_of_rare(trace, counts, self.max_ratio)
        if recall is not None:
            rare, common = recall
            if rare >= self.ratio * common:
                return
            if not is_over(trace) and self._falls(trace):
                raise NotApplicable("the loss still falls: rare classes are learned last")
            yield self._finding(counts, rarest, commonest, f"; of the rare ones {rare:.0%} are recognised")
            return
        base = counts[commonest] / total
        accuracy = trace.series(VAL_ACCURACY) or trace.series(TRAIN_ACCURACY)
        if accuracy:
            seen = max(accuracy.last(self.min_epochs))
            seen = seen / 100 if max(accuracy) > 1 else seen  # some log percent
            if seen - base >= self.min_gain * (1 - base):
                return
            if self._falls(trace):
                raise NotApplicable("the loss still falls: too early to tell")
        yield self._finding(counts, rarest, commonest)

    def _falls(self, trace: Trace) -> bool:
        training = trace.series(EPOCH_LOSS).last(self.min_epochs)
        return len(training) > 1 and training[-1] < (1 - self.tolerance) * training[0]

    def _finding(self, counts: Mapping[str, float], rarest: str, commonest: str, learned: str = "") -> Finding:
        total = sum(counts.values())
        ratio = counts[commonest] / max(counts[rarest], 1.0)
        return Finding(
            subject=rarest,
            message=f"class {rarest} has {counts[rarest]:g} of {total:g} labels and class {commonest} has "
            f"{counts[commonest]:g}: {ratio:.3g} to 1, without class weights or a weighted sampler; "
            f"at most {self.max_ratio:g} to 1 is expected{learned}",
            advice=(
                "Give the loss class weights of one over the class's share, or sample classes evenly.",
                "Watch recall per class instead of accuracy.",
            ),
            evidence={"ratio": ratio, "rarest": counts[rarest], "commonest": counts[commonest], "labels": total},
        )


def _recall_of_rare(trace: Trace, counts: Mapping[str, float], ratio: float) -> tuple[float, float] | None:
    """Mean recall of the rare and of the frequent classes at the latest evaluation; None where it is not known."""
    known = {name: values[-1] for name, values in (recalls(trace, "val") or recalls(trace, "train")).items() if values}
    most = max(counts.values())
    rare = [known[name] for name, n in counts.items() if name in known and n * ratio < most]
    common = [known[name] for name, n in counts.items() if name in known and n * ratio >= most]
    return (sum(rare) / len(rare), sum(common) / len(common)) if rare and common else None


def _makes_up(trace: Trace) -> bool:
    """Whether class weights that differ, or a weighted sampler, are in use."""
    loss, weights = trace.facts.get("loss"), trace.facts.get("class_weights")
    if trace.facts.get("sampler_weights") or (isinstance(loss, Mapping) and loss.get("weighted")):
        return True
    given: Sequence[object] = ()
    if isinstance(weights, Mapping):
        given = list(weights.values())
    elif isinstance(weights, list):
        given = weights
    numbers = [float(weight) for weight in given if isinstance(weight, (int, float))]
    # A factor of 1.5 between the weights is the least that can be meant to make up for a factor of 10.
    return bool(numbers) and max(numbers) > 1.5 * min(numbers)
