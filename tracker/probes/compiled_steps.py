"""Steps of which no hook is told, as a compiled function makes them."""

from __future__ import annotations

import sys
from typing import Any

import torch

from .optimizers import Optimizers


class CompiledSteps:
    """Finds out whether compiled functions have made steps of a run, which begins now."""

    def __init__(self) -> None:
        self._before = _compiled()

    def told_by(self, entries: Optimizers) -> str | None:
        """What the optimizers tell of steps that were not seen, in words; None where there were none."""
        for entry in entries:
            optimizer = entry.ref()
            state: Any = next(iter(optimizer.state.values()), {}) if optimizer is not None else {}
            count = state.get("step") if isinstance(state, dict) else None
            if isinstance(count, torch.Tensor):
                count = count.item() if count.is_cpu and count.numel() == 1 else None
            if isinstance(count, (int, float)) and count > (seen := entry.steps + entry.start):
                return f"{count - seen:g} steps of an optimizer were made out of sight, in a compiled function."
        if not entries and _compiled() != self._before:
            return "The script compiles functions, and no step was seen: the whole step is compiled."
        return None


def _compiled() -> int:
    """Graphs that were compiled in this process so far."""
    return int(torch._dynamo.utils.counters["stats"]["unique_graphs"]) if "torch._dynamo" in sys.modules else 0
