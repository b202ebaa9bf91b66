"""Numbers on their way from a device to the journal: they come back together, and nobody waits for them.

On the CPU a number is there at once. On a device, what probes hand in is queued where it is; a full window is copied
into pinned memory by the device's own stream, and read once the copy is done: a step later, or at the end of an epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch

WINDOW = 256
"""Numbers that are copied together."""


class Label(NamedTuple):
    """What a number is: signal, subject, and the step it was measured at."""

    signal: str
    subject: str
    step: int


class Row:
    """Numbers of one signal, one for each of several subjects, that are measured together again and again."""

    __slots__ = ("_tags", "signal", "subjects")

    def __init__(self, signal: str, subjects: Sequence[str]) -> None:
        self.signal = signal
        self.subjects = subjects
        self._tags: list[int] | None = None

    def tags(self, tag: Callable[[str, str], int]) -> list[int]:
        """What `tag(signal, subject)` says of each subject; it is asked once."""
        if self._tags is None:
            self._tags = [tag(self.signal, subject) for subject in self.subjects]
        return self._tags


class _Part(NamedTuple):
    """Numbers that were taken together: what they are, the step of a row, and how many."""

    what: Row | Sequence[Label]
    step: int
    n: int


class Readback:
    """Takes labelled numbers, and gives them to `write` in the order in which they were taken, per device."""

    def __init__(
        self,
        write: Callable[[str, str, int, float], None],
        write_row: Callable[[Row, int, list[float]], None] | None = None,
    ) -> None:
        """`write(signal, subject, step, value)` is called for each number once it is known.

        `write_row(row, step, values)` is called for those that were taken as a row; without it, `write` is.
        """
        self._write = write
        self._write_row = write_row or self._write_one_by_one
        self._queue: list[_Part] = []
        self._values: list[torch.Tensor] = []
        self._waiting = 0
        self._under_way: list[tuple[list[_Part], torch.Tensor, torch.cuda.Event]] = []

    def add(self, labels: Sequence[Label], values: torch.Tensor) -> None:
        """Takes a vector (n,) of numbers, or a single one of shape (), with a label for each."""
        values = values.detach().reshape(-1)
        if values.is_cpu:
            for label, value in zip(labels, values.tolist(), strict=True):
                self._write(*label, value)
        else:
            self._take(_Part(labels, 0, len(labels)), values)

    def add_row(self, row: Row, step: int, values: torch.Tensor) -> None:
        """Takes a vector (n,) of numbers, one for each subject of `row`."""
        values = values.detach()
        if values.is_cpu:
            self._write_row(row, step, values.tolist())
        else:
            self._take(_Part(row, step, len(row.subjects)), values)

    def flush(self) -> None:
        """Writes everything that was taken; waits for the devices."""
        self._send()
        self._collect(wait=True)

    def _take(self, part: _Part, values: torch.Tensor) -> None:
        if self._values and self._values[0].device != values.device:
            self._send()
        # A copy: what is handed in may be written to before the window is full.
        self._values.append(values.to(torch.float32, copy=True))
        self._queue.append(part)
        self._waiting += part.n
        if self._waiting >= WINDOW:
            self._send()
        if self._under_way:
            self._collect(wait=False)

    def _send(self) -> None:
        queue, parts, n = self._queue, self._values, self._waiting
        self._queue, self._values, self._waiting = [], [], 0
        if not parts:
            return
        values = torch.cat(parts)
        if values.device.type != "cuda":
            self._deliver(queue, values.tolist())
            return
        host = torch.empty(n, dtype=torch.float32, pin_memory=True)
        with torch.cuda.device(values.device):
            host.copy_(values, non_blocking=True)
            event = torch.cuda.Event()  # type: ignore[no-untyped-call]
            event.record()
        self._under_way.append((queue, host, event))

    def _collect(self, wait: bool) -> None:
        while self._under_way:
            queue, host, event = self._under_way[0]
            if wait:
                event.synchronize()
            elif not event.query():  # type: ignore[no-untyped-call]
                return
            del self._under_way[0]
            self._deliver(queue, host.tolist())

    def _deliver(self, queue: list[_Part], values: list[float]) -> None:
        at = 0
        for part in queue:
            some = values[at : at + part.n]
            at += part.n
            if isinstance(part.what, Row):
                self._write_row(part.what, part.step, some)
            else:
                for label, value in zip(part.what, some, strict=True):
                    self._write(*label, value)

    def _write_one_by_one(self, row: Row, step: int, values: list[float]) -> None:
        for subject, value in zip(row.subjects, values, strict=True):
            self._write(row.signal, subject, step, value)
