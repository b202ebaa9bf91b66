"""What is known of a run's labels and of its held-out data, in the forms that rules of several families need."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from .records import Json
from .signals import CLASS_COUNT, RECALL
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
    counts = class_counts(trace)
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


def loaders(trace: Trace, split: str) -> list[Mapping[str, Json]]:
    """The loaders of one split, as the fact `loaders` tells of them."""
    return [one for one in tables(trace.facts.get("loaders")) if one.get("split") == split]


def as_shares(accuracies: Sequence[float]) -> list[float]:
    """Accuracies from 0 to 1, whether they were logged so or in percent."""
    scale = 100.0 if max(accuracies, default=0.0) > 1 else 1.0
    return [value / scale for value in accuracies]
