"""Reads the weights a training begins with: their spread, and whether the units of a layer are all alike."""

from __future__ import annotations

from typing import Any

import torch

from ..rules.engine.records import Json
from .parameters import is_real
from .probe import Probe

MOST_WEIGHTS = 200
"""Weights that are described; of more, the first."""

MOST_ELEMENTS = 1 << 20
"""Elements of a weight that are looked at: of a larger one every n-th row is, in whole (about 1 ms per million)."""

_FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


class Initialisation(Probe):
    """What the weights were ahead of the first step of each optimizer.

    Fact `initialisation`, told with the first step of each optimizer: the list of the trained weights with
    two dimensions or more, in the optimizer's order, at most `MOST_WEIGHTS`, each::

        {"name", "shape", "fan_in": numbers that make one output, "std", "mean", "low", "high",
         "zero": all are 0, "constant": all are the same number, "same_rows": each unit has the weights of every other}

    Units are the rows. A device is waited for once, ahead of the first step of the optimizer.
    """

    name = "initialisation"

    def __init__(self, training: Any) -> None:
        super().__init__(training)
        self._known: dict[str, Json] = {}
        self._seen: set[int] = set()

    def before_step(self, optimizer: Any, owned: Any) -> None:
        if owned.number in self._seen:
            return
        self._seen.add(owned.number)
        with torch.no_grad(), torch._C.DisableTorchFunction():
            chosen = [
                (name, parameter.detach())
                for name, parameter in owned.items()
                if name not in self._known and parameter.requires_grad and _is_readable(parameter)
            ]
            del chosen[max(0, MOST_WEIGHTS - len(self._known)) :]
            for (name, weight), measured in zip(chosen, _measured([weight for _, weight in chosen]), strict=True):
                self._known[name] = _described(name, weight, measured)
        if self._known:
            self.training.fact("initialisation", list(self._known.values()))

    def begin_another(self) -> None:
        self._known = {}


def _is_readable(parameter: torch.Tensor) -> bool:
    return (
        is_real(parameter)
        and type(parameter) in (torch.Tensor, torch.nn.Parameter)
        and parameter.dim() > 1
        and parameter.numel() > 1
        and parameter.layout is torch.strided
        and parameter.dtype in _FLOATS
    )


def _measured(weights: list[torch.Tensor]) -> list[list[float]]:
    """Of each weight: standard deviation, mean, smallest, largest, and 1 where all rows are alike.

    A device is waited for once: its numbers come back together.
    """
    by_device: dict[torch.device, list[int]] = {}
    for place, weight in enumerate(weights):
        by_device.setdefault(weight.device, []).append(place)
    found: dict[int, list[float]] = {}
    for places in by_device.values():
        numbers = torch.stack([_numbers(weights[place]) for place in places]).tolist()
        found.update(zip(places, numbers, strict=True))
    return [found[place] for place in range(len(weights))]


def _numbers(weight: torch.Tensor) -> torch.Tensor:
    rows = weight.reshape(weight.shape[0], -1)
    stride = min(-(-rows.numel() // MOST_ELEMENTS), max(1, rows.shape[0] // 2))
    some = rows[::stride].float()
    low, high = some.aminmax()
    variance, mean = torch.var_mean(some, correction=0)
    return torch.stack([variance.sqrt(), mean, low, high, (some == some[:1]).all().float()])


def _described(name: str, weight: torch.Tensor, measured: list[float]) -> Json:
    std, mean, low, high, are_alike = measured
    return {
        "name": name,
        "shape": [int(n) for n in weight.shape],
        "fan_in": weight.numel() // weight.shape[0],
        "std": std,
        "mean": mean,
        "low": low,
        "high": high,
        "zero": low == 0 == high,
        "constant": low == high,
        "same_rows": weight.shape[0] > 1 and are_alike == 1,
    }
