"""Tensors: where they lie, what they hold, bit for bit, and what autograd knows of them.

Values are kept by memory and not by tensor: what shares memory, such as tied weights and views, is kept once, and any
layout of any type can be written back. A tensor's version does not rise, so that a graph from before can go backward.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch

from .part import Part, token

_CHUNK = 1 << 20
"""Whole numbers that are digested at a time: 8 MiB."""


class TensorPart(Part):
    """A tensor but for its values: its memory, class, gradient, and hooks. Made while subclasses are not asked."""

    __slots__ = ("_alias", "_class", "_gradient", "_hooks", "_is_leaf", "_place", "_requires_grad", "_thing")

    def __init__(self, thing: torch.Tensor) -> None:
        self._thing = thing
        self._class = type(thing)
        self._is_leaf = thing.is_leaf
        self._requires_grad = thing.requires_grad
        self._gradient = gradient_of(thing)
        self._hooks = _hooks(thing)
        self._alias = thing.data if is_ordinary(thing) else None
        self._place = _place(thing) if self._alias is not None else None

    def restore(self) -> None:
        thing = self._thing
        if type(thing) is not self._class:
            thing.__class__ = self._class
        if self._alias is not None and _place(thing) != self._place:
            thing.data = self._alias
        if self._is_leaf:
            if not thing.is_leaf:
                thing.detach_()
            if thing.requires_grad != self._requires_grad:
                thing.requires_grad_(self._requires_grad)
            if thing.grad is not self._gradient:
                thing.grad = self._gradient
        for name, hooks in self._hooks.items():
            if getattr(thing, name) is not hooks:
                setattr(thing, name, hooks)

    @staticmethod
    def inner(thing: torch.Tensor) -> Iterable[tuple[str, Any]]:
        found: list[tuple[str, Any]] = [("grad", gradient_of(thing)), *_hooks(thing).items()]
        found += inside(thing)
        return [(name, one) for name, one in found if one is not None]

    @staticmethod
    def digests(thing: torch.Tensor) -> dict[str, str]:
        """Of the bits of the values, and of the rest."""
        about = {
            "class": type(thing).__name__,
            "requires_grad": str(thing.requires_grad),
            "gradient": token(gradient_of(thing)),
            "hooks": ", ".join(map(token, _hooks(thing).values())),
        }
        if not thing.is_inference():
            about["version"] = str(thing._version)
        if is_ordinary(thing):
            about["memory"] = repr(_place(thing))
        if thing.layout is torch.strided and is_ordinary(thing) and not thing.is_meta:
            about["values"] = _digest(thing.detach())
        return about


def is_ordinary(tensor: torch.Tensor) -> bool:
    """Whether its operations are torch's own, so that it can be looked at and written to as memory."""
    kind = type(tensor)
    if kind.__torch_dispatch__ is not torch._C._disabled_torch_dispatch_impl:
        return False
    return not (tensor.is_nested or tensor.layout is torch._mkldnn)  # type: ignore[attr-defined]


def gradient_of(tensor: torch.Tensor) -> torch.Tensor | None:
    """The gradient that a leaf has; that of another tensor would be asked for with a warning."""
    return tensor.grad if tensor.is_leaf or tensor.retains_grad else None


def _hooks(tensor: torch.Tensor) -> dict[str, Any]:
    """Dictionaries of what is called with its gradient, by attribute."""
    found = {"_backward_hooks": tensor._backward_hooks}
    if tensor.is_leaf:
        found["_post_accumulate_grad_hooks"] = tensor._post_accumulate_grad_hooks
    return found


def inside(tensor: torch.Tensor) -> list[tuple[str, torch.Tensor]]:
    """(name, tensor) of what a sparse or a wrapping tensor is made of."""
    if tensor.layout is torch.sparse_coo:
        return [("indices", tensor._indices()), ("values", tensor._values())]
    if tensor.layout in (torch.sparse_csr, torch.sparse_bsr):
        return [
            ("rows", tensor.crow_indices().detach()),
            ("columns", tensor.col_indices().detach()),
            ("values", tensor.values().detach()),
        ]
    if tensor.layout in (torch.sparse_csc, torch.sparse_bsc):
        return [
            ("columns", tensor.ccol_indices().detach()),
            ("rows", tensor.row_indices().detach()),
            ("values", tensor.values().detach()),
        ]
    if not is_ordinary(tensor) and hasattr(tensor, "__tensor_flatten__"):
        return [(name, getattr(tensor, name)) for name in tensor.__tensor_flatten__()[0]]
    return []


