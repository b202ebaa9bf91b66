"""A batch that a loader gave, between its being drawn and its being trained on or evaluated."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from .overlap import Samples

if TYPE_CHECKING:
    from .loaders import Loader

_COPIED, _COPIED_LABELS = 1 << 14, 1 << 18
"""Elements of a tensor in a batch, and of one of whole numbers, that is copied to recognise the target: many targets
are gone before the loss is there."""


class Drawn:
    """A batch as its loader gave it, ahead of any transfer to a device. It keeps nothing of it alive."""

    def __init__(self, loader: Loader, step: int, tensors: Sequence[tuple[str, torch.Tensor]]) -> None:
        self.loader = loader
        self.step = step
        self.size = next((len(t) for _, t in tensors if t.dim()), 0)
        self.digest: int | None = None
        self.samples = Samples([])
        self.is_evaluated = False
        """Whether the latest pass of a model over it was one without gradients."""
        self._given: list[weakref.ref[torch.Tensor]] = []
        self._held = [(path, weakref.ref(t), t.detach().clone() if _may_be_target(t) else None) for path, t in tensors]

    def tensors(self) -> list[tuple[str, torch.Tensor]]:
        """(path, tensor): copies as the loader gave them, or the tensors themselves while they live."""
        found = []
        for path, ref, copy in self._held:
            tensor = copy if copy is not None else ref()
            if tensor is not None:
                found.append((path, tensor))
        return found

    def holds(self, value: Any) -> bool:
        """True for a tensor of the batch itself."""
        return any(ref() is value for _, ref, _ in self._held)

    def note_evaluated(self, given: Sequence[torch.Tensor]) -> None:
        """A model was given these without gradients, for this batch."""
        self.is_evaluated = True
        self._given = [weakref.ref(tensor) for tensor in given]

    def was_given(self, value: torch.Tensor) -> bool:
        """True for a tensor that the batch holds, or that was given to the model in its place."""
        return self.holds(value) or any(ref() is value for ref in self._given)

    def tensor_at(self, wanted: str) -> torch.Tensor | None:
        """The tensor at one path; None when there is none any more."""
        for path, ref, copy in self._held:
            if path == wanted:
                return copy if copy is not None else ref()
        return None


def input_of(tensors: Sequence[torch.Tensor]) -> torch.Tensor | None:
    """The tensor of a batch that tells its samples apart: the first of those with the most values for each."""
    rows = [t for t in tensors if t.dim() and t.numel()]
    return max(rows, key=lambda t: t.numel() // len(t), default=None)


def rows_behind(tensor: torch.Tensor) -> int:
    """Rows of the tensor that this one is a slice of, by its memory; its own where it is a copy."""
    width = tensor.stride(0) if tensor.dim() > 1 else 1
    if width <= 0:
        return len(tensor)
    return max(len(tensor), tensor.untyped_storage().nbytes() // (width * tensor.element_size()))


def _may_be_target(tensor: torch.Tensor) -> bool:
    if not tensor.is_cpu:
        return False
    if tensor.is_floating_point() or tensor.dtype is torch.uint8:  # images, mostly
        return tensor.numel() <= _COPIED and tensor.dim() < 3
    return tensor.numel() <= _COPIED_LABELS
