"""In which mode models are called, in training and in evaluation; what has changed since is told."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from ..rules.engine.records import Json
from .anatomy import MOST_NAMES, is_dropout, is_norm
from .models import Model, tensors_in, topmost
from .probe import Pass

if TYPE_CHECKING:
    from .training import Training

MOST_MODES = 500
"""Events `mode` in one run."""

REPEATS = 3
"""Times that an input is given in a row before its passes count as samples of one prediction."""


class Modes:
    """Writes the events `mode`: see `modules.Modules`."""

    def __init__(self, training: Training) -> None:
        self._training = training
        self._pending: dict[int, list[_Mode]] = {}
        """Passes with a graph since the last backward, by the number of the model."""
        self._n_told = 0
        self._untold: list[tuple[int, Model, dict[str, Any]]] = []
        self._known: weakref.WeakKeyDictionary[Model, _Last] = weakref.WeakKeyDictionary()
        self._repeats: tuple[Any, ...] = ()
        self._n_repeats = 0

    def hear(self, model: Model, call: Pass) -> None:
        """A model was called."""
        if call.has_grad and self._training.close:
            mode, waiting = _Mode(self._training.done, model, call), self._pending.setdefault(model.number, [])
            if not waiting or waiting[-1].flags != mode.flags:
                waiting.append(mode)
        else:
            kind = "unclear" if call.has_grad else "sampling" if self._is_repeated(model, call) else "evaluation"
            self._note(_Mode(self._training.done, model, call), kind)

    def _is_repeated(self, model: Model, call: Pass) -> bool:
        """Whether a model in training mode was given the same input for the third time in a row, without a step."""
        tensor = next(tensors_in(call.args), None) if call.in_training_mode else None
        if tensor is None:
            return False
        now = (model.number, self._training.done, tensor.data_ptr(), tuple(tensor.shape))
        self._n_repeats = self._n_repeats + 1 if now == self._repeats else 1
        self._repeats = now
        return self._n_repeats >= REPEATS

    def settle(self, is_backward: bool) -> None:
        """Passes with a graph await their backward: the last one of a model is what it is made for."""
        pending, self._pending = self._pending, {}
        for modes in pending.values():
            for mode in modes:
                if is_backward and (mode is modes[-1] or mode.flags == modes[-1].flags):
                    self._note(mode, "training")
                else:
                    self._note(mode, "unclear")

    def _note(self, mode: _Mode, kind: str) -> None:
        """Keeps a mode to be told, if it is another than the last of its kind."""
        known = self._known.get(mode.model)
        if known is None:
            known = self._known[mode.model] = _Last()
        if known.flags.get(kind) == mode.flags or self._n_told >= MOST_MODES:
            return
        known.flags[kind] = mode.flags
        told = mode.told()
        if known.modes.get(kind) != told:
            known.modes[kind] = told
            self._n_told += 1
            self._untold.append((mode.step, mode.model, {"kind": kind, **told}))

    def tell(self) -> None:
        """Writes the changes of mode: not at once, as the first steps of the optimizers give the models their names."""
        self.settle(is_backward=False)
        untold, self._untold = self._untold, []
        for step, model, told in untold:
            named: list[Json] = [model.subject(name) for name in told["deviating"]]
            self._training.journal.event("mode", step, {"model": model.label, **told, "deviating": named})


class _Last:
    """The last mode of each kind of pass of one model."""

    def __init__(self) -> None:
        self.flags: dict[str, list[bool]] = {}
        """The flags of all parts."""
        self.modes: dict[str, dict[str, Any]] = {}
        """What was told."""


class _Mode:
    """The mode of one pass."""

    def __init__(self, step: int, model: Model, call: Pass) -> None:
        self.step = step
        self.model = model
        self.is_training = call.in_training_mode
        self.has_grad = call.has_grad
        self.flags: list[bool] = [part.training for _, part in model.parts()]
        """The flag of each part."""

    def told(self) -> dict[str, Any]:
        """What an event says of it, with names that lack the model's."""
        parts = list(zip(self.model.parts(), self.flags, strict=False))
        active = [part for (_, part), flag in parts if flag]
        return {
            "training": self.is_training,
            "grad": self.has_grad,
            "deviating": topmost([name for (name, _), flag in parts if flag != self.is_training])[:MOST_NAMES],
            "dropout": sum(is_dropout(part) for part in active),
            "norms": sum(is_norm(part) for part in active),
        }
