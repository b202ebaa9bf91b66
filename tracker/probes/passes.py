"""Hears of forward passes, by hooks on all modules that are there only in windows: elsewhere nothing is left on torch.

A window is a step that is looked at closely, or an evaluation: from `Module.eval`, `torch.no_grad` or
`torch.inference_mode` in the user's own code, up to the next training pass. An idle global hook costs 1.2 to 1.6 us for
each call of a module; outside of windows there is none.

Hooks and compilers do not go together: hooks that are there when a model is compiled change its graphs and, in the end,
its weights, and torch warns of them at each call. Once `torch.compile` was used no hook of ours is installed again.
"""

from __future__ import annotations

import contextlib
import itertools
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from time import perf_counter
from types import FrameType
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.modules import module as _torch_modules

from .. import active
from .budget import FRUITLESS, EvaluationBudget
from .likeness import MODULE_CALL, as_without_hooks, note_warnings_given
from .models import Model, has_parameters, tensors_in
from .probe import Pass, Probe, Tap
from .surroundings import caller_of_tap, frames, is_special, something_is_compiled

if TYPE_CHECKING:
    from .training import Training

Called = Callable[[Model, str, Any, tuple[Any, ...], Any], None]
"""Called with the model, a module's name in it, the module, its positional inputs and its output."""

MOST_MODELS = 256
"""Modules called by themselves that are known at a time; with more, they are made as they are used."""

_HOOK_SECONDS = 1.5e-6
"""What one module's call costs with our hooks in place: 1.2 to 1.6 us, measured with hooks that do nothing."""

_WITHOUT_GRAPH = ("torch.utils.checkpoint", "torch.jit._trace")
"""What calls a model without gradients though it does not evaluate it: a training pass whose graph is made later, and
the comparison of a traced model with the original."""

_PACKAGE = __name__.split(".")[0]

COMPILED = (
    "torch.compile is used: hooks would change what is compiled, so that modules, their outputs and evaluation passes "
    "are not observed"
)

CALLED_FORWARD = (
    "The model is called by its method forward, which nobody hears of: call the model itself, model(x), to have its "
    "modes, its predictions and its evaluation observed"
)


class Watcher(Probe):
    """A probe that hears of the modules inside a model."""

    def __init__(self, training: Training) -> None:
        super().__init__(training)
        self.passes = training.probe(Passes)
        if self.passes is not None:
            self.passes.watchers.append(self)

    def watch(self, model: Model, has_grad: bool) -> Called | None:
        """A pass of the model begins, with gradients enabled or not; returns what to call behind each module."""
        return None

    def release(self) -> None:
        if self.passes is not None:
            self.passes.watchers = [other for other in self.passes.watchers if other is not self]


class _State(threading.local):
    """What goes on in one thread."""

    window = 0
    """Number of the window that the rest is about."""
    depth = 0
    model: Model | None = None
    """The model whose pass is observed; None while one is passed over."""
    calls: tuple[tuple[Watcher, Called], ...] = ()
    modules = 0
    began = spent = 0.0


