"""Chooses the moments at which something large is kept, so that a run of any length has a few dozen of them."""

from __future__ import annotations

import math
from time import perf_counter

EACH = 16
"""First moments that are kept one by one."""

GROWTH = 1.25
"""Factor by which the count has to grow from one kept moment to the next, behind those: 40 are kept of 3,400."""

SPARSE, FAST = 40, 2.0
"""Kept moments behind which the factor is larger: 50 are kept of three million."""

STEPS_LONGER, FIRST_STEPS = 1.5, 16
"""Within an epoch a moment is kept where its step is this many times the last one, from this step on."""

SHARE, ALLOWANCE = 0.002, 0.05
"""Share of the time that moments may take, and seconds that they may beside that: they are what a short run has."""

WARM_UP = 0.25
"""Part of what the first moment costs that a later one is taken to cost: much is done for the first time in it."""


class Moments:
    """Which of the moments 0, 1, 2 ... are kept: all at first, then ever fewer."""

    def __init__(self) -> None:
        self.kept = 0
        self._next = 0

    def is_due(self, at: int) -> bool:
        """Whether moment `at` is to be kept: it may still be that there is nothing to keep."""
        return at >= self._next

    def note(self, at: int) -> None:
        """Moment `at` was kept."""
        self.kept += 1
        self._next = max(at + 1, math.ceil(at * self.factor))

    @property
    def factor(self) -> float:
        """How many times as many moments there will be at the next one that is kept, about."""
        return 1.0 if self.kept < EACH else GROWTH if self.kept < SPARSE else FAST


class Schedule:
    """The steps of a run that are kept: of each epoch one at first, then ever fewer, as far as there is time for them.

    In a long epoch there are further ones, at steps that are ever further apart.
    """

    def __init__(self) -> None:
        self.spent = 0.0
        """Seconds spent on moments so far: of the thread, not of the clock, as on a busy machine a moment would
        otherwise seem dear for being put off. It is for the caller to add to."""
        self.latest = -1
        """Step of the last moment of this training; -1 before there is one."""
        self._epochs = Moments()
        self._first_epoch = 0
        self._began = perf_counter()
        self._before = 0.0
        self._cost: float | None = None
        """Seconds that the last moment took."""

    def is_due(self, step: int, epoch: int) -> bool:
        """Whether step `step`, in the run's epoch `epoch`, is to be kept."""
        self._before = self.spent
        if self._cost is None:
            return True
        longer = max(STEPS_LONGER, self._epochs.factor) * self.latest
        is_first = self.latest < 0
        if not is_first and not self._epochs.is_due(self._number(epoch)) and step < max(FIRST_STEPS, longer):
            return False
        return self.spent + self._cost <= ALLOWANCE + SHARE * (perf_counter() - self._began)

    def note(self, step: int, epoch: int) -> None:
        """The step that was due has been kept."""
        self._epochs.note(self._number(epoch))
        self.latest = step
        cost = self.spent - self._before
        if self._cost is None:
            cost = self.spent = WARM_UP * cost
        self._cost = cost

    def begin_another(self, epoch: int) -> None:
        """Another model is trained from the run's epoch `epoch` on."""
        self._epochs, self._first_epoch, self.latest = Moments(), epoch, -1

    def _number(self, epoch: int) -> int:
        return max(0, epoch - self._first_epoch)
