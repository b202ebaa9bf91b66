"""The samples that a loader gave: known again by their digests, with their labels, and some of their values."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import torch

from ..drilling.subject import Subject
from ..probes import digests
from ..rules.engine.records import Json
from .columns import described
from .drawing import Tensors

MOST = 4096
"""Samples of a split that are drawn."""

_KEPT_BYTES = 32 << 20
"""Bytes of inputs that are kept for their statistics."""

_MOST_CLASSES = 1000
"""More labels than this are no classes."""

_LABELS = ("labels", "label", "targets", "target", "y")
"""Keys of a dictionary that say what is to be learned."""


class Roles:
    """Which tensors of a loader's batch are inputs, and which is what the loss compares with."""

    def __init__(self, batch: Tensors, subject: Subject) -> None:
        rows = batch_rows(batch)
        given = [(path, one) for path, one in batch if one.dim() and len(one) == rows]
        self.target = _target(given, subject)
        left = [(path, one) for path, one in given if path != self.target]
        self.inputs: dict[str, str | None] = {}
        """By path in the batch: that of the model's input which has the same form, where there is one."""
        for place, wanted in subject.inputs():
            fits = [path for path, one in left if path not in self.inputs and _has_form(one, wanted)]
            if fits:
                self.inputs[fits[0]] = place
        self.is_complete = bool(self.inputs) and len(self.inputs) == len(subject.inputs())
        if not self.inputs:
            self.inputs = {path: None for path, _ in left}


def batch_rows(batch: Tensors) -> int:
    """Samples of a batch: the length that most of its tensors begin with."""
    sizes = Counter(len(tensor) for _, tensor in batch if tensor.dim())
    return sizes.most_common(1)[0][0] if sizes else 0


class SamplesDrawn:
    """What came of one split."""

    def __init__(self, subject: Subject, most: int = MOST) -> None:
        self.most = most
        self.roles: Roles | None = None
        self.rows = self.batches = 0
        self.prints: list[int] = []
        """A digest of the inputs of each sample."""
        self.labels: list[torch.Tensor] = []
        """(N,) or (N, ...) of each batch, on the CPU."""
        self.kept: dict[str, list[torch.Tensor]] = {}
        """Inputs, by path."""
        self.pure: list[bool] = []
        """Of each batch with several samples: whether all have one label."""
        self.sizes: list[int] = []
        self._subject = subject
        self._bytes = 0

    def look(self, batch: Tensors) -> bool:
        """Takes a batch; False when that is enough."""
        if self.roles is None:
            self.roles = Roles(batch, self._subject)
        rows = batch_rows(batch)
        known = dict(batch)
        inputs = [(path, known[path].detach()) for path in self.roles.inputs if path in known]
        inputs = [(path, one) for path, one in inputs if one.dim() and len(one) == rows]
        self.prints += prints_of([one for _, one in inputs], self.most - self.rows)
        for path, one in inputs:
            if self._bytes < _KEPT_BYTES:
                self._bytes += one.numel() * one.element_size()
                self.kept.setdefault(path, []).append(one.cpu())
        target = known.get(self.roles.target) if self.roles.target is not None else None
        if target is not None and target.dim() and len(target) == rows:
            target = target.detach().cpu()
            self.labels.append(target)
            if rows > 1 and is_class(target):
                self.pure.append(bool((target == target[:1]).all()))
        self.sizes.append(rows)
        self.rows += rows
        self.batches += 1
        return self.rows < self.most

    def is_as_given(self, length: int | None) -> bool | None:
        """Whether the batch of the model is made of these samples, bit for bit; None where not all were drawn."""
        if self.roles is None or not self.roles.is_complete:
            return False
        given = dict(self._subject.inputs())
        inputs = [given[place] for place in self.roles.inputs.values() if place in given]
        known = set(self.prints)
        if any(one in known for one in prints_of(inputs, 512)):
            return True
        return False if length is not None and self.rows >= length else None

    def inputs(self) -> dict[str, torch.Tensor]:
        """The inputs that were kept, by path: those of the batches that have the form of the first."""
        found = {}
        for path, parts in self.kept.items():
            same = [one for one in parts if one.shape[1:] == parts[0].shape[1:] and one.dtype == parts[0].dtype]
            found[path] = torch.cat(same)
        return found

    def classes(self) -> list[int]:
        """The label of each sample, in the order in which they came; empty where labels are no classes of samples."""
        if not self.labels or not all(is_class(one) for one in self.labels):
            return []
        return [int(label) for one in self.labels for label in one.reshape(-1).tolist()]

    def told(self) -> dict[str, Json]:
        """What the fact says of the split."""
        found: dict[str, Json] = {"samples": self.rows, "batches": self.batches}
        found["inputs"] = {path: described(one) for path, one in list(self.inputs().items())[:8]}
        if self.labels and self.labels[0].numel():
            same = [one for one in self.labels if one.shape[1:] == self.labels[0].shape[1:]]
            found["labels"] = described(torch.cat(same))
        classes = self.classes()
        counts = Counter(classes)
        if classes and len(counts) <= _MOST_CLASSES:
            found["counts"] = {str(label): n for label, n in counts.most_common()}
        return found

    def conflicts(self) -> tuple[int, int]:
        """(samples whose inputs came more than once, those of them that came with different labels)."""
        classes = self.classes()
        if len(classes) < len(self.prints) or not classes:
            return 0, 0
        labels: dict[int, list[int]] = {}
        for one, label in zip(self.prints, classes, strict=False):
            labels.setdefault(one, []).append(label)
        several = [one for one in labels.values() if len(one) > 1]
        return sum(map(len, several)), sum(len(one) for one in several if len(set(one)) > 1)


