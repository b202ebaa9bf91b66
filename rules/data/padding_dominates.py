"""Labels, or the sequences behind a final state, that are mostly padding."""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import median

from pydantic import Field, PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.labels import as_shares, is_classification, recalls, shares
from ..engine.progress import is_over
from ..engine.signals import LABEL_PADDING, TARGET_ERROR, TARGET_SPREAD, TRAIN_ACCURACY, VAL_ACCURACY
from ..engine.tables import number, table, tables, text


class PaddingDominates(Rule):
    """Sequences are mostly the filler they end with, and the model is trained on that: what is real is not learned.

    Either most labels are filler, and the loss counts them. Or a recurrent layer runs on over the filler behind the end
    of its sequences, and nothing but the state it ends with is used.

    ## Why it matters
    Filler is the easiest label there is: it makes the loss small and the accuracy high from the first steps on, and
    takes its share of every gradient. A state that has run over dozens of equal positions has forgotten what came
    before, and gradients do not find their way back through them. Behind a mask that is the wrong way round, all
    samples are the same.

    ## What to try
    - Pass `ignore_index=PAD` to the loss, or fill labels up with -100.
    - Leave filled positions out of the accuracy as well.
    - Put sequences of similar length into one batch, filled up to the longest of them.
    - Give attention `key_padding_mask=tokens == PAD`: True is what may not be attended. Scaled dot product attention
      and the masks of other libraries have it the other way round: there True is what takes part.
    - Give recurrent layers `pack_padded_sequence(x, lengths, enforce_sorted=False)`, or take the state at
      `lengths - 1`, not at `-1`.

    ## When it is wrong
    Where the end of a sequence is to be learned, some filler belongs to the labels. Nothing is reported when the other
    labels are recognised well; where three labels of four are filler, nearly all of them have to be. Nor is a final
    state where the task is learned. A mask is reported whatever is learned: it keeps one and the same token, at an end
    of each row, and none of the others.

    ## References
    - SageMaker Debugger, NLPSequenceRatio: share of token 0 above 50 %.
    - PyTorch documentation: `CrossEntropyLoss(ignore_index=-100)`; `MultiheadAttention`, on `key_padding_mask`.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.WARNING
    level = Level.SETTING
    bars = {"min_share": LABEL_PADDING, "padding": LABEL_PADDING}
    waits_for_warmup = False
    profiles = frozenset({"supervised", "regression", "language-model", "fine-tune", "unknown"})
    explains = (
        Level.OUTCOME, "class-imbalance-unweighted", "unlearnable-labels", "vanishing-gradient",
        "collapsed-representation", "zero-gradient-layer",
    )  # fmt: skip

    min_share: float = Field(0.5, gt=0, lt=1)
    """Share of the labels that is filler."""

    min_most: float = Field(0.75, gt=0, le=1)
    """Share of the labels that is filler, from which on the others have to be recognised nearly all: of the gradient
    they have less than a quarter."""

    min_recall: float = Field(0.95, gt=0, le=1)
    """Mean recall of the other labels above which they are learned although hardly any label is one of them."""

    max_recall: float = Field(0.6, gt=0, lt=1)
    """Mean recall of the other labels above which they are learned all the same."""

    max_gain: float = Field(0.5, gt=0, lt=1)
    """Share of a constant answer's errors that a model avoids which has learned the task, final state or not."""

    max_explained: float = Field(0.2, gt=0, lt=1)
    """Share of the variance of its targets that a regression explains which has learned something."""

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
        mask = table(table(trace.facts.get("graph")).get("upside_down"))
        filler, kept = number(mask.get("filler")), number(mask.get("kept"))
        if filler is not None and kept is not None:
            yield Finding(
                message=f"a mask leaves out all real tokens and keeps {kept:.0%} of the positions, all of them token "
                f"{filler:.0f} at an end of its sequence, the filler; the others are expected to be kept",
                advice=_ADVICE_OF_ATTENTION if mask.get("by") == "attention" else _ADVICE_OF_PRODUCT,
                evidence={"kept": kept},
            )
            return
        if tables(trace.facts.get("final_states")):
            found = list(self._final_states(trace))
            yield from found
            if found or not trace.series(LABEL_PADDING, "train"):
                return
        yield from self._labels(trace)

    def _final_states(self, trace: Trace) -> Iterator[Finding]:
        if trace.epoch + 1 < self.min_epochs and not is_over(trace):
            raise NotApplicable(f"judged after {self.min_epochs} epochs, or at the end")
        for layer in tables(trace.facts.get("final_states")):
            share, name = number(layer.get("padding")) or 0.0, text(layer.get("layer"))
            if share < self.min_share:
                continue
            learned = self._what_is_learned(trace)
            if learned is None:
                raise NotApplicable("whether the task is learned is not known")
            if not learned:
                continue
            yield Finding(
                subject=name,
                message=f"{share:.0%} of the positions given to {name} are filler behind the end of the sequences, and "
                f"only its {text(layer.get('used'))} is used; that of the last real position is expected. {learned}",
                advice=(
                    "Give it pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False).",
                    "Or take output[torch.arange(n), lengths - 1] in place of output[:, -1].",
                    "Fill a batch up to its longest sequence only.",
                ),
                evidence={"padding": share},
            )

    def _what_is_learned(self, trace: Trace) -> str | None:
        """How little is learned, in words; empty where the task is learned, and None where that is not known."""
        error, spread = trace.series(TARGET_ERROR, "train"), trace.series(TARGET_SPREAD, "train")
        ratios = [a / b for a, b in zip(error, spread, strict=False) if b > 0 and math.isfinite(a / b)]
        prior = shares(trace)
        if is_classification(trace) and prior:
            base = max(prior.values())
            accuracy = as_shares(trace.series(VAL_ACCURACY) or trace.series(TRAIN_ACCURACY))[-self.min_epochs :]
            if not accuracy or not all(map(math.isfinite, accuracy)):
                return None
            if median(accuracy) > base + self.max_gain * (1 - base):
                return ""
            return f"The accuracy is {median(accuracy):.3g}, where the most frequent class alone gives {base:.3g}"
        if not ratios:
            return None
        last = median(ratios[-self.min_epochs :])
        if last * last < 1 - self.max_explained:
            return ""
        return f"The error is {last:.3g} of the standard deviation of the targets"

    def _labels(self, trace: Trace) -> Iterator[Finding]:
        padding = trace.series(LABEL_PADDING, "train")
        if not padding:
            raise NotApplicable(f"{LABEL_PADDING.name!r} was not observed, nor a final state of a recurrent layer")
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


_ADVICE_OF_ATTENTION = (
    "Turn the mask round: key_padding_mask and src_key_padding_mask are True where a token may not be attended.",
    "With masked_fill(mask, -inf), fill where the token is the filler.",
)
_ADVICE_OF_PRODUCT = (
    "Turn the mask round: multiply by (tokens != PAD), or fill where tokens == PAD.",
    "Divide a mean by the number of real tokens.",
)
