"""Numbers that were sent home from a device, and are read once they are there."""

from __future__ import annotations

import torch


class Sent:
    """A tensor on its way to the CPU; one that is there already is taken as it is.

    A GPU copies it into pinned memory when it gets to it, so that nobody waits.
    """

    def __init__(self, values: torch.Tensor) -> None:
        self._event: torch.cuda.Event | None = None
        self._values = values
        if values.is_cuda:
            self._values = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
            with torch.cuda.device(values.device):
                self._values.copy_(values, non_blocking=True)
                self._event = torch.cuda.Event()  # type: ignore[no-untyped-call]
                self._event.record()

    @property
    def is_there(self) -> bool:
        """Whether reading it would not wait."""
        return self._event is None or bool(self._event.query())  # type: ignore[no-untyped-call]

    def read(self) -> torch.Tensor:
        """The tensor, on the CPU; waits for the device."""
        if self._event is not None:
            self._event.synchronize()
        return self._values if self._values.is_cpu else self._values.cpu()
