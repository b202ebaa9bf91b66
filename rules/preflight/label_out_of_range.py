"""Labels that the loss function has no place for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import Field

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.records import Json
from ..engine.tables import number, table, text
from .splits import is_held_out

_CLASSES = ("cross_entropy", "nll_loss")


class LabelOutOfRange(Rule):
    """Some labels are no class of the model's output, or no probability where the loss takes probabilities.

    ## Why it matters
    A class that the output does not have ends the training with an error, perhaps an hour into it, and on a GPU with
    one that names no cause. A binary loss takes labels of -1 or 2 without a word, and has no minimum then.

    ## What to try
    - Count classes from 0: subtract 1 where the labels begin with 1.
    - Make the last layer as wide as there are classes, in all splits.
    - Turn labels of -1 and 1 into 0 and 1 for a binary loss.

    ## When it is wrong
    The label that the loss leaves out is no class and not counted. Labels of a loader that the loop changes on their
    way are not judged, as far as the batch shows it.

    ## References
    - PyTorch, CrossEntropyLoss: class indices in [0, C); BCEWithLogitsLoss: targets between 0 and 1.
    """

    phases = (Phase.PREFLIGHT,)
    severity = Severity.ERROR
    level = Level.LOGIC
    needs_facts = ("drill/data-at-the-door",)
    waits_for_warmup = False
    profiles = Rule.profiles | {"autoencoder", "contrastive"}

    max_expected: float = Field(3.0, gt=0)
    """Such labels that chance would put into a batch, from which on a batch without any shows that they are changed."""

    tolerance: float = Field(1e-3, ge=0)
    """How far outside 0 to 1 is rounding, for a binary loss."""

    healthy = {
        "facts": {
            "drill/data-at-the-door": {
                "labels": {"function": "cross_entropy", "n_classes": 10, "low": 0, "high": 9, "outside": 0}
            }
        }
    }
    faulty = {
        "facts": {
            "drill/data-at-the-door": {
                "labels": {"function": "cross_entropy", "n_classes": 9, "low": 0, "high": 9, "outside": 3}
            }
        }
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        told = table(trace.facts.get("drill/data-at-the-door"))
        labels = table(told.get("labels"))
        low, high, classes = number(labels.get("low")), number(labels.get("high")), number(labels.get("n_classes"))
        if low is None or high is None:
            raise NotApplicable("what the loss compares with is not known")
        function = text(labels.get("function"))
        if function.startswith("binary_cross_entropy"):
            if low < -self.tolerance or high > 1 + self.tolerance:
                yield _finding("targets", f"targets from {low:.3g} to {high:.3g}; 0 to 1 expected by {function}", 1.0)
            return
        if classes is None or (function and function not in _CLASSES):
            raise NotApplicable("the loss does not compare classes")
        outside = number(labels.get("outside"))
        if outside:
            seen = f"{outside:.0f} labels of the batch are no class of the model's {classes:.0f}"
            yield _finding("targets", f"{seen}: {low:.0f} to {high:.0f} seen, 0 to {classes - 1:.0f} expected", outside)
            return
        yield from self._in_splits(told, labels, classes)

    def _in_splits(self, told: Mapping[str, Json], labels: Mapping[str, Json], classes: float) -> Iterator[Finding]:
        splits = {split: table(about) for split, about in table(told.get("splits")).items()}
        counts = {split: _counts(about.get("counts")) for split, about in splits.items()}
        ours, ignored = _counts(labels.get("counts")), number(labels.get("ignored"))
        train = counts.get("train", {})
        if not ours or not train or not set(ours) <= set(train):
            return  # labels are changed on their way
        for split, seen in counts.items():
            bad = {label: n for label, n in seen.items() if not 0 <= label < classes and label != ignored}
            n, size = sum(bad.values()), number(told.get("batch_size")) or 1.0
            if (
                not bad
                or not (split == "train" or is_held_out(split))
                or (split == "train" and n / sum(seen.values()) * size >= self.max_expected)
            ):
                continue
            if split != "train" and any(not 0 <= label < classes and label != ignored for label in train):
                continue
            yield _finding(
                split,
                f"{n:.0f} of {sum(seen.values()):.0f} labels of {split} are no class of the model's {classes:.0f}: "
                f"{min(bad):.0f} to {max(bad):.0f} seen, 0 to {classes - 1:.0f} expected",
                n,
            )


def _counts(value: object) -> dict[float, float]:
    found = {}
    for label, n in table(value).items():
        count = number(n)
        if label.lstrip("-").isdecimal() and len(label) < 16 and count is not None and count > 0:
            found[float(label)] = count
    return found


def _finding(subject: str, what: str, n: float) -> Finding:
    return Finding(
        subject=subject,
        message=what,
        advice=(
            "Count classes from 0, in all splits with the same table of classes.",
            "Make the last layer as wide as there are classes.",
        ),
        evidence={"labels": n},
    )
