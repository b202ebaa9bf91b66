"""Reads the norm that the script clips its gradients by, and the limit."""

from __future__ import annotations

import sys
from typing import Any

import torch

from ..frames import variables
from ..rules.engine.signals import CLIP_NORM
from .loop import Loop
from .probe import Probe, Tap

_WHERE = "torch.nn.utils.clip_grad"
_MOST_KINDS = 8
_MOST_A_STEP = 8
_MAX_DEPTH = 8
"""Frames between a grouping of tensors and the clipping that asked for it: ours, and `no_grad`'s."""

_IN_PARTS = hasattr(torch.nn.utils.clip_grad, "_clip_grads_with_norm_")
"""Since torch 2.6 the clip function calls others by name: they are heard of however early it was imported itself."""


class Clipping(Probe):
    """The total norm ahead of clipping, one reading for each call on a closely watched step, and the fact `clipping`.

    `clipping` is a list, one entry for each way of clipping, at most eight: `{"kind": "norm" | "value", "max_norm":
    limit or null, "varies": bool, "norm_type": 2.0, "before_unscale": bool}`. For `value` the limit is that of each
    element, and the type is null. A limit that `varies` is the one of the first call. `before_unscale`: the gradients
    still had a scaler's factor.
    """

    name = "clipping"
    taps = (
        Tap(_WHERE, "_get_total_norm", before="norm_asked", close_only=True),
        Tap(_WHERE, "_clip_grads_with_norm_", before="norm_clipped", close_only=True),
        Tap(_WHERE, "_group_tensors_by_device_and_dtype", before="grouped", close_only=True),
        Tap("torch.nn.utils", "get_total_norm", before="norm_asked", close_only=True),
        Tap("torch.nn.utils", "clip_grads_with_norm_", before="norm_clipped", close_only=True),
    ) + (
        ()
        if _IN_PARTS
        else (
            Tap(_WHERE, "clip_grad_norm_", after="clipped", close_only=True),
            Tap("torch.nn.utils", "clip_grad_norm_", after="clipped", close_only=True),
        )
    )

    def __init__(self, training: Any) -> None:
        super().__init__(training)
        self._type = 2.0
        self._in_step = (-1, 0)
        self._kinds: dict[tuple[str, float | None, bool], dict[str, Any]] = {}

    def norm_asked(self, args: Any, kwargs: Any) -> None:
        """A total norm is about to be computed."""
        self._type = float(_argument(args, kwargs, 1, "norm_type", 2.0))

    def norm_clipped(self, args: Any, kwargs: Any) -> None:
        """Gradients are about to be scaled down to a norm."""
        total = _argument(args, kwargs, 2, "total_norm", None)
        self._note("norm", _argument(args, kwargs, 1, "max_norm", None), self._type)
        self._read(total)

    def clipped(self, args: Any, kwargs: Any, result: Any) -> None:
        """Gradients were scaled down to a norm, which is the result."""
        kind = float(_argument(args, kwargs, 2, "norm_type", 2.0))
        self._note("norm", _argument(args, kwargs, 1, "max_norm", None), kind)
        self._read(result)

    def grouped(self, args: Any, kwargs: Any) -> None:
        """Tensors are grouped for one of the clip functions; the one that clips by value calls nothing else."""
        frame, depth = sys._getframe(1), 0
        at: Any = frame
        while at is not None and depth < _MAX_DEPTH:
            name = at.f_code.co_name
            if name == "clip_grad_value_":
                self._note("value", variables(at).get("clip_value"), None)
            if name in ("clip_grad_value_", "_get_total_norm", "_clip_grads_with_norm_", "clip_grad_norm_"):
                return
            at, depth = at.f_back, depth + 1

    def _read(self, norm: Any) -> None:
        step, count = self._in_step
        count = count + 1 if step == self.training.step else 1
        self._in_step = (self.training.step, count)
        if type(norm) is torch.Tensor and count <= _MOST_A_STEP and norm.numel() == 1:
            self.training.measure(CLIP_NORM, "", norm.detach())

    def _note(self, kind: str, limit: Any, norm_type: float | None) -> None:
        loop = self.training.probe(Loop)
        if loop is not None:
            loop.note("clip")
        scaled = self.training.has_scaled_gradients
        number = _number(limit)
        known = self._kinds.get((kind, norm_type, scaled))
        if known is None:
            if len(self._kinds) >= _MOST_KINDS:
                return
            self._kinds[kind, norm_type, scaled] = {
                "kind": kind, "max_norm": number, "varies": False, "norm_type": norm_type, "before_unscale": scaled
            }  # fmt: skip
        elif known["max_norm"] != number:
            known["varies"] = True
        else:
            return
        self.training.fact("clipping", [dict(entry) for entry in self._kinds.values()])


def _argument(args: Any, kwargs: Any, index: int, name: str, default: Any) -> Any:
    return args[index] if len(args) > index else kwargs.get(name, default)


def _number(limit: Any) -> float | None:
    """A limit as a number; None for one that is on a device."""
    if isinstance(limit, torch.Tensor):
        return float(limit) if limit.is_cpu and limit.numel() == 1 else None
    try:
        return float(limit)
    except (TypeError, ValueError):
        return None
