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
from _thread import get_ident
from collections.abc import Callable
from typing import Any

from .. import active
from ..actions.stop import StopTraining
from ..on_import import when_imported
from ..patching import Patches, leave_no_frame
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

    from .registry import PROBES, plugin_probes

    is_traced = torch.compiler.is_compiling
    # Behind a break of the graph, what a compiled function calls is compiled by itself: ours would be, too.
    compiler = getattr(torch._C._dynamo.eval_frame, "get_eval_frame_callback", lambda: None)

    # With one run in the process, the common case, each hook finds it by itself: behind a step of the user's nothing is
    # in the processor's caches, and every call of a further function costs a microsecond.
    sessions = active.all_sessions

    def before_step(optimizer: Any, args: Any, kwargs: Any) -> None:
        if is_traced() or compiler() is not None:
            return
        training = sessions[0]._training if len(sessions) == 1 else _owner(optimizer)
        if training is not None and (training.followed.ident == get_ident() or training.followed.trains_here()):
            training.before_step(optimizer)

    def after_step(optimizer: Any, args: Any, kwargs: Any) -> None:
        if is_traced() or compiler() is not None:
            return
        training = sessions[0]._training if len(sessions) == 1 else _owner(optimizer)
        if training is not None and (training.followed.ident == get_ident() or training.followed.is_here()):
            training.after_step(optimizer)
            if training.stopped_by is not None:
                raise StopTraining(training.stopped_by)

    _patches.on_undo(register_optimizer_step_pre_hook(before_step).remove)
    _patches.on_undo(register_optimizer_step_post_hook(after_step).remove)

    def backward(original: Any) -> Any:
        def observed(tensors: Any, *args: Any, **kwargs: Any) -> Any:
            if is_traced() or compiler() is not None:
                return original(tensors, *args, **kwargs)
            training = sessions[0]._training if len(sessions) == 1 else _current()
            if training is None or not (training.followed.ident == get_ident() or training.followed.trains_here()):
                return original(tensors, *args, **kwargs)
            training.before_backward(tensors)
            try:
                result = original(tensors, *args, **kwargs)
            except BaseException as error:
                leave_no_frame(error)
                raise
            if training.wants_after_backward:
                training.after_backward()
            return result

        return observed

    _patches.replace(torch.autograd, "backward", backward)

    def next_batch(original: Any) -> Any:
        def observed(iterator: Any) -> Any:
            try:
                batch = original(iterator)
            except BaseException as error:
                leave_no_frame(error)
                training = _current() if type(error) is StopIteration else None
                if training is not None and training.followed.is_here():
                    training.after_pass(iterator)
                raise
            training = _current()
            if training is not None and training.followed.is_here():
                training.after_batch(iterator, batch)
            return batch

        return observed

    _patches.replace(dataloader._BaseDataLoaderIter, "__next__", next_batch)

    def scale(original: Any) -> Any:
        def observed(scaler: Any, outputs: Any) -> Any:
            scaled = original(scaler, outputs)
            training = _current()
            if training is not None and training.followed.is_here():
                training.after_scale(scaler, outputs, scaled)
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

    for kind in (*PROBES, *plugin_probes()[0]):
        for tap in kind.taps:
            _tap(kind, tap, is_traced, compiler)


def _tap(kind: Any, tap: Tap, is_traced: Callable[[], bool], compiler: Callable[[], object]) -> None:
    """Has a function's calls told to the probes of class `kind`, now or once its module is loaded."""
    module_name, _, class_name = tap.where.partition(":")
    sessions, close_only = active.all_sessions, tap.close_only

    def heard(original: Any) -> Any:
        def observed(*args: Any, **kwargs: Any) -> Any:
            if is_traced() or compiler() is not None:
                return original(*args, **kwargs)
            training = sessions[0]._training if len(sessions) == 1 else _current()
            if training is None or (close_only and not training.close) or not training.followed.is_here():
                return original(*args, **kwargs)
            if tap.before:
                training.tapped(kind, tap.before, args, kwargs)
            try:
                result = original(*args, **kwargs)
            except BaseException as error:
                leave_no_frame(error)
                raise
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
    """The training an optimizer belongs to: that which was current at its first step, while that run lives."""
    sessions = active.all_sessions
    if len(sessions) == 1:
        return sessions[0]._training
    for session in active.sessions():
        if session.training is not None and session.training.owns(optimizer):
            return session.training
    return _current()


def _current() -> Any:
    """The training of the run that is current here, if any."""
    sessions = active.all_sessions
    if len(sessions) == 1:
        return sessions[0]._training  # the property would be a call more, several times a step
    session = active.current()
    return session.training if session is not None else None


_patches = Patches(_install_all)
_awaited: set[tuple[Any, Tap]] = set()
"""Taps into modules that are not loaded yet: each waits once, however many runs come and go."""
