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


class Readback:
    """Takes labelled numbers, and gives them to `write` in the order in which they were taken, per device."""

    def __init__(self, write: Callable[[str, str, int, float], None]) -> None:
        """`write(signal, subject, step, value)` is called for each number once it is known."""
        self._write = write
        self._labels: list[Label] = []
        self._parts: list[torch.Tensor] = []
        self._under_way: list[tuple[list[Label], torch.Tensor, torch.cuda.Event]] = []

    def add(self, labels: Sequence[Label], values: torch.Tensor) -> None:
        """Takes a vector (n,) of numbers, or a single one of shape (), with a label for each."""
        values = values.detach().reshape(-1)
        if values.device.type == "cpu":
            for label, value in zip(labels, values.tolist(), strict=True):
                self._write(*label, value)
            return
        if self._parts and self._parts[0].device != values.device:
            self._send()
        # A copy: what is handed in may be written to before the window is full.
        self._parts.append(values.to(torch.float32, copy=True))
        self._labels += labels
        if len(self._labels) >= WINDOW:
            self._send()
        if self._under_way:
            self._collect(wait=False)

    def flush(self) -> None:
        """Writes everything that was taken; waits for the devices."""
        self._send()
        self._collect(wait=True)

    def _send(self) -> None:
        labels, parts = self._labels, self._parts
        self._labels, self._parts = [], []
        if not parts:
            return
        values = torch.cat(parts)
        if values.device.type != "cuda":
            for label, value in zip(labels, values.tolist(), strict=True):
                self._write(*label, value)
            return
        host = torch.empty(len(labels), dtype=torch.float32, pin_memory=True)
        with torch.cuda.device(values.device):
            host.copy_(values, non_blocking=True)
            event = torch.cuda.Event()  # type: ignore[no-untyped-call]
            event.record()
        self._under_way.append((labels, host, event))

    def _collect(self, wait: bool) -> None:
        while self._under_way:
            labels, host, event = self._under_way[0]
            if wait:
                event.synchronize()
            elif not event.query():  # type: ignore[no-untyped-call]
                return
            del self._under_way[0]
            for label, value in zip(labels, host.tolist(), strict=True):
                self._write(*label, value)
