"""Where one epoch ends and the next begins, told from what the training does.

Sources, in order; the first that yields a boundary is kept for the run:

1. `told`: `run.epoch()` or `for epoch in run.epochs(n)`.
2. `loader`: the training loader starts again. A loader counts as the training loader when its batch was the last one
   drawn, with gradients enabled, before a backward or a step; a validation loader never is. The epoch ends when
   training starts again, so its validation belongs to it.
3. `metric`: a metric was logged after at least two optimizer steps, in a run without a loader.
4. `steps`: every `STEPS` optimizer steps, in a run with neither.
"""

from __future__ import annotations

from collections.abc import Callable

STEPS = 100
"""Optimizer steps that make an epoch where nothing else tells one."""

_SEVERAL = 2
"""Steps that must lie between two values of a metric before it can mean an epoch: logging each step does not."""


class EpochClock:
    """Decides, at each training activity, whether a new epoch has begun."""

    def __init__(self) -> None:
        self.source: str | None = None
        self.epoch = 0
        """Number of the epoch that is running, 0-based."""
        self.first_step = 0
        """The step at which the running epoch began."""
        self._loaders: dict[int, tuple[int, Callable[[], object]]] = {}
        self.drawn: tuple[int, int, Callable[[], object]] | None = None
        """The batch that was drawn last, until training goes on with it: see `note_batch`."""
        self.has_loaders = False
        """True once a batch was trained on: from then on only a batch, `drawn`, can open an epoch."""
        self.logged_at: int | None = None
        """The step of a metric that was logged since, and that may mean an epoch."""
        self._last_logged = 0

    def note_batch(self, loader: int, iterator: int, running: Callable[[], object] = bool) -> None:
        """A batch was drawn: `loader` identifies the data, `iterator` one pass over it.

        `running()` is None once that pass is over for good: a weak reference to the iterator.
        """
        self.drawn = (loader, iterator, running)

    def note_metric(self, step: int) -> None:
        """The user logged a metric after `step` optimizer steps."""
        if step - max(self._last_logged, self.first_step) >= _SEVERAL:
            self.logged_at = step
        self._last_logged = step

    def is_boundary(self, step: int) -> bool:
        """True when the training activity that is about to be step `step` opens a new epoch."""
        found = None
        if self.drawn is not None:
            loader, iterator, running = self.drawn
            known = self._loaders.get(loader)
            if known is not None and known[0] == iterator:
                self.drawn = None
                return False
            self.has_loaders = True
            if known is not None:
                is_new = known[0] != iterator
            else:
                # Data made anew for each epoch: it takes the place of a pass that is over, and joins one that is not.
                is_new = bool(self._loaders) and all(before() is None for _, before in self._loaders.values())
            self._loaders[loader] = (iterator, running)
            self.drawn = None
            if is_new and step > self.first_step:
                self._loaders = {loader: (iterator, running)}
                found = "loader"
        elif not self._loaders:
            if self.logged_at is not None:
                found = "metric"
            elif self.source in (None, "steps") and step - self.first_step >= STEPS:
                found = "steps"
        if found is None or self.source not in (None, found):
            return False
        self.source = found
        return True

    def advance(self, step: int) -> None:
        """The running epoch is over; the next begins at `step`."""
        self.epoch += 1
        self.first_step = step
        self.logged_at = None
