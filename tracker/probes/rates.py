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
        self._seen: dict[int, list[Any]] = {}
        """The rates as last seen, by the number of the optimizer: for nearly every step, all there is to do."""
        self._rates: dict[str, float] = {}

    def after_step(self, optimizer: Any, owned: Any) -> None:
        rates = [group.get("lr") for group in optimizer.param_groups]
        number = owned.number
        if self._seen.get(number) == rates and not any(isinstance(rate, torch.Tensor) for rate in rates):
            return
        self._seen[number] = rates
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
