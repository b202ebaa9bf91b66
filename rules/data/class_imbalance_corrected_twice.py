"""Rare classes that are both seen more often and weighted more."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field, PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.labels import class_counts, loss_of
from ..engine.signals import CLASS_COUNT
from ..engine.tables import number, table, text
from .class_weights_inverted import answers


class ClassImbalanceCorrectedTwice(Rule):
    """The loss is given the classes evenly, and its class weights favour one of them once more.

    ## Why it matters
    A class of 5 % that is drawn twenty times as often and weighs twenty times as much counts four hundred times: the
    model answers with it far too often.

    ## What to try
    - Keep one of the two: the sampler (or rows that are repeated), or the weights.
    - With both, compute the weights from the labels as they are drawn.
    - Compute weights from the data of the training, not from what it was made of.

    ## When it is wrong
    A sampler and weights that each correct half (roots of the shares) are right together: nothing is reported while the
    favoured class is still the rarer one in the batches. Where mistakes on one of two even classes cost more, its
    weight may be larger on purpose. Weights of several questions, one each, are not judged.

    ## References
    - PyTorch documentation, `WeightedRandomSampler` and `CrossEntropyLoss(weight=)`: each corrects the whole.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.WARNING
    level = Level.SETTING
    needs_facts = ("class_weights",)
    bars = {"labels": CLASS_COUNT, "even": CLASS_COUNT}
    waits_for_warmup = False
    profiles = frozenset({"supervised", "fine-tune", "unknown"})
    explains = (Level.OUTCOME, "initial-loss")

    factor: float = Field(2.0, gt=1)
    """Largest over smallest weight from which on the loss favours a class, beside a sampler."""

    factor_alone: float = Field(3.0, gt=1)
    """The same where no weighted sampler was seen: labels that are even may have been so from the start."""

    most_uneven: float = Field(1.5, gt=1)
    """Labels of the most frequent class for each of the rarest up to which they are even, without a sampler."""

    ratio: float = Field(0.6, gt=0)
    """Labels drawn of the favoured class, over an even share, from which on the sampler has done it already."""

    min_labels: PositiveInt = 100
    """Labels that must have been counted."""

    healthy = {
        "class_count": {"0": [900.0], "1": [100.0]},
        "facts": {"class_weights": {"0": 0.5, "1": 5.0}, "sampler_weights": {"n": 1000, "distinct": 2}},
    }
    faulty = {
        "class_count": {"0": [510.0], "1": [490.0]},
        "facts": {"class_weights": {"0": 0.5, "1": 5.0}, "sampler_weights": {"n": 1000, "distinct": 2}},
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        distinct = number(table(trace.facts.get("sampler_weights")).get("distinct"))
        is_sampled = distinct is not None and distinct >= 2
        given = table(trace.facts.get("class_weights"))
        weights = {name: weight for name, value in given.items() if (weight := number(value)) is not None}
        counts = class_counts(trace)
        if text(loss_of(trace).get("function")).startswith("binary"):
            if len(weights) != 1:
                raise NotApplicable("weights of several questions have no class to favour")
            weights = {"0": 1.0, "1": next(iter(weights.values()))}
            if not is_sampled:
                counts = answers(trace)
        total = sum(counts.values())
        both = [name for name in weights if name in counts and weights[name] > 0]
        if len(both) < 2 or total < self.min_labels:
            raise NotApplicable("weights and counts of two classes are needed")
        favoured = max(both, key=lambda name: (weights[name], name))
        least = min(weights[name] for name in both)
        even = total / len(counts)
        if is_sampled:
            if weights[favoured] < self.factor * least or counts[favoured] < self.ratio * even:
                return
            how = "the sampler draws it already"
        else:
            uneven = max(counts.values()) > self.most_uneven * min(counts.values())
            if weights[favoured] < self.factor_alone * least or uneven:
                return
            how = "the loss is given it as often already"
        yield Finding(
            subject=favoured,
            message=f"class {favoured} weighs {weights[favoured] / least:.3g} times as much as another, and "
            f"{how}: {counts[favoured]:.6g} of {total:.6g} labels, {even:.6g} would be even",
            advice=(
                "Keep one of the two: the weighted sampler, or the class weights."
                if is_sampled
                else "Keep one of the two: rows that are repeated until the classes are even, or the class weights.",
                "With both, compute the weights from the labels as they are drawn.",
            ),
            evidence={
                "weight": weights[favoured],
                "least_weight": least,
                "labels": counts[favoured],
                "even": even,
            },
        )
