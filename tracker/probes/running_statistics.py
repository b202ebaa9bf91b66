"""Reads the statistics that norm layers keep of the batches, and finds the layers that do not count any."""

from __future__ import annotations

import math
import weakref
from typing import TYPE_CHECKING, Any

import torch

from ..rules.engine.signals import NORM_MEAN, NORM_VAR_HIGH, NORM_VAR_LOW
from .anatomy import is_norm
from .models import Model
from .parameters import is_real
from .readback import Label

if TYPE_CHECKING:
    from .training import Training

MOST_NORMS = 256
"""Norm layers of a model whose statistics are read."""

_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


class RunningStatistics:
    """Writes the readings `norm/...`: see `modules.Modules`."""

    def __init__(self, training: Training) -> None:
        self._training = training
        self._known: weakref.WeakKeyDictionary[Model, _Counters] = weakref.WeakKeyDictionary()

    def static_of(self, model: Model) -> set[str]:
        """Names of the norm layers in training mode whose counter of batches stood still."""
        known = self._known.get(model)
        return known.static if known is not None else set()

    def read(self, model: Model) -> None:
        """A training pass of the model is over: writes the statistics of its norm layers."""
        norms = [(name, part) for name, part in model.parts() if is_norm(part)][:MOST_NORMS]
        if not norms:
            return
        known = self._known.get(model)
        if known is None:
            known = self._known[model] = _Counters()
        groups: dict[tuple[torch.device, torch.dtype], list[tuple[str, Any, Any]]] = {}
        for name, norm in norms:
            buffers = norm.__dict__["_buffers"]
            mean, variance, tracked = (buffers.get(what) for what in _STATISTICS)
            # The version of a tensor counts the changes to it: reading its value would wait for the device.
            version = -1 if tracked is None else tracked._version
            if tracked is not None and norm.training and known.counted.get(name) == version:
                known.static.add(name)
            else:
                known.static.discard(name)
            known.counted[name] = version
            if all(s is not None and s.is_floating_point() and s.numel() and is_real(s) for s in (mean, variance)):
                groups.setdefault((mean.device, mean.dtype), []).append((name, mean, variance))
        step = self._training.step
        with torch.no_grad():
            for group in groups.values():
                means = [mean.detach() for _, mean, _ in group]
                variances = [variance.detach() for _, _, variance in group]
                subjects = [model.subject(name) for name, _, _ in group]
                for signal, tensors, order in (
                    (NORM_MEAN, means, math.inf), (NORM_VAR_LOW, variances, -math.inf),
                    (NORM_VAR_HIGH, variances, math.inf),
                ):  # fmt: skip
                    values = torch.stack(torch._foreach_norm(tensors, order))
                    self._training.readback.add([Label(signal.name, s, step) for s in subjects], values)


class _Counters:
    """The counters of one model's norm layers."""

    def __init__(self) -> None:
        self.counted: dict[str, int] = {}
        """Version of each."""
        self.static: set[str] = set()
        """Layers whose counter stood still."""
