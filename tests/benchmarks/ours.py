"""Observing as a condition of the benchmark: a run of ours that is switched on for a block and off behind it.

The one place of the benchmarks that reaches into the observer.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any

from torch.nn.modules import module as modules

from tests.benchmarks.measuring import Condition, process_seconds
from tracker import Run, active, judging, track
from tracker.probes import hooks, moments, sampling
from tracker.sidecar import pace

CLOSE = 4
"""Records more than usual that tell a step that was looked at closely, or after which the rules were asked."""

CONNECTED = 25.0
"""Seconds in which the sidecar must have reached its store."""

_MODULE_HOOKS: list[Any] = [
    modules._global_forward_pre_hooks,
    modules._global_forward_hooks,
    modules._global_forward_hooks_with_kwargs,
    modules._global_forward_hooks_always_called,
]
"""Where a run puts its hooks, under negative numbers."""


class Observed(Condition):
    """A run that is paused outside its blocks: no hooks, no session, and for the governor the time stands still."""

    def __init__(self, name: str, step: Callable[[], object], observe: str, epoch: int) -> None:
        """`observe` is the setting; an epoch has `epoch` steps."""
        super().__init__(name, step)
        self.run = Run(name, settings={"wait_seconds": 0, "observe": observe}, quiet=True)
        self._block = track(self.run)
        self._block.__enter__()
        assert self.run._session is not None
        self.session: Any = self.run._session
        self._kind: Hashable = ""
        self._after = False
        self._offset = 0
        self._paused: float | None = None
        self._taken: list[dict[int, Any]] = []
        self._entered = time.process_time()
        self._seconds = 0.0
        self._used = 0.0
        self._epoch = epoch
        self._done = 0
        self.epochs: list[float] = []
        """CPU time of each end of an epoch, in seconds."""
        self.sidecar: int | None = None

    # -- blocks ----------------------------------------------------------------------------------------------------

    def enter(self) -> None:
        if self._paused is None:
            return
        now = time.perf_counter()
        gone, self._paused = now - self._paused, None
        governor, judge, session = self.session.training.governor, self.session.judging, self.session
        governor._started += gone
        judge._began += gone
        judge._at += gone
        session._epoch_began += gone
        active.enter(session)
        hooks.install()
        for of, taken in zip(_MODULE_HOOKS, self._taken, strict=True):
            of.update(taken)
        self._entered = time.process_time()

    def leave(self) -> None:
        if self._done >= self._epoch:
            self._end_epoch()
        self._seconds += time.process_time() - self._entered
        hooks.uninstall()
        # With a step that is to be looked at closely up next, there are hooks on all modules.
        self._taken = [{key: of.pop(key) for key in list(of) if key < 0} for of in _MODULE_HOOKS]
        active.leave(self.session)
        self._paused = time.perf_counter()

    def before(self) -> None:
        self._offset = self.session.journal._offset
        self._done += 1

    def kind(self) -> Hashable:
        """By the records a step wrote: the usual few, or many, or the step after one that wrote many."""
        records = (self.session.journal._offset - self._offset) // 24
        after, self._after = self._after, records > CLOSE
        return f"close {records.bit_length()}" if self._after else "after" if after else "plain"

    # -- a run -----------------------------------------------------------------------------------------------------

    def settle(self, seconds: float, steps: int, is_steady: bool = True) -> None:
        """Trains until the denser beginning is over, and the sampling has found its rate; `is_steady`: also that of
        the sidecar, which is in more of a hurry at first."""
        began = time.perf_counter()
        for _ in range(2 * sampling.DENSE):
            self.step()
        # From here on it is judged as a run that has long used up what a beginning may cost in all.
        sampling.ALLOWANCE = judging.FREE_SECONDS = moments.ALLOWANCE = 0.0
        governor = self.session.training.governor
        governor.begin(self.session.step)
        governor.spent = 0.0
        self.session.judging._began, self.session.judging._spent = time.perf_counter(), 0.0
        done = 0
        while time.perf_counter() - began < seconds or done < steps:
            self.step()
            done += 1
        while time.perf_counter() - began < CONNECTED and self.session.rundir.state.get("store") != "ok":
            self.step()
        connected = time.perf_counter()
        while is_steady and time.perf_counter() - connected < pace.FIRST_SECONDS + 2.0:
            self.step()

    def watch_sidecar(self) -> None:
        """Finds the sidecar."""
        self.sidecar = sidecar_of(self.session.rundir.path)

    def stretch(self, seconds: float) -> None:
        """Ends the epoch, and trains without a pause: what the sidecar uses is counted here.

        It keeps to a share of the wall time, of which the blocks are a small part.
        """
        self.enter()
        self._end_epoch()
        self._seconds, self._entered = 0.0, time.process_time()
        self._used = process_seconds(self.sidecar) if self.sidecar is not None else 0.0
        began = time.perf_counter()
        while time.perf_counter() - began < seconds:
            self.step()
            self._done += 1
        self.leave()

    def _end_epoch(self) -> None:
        began = time.process_time()
        self.run.epoch()
        self.epochs.append(time.process_time() - began)
        self._done = 0

    @property
    def sidecar_share(self) -> float:
        """CPU time of the sidecar over that of this process in the latest `stretch`.

        It is not compared with anything, and CPU time is hardly disturbed by others: no pairs.
        """
        if self.sidecar is None or self._seconds <= 0:
            return 0.0
        return (process_seconds(self.sidecar) - self._used) / self._seconds

    def figures(self) -> dict[str, float]:
        """What the run itself says of its cost."""
        governor = self.session.training.governor
        return {"own_share": governor.share, "every": governor.every}

    def close(self) -> None:
        """Ends the run."""
        self.enter()
        self._block.__exit__(None, None, None)


def sidecar_of(folder: Path) -> int | None:
    """Process id of the sidecar that works on a run's folder."""
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                command = (process / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if os.fsencode(folder) in command and any(part.endswith(b"_sidecar_main.py") for part in command):
                return int(process.name)
    return None
