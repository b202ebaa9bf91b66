"""The first sign of a training in a process that nobody has told us of: then a run begins, and the triggers are gone.

An optimizer is made, a data loader gives its first batch, or a backward pass runs; whichever comes first. A process
that another one has started, by fork or with multiprocessing, may be a helper that loads data: there only a backward
pass counts, or any of the three once it is one rank of several.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import torch
from torch.utils.data import dataloader

from .. import active
from ..patching import Patches, leave_no_frame

_begin: Callable[[FrameType], None] | None = None
_pid = os.getpid()


def arm(begin: Callable[[FrameType], None]) -> None:
    """Has `begin(frame)` called once, at the first sign of a training, with the frame that gives it."""
    global _begin
    if _begin is None:
        _begin = begin
        _patches.use()


def disarm() -> None:
    """Takes the triggers away."""
    global _begin
    if _begin is not None:
        _begin = None
        _patches.release()


def _sign(is_backward: bool, frame: FrameType) -> None:
    begin = _begin
    if begin is None or torch.compiler.is_compiling() or not (is_backward or _may_lead()):
        return
    if torch.utils.data.get_worker_info() is not None:
        return
    disarm()
    if active.current() is None:
        begin(frame)


def _may_lead() -> bool:
    """Whether this process is no helper of another: data-loader workers and pools are children that never train."""
    multiprocessing: Any = sys.modules.get("multiprocessing.process")
    is_child = os.getpid() != _pid or (multiprocessing is not None and multiprocessing.parent_process() is not None)
    distributed: Any = getattr(torch, "distributed", None)
    return not is_child or bool(distributed and distributed.is_available() and distributed.is_initialized())


def _watch(is_backward: bool) -> Callable[[Any], Any]:
    def wrap(original: Any) -> Any:
        def observed(*args: Any, **kwargs: Any) -> Any:
            if _begin is not None:
                _sign(is_backward, sys._getframe(1))
            try:
                return original(*args, **kwargs)
            except BaseException as error:
                leave_no_frame(error)
                raise

        return observed

    return wrap


def _make() -> None:
    _patches.replace(torch.optim.Optimizer, "__init__", _watch(False))
    _patches.replace(dataloader._BaseDataLoaderIter, "__next__", _watch(False))
    _patches.replace(torch.autograd, "backward", _watch(True))


_patches = Patches(_make)
