"""Class weights wherever they are: given, in a loss module, in a tensor, in a sampler; as a table and as parameters.

Runs inside the training process and reads only; a tensor on a device costs one transfer.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..rules.engine.records import Json

MAX_PARAMS = 20
"""Classes up to which each weight is a parameter of its own; with more, only the digest is."""


@dataclass(frozen=True)
class ClassWeights:
    """One weight for each class, with counts where labels are known; `source` says where they were found."""

    source: str
    classes: tuple[str, ...]
    weights: tuple[float, ...]
    counts: tuple[int, ...] | None = None

    @property
    def rows(self) -> list[dict[str, Json]]:
        """One row for each class: class, weight, and with counts: count, share (0 to 1), weight_x_share."""
        total = sum(self.counts or ())
        rows: list[dict[str, Json]] = []
        for number, (name, weight) in enumerate(zip(self.classes, self.weights, strict=True)):
            row: dict[str, Json] = {"class": name, "weight": _finite(weight)}
            if self.counts is not None:
                share = self.counts[number] / total if total else 0.0
                row.update(count=self.counts[number], share=share, weight_x_share=_finite(weight * share))
            rows.append(row)
        return rows

    @property
    def digest(self) -> str:
        """A sha256 over names and exact weights, independent of source and counts; 16 hex digits."""
        pairs = [[name, weight.hex()] for name, weight in zip(self.classes, self.weights, strict=True)]
        return hashlib.sha256(json.dumps(pairs).encode()).hexdigest()[:16]

    @property
    def params(self) -> dict[str, str]:
        """`class_weight/<class>` for up to 20 classes and always `class_weight/digest`."""
        found = {"class_weight/digest": f"sha256:{self.digest}"}
        if len(self.classes) <= MAX_PARAMS:
            for name, weight in zip(self.classes, self.weights, strict=True):
                key = f"class_weight/{name}"
                found[key if key not in found else f"{key} (class)"] = repr(weight)
        return found

    def table(self) -> dict[str, Json]:
        """The content of `capture/class_weights.json`."""
        return {"schema": 1, "source": self.source, "digest": self.digest, "classes": list(self.rows)}

    def as_fact(self) -> dict[str, Json]:
        """`{class: weight}`, the form that rules read."""
        return {name: _finite(weight) for name, weight in zip(self.classes, self.weights, strict=True)}

    def with_counts(self, counts: Mapping[Any, int] | Sequence[int]) -> ClassWeights:
        """The same weights with the number of labels of each class; a class without an entry has none."""
        found = counts if isinstance(counts, Mapping) else dict(enumerate(counts))
        by_name = {str(name): int(count) for name, count in found.items()}
        numbers = tuple(by_name.get(name, by_name.get(str(n), 0)) for n, name in enumerate(self.classes))
        return ClassWeights(self.source, self.classes, self.weights, numbers)


def _finite(value: float) -> Json:
    return value if math.isfinite(value) else str(value)


def from_given(weights: Any, classes: Sequence[Any] | None = None) -> ClassWeights:
    """Weights as a user gives them: a list, tuple, dict, numpy array or tensor.

    Raises ValueError for an empty or nested one, for a length that is not that of `classes`, and for a value that is
    no number.
    """
    if isinstance(weights, Mapping):
        names, values = [str(name) for name in weights], list(weights.values())
        if classes is not None and sorted(map(str, classes)) != sorted(names):
            raise ValueError(
                f"class_weights has classes {names}; classes= names {list(map(str, classes))}. "
                "Use the same names in both."
            )
    else:
        values = _numbers(weights)
        names = [str(name) for name in classes] if classes is not None else [str(n) for n in range(len(values))]
    if not values:
        raise ValueError(
            "class_weights is empty; one weight for each class was expected. Leave it out if there are none."
        )
    if len(names) != len(values):
        raise ValueError(
            f"class_weights has {len(values)} weights for {len(names)} classes; one for each was expected. "
            "Check the order and number of classes="
        )
    return ClassWeights(
        "given", tuple(names), tuple(_float(name, value) for name, value in zip(names, values, strict=True))
    )


def _float(name: str, value: Any) -> float:
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(
            f"class_weights[{name!r}] is {type(value).__name__} {str(value)[:40]!r}; a number was expected. "
            "Give one weight for each class."
        )
    return float(value)


def _numbers(values: Any) -> list[Any]:
    """One list of numbers; a tensor on any device is read at once, without its graph."""
    if hasattr(values, "detach"):
        values = values.detach()
    if hasattr(values, "tolist"):
        values = values.tolist()
    found = [values] if isinstance(values, (int, float)) else list(values)
    if any(isinstance(value, (list, tuple)) for value in found):
        raise ValueError(
            "class_weights is nested; a flat list with one weight for each class was expected. Flatten it first."
        )
    return found


def from_tensor(tensor: Any, source: str = "weight", classes: Sequence[Any] | None = None) -> ClassWeights | None:
    """The `weight` or `pos_weight` a loss uses; None for no tensor, or for one that is not one number a class.

    A `pos_weight` may have leading dimensions of size 1; per-element weights are not class weights.
    """
    shape = tuple(getattr(tensor, "shape", ()))
    if tensor is None or math.prod(shape) != (shape[-1] if shape else 1) or 0 in shape:
        return None
    try:
        values = tensor.detach().reshape(-1).tolist()
        names = classes if classes is not None and len(classes) == len(values) else None
        return ClassWeights(source, *_named(values, names))
    except Exception:
        return None  # a meta or fake tensor has no values


def _named(values: Sequence[float], names: Sequence[Any] | None) -> tuple[tuple[str, ...], tuple[float, ...]]:
    labels = names if names is not None else range(len(values))
    return tuple(str(name) for name in labels), tuple(float(value) for value in values)


def from_loss_module(module: Any, classes: Sequence[Any] | None = None) -> list[ClassWeights]:
    """The class weights a loss module holds: buffers `weight` and `pos_weight`, and a focal loss's `alpha`.

    A layer's `weight` is a parameter and is not taken; [] when there are none. Never raises.
    """
    try:
        buffers = dict(object.__getattribute__(module, "_buffers"))
        plain = dict(object.__getattribute__(module, "__dict__"))
    except Exception:
        return []
    name = type(module).__name__
    found = []
    for key in ("weight", "pos_weight", "alpha"):
        value = buffers.get(key, plain.get(key))
        if key == "alpha" and isinstance(value, (list, tuple)):
            try:
                found.append(ClassWeights(f"{name}.alpha", *_named(value, classes if _fits(classes, value) else None)))
            except (TypeError, ValueError):
                continue
        elif hasattr(value, "detach"):
            weights = from_tensor(value, f"{name}.{key}", classes)
            found += [weights] if weights is not None else []
    return found


def _fits(classes: Sequence[Any] | None, values: Sequence[Any]) -> bool:
    return classes is not None and len(classes) == len(values)


def from_sampler(sampler: Any, labels: Any = None) -> ClassWeights | None:
    """The weights of a `WeightedRandomSampler`, as mean weight of each class when the samples' `labels` are known.

    Without labels the distinct weights stand for the classes ("weight 0.1"), with the number of samples that have
    each; None when there are more than 1000 distinct ones or no weights. Never raises.
    """
    try:
        values = _numbers(object.__getattribute__(sampler, "__dict__").get("weights", ()))
        found = _numbers(labels) if labels is not None else None
    except Exception:
        return None
    if not values:
        return None
    by_label = found is not None and len(found) == len(values)
    keys = (
        [str(label) for label in found] if by_label and found is not None else [f"weight {value:g}" for value in values]
    )
    sums: dict[str, float] = {}
    counts: dict[str, int] = {}
    for key, value in zip(keys, values, strict=True):
        sums[key] = sums.get(key, 0.0) + float(value)
        counts[key] = counts.get(key, 0) + 1
    if len(sums) > 1000:
        return None
    names = sorted(sums, key=_natural)
    return ClassWeights(
        f"{type(sampler).__name__}.weights" + ("" if by_label else " (labels unknown)"),
        tuple(names),
        tuple(sums[name] / counts[name] for name in names),
        tuple(counts[name] for name in names),
    )


def _natural(name: str) -> tuple[int, float, str]:
    """Numbers in their order, then names."""
    try:
        return (0, float(name.removeprefix("weight ")), name)
    except ValueError:
        return (1, 0.0, name)
