"""Which step a number belongs to, and how it gets there: at once, with the next read-back, or with the next step."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from ..rules.engine.signals import GRAD_NORM, LOSS, UPDATE_RATIO, Signal
from .readback import Label, Readback, Row
from .telling import Telling

if TYPE_CHECKING:
    from ..session import Session

_ALARMING = (LOSS.name, GRAD_NORM.name)
"""Signals whose NaNs and infinities are judged at once."""


class Measuring(Telling):
    """The readings of a run: each is of a step, and a step is a round in which every optimizer steps once."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.readback = Readback(self._write, self._write_row)
        self._stepped: set[int] = set()
        """Optimizers that have stepped in the round that is under way, by their keys."""
        self._deferred: list[tuple[Signal, str, float | torch.Tensor]] = []

    @property
    def done(self) -> int:
        """Optimizer steps done, a round that may still go on included."""
        return self.step + (1 if self._stepped else 0)

    @property
    def last_step(self) -> int:
        """The step that was completed last; what is known of an epoch is written at it."""
        return max(0, self.done - 1)

    def measure(self, signal: Signal, subject: str, value: float | torch.Tensor) -> None:
        """Writes a number at this step; one that is on a device is read back later, together with others."""
        if isinstance(value, torch.Tensor):
            self.readback.add([Label(signal.name, subject, self.step)], value)
        else:
            self._write(signal.name, subject, self.step, value)

    def measure_in_round(self, signal: Signal, value: float | torch.Tensor) -> None:
        """Writes a number that belongs to the next step of an optimizer.

        When some optimizers of a round have stepped, that may be this round's or the next one's: the next step tells.
        """
        if self._stepped:
            self._deferred.append((signal, "", value if isinstance(value, float) else value.detach().clone()))
        elif type(value) is float and value - value == 0.0:  # finite; the way of nearly every loss
            self.journal.reading(signal.name, "", self.step, value)
        else:
            self.measure(signal, "", value)

    def measure_row(self, row: Row, values: torch.Tensor) -> None:
        """Writes one number for each subject of a row at this step, as `measure` does."""
        self.readback.add_row(row, self.step, values)

    def _write_row(self, row: Row, step: int, values: list[float]) -> None:
        total = sum(values)
        if total - total == 0.0:  # all are finite
            self.journal.readings(row.tags(self.journal.tag), step, values)
        else:
            for subject, value in zip(row.subjects, values, strict=True):
                self._write(row.signal, subject, step, value)

    def _write(self, signal: str, subject: str, step: int, value: float) -> None:
        if not math.isfinite(value):
            if signal == UPDATE_RATIO.name:
                return  # of a weight of zero: there is no ratio
            self.journal.reading(signal, subject, step, value)
            if signal in _ALARMING:
                self.session.judging.at_once(self.done)
        else:
            self.journal.reading(signal, subject, step, value)

    def _tell_deferred(self) -> None:
        deferred, self._deferred = self._deferred, []
        for signal, subject, value in deferred:
            self.measure(signal, subject, value)
