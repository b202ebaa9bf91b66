"""In the script's process: whatever the conductor needs to hear of, from the import of torch on."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch.utils.data import dataloader

from ...patching import Patches, leave_no_frame
from .conductor import Conductor
from .guarding import guard_torch_save

_conductor: Conductor | None = None


def arm(plan: dict[str, Any]) -> None:
    """torch is loaded in the script's process: whatever a drill needs to hear is heard from here on."""
    global _conductor
    _conductor = Conductor(plan)
    _patches.use()
    _hear_of_steps()
    guard_torch_save(torch, str(plan["original"]))


def _hear_of_steps() -> None:
    """Each class of optimizers has its `step` wrapped by torch when its first one is made: from now on by us as well.

    Not by a hook: between two iterations drills take hooks away, and the one that is running would be among them.
    """
    original = torch.optim.Optimizer.profile_hook_step

    def profile_hook_step(step: Any) -> Any:
        hooked = original(step)

        @functools.wraps(hooked)
        def stepped(optimizer: Any, *args: Any, **kwargs: Any) -> Any:
            result = hooked(optimizer, *args, **kwargs)
            if _conductor is not None:
                _conductor.stepped(optimizer)
            return result

        return stepped

    torch.optim.Optimizer.profile_hook_step = staticmethod(profile_hook_step)  # type: ignore[assignment]


def begun(session: Any) -> None:
    """The script's training has begun."""
    if _conductor is not None:
        _conductor.begun(session)


def _install() -> None:
    def next_batch(original: Any) -> Any:
        def observed(iterator: Any) -> Any:
            conductor = _conductor
            if conductor is None or torch.utils.data.get_worker_info() is not None:
                return original(iterator)
            batch = conductor.batch(iterator)
            if batch is NotImplemented:
                try:
                    batch = original(iterator)
                except BaseException as error:
                    leave_no_frame(error)
                    raise
                conductor.drawn(iterator, batch)
            return batch

        return observed

    def backward(original: Any) -> Any:
        def observed(tensors: Any, *args: Any, **kwargs: Any) -> Any:
            if _conductor is not None:
                _conductor.backward(tensors)
            return original(tensors, *args, **kwargs)

        return observed

    def scale(original: Any) -> Any:
        def observed(scaler: Any, outputs: Any) -> Any:
            scaled = original(scaler, outputs)
            if _conductor is not None:
                _conductor.scaled(outputs, scaled)
            return scaled

        return observed

    _patches.replace(dataloader._BaseDataLoaderIter, "__next__", next_batch)
    _patches.replace(torch.autograd, "backward", backward)
    _patches.replace(torch.amp.GradScaler, "scale", scale)


_patches = Patches(_install)
