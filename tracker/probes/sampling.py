"""Keeps the cost of looking closely within its budget.

Some steps are looked at closely (gradients, weights, updates of each parameter), the others only for their loss. The
first `DENSE` steps are always looked at, then every n-th; n doubles when the tracker has used more than its share of
the run's time, and halves when it has used far less.
"""

from __future__ import annotations

from time import perf_counter

DENSE = 10
"""First steps that are all looked at closely: most faults of set-up show there."""

FIRST_EVERY = 10
MAX_EVERY = 1000
ALLOWANCE, SHORT = 2.0, 60.0
"""Seconds that may be spent above the share in all, and length of the beginning (seconds) in which they may be."""

_SHARES = ((0.045, 0.01), (0.002, 0.02), (0.0, 0.05))
"""(seconds a step takes at least, share of it that may be spent): 1 % of long steps, 5 % of tiny ones."""

_FULL = 3.0
_LIGHT = 0.3


class Governor:
    """Decides which steps are looked at closely, and measures what that costs."""

    def __init__(self, observe: str = "standard") -> None:
        """`observe` is `light`, `standard` or `full`: 0.3, 1 or 3 times the budget."""
        self.every = FIRST_EVERY
        self.spent = 0.0
        """Seconds spent in probes so far."""
        self._factor = {"light": _LIGHT, "full": _FULL}.get(observe, 1.0)
        self._started: float | None = None
        self._first_step = 0

    def is_close(self, step: int) -> bool:
        """True when step `step` is to be looked at closely."""
        return step < DENSE or step % self.every == 0

    def begin(self, step: int) -> None:
        """The first step begins now: what went before is not training time."""
        self._started = perf_counter()
        self.spent = 0.0
        self._first_step = step

    @property
    def share(self) -> float:
        """Share of the training's wall time that was spent in probes, 0 to 1."""
        if self._started is None:
            return 0.0
        return self.spent / max(perf_counter() - self._started, 1e-9)

    def adjust(self, step: int) -> bool:
        """Adapts the sampling after a closely watched step; True when it has changed."""
        if self._started is None or step < DENSE or step % self.every:
            return False
        elapsed = perf_counter() - self._started
        per_step = max(0.0, elapsed - self.spent) / max(1, step - self._first_step)
        share = next(share for least, share in _SHARES if per_step >= least) * self._factor
        allowed = share * elapsed
        before = self.every
        if self.spent > allowed + (ALLOWANCE if elapsed < SHORT else 0.0):
            self.every = min(2 * self.every, MAX_EVERY)
        elif self.spent < allowed / 2 and self.every > FIRST_EVERY:
            self.every //= 2
        return self.every != before
