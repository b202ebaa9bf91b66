"""What belongs to a model: everything that can change and is reached from it.

Followed are modules, optimizers, containers, the user's own objects, and what functions close over. Not followed are
objects of libraries, whose insides are theirs, and everything of ours: a drill keeps what it has seen. Below a loader
or a dataset only what is small is looked at: the data itself is no state.
"""

from __future__ import annotations

import argparse
import functools
import sys
import types
import weakref
from collections import UserDict, UserList, deque
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from . import attributes, containers, generators
from .arrays import ArrayPart
from .part import ATOMS, Part, is_ours, origin
from .tensors import TensorPart

MOST = 200_000
"""Things that are looked into. More are no state of a model, but data that hangs on it."""

LARGE, MANY = 1 << 12, 1 << 10
"""Bytes, and items, from which something below a loader is data."""

_LIBRARIES = sys.stdlib_module_names | {
    *("torch", "numpy", "pandas", "pyarrow", "scipy", "PIL", "matplotlib", "mlflow", "pydantic", "rich", "tqdm"),
    *("lightning", "lightning_fabric", "pytorch_lightning", "accelerate", "deepspeed", "ignite", "fastai", "ray"),
    *("wandb", "tensorboard", "tensorboardX", "comet_ml", "neptune", "clearml", "aim", "IPython", "pytest", "_pytest"),
}
_FOLLOWED = (
    torch.nn.Module,
    torch.optim.Optimizer,
    torch.optim.lr_scheduler.LRScheduler,
    torch.amp.grad_scaler.GradScaler,
    DataLoader,
    Dataset,
    Sampler,
    UserDict,
    UserList,
    types.SimpleNamespace,
    argparse.Namespace,
)
"""Classes that are followed although a library has defined them, or one derived from them."""

_PARTS: tuple[tuple[tuple[type, ...], type[Part]], ...] = (
    ((torch.Tensor,), TensorPart),
    ((torch.jit.ScriptModule,), attributes.ScriptPart),
    ((dict,), containers.DictPart),
    ((list,), containers.ListPart),
    ((set,), containers.SetPart),
    ((deque,), containers.DequePart),
    ((bytearray,), containers.BytesPart),
    ((types.CellType,), attributes.CellPart),
    ((tuple, frozenset, types.MethodType, types.FunctionType, functools.partial), attributes.FixedPart),
)


class Reached:
    """Things, each once, in the order in which they were met."""

    def __init__(self) -> None:
        self.things: list[Any] = []
        self.kinds: list[tuple[type[Part], ...]] = []
        """By thing, the parts that it has."""
        self._from: list[int] = []
        self._keys: list[str] = []
        self._light: list[bool] = []

    def name(self, index: int) -> str:
        """The way to a thing: `model.0.weight`."""
        keys: list[str] = []
        while index >= 0:
            keys.append(self._keys[index])
            index = self._from[index]
        return ".".join(key for key in reversed(keys) if key not in ("_parameters", "_buffers", "_modules"))

    @property
    def tensors(self) -> list[torch.Tensor]:
        """The tensors among them."""
        return [one for one, kinds in zip(self.things, self.kinds, strict=True) if TensorPart in kinds]

    def follow(self, roots: Iterable[tuple[str, Any]]) -> None:
        """Adds the roots and everything they lead to. Subclasses of tensors are not asked while this goes on."""
        seen: set[int] = set()
        known: dict[type, tuple[type[Part], ...]] = dict(_KNOWN)
        queue = deque((name, thing, -1, False) for name, thing in roots)
        while queue and len(self.things) < MOST:
            key, thing, parent, is_light = queue.popleft()
            if id(thing) in seen:
                continue
            kind = type(thing)
            parts = known.get(kind)
            if parts is None:
                parts = known[kind] = _KNOWN[kind] = tuple(_parts_of(kind))
            if not parts or not _is_users(thing) or (is_light and _is_large(thing)):
                continue
            seen.add(id(thing))
            at = len(self.things)
            self.things.append(thing)
            self.kinds.append(parts)
            self._from.append(parent)
            self._keys.append(key)
            is_light = is_light or isinstance(thing, (DataLoader, Dataset))
            for part in parts:
                for inner_key, inner in part.inner(thing):
                    queue.append((inner_key, inner, at, is_light))


_KNOWN: weakref.WeakKeyDictionary[type, tuple[type[Part], ...]] = weakref.WeakKeyDictionary()


def _parts_of(kind: type) -> Iterator[type[Part]]:
    """The parts that things of a class have."""
    if kind in ATOMS or issubclass(kind, (type, types.ModuleType)):
        return
    found = tuple(part for classes, part in _PARTS if issubclass(kind, classes))[:1]
    yield from found or generators.generator_parts(kind)
    if _is_array(kind):
        yield ArrayPart
    top = kind.__module__.partition(".")[0]
    is_users = top not in _LIBRARIES and not is_ours(kind.__module__)
    if is_users or issubclass(kind, _FOLLOWED) or issubclass(kind, torch.Tensor):
        yield attributes.AttributesPart


def _is_array(kind: type) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and issubclass(kind, numpy.ndarray)


def _is_users(thing: Any) -> bool:
    """False for a function, and what is bound to one, that is not the user's."""
    if not isinstance(thing, (types.FunctionType, types.MethodType, functools.partial)):
        return True
    module = origin(thing)
    return module.partition(".")[0] not in _LIBRARIES and not is_ours(module)


def _is_large(thing: Any) -> bool:
    if isinstance(thing, torch.Tensor):
        return thing.numel() * thing.element_size() >= LARGE
    size = getattr(thing, "nbytes", None)
    if isinstance(size, int):
        return size >= LARGE
    return isinstance(thing, (list, dict, set, tuple, deque)) and len(thing) >= MANY
