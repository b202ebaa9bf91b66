"""The order in which layers are called, and where the graph between them is cut."""

from __future__ import annotations

import weakref
from typing import Any

import torch

from ..rules.engine.records import Json
from .models import Model, parameters_of, tensors_in

_MOST = 200


class Calls:
    """The first call of each layer with parameters, over all models of a training step.

    `graphed`: its result hangs on a graph, as that of a trained layer does unless gradients are switched off. `bare`:
    it was given floating-point tensors, and none of them hangs on a graph: those of the batch, or what a `detach` left.
    `dropped`, of batch normalisation only: the share that the dropout left out whose output it was given as it is.
    """

    def __init__(self) -> None:
        self._n = 0
        self._dropped: tuple[weakref.ref[torch.Tensor], float] | None = None
        """The output of the latest dropout, and its share."""
        self._seen: weakref.WeakKeyDictionary[Model, dict[str, dict[str, Json]]] = weakref.WeakKeyDictionary()

    def note(self, model: Model, name: str, module: Any, given: tuple[Any, ...], output: Any) -> None:
        """A module was called."""
        if isinstance(module, torch.nn.modules.dropout._DropoutNd):
            is_at_work = module.training and isinstance(output, torch.Tensor) and 0 < module.p < 1
            self._dropped = (weakref.ref(output), float(module.p)) if is_at_work else None
            return
        known = self._seen.setdefault(model, {})
        if name in known or len(known) >= _MOST or not any(p.requires_grad for p in parameters_of(module).values()):
            return
        floating = [t for t in tensors_in(given) if t.is_floating_point()]
        self._n += 1
        known[name] = {
            "at": self._n,
            "bare": bool(floating) and not any(t.requires_grad for t in floating),
            "graphed": any(t.requires_grad for t in tensors_in(output)),
        }
        if self._dropped is not None and given and isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            result, share = self._dropped
            if given[0] is result():
                known[name]["dropped"] = share

    def of(self, model: Model) -> dict[str, dict[str, Json]]:
        """By the name of the layer: `at`, the number of its first call, `bare` and `graphed`."""
        return self._seen.get(model, {})
