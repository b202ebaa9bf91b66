"""The state of the models that are trained: which tensors belong to it, and a digest of them.

It is what `state_dict()` would hold, parameters and persistent buffers, read where modules keep them: nothing of the
user's is called. What an optimizer owns and no module holds belongs to it as well. A copy of a model, such as one with
averaged weights, does not, unless it is trained too.
"""

from __future__ import annotations

import hashlib
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch

from .models import parameters_of, walk
from .parameters import is_real, local

WHOLE_BYTES = 1 << 30
"""Largest state of which every byte is digested at the end of a run."""

SOME_BYTES = 16 << 20
"""The same while the run goes on, and how much of a larger state is sampled: some 20 ms."""

_BLOCK = 64 << 10
"""Bytes of a block, where blocks are sampled."""

STATE, SAMPLED = "state", "sampled"
"""What stands before a digest, and a colon: of every byte, or of blocks. Only digests of one kind are compared."""

Item = tuple[str, torch.Tensor]


class State:
    """The tensors of all models that are trained, in canonical order; keeps none of them alive."""

    def __init__(self, gone: Callable[[], None]) -> None:
        """`gone` is called when a model is about to go, while its tensors are still there."""
        self._gone = gone
        self._roots: list[tuple[int, weakref.ref[Any]]] = []
        self._count = 0
        self._last: list[tuple[str, weakref.ref[torch.Tensor]]] = []
        """The tensors when they were read last: when a model goes, it cannot be asked for them any more."""

    def take_in(self, modules: Iterable[Any], owned: Sequence[Item]) -> None:
        """Adds those of the modules that hold a parameter to be trained; of one inside another, the outer one.

        Models that are gone by now are forgotten.
        """
        self._roots = [(number, ref) for number, ref in self._roots if ref() is not None]
        covered = {id(part) for _, ref in self._roots if (root := ref()) is not None for _, part in walk(root)}
        held = {id(parameter) for _, parameter in owned}
        found: list[Any] = []
        for module in modules:
            if id(module) in covered:
                continue
            own = [p for _, part in walk(module) for p in parameters_of(part).values()]
            if any(id(parameter) in held or parameter.requires_grad for parameter in own):
                found.append(module)
        inner = {id(part) for module in found for name, part in walk(module) if name}
        for module in found:
            if id(module) not in inner and id(module) not in covered:
                covered.add(id(module))
                self._roots.append((self._count, weakref.ref(module, self._forget)))
                self._count += 1

    def items(self, owned: Sequence[Item], parameters_only: bool = False) -> list[Item] | None:
        """Name and tensor of each, in canonical order; None once a model is gone, or a tensor has no values.

        A name begins with the number of its model, in the order in which they were taken in. `parameters_only` is for
        the moment ahead of the first step: the forward pass before it has moved running statistics already.
        """
        found: dict[int, Item] = {}
        for number, ref in self._roots:
            root = ref()
            if root is None:
                return None
            for name, tensor in sorted(_tensors_of(root, parameters_only), key=lambda item: item[0]):
                found.setdefault(id(tensor), (f"{number}.{name}", tensor))
        for name, tensor in owned:
            found.setdefault(id(tensor), (name, tensor))
        items = list(found.values())
        if not parameters_only:
            self._last = [(name, weakref.ref(tensor)) for name, tensor in items]
        return items if _have_values(items) else None

    def left(self) -> list[Item] | None:
        """The tensors as they were read last; None once one of them is gone."""
        items = [(name, tensor) for name, ref in self._last if (tensor := ref()) is not None]
        return items if len(items) == len(self._last) and _have_values(items) else None

    def _forget(self, ref: weakref.ref[Any]) -> None:
        if any(known is ref for _, known in self._roots):
            self._gone()


def _have_values(items: Sequence[Item]) -> bool:
    return bool(items) and all(is_real(tensor) and not tensor.is_quantized for _, tensor in items)


def _tensors_of(module: Any, parameters_only: bool) -> Iterator[Item]:
    for name, part in walk(module):
        head = f"{name}." if name else ""
        for key, parameter in parameters_of(part).items():
            yield head + key, parameter
        if parameters_only:
            continue
        held = part.__dict__.get("_buffers")
        passing: Any = part.__dict__.get("_non_persistent_buffers_set", ())
        if not isinstance(held, dict):
            held = dict(part.named_buffers(recurse=False)) if isinstance(part, torch.jit.ScriptModule) else {}
        for key, buffer in held.items():
            if isinstance(buffer, torch.Tensor) and key not in passing:
                yield head + key, buffer


def digest_of(items: Sequence[Item], most: int) -> str:
    """Digest (BLAKE2b, 128 bits) of name, dtype, shape and bytes of each tensor, in this order, and of what kind it is.

    `state:...` of every byte; with more than `most` bytes in all, `sampled:...` of blocks that are spread evenly over
    each tensor, as many as its share of the bytes allows and one at least.
    """
    with torch.no_grad(), torch._C.DisableTorchFunction():
        total = sum(tensor.numel() * tensor.element_size() for _, tensor in items)
        hasher = hashlib.blake2b(digest_size=16)
        on_devices: list[torch.Tensor] = []
        for name, tensor in items:
            plain = local(tensor.detach())
            hasher.update(f"{name}|{plain.dtype}|{tuple(plain.shape)}|".encode())
            for part in _parts(plain, most / total if total > most else 1.0):
                if part.is_cpu:
                    hasher.update(part.numpy().data)
                else:
                    on_devices.append(part)
        for parts in _by_device(on_devices):
            hasher.update(torch.cat(parts).cpu().numpy().data)  # one wait for all of them
    return f"{SAMPLED if total > most else STATE}:{hasher.hexdigest()}"


def _parts(tensor: torch.Tensor, share: float) -> Iterator[torch.Tensor]:
    """The bytes of a tensor (n,), or blocks of them."""
    if not tensor.numel():
        return
    flat = tensor.resolve_conj().resolve_neg().contiguous().reshape(-1).view(torch.uint8)
    n = len(flat)
    blocks = max(1, int(n * share / _BLOCK))
    if share >= 1.0 or n <= blocks * _BLOCK:
        yield flat
        return
    for number in range(blocks):
        start = (n - _BLOCK) * number // max(1, blocks - 1) if blocks > 1 else (n - _BLOCK) // 2
        yield flat[start : start + _BLOCK]


def _by_device(parts: Sequence[torch.Tensor]) -> Iterator[list[torch.Tensor]]:
    """Parts that are joined: of one device, and together no more than is easily spared there."""
    joined: list[torch.Tensor] = []
    n = 0
    for part in parts:
        if joined and (part.device != joined[0].device or n + len(part) > SOME_BYTES):
            yield joined
            joined, n = [], 0
        joined.append(part)
        n += len(part)
    if joined:
        yield joined
