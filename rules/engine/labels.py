"""What is known of a run's labels and of its held-out data, in the forms that rules of several families need."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from .records import Json
from .signals import CLASS_COUNT, RECALL, VAL_ACCURACY
from .tables import losses_of, number, table, tables, text
from .trace import Trace


def loss_of(trace: Trace) -> Mapping[str, Json]:
    """The fact `loss` where it is one table; empty where it is missing, several losses, or part of a sum."""
    loss = trace.facts.get("loss")
    return loss if isinstance(loss, Mapping) else {}


def is_classification(trace: Trace) -> bool:
    """Whether every loss that is known compares outputs with labels of classes, yes or no among them."""
    names = [text(loss.get("function")) for loss in losses_of(trace)]
    return bool(names) and all("cross_entropy" in name or name == "nll_loss" for name in names)


def n_classes(trace: Trace) -> int | None:
    """Number of classes the outputs of the model can name."""
    n = loss_of(trace).get("n_classes")
    return n if isinstance(n, int) and not isinstance(n, bool) and n > 1 else None


def class_counts(trace: Trace) -> dict[str, float]:
    """Labels of each class, as counted in training, else as declared; empty where neither is known."""
    counts = {name: series[-1] for name, series in trace.by_subject(CLASS_COUNT).items()}
    if not counts:
        declared = table(trace.facts.get("class_counts"))
        counts = {name: n for name, given in declared.items() if (n := number(given)) is not None}
    return {name: n for name, n in counts.items() if math.isfinite(n) and n >= 0}


def shares(trace: Trace) -> dict[str, float]:
    """Share of each class among the labels of the training, 0 to 1; empty where no labels were counted."""
    return shares_of(class_counts(trace))


def shares_of(counts: Mapping[str, float]) -> dict[str, float]:
    """Share of each class where so many labels of each were counted; empty where there are none."""
    total = sum(counts.values())
    return {name: n / total for name, n in counts.items()} if total > 0 and math.isfinite(total) else {}


def entropy(shares: Mapping[str, float]) -> float:
    """Loss, in nats, of always answering with the shares of the classes."""
    return -sum(share * math.log(share) for share in shares.values() if share > 0)


def recalls(trace: Trace, split: str) -> dict[str, list[float]]:
    """Recall of each class of a split, one value an evaluation, oldest first; non-finite ones are left out."""
    return {
        subject.partition("/")[2]: [value for value in series if math.isfinite(value)]
        for subject, series in trace.by_subject(RECALL).items()
        if subject.startswith(f"{split}/")
    }


def never_trained(trace: Trace, least: float = 50) -> tuple[list[str], float]:
    """Classes of the held-out data that no label of the training was counted of, and their share of it, at least.

    The share follows from the accuracy: (1 - share) of the samples, those of the other classes, are recognised at least
    as often as the worst of these is. Nothing is said while few labels were counted, `least` of the rarest class and
    ten times as many in all: a rare class may just not have come yet.
    """
    counts = {name: series[-1] for name, series in trace.by_subject(CLASS_COUNT).items()}
    counted = [n for n in counts.values() if math.isfinite(n) and n > 0]
    accuracy = as_shares(trace.series(VAL_ACCURACY).values)
    if (
        len(counted) < 2
        or sum(counted) < 10 * least
        or min(counted) < least
        or not accuracy
        or not math.isfinite(accuracy[-1])
    ):
        return [], 0.0
    held_out = {label: values for label, values in recalls(trace, "val").items() if values}
    absent = [label for label in held_out if not counts.get(label)]
    known = [held_out[label][-1] for label in held_out if counts.get(label)]
    if not absent or any(max(held_out[label]) > 0 for label in absent):
        return [], 0.0
    if not known:
        return absent, 1.0
    return (absent, 1 - accuracy[-1] / min(known)) if min(known) > accuracy[-1] else ([], 0.0)


def loaders(trace: Trace, split: str) -> list[Mapping[str, Json]]:
    """The loaders of one split, as the fact `loaders` tells of them."""
    return [one for one in tables(trace.facts.get("loaders")) if one.get("split") == split]


def as_shares(accuracies: Sequence[float]) -> list[float]:
    """Accuracies from 0 to 1, whether they were logged so or in percent."""
    scale = 100.0 if max(accuracies, default=0.0) > 1 else 1.0
    return [value / scale for value in accuracies]
