"""What is in sight of a training loop: the models and optimizers among the user's variables, and what they hold."""

from __future__ import annotations

import weakref
from collections.abc import Container, Iterable
from types import FrameType
from typing import Any, NamedTuple

import torch

from ..frames import objects_in
from .models import parameters_of
from .models import walk as modules_in

_MOST = 200
"""Models, and optimizers, that are noted at most."""
_MOST_ITEMS = 1000
_OWN_KEYS = frozenset(torch.nn.Module().__dict__)

Named = list[tuple[str, torch.Tensor]]


class Sight:
    """Models and optimizers, by the names of their variables; keeps none of them alive."""

    def __init__(self) -> None:
        self._called: list[weakref.ref[torch.nn.Module]] = []
        self._models: dict[str, weakref.ref[torch.nn.Module]] = {}
        self._optimizers: list[weakref.ref[torch.optim.Optimizer]] = []

    def note(self, model: torch.nn.Module) -> None:
        """Notes a model that was called, under the name of its class unless its variable is known."""
        if len(self._called) < _MOST and not any(ref() is model for ref in self._called):
            self._called.append(weakref.ref(model))

    def look(self, frame: FrameType | None) -> None:
        """Notes what is in the user's variables around `frame`."""
        for variable, thing in objects_in(frame, (torch.nn.Module, torch.optim.Optimizer)).items():
            if isinstance(thing, torch.nn.Module):
                if len(self._models) < _MOST or variable in self._models:
                    self._models[variable] = weakref.ref(thing)
            elif not any(ref() is thing for ref in self._optimizers) and len(self._optimizers) < _MOST:
                self._optimizers.append(weakref.ref(thing))

    @property
    def optimizers(self) -> list[torch.optim.Optimizer]:
        """The optimizers that live, whether they have stepped or not."""
        return [optimizer for ref in self._optimizers if (optimizer := ref()) is not None]

    def survey(self, wanted: Iterable[int] = ()) -> Survey:
        """What the models that live hold now; parts they do not know are looked for if any of `wanted` is missing."""
        found = [(type(model).__name__, model) for ref in self._called if (model := ref()) is not None]
        found += [(name, model) for name, ref in self._models.items() if (model := ref()) is not None]
        alive = {id(model): (name, list(modules_in(model))) for name, model in found}
        parts = {id(part) for _, inside in alive.values() for path, part in inside if path}
        roots = [one for key, one in alive.items() if key not in parts]
        holding = [(name, inside, held) for name, inside in roots if (held := _held(inside))]
        if len(holding) == 1:
            holding = [("", *holding[0][1:])]  # a single model needs no name
        found_in = Survey([[(_joined(variable, name), p) for name, p in held] for variable, _, held in holding], [])
        if not found_in.parameters().issuperset(wanted):
            for variable, inside, _ in holding:
                found_in.unregistered.extend((_joined(variable, name), p) for name, p in _unregistered(inside))
        return found_in


class Survey(NamedTuple):
    """What models hold: those that are in no other one, and have parameters. It keeps them alive."""

    models: list[Named]
    """Name and parameter of all that each model holds."""
    unregistered: Named
    """What a model keeps in plain attributes, lists and dictionaries, and does not know as its own."""

    def parameters(self) -> set[int]:
        """All parameters of the models, by `id`."""
        return {id(p) for held in self.models for _, p in held}

    def names(self) -> dict[int, str]:
        """Names of all parameters, by `id`."""
        found = {id(p): name for name, p in self.unregistered}
        return found | {id(p): name for held in self.models for name, p in held}

    def others(self, known: Container[int]) -> list[str]:
        """Trainable parameters of models that have some in `known` (by `id`), which are not themselves in it."""
        found: list[str] = []
        for held in self.models:
            if any(id(p) in known for _, p in held):
                found += [name for name, p in held if p.requires_grad and id(p) not in known]
        return found


def _joined(*parts: str) -> str:
    return ".".join(part for part in parts if part)


def _held(inside: list[tuple[str, torch.nn.Module]]) -> Named:
    """Name and parameter of all modules, each once; the user's own `named_parameters` is not called."""
    once: dict[int, tuple[str, torch.Tensor]] = {}
    for path, module in inside:
        for name, parameter in parameters_of(module).items():
            once.setdefault(id(parameter), (_joined(path, name), parameter))
    return list(once.values())


def _unregistered(inside: list[tuple[str, torch.nn.Module]]) -> Named:
    found: Named = []
    for path, module in inside:
        for attribute, value in list(vars(module).items()):
            if attribute in _OWN_KEYS:
                continue
            if _is_trained(value):
                found.append((_joined(path, attribute), value))
            if not isinstance(value, (list, tuple, dict)) or len(value) > _MOST_ITEMS:
                continue
            items = dict.items(value) if isinstance(value, dict) else enumerate(value)
            for key, part in list(items):
                if _is_trained(part):
                    found.append((_joined(path, f"{attribute}[{key!r}]"), part))
                elif isinstance(part, torch.nn.Module):
                    place = _joined(path, f"{attribute}[{key!r}]")
                    found += [(_joined(place, name), p) for name, p in _held(list(modules_in(part)))]
    return found


def _is_trained(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.is_leaf and value.requires_grad
