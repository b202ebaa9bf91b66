"""A class that is never recognised while the others are."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from pydantic import Field, PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.labels import class_counts, loss_of, n_classes, never_trained, recalls
from ..engine.progress import is_over
from ..engine.signals import RECALL, VAL_LOSS


class PerClassFailure(Rule):
    """Of some class next to nothing is recognised on held-out data to the end, while most others are recognised well.

    Also when held-out data has a class that training never had: of a table in the order of its classes, the last rows.

    ## Why it matters
    The mean over all classes hides it, and for that class the model is of no use.

    ## What to try
    - Check the labels of the class: a wrong number, or two classes under one, look like this.
    - Look at what it is taken for, and at some of its samples.
    - Weigh it, or sample it more often, when it is rare.
    - Shuffle the data before it is split, or split it class by class, when training has none of it.

    ## When it is wrong
    A class may be impossible to tell from another. Classes that are learned last are given time: the latest evaluations
    have to agree, and the held-out loss must not be falling fast any more; before the end, not at all.

    ## References
    - SageMaker Debugger, Confusion: diagonal below 0.9 fires there; here only what is practically 0.
    - deepchecks, Train Test Performance by class: degradation above 0.1.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.WARNING
    level = Level.OUTCOME
    bars = {"max_recall": RECALL, "min_others": RECALL, "recall": RECALL, "others": RECALL}
    profiles = frozenset({"supervised", "fine-tune", "unknown"})
    explains = ("no-better-than-baseline", "overfitting", "overtraining", "unlearnable-labels")

    max_recall: float = Field(0.03, ge=0, lt=0.5)
    """Share of its samples that are recognised, at most, in each of the latest evaluations."""

    min_others: float = Field(0.6, gt=0, le=1)
    """Median share of the samples of the other classes that are recognised."""

    patience: PositiveInt = 3
    """Latest evaluations that must agree; twice as many must have been made, and before the end four times as many."""

    min_share: float = Field(0.3, gt=0, lt=1)
    """Labels of the class in training, over an even share, below which it is too rare for this to be said."""

    tolerance: float = Field(0.1, gt=0, lt=1)
    """Fall of the held-out loss within the latest evaluations, as a share, at which it is too early."""

    least_absent: float = Field(0.05, gt=0, lt=1)
    """Share of the held-out data, at least, that classes make up which training never had."""

    healthy = {
        "recall": {f"val/{label}": [0.1, 0.5, 0.7, 0.8, 0.85, 0.9] * 2 for label in range(4)},
        "class_count": {str(label): [200.0] * 12 for label in range(4)},
        "facts": {"loss": {"function": "cross_entropy", "n_classes": 4}},
    }
    faulty = {
        "recall": {
            **{f"val/{label}": [0.1, 0.5, 0.7, 0.8, 0.85, 0.9] * 2 for label in range(3)},
            "val/3": [0.2, 0.0, 0.01, 0.0, 0.0, 0.0] * 2,
        },
        "class_count": {str(label): [200.0] * 12 for label in range(4)},
        "facts": {"loss": {"function": "cross_entropy", "n_classes": 4}},
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        if n_classes(trace) is None or loss_of(trace).get("weighted"):
            raise NotApplicable("recall is judged where each sample has one class and all weigh the same")
        absent, share = never_trained(trace)
        if is_over(trace) and share >= self.least_absent:  # before the end, its turn may still come
            yield _absent(trace, absent, share)
            return
        least = (2 if is_over(trace) else 4) * self.patience
        known = {label: v for label, v in recalls(trace, "val").items() if len(v) >= least}
        counts = class_counts(trace)
        if len(known) < 3 or not counts:
            raise NotApplicable(f"{least} evaluations of 3 classes or more, and counts, are needed")
        losses = trace.series(VAL_LOSS).last(self.patience)
        if not is_over(trace) and len(losses) > 1 and losses[-1] < (1 - self.tolerance) * losses[0]:
            raise NotApplicable("the held-out loss is falling fast: some classes are learned last")
        if not is_over(trace) and len(losses) > 1 and min(losses) <= min(trace.series(VAL_LOSS)):
            raise NotApplicable("the held-out loss is still falling: some classes are learned last")
        even = sum(counts.values()) / len(counts)
        for label, values in known.items():
            recent = values[-self.patience :]
            if max(recent) > self.max_recall:
                continue
            others = median(v[-1] for other, v in known.items() if other != label)
            if others < self.min_others:
                continue
            if counts.get(label, 0.0) < self.min_share * even:
                continue
            yield Finding(
                subject=label,
                message=f"{max(recent):.1%} of the samples of class {label} are recognised at best in the last "
                f"{self.patience} evaluations; of the other classes {others:.1%} (median)",
                advice=(
                    "Check the labels of the class: a wrong number, or two classes under one, look like this.",
                    "Look at some of its samples and at what they are taken for.",
                ),
                evidence={"recall": max(recent), "others": others, "labels": counts.get(label, 0.0)},
            )


def _absent(trace: Trace, labels: list[str], share: float) -> Finding:
    """Held-out data has classes that training never had."""
    counts = class_counts(trace)
    return Finding(
        subject=labels[0],
        message=f"at least {share:.0%} of the held-out samples are of class {', '.join(labels[:5])}, of which none is "
        f"recognised; none of {sum(counts.values()):.0f} labels that were counted in training is of it",
        advice=(
            "Shuffle the data before it is split, or split it class by class: it may lie in the order of its classes.",
            "Check that both parts number their classes in the same way.",
        ),
        evidence={"share": share, "labels": sum(counts.values())},
        step=trace.series(RECALL, f"val/{labels[0]}").steps[0],
    )