def _place(tensor: torch.Tensor) -> tuple[Any, ...]:
    """Where the values lie, and how they are read."""
    if tensor.layout is not torch.strided:
        parts = tuple(_place(one) for _, one in inside(tensor))
        return (tensor.dtype, tensor.size(), tensor.layout is torch.sparse_coo and tensor.is_coalesced(), *parts)
    return (
        tensor.untyped_storage()._cdata,
        tensor.storage_offset(),
        tensor.size(),
        tensor.stride(),
        tensor.dtype,
        tensor.device,
    )


class Memory(Part):
    """The bytes below a number of tensors, each byte once."""

    __slots__ = ("_kept",)

    def __init__(self, thing: Sequence[torch.Tensor]) -> None:
        spans: dict[int, tuple[torch.UntypedStorage, list[tuple[int, int]]]] = {}
        for tensor in thing:
            if tensor.layout is not torch.strided or not is_ordinary(tensor) or tensor.is_meta or not tensor.numel():
                continue
            storage = tensor.untyped_storage()
            width, first = tensor.element_size(), int(tensor.storage_offset())
            last = first
            for size, stride in zip(tensor.size(), tensor.stride(), strict=True):
                last += (int(size) - 1) * int(stride)
            spans.setdefault(storage._cdata, (storage, []))[1].append((first * width, (last + 1) * width))
        self._kept = []
        for storage, found in spans.values():
            size = storage.nbytes()
            for start, stop in _merged(found):
                flat = _flat(storage, start, min(-(-stop // 8) * 8, size))
                self._kept.append((storage, size, flat, flat.clone()))

    def restore(self) -> None:
        for storage, size, flat, kept in self._kept:
            if storage.nbytes() < size:
                storage.resize_(size)
            if not torch.equal(flat, kept):
                flat.copy_(kept)

    @property
    def nbytes(self) -> int:
        """Bytes of the copy."""
        return sum(kept.nbytes for *_, kept in self._kept)


def _merged(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Without overlaps, in order."""
    if len(spans) == 1:
        return spans
    merged: list[tuple[int, int]] = []
    for start, stop in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
        else:
            merged.append((start, stop))
    return merged


def _flat(storage: torch.UntypedStorage, start: int, stop: int) -> torch.Tensor:
    """A part of the memory as whole numbers, whatever it holds; no tensor of the user's hears when it is written to.

    Of eight bytes each where that fits, which are compared faster.
    """
    start -= start % 8
    dtype = torch.uint8 if stop % 8 else torch.int64
    flat = torch.empty(0, dtype=dtype, device=storage.device)
    width = dtype.itemsize
    return flat.set_(storage, start // width, ((stop - start) // width,), (1,))


class Versions(Part):
    """How often each tensor was written to, which autograd counts to see that what it has saved is unchanged."""

    __slots__ = ("_tensors", "_versions")

    def __init__(self, thing: Sequence[torch.Tensor]) -> None:
        self._tensors = [one for one in thing if not one.is_inference()]
        self._versions = [one._version for one in self._tensors]

    def restore(self) -> None:
        changed = [
            (one, version)
            for one, version in zip(self._tensors, self._versions, strict=True)
            if one._version != version
        ]
        if not changed:
            return
        put = torch._C._autograd._unsafe_set_version_counter
        tensors, versions = zip(*changed, strict=True)
        try:
            put(tensors, versions)
        except TypeError:  # before torch 2.5: one at a time
            for one, version in changed:
                put(one, version)  # type: ignore[arg-type]


def _digest(tensor: torch.Tensor) -> str:
    """Of all bits. Any single change shows, and of many all but one in 2**64."""
    whole = tensor.resolve_conj().resolve_neg() if tensor.is_complex() or tensor.is_neg() else tensor
    if not whole.numel():
        return "empty"
    if whole.is_quantized:
        whole = whole.int_repr()
    flat = whole.contiguous().reshape(-1).view(torch.uint8)
    ragged = flat.numel() % 8
    if ragged:
        flat = torch.cat([flat, flat.new_zeros(8 - ragged)])
    if flat.storage_offset() % 8:
        flat = flat.clone()
    numbers = flat.view(torch.int64)
    ramp = torch.arange(min(len(numbers), _CHUNK), device=flat.device) * 2 + 1
    total = 0
    for index, chunk in enumerate(torch.split(numbers, _CHUNK)):
        total = hash((total, index, int((chunk * ramp[: len(chunk)]).sum())))
    return str(total)
