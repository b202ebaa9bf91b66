"""What is known of a model whose passes are observed: its modules and their names; nothing of it is kept alive."""

from __future__ import annotations

import dataclasses
import weakref
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING, Any

import torch

from ..frames import objects_in, user_frames, variables

if TYPE_CHECKING:
    from .training import Training

MOST_TENSORS = 64
_DEPTH = 4
_WRAPPERS = {
    "DistributedDataParallel": "module",
    "DataParallel": "module",
    "FullyShardedDataParallel": "_fsdp_wrapped_module",
    "DeepSpeedEngine": "module",
    "OptimizedModule": "_orig_mod",
}
"""Modules that only wrap a model, and where they keep it."""

_PLAIN = (torch.Tensor, torch.nn.Parameter)


def tensors_in(value: Any, depth: int = 0) -> Iterator[torch.Tensor]:
    """Plain tensors in an output or input of any nesting, `MOST_TENSORS` in a container; calls no code of the user's.

    Tensors of a subclass are passed over: whatever is done to them would go through their own code.
    """
    kind = type(value)
    if kind in _PLAIN:
        yield value
    elif depth < _DEPTH and not isinstance(value, (str, bytes, torch.Tensor, torch.nn.Module)):
        inner: Any = ()
        if isinstance(value, dict):
            inner = dict.values(value)
        elif isinstance(value, tuple):
            inner = tuple.__iter__(value)
        elif isinstance(value, list):
            inner = list.__iter__(value)
        elif dataclasses.is_dataclass(kind):
            inner = list(getattr(value, "__dict__", {}).values())
        for count, item in enumerate(inner):
            if count >= MOST_TENSORS:
                break
            yield from tensors_in(item, depth + 1)


def walk(module: Any) -> Iterator[tuple[str, Any]]:
    """(name, module) of a module and all in it, each once, in the order of `named_modules`; calls no user code."""
    seen: set[int] = set()
    waiting = [("", module)]
    while waiting:
        name, at = waiting.pop()
        if at is None or id(at) in seen:
            continue
        seen.add(id(at))
        yield name, at
        children = [(f"{name}.{key}" if name else key, child) for key, child in submodules(at).items()]
        waiting += reversed(children)


def submodules(module: Any) -> dict[str, Any]:
    """The registered submodules of a module."""
    found = module.__dict__.get("_modules")
    if isinstance(found, dict):
        return dict(found)
    # A scripted module keeps them elsewhere.
    return dict(module.named_children()) if isinstance(module, torch.jit.ScriptModule) else {}


def parameters_of(module: Any) -> dict[str, torch.Tensor]:
    """The parameters that a module itself holds, without those that are still to be given a shape."""
    found = module.__dict__.get("_parameters")
    if not isinstance(found, dict):
        found = dict(module.named_parameters(recurse=False)) if isinstance(module, torch.jit.ScriptModule) else {}
    return {name: p for name, p in found.items() if p is not None and not torch.nn.parameter.is_lazy(p)}


def has_parameters(module: Any) -> bool:
    """Whether the module, or one in it, holds a parameter."""
    return any(part.__dict__.get("_parameters") or parameters_of(part) for _, part in walk(module))


def topmost(names: list[str]) -> list[str]:
    """Names without those inside another of them; in the given order."""
    chosen = set(names)

    def is_inside(name: str) -> bool:
        while name:
            name = name.rpartition(".")[0]
            if name in chosen:
                return True
        return False

    return [name for name in names if not is_inside(name)]


def _is_called_by_forward(module: Any, frame: FrameType | None) -> bool:
    """Whether `frame`, or one around it, is the `forward` of a module that holds this one; `frame` called `module`."""
    for at in user_frames(frame):
        if at.f_code.co_name == "forward":
            around = variables(at).get("self")
            return isinstance(around, torch.nn.Module) and any(part is module for _, part in walk(around))
    return False


class Model:
    """A module that is called by itself, with parameters: what is known of it."""

    def __init__(self, module: Any, number: int, training: Training, frame: FrameType | None) -> None:
        """`number` counts the models of the run; the variables of `frame` and those around it may name the model."""
        self.number = number
        self.wrapper = ""
        """Class of what wraps the model, such as `DistributedDataParallel`."""
        self.passes = 0
        """Passes with gradients that were observed."""
        self.called: set[str] = set()
        """Names of the modules that were called in them."""
        self.is_stale = False
        """Whether a module was called that is not known: the model may have changed."""
        self.is_part = _is_called_by_forward(module, frame)
        """Whether it is only a part of a model whose method `forward` was called directly."""
        self._ref = weakref.ref(module)
        self._training = training
        self._names: dict[int, tuple[weakref.ref[Any], str]] = {}
        self._variable = next((n for n, o in objects_in(frame, torch.nn.Module).items() if o is module), "")
        self._prefix: str | None = None
        self._is_guess, self._guessed_at = True, 0
        self.read()

    @property
    def module(self) -> Any:
        """The module that is called; None once it is gone."""
        return self._ref()

    @property
    def core(self) -> Any:
        """The model itself, without what wraps it; None once it is gone."""
        module = self._ref()
        while module is not None and type(module).__name__ in _WRAPPERS:
            inner = submodules(module).get(_WRAPPERS[type(module).__name__])
            if inner is None:
                break
            module = inner
        return module

    def read(self) -> None:
        """Reads the names of all modules, again when the model has changed."""
        core, module = self.core, self.module
        self.is_stale = False
        self.wrapper = type(module).__name__ if core is not module else ""
        self._names = {id(part): (weakref.ref(part), name) for name, part in walk(core)} if core is not None else {}

    def parts(self) -> list[tuple[str, Any]]:
        """(name, module) of every module that still lives, itself under `''`, in the order of registration."""
        return [(name, part) for ref, name in self._names.values() if (part := ref()) is not None]

    def is_current(self) -> bool:
        """Whether the model has just the modules whose names are known."""
        core = self.core
        return core is not None and [id(part) for _, part in walk(core)] == list(self._names)

    def name_of(self, module: Any) -> str | None:
        """A module's name in the model; None for one that is not in it, such as a copy on another device."""
        entry = self._names.get(id(module))
        return entry[1] if entry is not None and entry[0]() is module else None

    @property
    def prefix(self) -> str:
        """What stands before the names of its modules, so that they begin as those of its parameters do.

        Empty where one model is trained, `generator.` where there are several, `encoder.` for a part that is called by
        itself. A model that no optimizer owns is called as its variable is, or its class.
        """
        owners = len(self._training.owned)
        if self._prefix is None or (self._is_guess and self._guessed_at != owners):
            found = self._owned_prefix()
            self._is_guess, self._guessed_at = found is None, owners
            if found is None:
                found = self._own_name() + "." if owners or self.number else ""
            self._prefix = found
        return self._prefix

    @property
    def label(self) -> str:
        """The model's name in facts and events: empty when there is one; the same with and without what wraps it."""
        return ".".join(part for part in self.prefix.split(".") if part and part not in _WRAPPERS.values())

    def subject(self, name: str) -> str:
        """The whole name of one of its modules."""
        return (self.prefix + name) if name else self.prefix.rstrip(".")

    def _own_name(self) -> str:
        core = self.core
        return self._variable or (type(core).__name__.lower() if core is not None else f"model{self.number}")

    def _owned_prefix(self) -> str | None:
        for name, part in self.parts():
            for key, parameter in parameters_of(part).items():
                whole = self._training.name_of(parameter)
                own = f"{name}.{key}" if name else key
                if whole is not None and f".{whole}".endswith(f".{own}"):
                    return whole[: len(whole) - len(own)]
        return None
