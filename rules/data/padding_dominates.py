"""Labels that are mostly padding."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from pydantic import Field, PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.labels import recalls, shares
from ..engine.progress import is_over
from ..engine.signals import LABEL_PADDING


class PaddingDominates(Rule):
    """Most labels are the filler that sequences end with, the loss counts it, and real labels are not learned.

    ## Why it matters
    Filler is the easiest label there is: it makes the loss small and the accuracy high from the first steps on, and
    takes its share of every gradient.

    ## What to try
    - Pass `ignore_index=PAD` to the loss, or fill labels up with -100.
    - Leave filled positions out of the accuracy as well.
    - Put sequences of similar length into one batch.

    ## When it is wrong
    Where the end of a sequence is to be learned, some filler belongs to the labels. Nothing is reported when the other
    labels are recognised well; where three labels of four are filler, nearly all of them have to be.

    ## References
    - SageMaker Debugger, NLPSequenceRatio: share of token 0 above 50 %.
    - PyTorch documentation, `CrossEntropyLoss(ignore_index=-100)`.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.WARNING
    level = Level.SETTING
    needs = (LABEL_PADDING,)
    waits_for_warmup = False
    profiles = frozenset({"supervised", "language-model", "fine-tune", "unknown"})
    explains = (Level.OUTCOME, "class-imbalance-unweighted")

    min_share: float = Field(0.5, gt=0, lt=1)
    """Share of the labels that is filler."""

    min_most: float = Field(0.75, gt=0, le=1)
    """Share of the labels that is filler, from which on the others have to be recognised nearly all: of the gradient
    they have less than a quarter."""

    min_recall: float = Field(0.95, gt=0, le=1)
    """Mean recall of the other labels above which they are learned although hardly any label is one of them."""

    max_recall: float = Field(0.6, gt=0, lt=1)
    """Mean recall of the other labels above which they are learned all the same."""

    min_batches: PositiveInt = 5
    """Batches that must have been looked at."""

    min_epochs: PositiveInt = 3
    """Epochs before the end of the run from which on it is judged."""

    healthy = {
        "labels/padding": {"train": [0.1] * 6},
        "recall": {"train/0": [1.0] * 6, "train/1": [0.8] * 6, "train/2": [0.7] * 6},
    }
    faulty = {
        "labels/padding": {"train": [0.9] * 6},
        "recall": {"train/0": [1.0] * 6, "train/1": [0.2] * 6, "train/2": [0.1] * 6},
        "class_count": {"0": [900.0] * 6, "1": [50.0] * 6, "2": [50.0] * 6},
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        padding = trace.series(LABEL_PADDING, "train")
        if len(padding) < self.min_batches:
            raise NotApplicable(f"{len(padding)} batches were looked at; {self.min_batches} are needed")
        share = median(padding.values)
        if share < self.min_share:
            return
        if trace.epoch + 1 < self.min_epochs and not is_over(trace):
            raise NotApplicable(f"judged after {self.min_epochs} epochs, or at the end")
        known = recalls(trace, "val") or recalls(trace, "train")
        counted = shares(trace)
        filler = max(counted, key=counted.__getitem__, default=None)
        others = [values[-1] for label, values in known.items() if label != filler and values]
        if filler is None or not others:
            raise NotApplicable("how well the other labels are recognised is not known")
        recall = sum(others) / len(others)
        expected = self.max_recall if share < self.min_most else self.min_recall
        if recall > expected:
            return
        yield Finding(
            subject=filler,
            message=f"{share:.0%} of the labels are filler at the end of sequences, class {filler}, and count in the "
            f"loss; of the other classes {recall:.0%} are recognised, {expected:.0%} expected",
            advice=(
                "Pass ignore_index with the label of the filler to the loss, or fill labels up with -100.",
                "Leave filled positions out of the accuracy as well.",
            ),
            evidence={"padding": share, "recall": recall},
        )
