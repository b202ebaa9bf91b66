"""Modules that are called with gradients switched off, and never with them."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import torch

from .models import parameters_of, walk

_MOST = 16
_MOST_NAMES = 50


class Ungraphed:
    """What was called without gradients, and which of it no loss has reached."""

    def __init__(self) -> None:
        self._called: dict[int, tuple[weakref.ref[Any], int]] = {}
        """Modules, each with the number of changes in place to its parameters at its first call."""

    def note(self, module: Any) -> bool:
        """A module was called from outside without gradients; returns whether that is new."""
        known = self._called.get(id(module))
        if (known is not None and known[0]() is module) or len(self._called) >= _MOST:
            return False
        self._called[id(module)] = (weakref.ref(module), _changes(module))
        return True

    def told(self, unreached: Mapping[int, str], reached: Iterable[torch.Tensor]) -> list[str]:
        """Names of the modules of which all trained parameters are in `unreached`, by `id`.

        A target network is called so too, but it is a copy of what is trained, or its weights are changed from outside.
        """
        shapes = Counter(tuple(p.shape) for p in reached)
        found: list[str] = []
        for ref, changes in self._called.values():
            module = ref()
            if module is None:
                continue
            own = {
                id(p): (f"{name}.{key}" if name else key, p)
                for name, part in walk(module)
                for key, p in parameters_of(part).items()
                if p.requires_grad
            }
            is_copy = not Counter(tuple(p.shape) for _, p in own.values()) - shapes
            if not own or not own.keys() <= unreached.keys() or is_copy or _changes(module) != changes:
                continue
            # As the optimizer's parameters are called: `items.0.weight` of `0.weight` is in `items`.
            found += {unreached[key].removesuffix(local).rstrip(".") for key, (local, _) in own.items()}
        return [name for name in sorted(set(found)) if name][:_MOST_NAMES]


def _changes(module: Any) -> int:
    return sum(p._version for _, part in walk(module) for p in parameters_of(part).values() if not p.is_inference())