class Passes(Probe):
    """Tells the other probes of each forward pass of a whole model: a module with parameters that no module called.

    What is passed over: passes while a compiler, a tracer or a transform of `torch.func` is at work, under a
    `TorchDispatchMode` of the user, inside a backward (activation checkpointing), while a CUDA graph is captured, and
    in threads that are not this run's.
    """

    name = "passes"
    taps = (
        Tap("torch.nn.modules.module:Module", "eval", before="before_eval"),
        Tap("torch.autograd.grad_mode:no_grad", "__enter__", before="before_no_grad"),
        Tap("torch.autograd.grad_mode:inference_mode", "__enter__", before="before_no_grad"),
        Tap("torch._dynamo", "optimize", before="before_compile"),
        Tap("torch._dynamo", "export", before="before_compile"),
    )

    def __init__(self, training: Training) -> None:
        super().__init__(training)
        self.watchers: list[Watcher] = []
        self.budget = EvaluationBudget(training.governor)
        self._models: dict[int, tuple[weakref.ref[Any], Model | None]] = {}
        self._numbers = itertools.count()
        self._state = _State()
        self._key = -next(_keys)
        self._window = 1
        self._is_closed = False
        """No window will open again."""
        _all.add(self)

    # -- windows ---------------------------------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """Whether our hooks are in place."""
        return self._key in _torch_modules._global_forward_pre_hooks

    @property
    def models(self) -> list[Model]:
        """The models that were called and still live, in the order of their first passes."""
        found = [model for _, model in list(self._models.values()) if model is not None and model.module is not None]
        return sorted(found, key=lambda model: model.number)

    def model_of(self, module: Any) -> Model | None:
        """What is known of a module that was called by itself."""
        entry = self._models.get(id(module))
        return entry[1] if entry is not None and entry[0]() is module else None

    def begin_close(self) -> None:
        self._open()

    def end_close(self) -> None:
        self._shut()

    def before_eval(self, args: Any, kwargs: Any) -> None:
        """A module is about to be put into evaluation mode."""
        self._open_for_evaluation(caller_of_tap())

    def before_no_grad(self, args: Any, kwargs: Any) -> None:
        """Gradients are about to be switched off."""
        if not self.is_open:
            self._open_for_evaluation(caller_of_tap())

    def before_compile(self, args: Any, kwargs: Any) -> None:
        """Something is about to be compiled: the hooks of all runs go, and stay away."""
        for passes in list(_all):
            passes.close_for_good()

    def close_for_good(self) -> None:
        """Takes the hooks away, and says so: something is compiled."""
        self._is_closed = True
        self._shut()
        self.training.unseen("modules", COMPILED)

    def release(self) -> None:
        self._is_closed = True
        self._shut()

    def _open(self) -> None:
        if not self._is_closed and something_is_compiled():
            self.close_for_good()
        if not self._is_closed:
            # Not by `register_module_forward_hook`: the numbers it hands out are pickled with the user's own hooks.
            _torch_modules._global_forward_pre_hooks[self._key] = self._before
            _torch_modules._global_forward_hooks[self._key] = self._after
            _torch_modules._global_forward_hooks_with_kwargs[self._key] = True
            _torch_modules._global_forward_hooks_always_called[self._key] = True
            self._window += 1

    def _shut(self) -> None:
        for hooks in (
            _torch_modules._global_forward_pre_hooks,
            _torch_modules._global_forward_hooks,
            _torch_modules._global_forward_hooks_with_kwargs,
            _torch_modules._global_forward_hooks_always_called,
        ):
            hooks.pop(self._key, None)
        with contextlib.suppress(Exception):
            note_warnings_given()
        self._window += 1  # whatever pass is under way in any thread is over for us

    def _open_for_evaluation(self, frame: FrameType | None) -> None:
        """Opens a window if `frame` is the user's, and not inside a forward pass."""
        step = self.training.done
        if self._is_closed or self.budget.cut_at == step:
            return
        while frame is not None and frame.f_globals.get("__name__") == "torch.utils._contextlib":
            frame = frame.f_back  # the user's function is decorated with it
        if frame is None or str(frame.f_globals.get("__name__", "")).split(".")[0] in ("torch", _PACKAGE):
            return
        place = (frame.f_code.co_filename, frame.f_lineno)
        if self.budget.fruitless.get(place, 0) >= FRUITLESS or any(at.f_code is MODULE_CALL for at in frames(frame)):
            return
        self.budget.begin(step)
        if not self.is_open:
            self.budget.place = place
            self._open()

    # -- hooks -----------------------------------------------------------------------------------------------------

    def _before(self, module: Any, args: Any) -> None:
        state = self._state
        if state.depth and state.window == self._window:
            state.depth += 1
            return
        state.window = self._window
        state.depth = 1
        state.model = None
        try:
            with _unheard():
                self._begin(state, module)
        except Exception as error:
            self.training._fault(self, error)

    def _after(self, module: Any, args: Any, *rest: Any) -> None:
        has_raised = len(rest) != 2  # then there are no keywords and no output
        if has_raised:
            with contextlib.suppress(Exception):
                as_without_hooks(sys.exc_info()[1], module)
        state = self._state
        if not state.depth or state.window != self._window:
            return  # the window was opened inside this module
        state.depth -= 1
        model = state.model
        if model is None or has_raised:
            return
        try:
            state.modules += 1
            if state.calls:
                name = model.name_of(module)
                if name is None:
                    model.is_stale = True
                else:
                    began = perf_counter()
                    with _unheard():
                        for watcher, call in state.calls:
                            try:
                                call(model, name, module, args, rest[1])
                            except Exception as error:
                                state.calls = tuple(other for other in state.calls if other[0] is not watcher)
                                self._leave_out(watcher, error)
                    state.spent += perf_counter() - began
            if not state.depth:
                state.model = None
                with _unheard():
                    self._end(state, model, module, args, *rest)
        except Exception as error:
            state.model = None
            self.training._fault(self, error)

    def _begin(self, state: _State, module: Any) -> None:
        began = perf_counter()
        training = self.training
        model = self._known(module)
        if model is None or is_special():
            return
        session = active.current()
        if session is None or session is not training.session or not training.followed.is_here():
            return
        has_grad = torch.is_grad_enabled()
        if not training.close and (training.done != self.budget.opened_at or (has_grad and module.training)):
            if self.budget.place is not None:
                self.budget.note_place()
            self._shut()  # training goes on, on a step that is not looked at
            return
        if not has_grad:
            if not self.budget.allows(training.done):
                if self.budget.left_out == 1 and not training.close:
                    self._shut()  # the evaluation was cut short just now
                return
            if any(frame.f_globals.get("__name__") in _WITHOUT_GRAPH for frame in frames(sys._getframe(2))):
                return
        state.model, state.modules = model, 0
        state.calls = tuple(self._watching(model, has_grad))
        state.spent = perf_counter() - began

    def _watching(self, model: Model, has_grad: bool) -> Iterator[tuple[Watcher, Called]]:
        for watcher in tuple(self.watchers):
            try:
                call = watcher.watch(model, has_grad)
            except Exception as error:
                self._leave_out(watcher, error)
            else:
                if call is not None:
                    yield watcher, call

    def _leave_out(self, watcher: Watcher, error: Exception) -> None:
        """A watcher failed: it is told of nothing any more, and switched off as the probe it is."""
        self.watchers = [other for other in self.watchers if other is not watcher]
        self.training._fault(watcher, error)

    def _end(self, state: _State, model: Model, module: Any, args: Any, kwargs: Any, output: Any) -> None:
        began = perf_counter()
        if model.is_part:
            self.training.unseen("passes", CALLED_FORWARD)
        else:
            tensors = list(tensors_in(output))
            has_grad = any(tensor.requires_grad for tensor in tensors) if tensors else torch.is_grad_enabled()
            self.training.after_root(Pass(module, args, kwargs, output, has_grad, bool(module.training)))
        spent = state.spent + perf_counter() - began + state.modules * _HOOK_SECONDS
        self.training.governor.spent += spent

    def _known(self, module: Any) -> Model | None:
        """What is known of a module that is called by itself; None when it is no model."""
        key = id(module)
        entry = self._models.get(key)
        if entry is not None and entry[0]() is module:
            return entry[1]
        if len(self._models) >= MOST_MODELS or module.__dict__.get("_is_replica", False):
            return None
        models = self._models

        def forget(gone: Any) -> None:
            held = models.get(key)
            if held is not None and held[0] is gone:
                del models[key]

        model = None
        if has_parameters(module):
            model = Model(module, next(self._numbers), self.training, sys._getframe(2))
        models[key] = (weakref.ref(module, forget), model)
        return model


_unheard = torch._C.DisableTorchFunction
"""Neither a mode of the user's nor a class of tensors of theirs hears what we ask of a tensor."""
_keys = itertools.count(1)
_all: weakref.WeakSet[Passes] = weakref.WeakSet()
