"""Gradients, weights and updates of the parameters an optimizer owns."""

from __future__ import annotations

import hashlib
import weakref
from collections.abc import Iterable, Sequence
from types import FrameType
from typing import Any

import torch

from ..frames import objects_in

SNAPSHOT_BYTES = 256 << 20
"""Most that is copied to measure a step's true update; parameters beyond it are left out."""

DIGEST_BYTES = 64 << 20
"""Largest model whose weights are digested at each epoch; a larger one is digested at the end only."""


PLAIN = (torch.Tensor, torch.nn.Parameter)
"""Types of tensors without a behaviour of their own."""


def is_real(tensor: torch.Tensor) -> bool:
    """False for a tensor without values of its own: on the meta device, a fake one of a tracer, a wrapper, or freed.

    What a wrapper has to say goes through its `__torch_dispatch__`, which is the user's. Sharded ones can be asked;
    the whole parameter that they are put together to for a pass is freed behind it.
    """
    kind = type(tensor)
    if kind in PLAIN:
        return not tensor.is_meta and _has_storage(tensor)
    if kind.__torch_dispatch__ is not torch.Tensor.__torch_dispatch__ and not hasattr(kind, "to_local"):
        return False
    return not tensor.is_meta and getattr(tensor, "fake_mode", None) is None


def _has_storage(tensor: torch.Tensor) -> bool:
    if tensor.layout is not torch.strided or not tensor.numel():
        return True
    try:
        return tensor.untyped_storage().nbytes() > 0
    except NotImplementedError:  # of a function transform, such as vmap
        return False


def names_of(parameters: Iterable[torch.Tensor], frame: FrameType | None) -> dict[int, str]:
    """Names of parameters, by `id`, as the modules in the running frames call them.

    With several models the variable's name stands in front (`generator.fc.weight`). What no module holds is missing.
    """
    wanted = {id(parameter) for parameter in parameters}
    holders: list[tuple[str, dict[int, str]]] = []
    for variable, module in objects_in(frame, torch.nn.Module).items():
        held = {id(p): name for name, p in module.named_parameters() if id(p) in wanted}
        if held:
            holders.append((variable, held))
    # The largest first: a submodule that has a variable of its own must not rename its part of the model.
    holders.sort(key=lambda holder: -len(holder[1]))
    chosen: list[tuple[str, dict[int, str]]] = []
    named: set[int] = set()
    for variable, held in holders:
        fresh = {key: name for key, name in held.items() if key not in named}
        if fresh:
            chosen.append((variable, fresh))
            named.update(fresh)
    if len(chosen) == 1:
        return chosen[0][1]
    return {key: f"{variable}.{name}" for variable, held in chosen for key, name in held.items()}


def local(tensor: torch.Tensor) -> torch.Tensor:
    """The dense part of a tensor that is on this process."""
    if tensor.is_sparse:
        return tensor.coalesce()._values()  # one row of an embedding may be there several times
    to_local = getattr(tensor, "to_local", None)
    return to_local() if callable(to_local) else tensor


def digest(tensors: Iterable[tuple[str, torch.Tensor]]) -> str:
    """Digest of named tensors: name, dtype, shape and bytes of each, in the given order (BLAKE2b, 128 bits)."""
    hasher = hashlib.blake2b(digest_size=16)
    for name, tensor in tensors:
        plain = local(tensor.detach()).to("cpu").contiguous()
        hasher.update(f"{name}|{plain.dtype}|{tuple(plain.shape)}|".encode())
        hasher.update(plain.reshape(-1).view(torch.uint8).numpy().data if plain.numel() else b"")
    return hasher.hexdigest()


class Owned:
    """The parameters of one optimizer, named; holds none of them alive."""

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        frame: FrameType | None,
        number: int = 0,
        beside: Sequence[torch.optim.Optimizer] = (),
    ) -> None:
        """`number` counts the optimizers of the run; `beside` are further ones.

        Where those train another model, its variable becomes part of each name. A parameter that no module holds is
        called by its group and place: `group0.3`, with `optimizer1.` in front in the second optimizer.
        """
        self.number = number
        prefix = f"optimizer{number}." if number else ""
        found = [(g, i, p) for g, group in enumerate(optimizer.param_groups) for i, p in enumerate(group["params"])]
        others = [p for other in beside for group in other.param_groups for p in group["params"]]
        names = names_of([*(p for _, _, p in found), *others], frame)
        self._items = [(names.get(id(p), f"{prefix}group{g}.{i}"), weakref.ref(p)) for g, i, p in found]

        self._names = {id(p): name for (name, _), (_, _, p) in zip(self._items, found, strict=True)}

    def name_of(self, parameter: torch.Tensor) -> str | None:
        """The name of a parameter; None when the optimizer does not own it."""
        return self._names.get(id(parameter))

    def items(self) -> list[tuple[str, torch.Tensor]]:
        """(name, parameter) of every parameter that still lives, in the optimizer's order."""
        return [(name, parameter) for name, ref in self._items if (parameter := ref()) is not None]

    def is_whole(self) -> bool:
        """True while every parameter lives."""
        return all(ref() is not None for _, ref in self._items)

    def is_real(self) -> bool:
        """True when every parameter has values."""
        return all(is_real(parameter) for _, parameter in self.items())

    def holds(self, optimizer: torch.optim.Optimizer) -> bool:
        """True while the optimizer still has just these parameters."""
        now = [id(p) for group in optimizer.param_groups for p in group["params"]]
        return now == [id(ref()) for _, ref in self._items]

    def size(self) -> int:
        """Bytes of all living parameters."""
        return sum(p.numel() * p.element_size() for _, p in self.items())

    def describe(self) -> dict[str, Any]:
        """The fact `parameters`: shape, dtype and whether each is trained."""
        return {
            name: {"shape": list(p.shape), "dtype": str(p.dtype).removeprefix("torch."), "trainable": p.requires_grad}
            for name, p in self.items()
        }
