"""Where the time and the memory go: waiting for data, the longest step, memory in use."""

from __future__ import annotations

import os
import sys
from time import perf_counter, time
from typing import Any

import torch

from .. import stalls
from ..rules.engine.records import STALLED, Json
from ..rules.engine.signals import MEMORY, STEP_SECONDS_LONGEST, WAIT_DATA
from .probe import Probe, Tap

_LOADER = "torch.utils.data.dataloader"
_BETWEEN = 0.2
"""Seconds between two looks at the memory: one costs about 10 us, and epochs may last a millisecond."""
_KIB = 1024


class System(Probe):
    """Waiting, memory and the longest step, one reading of each an epoch.

    WAIT_DATA is the share of the time from the epoch's first training batch to its last step in which a loader was
    waited for, with gradients on; what else a loop does between two batches is not waiting. An epoch without a loader
    has none. MEMORY is the resident set of the process (`process`) and what tensors hold on CUDA devices (`cuda`), at
    the end of the epoch, at most every `_BETWEEN` seconds. STEP_SECONDS_LONGEST is the longest time between the ends of
    two steps with no epoch, evaluation or close look in between.

    Event `stalled`: nothing was heard of the training, neither a step nor a batch, for far longer than ever before; its
    form: `records.STALLED`. It is told once the training goes on, or is interrupted.

    Fact `determinism`, at the end: `{"cuda": whether a GPU was in use, "deterministic_algorithms", "cudnn_benchmark":
    what was set then}`, the latter two with a GPU only.
    """

    name = "system"
    every_step = frozenset({"end_step"})
    is_unheard = True
    taps = (
        Tap(f"{_LOADER}:_SingleProcessDataLoaderIter", "_next_data", before="wait", after="waited"),
        Tap(f"{_LOADER}:_MultiProcessingDataLoaderIter", "_next_data", before="wait", after="waited"),
    )

    def __init__(self, training: Any) -> None:
        super().__init__(training)
        self._statm = _open_statm()
        self._looked = -_BETWEEN
        self._asked = self._waited = 0.0
        self._began = 0.0
        """When the epoch's first batch was asked for."""
        self._ahead = self._ahead_since = 0.0
        """Waiting since the last step, and when it began: an epoch is over once the next one has drawn a batch."""
        self._step_ended = 0.0
        self._longest = 0.0
        self._heard = self._quiet = 0.0
        """When the training gave its last sign of life, a step or a batch, and the longest time between two of them."""
        self._is_waiting = False
        """Whether a loader was asked for a batch, and has not given it."""
        self._is_alone = False
        """Whether the time since the last step's end is that of one step, and of nothing else."""

    def wait(self, args: Any, kwargs: Any) -> None:
        """A loader is asked for a batch."""
        now = perf_counter()
        if now - self._heard > self._quiet:
            self._note_silence(now, self.training.last_step)
        self._heard, self._is_waiting = now, True
        if not torch.is_grad_enabled():
            self._asked, self._is_alone = 0.0, False
            return
        self._asked = now
        self._ahead_since = self._ahead_since or now

    def waited(self, args: Any, kwargs: Any, result: Any) -> None:
        """It gave one."""
        now = perf_counter()
        if now - self._heard > self._quiet:
            self._note_silence(now, self.training.last_step, "loader")
        self._heard, self._is_waiting = now, False
        if self._asked:
            self._ahead += now - self._asked
            self._asked = 0.0

    def end_step(self) -> None:
        now = perf_counter()
        if now - self._heard > self._quiet:
            self._note_silence(now, self.training.last_step - 1)
        self._heard = now
        # A close look takes a while, and the step behind one begins with its rest.
        is_close = self.training.close
        if self._is_alone and not is_close and now - self._step_ended > self._longest:
            self._longest = now - self._step_ended
        self._step_ended, self._is_alone = now, not is_close
        if self._ahead_since:
            self._began = self._began or self._ahead_since
            self._waited += self._ahead
            self._ahead = self._ahead_since = 0.0

    def _note_silence(self, now: float, step: int, where: str = "", went_on: bool = True) -> None:
        """The longest silence so far is over, which began behind `step`: an event, if the run counts as stalled."""
        if not self._heard:
            return  # this is the first sign
        seconds, longest, self._quiet = now - self._heard, self._quiet, now - self._heard
        if seconds > stalls.bar(0.0, longest):  # the pace is asked for only then: that takes a while
            pace = stalls.pace_of(self.journal.path)._replace(step=step)
            if seconds > stalls.bar(pace.step_seconds or 0.0, longest):
                data = stalls.described(pace, time() - seconds, seconds, longest, went_on, where)
                self.journal.event(STALLED, step, data)

    def interrupted(self) -> None:
        """The run is ended by an exception or an interruption, before anything else is written of its end."""
        now = perf_counter()
        if now - self._heard > self._quiet:
            self._note_silence(now, self.training.last_step, "loader" if self._is_waiting else "", went_on=False)

    def end_epoch(self) -> None:
        step = self.training.last_step
        if self._began and self._step_ended > self._began:
            share = min(1.0, self._waited / (self._step_ended - self._began))
            self.journal.reading(WAIT_DATA.name, "", step, share)
        if self._longest:
            self.journal.reading(STEP_SECONDS_LONGEST.name, "", step, self._longest)
        if perf_counter() - self._looked >= _BETWEEN:
            self._look(step)
        self._waited = self._began = self._longest = 0.0
        self._is_alone = False

    def _look(self, step: int) -> None:
        self._looked = perf_counter()
        resident = self._resident()
        if resident:
            self.journal.reading(MEMORY.name, "process", step, float(resident))
        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            held = sum(torch.cuda.memory_allocated(number) for number in range(torch.cuda.device_count()))
            self.journal.reading(MEMORY.name, "cuda", step, float(held))

    def _resident(self) -> int:
        """Bytes of this process in memory, now; where the system does not tell, the most so far."""
        if self._statm is not None:
            return int(os.pread(self._statm, 128, 0).split()[1]) * os.sysconf("SC_PAGE_SIZE")
        try:
            import resource
        except ImportError:  # not on Windows
            return 0
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * _KIB

    def finish(self) -> None:
        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            chosen: dict[str, Json] = {
                "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
                "cudnn_benchmark": bool(torch.backends.cudnn.benchmark),
            }
            self.training.fact("determinism", {"cuda": True, **chosen})
        else:
            self.training.fact("determinism", {"cuda": False})

    def release(self) -> None:
        if self._statm is not None:
            os.close(self._statm)
            self._statm = None


def _open_statm() -> int | None:
    try:
        return os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
