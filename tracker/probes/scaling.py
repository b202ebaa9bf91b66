"""The losses that a gradient scaler multiplies, and the steps it leaves out."""

from __future__ import annotations

import weakref
from typing import Any

import torch


class ScaledLosses:
    """Finds the loss that a scaler multiplied ahead of a backward."""

    def __init__(self) -> None:
        self.pairs: list[tuple[weakref.ref[torch.Tensor], torch.Tensor]] = []
        """The latest scaled losses, each with what was scaled."""

    def note(self, scaled: torch.Tensor, loss: torch.Tensor) -> None:
        """A scaler made `scaled` of `loss`."""
        self.pairs = [*self.pairs[-3:], (weakref.ref(scaled), loss.detach())]

    def unscaled(self, tensor: torch.Tensor) -> torch.Tensor:
        """The loss that was multiplied to get `tensor`; the tensor itself when none was."""
        return next((plain for ref, plain in reversed(self.pairs) if ref() is tensor), tensor)


def is_skipped(optimizer: Any) -> bool:
    """True when a scaler has found that this fused optimizer's gradients are not finite: it will change nothing."""
    found = getattr(optimizer, "found_inf", None)
    return isinstance(found, torch.Tensor) and found.is_cpu and float(found) > 0.0
