"""Class weights that favour the classes that are frequent already."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field, PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.labels import class_counts, loss_of
from ..engine.signals import CLASS_COUNT
from ..engine.tables import number, table, targets_of, text


class ClassWeightsInverted(Rule):
    """The more labels a class has, the larger is its weight in the loss.

    ## Why it matters
    Weights are there to let rare classes count; turned round, they make the imbalance worse than none would.

    ## What to try
    - Weigh each class by one over its share: `total / (n_classes * count)`.
    - `pos_weight` is the number of negatives over the number of positives, not the reverse.
    - Check that weights stand in the order of the labels.

    ## When it is wrong
    Where mistakes on a frequent class cost more, its weight may be larger on purpose.

    ## References
    - scikit-learn, `class_weight="balanced"`: n_samples / (n_classes * count).
    - PyTorch documentation, `BCEWithLogitsLoss`: pos_weight of 3 for 100 positive and 300 negative examples.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.WARNING
    level = Level.SETTING
    needs_facts = ("class_weights",)
    bars = {"labels": CLASS_COUNT, "rare_labels": CLASS_COUNT}
    waits_for_warmup = False
    profiles = frozenset({"supervised", "fine-tune", "unknown"})
    explains = (Level.OUTCOME, "class-imbalance-unweighted")

    min_ratio: float = Field(2.0, gt=1)
    """Labels of the most frequent class for each of the rarest, from which on weights have a direction."""

    factor: float = Field(1.3, gt=1)
    """Weight of the most frequent class over that of the rarest from which on they are inverted."""

    min_labels: PositiveInt = 100
    """Labels that must have been counted."""

    healthy = {"class_count": {"0": [900.0], "1": [100.0]}, "facts": {"class_weights": {"0": 0.55, "1": 5.0}}}
    faulty = {"class_count": {"0": [900.0], "1": [100.0]}, "facts": {"class_weights": {"0": 5.0, "1": 0.55}}}

    def check(self, trace: Trace) -> Iterator[Finding]:
        weights = weights_of(trace)
        counts = answers(trace) if _is_ofanswers(trace) else class_counts(trace)
        both = [name for name in counts if name in weights and weights[name] > 0 and counts[name] > 0]
        if len(both) < 2 or sum(counts.values()) < self.min_labels:
            raise NotApplicable("weights and counts of two classes or more are needed")
        common, rare = max(both, key=counts.__getitem__), min(both, key=counts.__getitem__)
        ratio = counts[common] / counts[rare]
        if (
            ratio < self.min_ratio
            or weights[common] < self.factor * weights[rare]
            or _agree(counts, weights, both) <= 0
        ):
            return
        yield Finding(
            subject=common,
            message=f"class {common} has {counts[common]:.6g} labels and weight {weights[common]:.3g}, class {rare} "
            f"has {counts[rare]:.6g} and {weights[rare]:.3g}; the rarer class should have the larger weight",
            advice=(
                "Weigh each class by one over its share of the labels; pos_weight is negatives over positives.",
                "Check that the weights stand in the order of the labels.",
            ),
            evidence={
                "labels": counts[common],
                "rare_labels": counts[rare],
                "weight": weights[common],
                "rare_weight": weights[rare],
            },
        )


def _agree(counts: dict[str, float], weights: dict[str, float], names: list[str]) -> int:
    """Pairs of classes whose weights are in the order of their counts, less those in the opposite order."""
    names = names[:100]
    return sum(
        (counts[a] > counts[b]) * ((weights[a] > weights[b]) - (weights[a] < weights[b])) for a in names for b in names
    )


def weights_of(trace: Trace) -> dict[str, float]:
    """Weight of each class; a `pos_weight` is that of the answer yes, beside 1 for no."""
    given = table(trace.facts.get("class_weights"))
    weights = {name: weight for name, value in given.items() if (weight := number(value)) is not None}
    return {"0": 1.0, "1": next(iter(weights.values()))} if _is_ofanswers(trace) else weights


def _is_ofanswers(trace: Trace) -> bool:
    """Whether there is one weight for all answers yes: of one question, of many, or of every pixel of a mask."""
    return text(loss_of(trace).get("function")).startswith("binary") and len(table(trace.facts["class_weights"])) == 1


def answers(trace: Trace) -> dict[str, float]:
    """How often the loss was given no and yes, over all its elements; the counted labels where that is not known."""
    about = targets_of(trace, text(loss_of(trace).get("function")))
    values, given = about.get("values"), about.get("counts")
    if values != [0.0, 1.0] or not isinstance(given, list) or len(given) != 2:
        return class_counts(trace)
    return {name: n for name, one in zip("01", given, strict=True) if (n := number(one)) is not None}