def output_of(subject: Subject, batch: dict[str, torch.Tensor]) -> Any:
    """The model's output for other samples, by the paths of its inputs, as many as its batch has (the last ones again
    and again); None where it cannot be called so."""
    try:
        args, kwargs = _called_with(subject, batch)
        with torch.enable_grad():
            return subject.model(*args, **kwargs)
    except Exception:
        return None


def _called_with(subject: Subject, batch: dict[str, torch.Tensor]) -> tuple[Any, Any]:
    size = subject.batch_size or 1
    replaced: dict[int, torch.Tensor] = {}
    for place, one in subject.inputs():
        rows = batch[place][:size]
        rows = rows[torch.arange(size) % len(rows)]
        replaced[id(one)] = rows.reshape(one.shape).to(one.device)
    return _with(subject.args, replaced), _with(subject.kwargs, replaced)


def _with(value: Any, replaced: dict[int, torch.Tensor]) -> Any:
    """The same nest with other tensors; what is in no list or dictionary stays."""
    if isinstance(value, torch.Tensor):
        return replaced.get(id(value), value)
    if isinstance(value, dict):
        return {key: _with(one, replaced) for key, one in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_with(one, replaced) for one in value)
    return value


def prints_of(inputs: list[torch.Tensor], most: int) -> list[int]:
    """A digest for each of the first `most` samples, of all inputs together."""
    found = [digests.of_samples(one[: max(most, 0)].cpu(), most) for one in inputs]
    found = [one for one in found if one]
    if not found or len({len(one) for one in found}) > 1:
        return []
    return found[0] if len(found) == 1 else [hash(one) for one in zip(*found, strict=True)]


def runs_of(labels: Iterable[int]) -> float | None:
    """Share of neighbours with the same label; None of fewer than two."""
    given = list(labels)
    if len(given) < 2:
        return None
    return sum(a == b for a, b in pairwise(given)) / (len(given) - 1)


def is_class(labels: torch.Tensor) -> bool:
    """Whether labels (N,) or (N, 1) may be classes: whole numbers, or yes and no in floating point."""
    if labels.numel() != len(labels) or labels.is_complex():
        return False
    return not labels.is_floating_point() or bool(((labels == 0) | (labels == 1)).all())


def _target(given: Tensors, subject: Subject) -> str | None:
    wanted = subject.targets
    if wanted is not None and wanted.dim():
        fits = [path for path, one in given if _has_form(one, wanted)]
        inputs = [one for _, one in subject.inputs()]
        if fits and (len(fits) > 1 or not any(_has_form(wanted, one) for one in inputs)):
            return fits[-1]
        if fits and len(given) > 1 and fits[0] == given[-1][0]:
            return fits[0]
    named = [path for path, one in given if path.rpartition("/")[2] in _LABELS]
    if named:
        return named[0]
    last = given[-1] if len(given) > 1 else None
    return last[0] if last is not None and not last[1].is_floating_point() and last[1].dim() == 1 else None


def _has_form(one: torch.Tensor, wanted: torch.Tensor) -> bool:
    """Whether a tensor of a batch may be what was given on, perhaps in another shape."""
    if one.dtype != wanted.dtype or not one.dim() or not wanted.dim() or not len(one) or not len(wanted):
        return False
    if math.prod(one.shape[1:]) == math.prod(wanted.shape[1:]):
        return True
    # Sequences are as long as the longest of their batch.
    is_sequence = one.dim() == wanted.dim() and (one.dim() > 2 or (one.dim() == 2 and not one.is_floating_point()))
    return is_sequence and one.shape[2:] == wanted.shape[2:]
