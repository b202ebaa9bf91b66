"""What is known of each class: recall over the evaluations, how often it is there and predicted, count and weight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...rules.engine.signals import CLASS_COUNT, CONFUSED, CONFUSION, PREDICTIONS, RECALL
from ...rules.engine.tables import number, shape, table, tables, text
from ..gathering.curves import Curve
from ..gathering.gathered import Gathered
from ..gathering.sources import Source
from .confusions import Confusion, confusions
from .names import ClassNames, names_of_classes

Column = np.ndarray[Any, Any]

_MOST = 1000
"""Classes that are looked at."""
_ALIKE = 0.15
"""How far weights times counts may be from their middle, where weights are said to follow from counts."""


@dataclass(frozen=True, eq=False)
class Classes:
    """All that a report says of classes; `split` is the set of which it does, `` where only counts are known."""

    source: Source
    names: ClassNames
    split: str
    matrices: Sequence[Confusion]
    """Of the set, oldest first."""
    predicted: Column | None
    """How often each class was predicted in the latest evaluation."""
    counts: Mapping[str, float]
    """Labels of each class in the training."""
    weights: Mapping[str, float]
    are_questions: bool
    """Whether the "classes" are yes-or-no questions, each with an answer of its own."""

    @property
    def last(self) -> Confusion | None:
        """The matrix of the latest evaluation."""
        return self.matrices[-1] if self.matrices else None

    @property
    def there(self) -> Column | None:
        """How often each class is the true one, where that is known of the classes that are predicted."""
        last = self.last
        fits = last is not None and (self.predicted is None or len(self.predicted) == last.classes)
        return last.there if last is not None and fits else None

    @property
    def word(self) -> str:
        """What one is called."""
        return "question" if self.are_questions else "class"

    @property
    def plural(self) -> str:
        """What several are called."""
        return "questions" if self.are_questions else "classes"


def classes_of(source: Source) -> Classes | None:
    """What is known of the classes of a run; None where there are none."""
    gathered = source.gathered
    known = splits(gathered)
    split = known[0] if known else ""
    labels, heavy = counts(source), weights(source)
    if _has_masks(source):
        split = ""  # a yes or no for each pixel: what is counted by the last dimension are columns of pictures
    if not split and len(labels) < 2 and len(heavy) < 2:
        return None
    said = predicted(gathered, split) if split else None
    are_questions = said is not None and _asks_questions(source, len(said))
    return Classes(
        source,
        names_of_classes(source),
        split,
        confusions(gathered, split) if split else [],
        said,
        labels,
        heavy,
        are_questions,
    )


def splits(gathered: Gathered) -> list[str]:
    """Sets of whose classes something is known: held-out ones first, in their order, then the training."""
    found = dict.fromkeys(subject.partition("/")[0] for subject in gathered.subjects(RECALL.name))
    for signal in (CONFUSION, CONFUSED):
        found.update(dict.fromkeys(gathered.arrays.get(signal.name, {})))
    return sorted(found, key=lambda split: (split == "train", split != "val", split))


def recalls(gathered: Gathered, split: str) -> dict[str, tuple[Column, Column]]:
    """Steps and recall of each class of a set, the lowest at the end first."""
    found: dict[str, Curve] = {
        subject.partition("/")[2]: curve
        for subject, curve in gathered.subjects(RECALL.name).items()
        if subject.startswith(f"{split}/")
    }
    ordered = sorted(found, key=lambda name: (float(found[name].means[-1]), _place(name)))
    return {name: (found[name].steps, found[name].means) for name in ordered[:_MOST]}


def predicted(gathered: Gathered, split: str) -> Column | None:
    """How often each class was predicted in the latest evaluation of a set; None where not known."""
    kept = gathered.arrays.get(PREDICTIONS.name, {}).get(split)
    if kept is None or not kept.all:
        return None
    values = np.asarray(kept.all[-1][1], np.float64)
    is_count = values.ndim == 1 and len(values) <= _MOST and np.isfinite(values).all() and (values >= 0).all()
    return values if is_count and values.sum() > 0 else None


def counts(source: Source) -> dict[str, float]:
    """Labels of each class, as counted in the training; empty where not known."""
    curves = source.gathered.subjects(CLASS_COUNT.name)
    found = {name: curve.last[1] for name, curve in curves.items() if curve.last is not None}
    if not found:
        stored = source.captured.get("class_counts.json") or source.gathered.facts.get("class_counts")
        found = {str(name): n for name, given in table(stored).items() if (n := number(given)) is not None}
    kept = {name: n for name, n in found.items() if np.isfinite(n) and n >= 0}
    return dict(sorted(kept.items(), key=lambda item: _place(item[0]))[:_MOST])


def weights(source: Source) -> dict[str, float]:
    """Weight of each class in the loss, by number or name; empty where there are none."""
    rows = table(source.captured.get("class_weights.json")).get("classes")
    found = {str(row.get("class")): row.get("weight") for row in tables(rows)}
    given: Mapping[str, Any] = found or table(source.gathered.facts.get("class_weights"))
    return {str(name): n for name, one in list(given.items())[:_MOST] if (n := number(one)) is not None}


def weighed(counts: Mapping[str, float], weights: Mapping[str, float]) -> dict[str, tuple[float, float]]:
    """Count and weight of the classes of which both are known; weights by name stand in the order of the labels."""
    by_number = {str(place): weight for place, weight in enumerate(weights.values())}
    of = weights if set(counts) & set(weights) else by_number
    return {name: (n, of[name]) for name, n in counts.items() if name in of and n > 0 and of[name] > 0}


def relation(both: Mapping[str, tuple[float, float]]) -> tuple[str, str]:
    """How weights follow from counts, in words, and a tone: `warn` where they make an imbalance worse."""
    if len(both) < 2:
        return "", ""
    n, weight = (np.array(column) for column in zip(*both.values(), strict=True))
    ratio, spread = float(n.max() / n.min()), float(weight.max() / weight.min())
    if spread < 1 + _ALIKE / 2:
        how = "all weights are about the same"
        return (f"{how}, and so are the counts" if ratio < 1.2 else f"{how}: the imbalance stays as it is"), ""
    if ratio < 1.2:
        return f"the classes are about equally frequent, yet the weights differ by a factor of {spread:.3g}", ""
    for power, words in ((1.0, "the count"), (0.5, "the square root of the count")):
        product = weight * n**power
        if np.abs(product / np.median(product) - 1).max() <= _ALIKE:
            return f"each weight is about one over {words}", ""
    product = weight / n
    if np.abs(product / np.median(product) - 1).max() <= _ALIKE:
        return "each weight grows with the count: frequent classes count even more", "warn"
    slope = float(np.polyfit(np.log(n), np.log(weight), 1)[0])
    if slope > 0.1:
        return f"weights are larger for frequent classes (about count to the power of {slope:.2f})", "warn"
    return f"weights go with about the count to the power of {slope:.2f}; -1 would be one over the count", ""


def _binary_losses(source: Source) -> list[Mapping[str, Any]]:
    """The losses, if each is about answers yes or no."""
    losses = [one for one in tables(source.gathered.facts.get("loss")) if text(one.get("function"))]
    return losses if all(text(one["function"]).startswith("binary") for one in losses) else []


def _asks_questions(source: Source, answers: int) -> bool:
    return answers > 2 and bool(_binary_losses(source))


def _has_masks(source: Source) -> bool:
    return any(len(shape(one.get("outputs_shape"))) > 2 for one in _binary_losses(source))


def listed(found: list[str], names: ClassNames, most: int = 6) -> str:
    """Names of some classes in a sentence."""
    said = ", ".join(names(one) for one in found[:most])
    return f"{said} and {len(found) - most} more" if len(found) > most else said


def _place(name: str) -> tuple[int, int, str]:
    """Numbers in their order, before names."""
    return (0, int(name), "") if name.isdecimal() and len(name) < 9 else (1, 0, name)
