"""What goes on around a forward pass: who calls, and what of torch's is at work."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import FrameType

import torch

_FRAMES = 60
_TAP_MODULES = {f"{__name__.rpartition('.')[0]}.{name}" for name in ("passes", "telling", "training", "hooks")}


def frames(frame: FrameType | None) -> Iterator[FrameType]:
    """`frame` and those around it, from the inside out, up to a depth."""
    for _ in range(_FRAMES):
        if frame is None:
            return
        yield frame
        frame = frame.f_back


def caller_of_tap() -> FrameType | None:
    """The frame that called a tapped function: the first that is not on the way from there to the probe."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__") in _TAP_MODULES:
        frame = frame.f_back
    return frame


def something_is_compiled() -> bool:
    """Whether `torch.compile` was used before we could hear of it."""
    dynamo = sys.modules.get("torch._dynamo.eval_frame")
    backends = getattr(dynamo, "cached_backends", {})
    # None stands for `torch._disable_dynamo`, which optimizers use.
    return bool(backends) and any(backend is not None for backend in list(backends.values()))


def is_special() -> bool:
    """Whether this is no plain forward pass, or one in which what we compute would be noticed."""
    c = torch._C
    return bool(
        torch.compiler.is_compiling()
        or c._get_tracing_state() is not None
        or c._functorch.peek_interpreter_stack() is not None
        or c._len_torch_dispatch_stack() > 0
        or c._current_graph_task_id() != -1
        or (torch.cuda._initialized and torch.cuda.is_current_stream_capturing())
    )
