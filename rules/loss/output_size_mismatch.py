"""Many more outputs than there are classes."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from pydantic import Field, PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.signals import BATCH_SIZE, CLASS_COUNT
from ..engine.tables import losses_of, number, shape, targets_of, text


class OutputSizeMismatch(Rule):
    """The classifier has several times as many outputs as there are classes in its labels.

    ## Why it matters
    Often the last layer is that of another data set, or labels are read wrongly, and several classes came out as few.
    The outputs that no label ever names can only be learned away.

    ## What to try
    - Give the last layer as many outputs as there are classes.
    - Check that the labels are those that are meant: count them.

    ## When it is wrong
    Vocabularies are padded, and classes come one after another in continual learning: labels of positions, and long
    lists of classes, are not judged, and the run must have gone over its data twice.

    ## References
    - TheDeepChecker (Braiek & Khomh 2022) asks for as many outputs as classes; a few more are common, and the factor of
      3 is ours.
    """

    phases = (Phase.RUN,)
    severity = Severity.WARNING
    # It does little harm by itself: whatever else is found is told first.
    level = Level.OUTCOME
    needs = (CLASS_COUNT,)
    needs_facts = ("loss",)
    waits_for_warmup = False
    profiles = frozenset({"supervised", "unknown"})
    explains = ("initial-loss",)

    factor: float = Field(3.0, gt=1)
    """How many outputs for each class that was seen."""

    min_labels: PositiveInt = 300
    """Labels that must have been counted; and on average thirty for each class that was seen."""

    min_each: PositiveInt = 5
    """Labels of the rarest class that was seen: below it, still rarer ones may have been missed."""

    max_outputs: PositiveInt = 2000
    """More outputs than this are a vocabulary."""

    healthy = {
        "class_count": {str(i): {0: 100.0, 1: 200.0} for i in range(10)},
        "batch_size": {"train": [32]},
        "facts": {
            "loss": {"function": "cross_entropy", "n_classes": 10, "outputs_shape": [32, 10], "targets_shape": [32]}
        },
        "epochs": [1, 1],
    }
    faulty = {
        "class_count": {str(i): {0: 1000.0, 1: 2000.0} for i in range(4)},
        "batch_size": {"train": [32]},
        "facts": {
            "loss": {"function": "cross_entropy", "n_classes": 100, "outputs_shape": [32, 100], "targets_shape": [32]}
        },
        "epochs": [1, 1],
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        losses = losses_of(trace)
        loss = losses[0] if len(losses) == 1 else {}
        outputs = number(loss.get("n_classes"))
        if text(loss.get("function")) != "cross_entropy" or outputs is None or not 2 < outputs <= self.max_outputs:
            raise NotApplicable("judged for one classifier with 3 outputs or more, and no vocabulary")
        sizes, batches = shape(loss.get("targets_shape")), trace.series(BATCH_SIZE, "train")
        if len(sizes) != 1 or (batches and batches.is_finite and sizes[0] > 1.5 * max(1.0, median(batches))):
            raise NotApplicable("the labels are of positions, not of samples")
        counts = {name: series[-1] for name, series in trace.by_subject(CLASS_COUNT).items() if series[-1] > 0}
        total = sum(counts.values())
        enough = total >= max(self.min_labels, 30 * len(counts)) and min(counts.values(), default=0) >= self.min_each
        if trace.epoch < 1 or not enough or len(counts) < 2:
            raise NotApplicable(
                f"{total:g} labels of {len(counts)} classes in {trace.epoch + 1} epochs are too few to tell"
            )
        if number(targets_of(trace, "cross_entropy").get("n_ignored")):
            raise NotApplicable("some labels are left out of the loss")
        if outputs < self.factor * len(counts):
            return
        yield Finding(
            message=f"{outputs:.0f} outputs, and {len(counts)} classes among {total:.0f} labels; "
            f"{len(counts)} outputs are expected",
            advice=(
                f"Give the last layer {len(counts)} outputs, if these are all classes.",
                "Check that the labels are those that are meant.",
            ),
            evidence={"outputs": outputs, "classes": len(counts), "labels": total},
        )
