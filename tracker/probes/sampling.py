"""Keeps the cost of looking closely within its budget.

Some steps are looked at closely (gradients, weights, updates of each parameter), the others only for their loss. The
first `DENSE` steps are always looked at, then every n-th. What a close look costs is measured, and what all other steps
and the ends of epochs cost: n is chosen so that both together stay within what a step may cost, and what was overspent
is paid back. n is ten times a power of two, or `MAX_EVERY`: a sampling that gets thinner goes on with steps of the
denser one.
"""

from __future__ import annotations

import math
from collections import deque
from time import perf_counter

DENSE = 10
"""First steps that are all looked at closely: most faults of set-up show there."""

FEW, MOST_ANEW = 3, 20
"""First steps of a further training that are looked at whatever was spent so far, and trainings of a run that get
them: otherwise what is said of a further one would be the facts of the one before."""

FIRST_EVERY = 10
MAX_EVERY = 1000
ALLOWANCE, SHORT = 2.0, 60.0
"""Seconds that may be spent above the share in all, and length of the beginning (seconds) in which they may be."""

_SHARES = ((0.045, 0.01), (0.002, 0.02), (0.0, 0.05))
"""(seconds a step takes at least, share of it that may be spent): 1 % of long steps, 5 % of tiny ones."""

LEAST, TINY = 50e-6, 0.002
"""Seconds that may be spent in a step whatever its share is, where a step takes less than `TINY` seconds."""

BESIDE = 25e-6
"""Seconds a step takes longer without the clock seeing it: the way into the hooks, and what they push out of caches.

What `make bench` finds beyond the observer's own figure on a step of 1.7 ms: 4.6 % against 2.9 %.
"""

RESERVE = 0.8
"""Part of the budget that is planned with: the rest is for what is not foreseen, and for the process that uploads."""

_FULL = 3.0
_LIGHT = 0.3
_LOOKS = 8
"""Close looks whose costs are remembered; the dearest quarter does not count: an epoch may have ended there."""
_FASTEST = 4
"""Most by which the sampling gets thinner at a time: it is not asked again before the next close look."""
_SLACK = 0.8
"""The sampling gets denser when it would be within this part of what may be spent: it does not go back and forth."""


class Governor:
    """Decides which steps are looked at closely, and measures what that costs."""

    def __init__(self, observe: str = "standard") -> None:
        """`observe` is `light`, `standard` or `full`: 0.3, 1 or 3 times the budget."""
        self.every = FIRST_EVERY
        self.spent = 0.0
        """Seconds spent in probes so far."""
        self._factor = {"light": _LIGHT, "full": _FULL}.get(observe, 1.0)
        self._allowed_share = _SHARES[0][1] * self._factor
        self._started: float | None = None
        self._first_step = 0
        self._dense_until = DENSE
        self._anew = 0
        self._all_from = math.inf
        self._steps = 0
        """Steps until the last look."""
        self._looks: deque[float] = deque(maxlen=_LOOKS)
        self._looked = 0
        self._spent_looking = self._spent_before = 0.0

    def is_close(self, step: int) -> bool:
        """True when step `step` is to be looked at closely."""
        return step < self._dense_until or step % self.every == 0 or step >= self._all_from

    def look_from(self, step: int) -> None:
        """From here on every step is looked at closely, whatever it costs: the run is done again to be looked at."""
        self._all_from = step

    def next_close(self, step: int) -> int:
        """The first step after `step` that is to be looked at closely, as things are now."""
        if step + 1 < self._dense_until or step + 1 >= self._all_from:
            return step + 1
        return int(min(step + self.every - step % self.every, self._all_from))

    def begin(self, step: int) -> None:
        """The first step begins now: what went before is not training time."""
        self._started = perf_counter()
        self.spent = self._spent_looking = self._spent_before = 0.0
        self._looked = self._steps = 0
        self._first_step = step

    def look_again(self, step: int) -> None:
        """Another model is trained from `step` on: its first steps are looked at, all `DENSE` where there is room."""
        self._looks.clear()
        self._anew += 1
        if self.has_room:
            self._dense_until = step + DENSE
        elif self._anew <= MOST_ANEW:
            self._dense_until = step + FEW

    def is_over(self, spent: float, was_close: bool) -> None:
        """A step is over, `spent` seconds were spent so far, and the next one begins: told around each close look."""
        if was_close:
            look = spent - self._spent_before
            self._looks.append(look)
            self._looked += 1
            self._spent_looking += look
        self._spent_before = spent

    @property
    def share(self) -> float:
        """Share of the training's wall time that observing took, 0 to 1: what was measured, and what no clock sees."""
        if self._started is None:
            return 0.0
        return (self.spent + BESIDE * self._steps) / max(perf_counter() - self._started, 1e-9)

    @property
    def has_room(self) -> bool:
        """Whether less was spent so far than may be, by the time a step took until the last closely watched one."""
        if self._started is None:
            return True
        elapsed = perf_counter() - self._started
        return self.spent <= self._allowed_share * elapsed + (ALLOWANCE if elapsed < SHORT else 0.0)

    def adjust(self, step: int) -> bool:
        """Plans the sampling from `step` on, which is to be looked at closely; True when it has changed."""
        if self._started is None or step < DENSE or step % self.every or step <= self._first_step:
            return False
        elapsed, steps = perf_counter() - self._started, step - self._first_step
        self._steps = steps
        per_step = max(1e-9, (elapsed - self.spent) / steps)
        allowed = self._allowed(per_step)
        self._allowed_share = allowed / per_step
        before = self.every
        overspent = self.spent - self._allowed_share * elapsed - (ALLOWANCE if elapsed < SHORT else 0.0)
        if elapsed >= SHORT or overspent > 0.0 or before != FIRST_EVERY:
            self._plan(RESERVE * allowed, max(0.0, overspent) / steps, steps)
        return self.every != before

    def _allowed(self, per_step: float) -> float:
        """Seconds that a step may cost which takes `per_step` seconds without us."""
        share = next(share for least, share in _SHARES if per_step >= least)
        least = LEAST if per_step < TINY else 0.0
        return max(share * per_step, least) * self._factor

    def _plan(self, allowed: float, debt: float, steps: int) -> None:
        """Chooses `every`: what is left of `allowed` seconds a step, once all else is paid, is for close looks.

        `debt` is what was spent too much, in seconds a step so far: it is paid back in as many steps, from at most
        three quarters of what is allowed.
        """
        looks = sorted(self._looks)
        looks = looks[: len(looks) - len(looks) // 4]
        look = sum(looks) / max(1, len(looks))
        beside = (self.spent - self._spent_looking) / max(1, steps - self._looked) + BESIDE
        room = max(allowed - debt, allowed / 4) - beside
        wanted = look / room if room > 0.0 else math.inf
        if wanted > self.every:
            self.every = _rounded(min(wanted, _FASTEST * self.every))
        elif wanted < self.every:
            self.every = min(self.every, _rounded(wanted / _SLACK))


def _rounded(every: float) -> int:
    """The next ten times a power of two that is not below `every`; `MAX_EVERY` at most."""
    found = FIRST_EVERY
    while found < min(every, MAX_EVERY):
        found *= 2
    return min(found, MAX_EVERY)
