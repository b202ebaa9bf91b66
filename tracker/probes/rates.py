"""Reads the learning rate of each parameter group whenever it has changed."""

from __future__ import annotations

import math
from typing import Any

import torch

from ..rules.engine.signals import LR
from .probe import Probe


class Rates(Probe):
    """The rate each step was made with; read behind the step, ahead of the scheduler."""

    name = "schedule"
    every_step = frozenset({"after_step"})

    def __init__(self, training: Any) -> None:
        super().__init__(training)
        self._seen: dict[int, list[Any] | None] = {}
        """The rates as last seen, by the number of the optimizer; of one with a tensor among them, nothing."""
        self._rates: dict[str, float] = {}

    def begin_another(self) -> None:
        self._seen.clear()
        self._rates.clear()

    def after_step(self, optimizer: Any, owned: Any) -> None:
        number, groups = owned.number, optimizer.param_groups
        seen = self._seen.get(number)
        # The very same objects, for nearly every step: then this is all there is to do.
        if seen is not None and len(seen) == len(groups):
            for index, rate in enumerate(seen):
                if groups[index].get("lr") is not rate:
                    break
            else:
                return
        rates = [group.get("lr") for group in groups]
        self._seen[number] = None if any(isinstance(rate, torch.Tensor) for rate in rates) else rates
        for index, rate in enumerate(rates):
            if rate is None:
                continue
            if isinstance(rate, torch.Tensor) and rate.device.type != "cpu" and not self.training.close:
                continue
            value = float(rate)
            subject = f"{number}/{index}" if number else str(index)
            if self._rates.get(subject, math.nan) != value:
                self._rates[subject] = value
                self.journal.reading(LR.name, subject, self.training.step, value)
