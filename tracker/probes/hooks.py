"""The places where a training is observed, installed while at least one run is active.

================================================  ======================================================================
torch's global optimizer pre and post step hooks  steps, gradients, weights, learning rates; custom optimizers too
`torch.autograd.backward`                         the loss; `Tensor.backward` calls it by this name
`_BaseDataLoaderIter.__next__`                    batches; a wrapper around `__iter__` would delay the base-seed draw
`GradScaler.scale`                                the loss before it is scaled
the taps of each probe                            what that probe says
================================================  ======================================================================

Each hook finds the run it belongs to, and does nothing while a model is compiled or traced. The wrappers take and
return what the wrapped function takes and returns.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from .. import active
from ..on_import import when_imported
from ..patching import Patches
from .loss import note_hooks
from .probe import Tap


def install() -> None:
    """Installs the hooks; further calls only count. torch must be loaded."""
    _patches.use()


def uninstall() -> None:
    """Undoes one `install`; the last one takes everything away again."""
    _patches.release()


def _install_all() -> None:
    import torch
    from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook
    from torch.utils.data import dataloader

    from .registry import PROBES

    is_compiling = torch.compiler.is_compiling

    def before_step(optimizer: Any, args: Any, kwargs: Any) -> None:
        if is_compiling():
            return
        training = _owner(optimizer)
        if training is not None:
            training.before_step(optimizer)

    def after_step(optimizer: Any, args: Any, kwargs: Any) -> None:
        if is_compiling():
            return
        training = _owner(optimizer)
        if training is not None:
            training.after_step(optimizer)

    _patches.on_undo(register_optimizer_step_pre_hook(before_step).remove)
    _patches.on_undo(register_optimizer_step_post_hook(after_step).remove)

    def backward(original: Any) -> Any:
        def observed(tensors: Any, *args: Any, **kwargs: Any) -> Any:
            if not is_compiling():
                training = _current()
                if training is not None:
                    training.before_backward(tensors)
            return original(tensors, *args, **kwargs)

        return observed

    _patches.replace(torch.autograd, "backward", backward)

    def next_batch(original: Any) -> Any:
        def observed(iterator: Any) -> Any:
            batch = original(iterator)
            training = _current()
            if training is not None:
                training.after_batch(iterator, batch)
            return batch

        return observed

    _patches.replace(dataloader._BaseDataLoaderIter, "__next__", next_batch)

    def scale(original: Any) -> Any:
        def observed(scaler: Any, outputs: Any) -> Any:
            scaled = original(scaler, outputs)
            training = _current()
            if training is not None:
                training.after_scale(outputs, scaled)
            return scaled

        return observed

    _patches.replace(torch.amp.GradScaler, "scale", scale)

    if not hasattr(torch._C._autograd.SavedTensor, "unpack_hook"):

        def enter(original: Any) -> Any:
            def observed(hooks: Any) -> Any:
                note_hooks()
                return original(hooks)

            return observed

        _patches.replace(torch.autograd.graph.saved_tensors_hooks, "__enter__", enter)

    for kind in PROBES:
        for tap in kind.taps:
            _tap(kind, tap, is_compiling)


def _tap(kind: Any, tap: Tap, is_compiling: Callable[[], bool]) -> None:
    """Has a function's calls told to the probes of class `kind`, now or once its module is loaded."""
    module_name, _, class_name = tap.where.partition(":")

    def heard(original: Any) -> Any:
        def observed(*args: Any, **kwargs: Any) -> Any:
            training = None if is_compiling() else _current()
            if training is None or (tap.close_only and not training.close):
                return original(*args, **kwargs)
            if tap.before:
                training.tapped(kind, tap.before, args, kwargs)
            result = original(*args, **kwargs)
            if tap.after:
                training.tapped(kind, tap.after, args, kwargs, result)
            return result

        return observed

    def put() -> None:
        owner = sys.modules.get(module_name)
        if class_name and owner is not None:
            owner = getattr(owner, class_name, None)
        if owner is not None and hasattr(owner, tap.name):
            _patches.replace(owner, tap.name, heard)

    def loaded() -> None:
        _awaited.discard((kind, tap))
        _patches.if_used(put)

    if (kind, tap) not in _awaited:
        _awaited.add((kind, tap))
        when_imported(module_name, loaded)


def _owner(optimizer: Any) -> Any:
    """The probe of the run an optimizer belongs to: that which was current at its first step, while that run lives."""
    for session in active.sessions():
        if session.training is not None and session.training.owns(optimizer):
            return session.training
    training = _current()
    if training is not None:
        training.adopt(optimizer)
    return training


def _current() -> Any:
    """The probe of the run that is current here, if any."""
    session = active.current()
    return session.training if session is not None else None


_patches = Patches(_install_all)
_awaited: set[tuple[Any, Tap]] = set()
"""Taps into modules that are not loaded yet: each waits once, however many runs come and go."""
