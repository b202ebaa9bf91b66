"""Describes the models of a training: their modules, modes, frozen, unused and unregistered parts, norm statistics."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import torch

from ..rules.engine.records import Json
from .anatomy import CALLED_AFTER, Seen, describe
from .models import Model, parameters_of, tensors_in
from .modes import Modes
from .passes import Called, Watcher
from .probe import Pass
from .running_statistics import RunningStatistics
from .severed import Calls

if TYPE_CHECKING:
    from .training import Training

SHAPED_PASSES = 2
"""First passes of a model in which the shapes of outputs are noted."""

MOST_MODELS = 16
"""Models that are described."""


class Modules(Watcher):
    """What the models are made of, and in which mode they are called.

    Fact `model`, of the models that were called on closely watched steps, by label (empty where there is one; `None`
    in brackets)::

        {"": {"class": "Net", "wrapper": "DistributedDataParallel" or "",
              "parameters": 1200, "trainable": 800,             numbers of elements
              "modules": 14,                                    registered modules, itself included
              "layers": {"fc1": {"class": "Linear", "output": [32, 8], "parameters": 56}, ...},  leaves, in order of
              "n_layers": 9,                                    registration; `output` where one was seen,
                                                                `p` the share that a dropout leaves out, `momentum`
                                                                that of a norm layer if it is not torch's 0.1,
                                                                `random` for a frozen table of random vectors,
                                                                `drawn` for a frozen layer as torch constructs it,
                                                                `trained_before` for a frozen norm layer with scales
                                                                that differ
              "sequences": {"rnn": {"class": "LSTM", "batch_first": false, "output": [32, 24, 8]}},   recurrent layers
                                                                and attention, by torch; missing without any
              "frozen": ["backbone"], "n_frozen": 1,            topmost parts with parameters, none of them trained
              "uncalled": ["head2"], "n_uncalled": 1,           topmost parts with trained parameters: no pass called,
                                                                and no gradient reached, after `CALLED_AFTER` passes
              "unregistered": [{"path": "blocks[0]", "class": "Linear", "parameters": 56, "trainable": true,
                                "owned": false}], "n_unregistered": 2,   modules and parameters in plain containers:
                                                                `parameters()` and `to()` pass them over; `owned`
                                                                where an optimizer has them all the same
              "calls": {"fc1": {"at": 1, "bare": true, "graphed": true}},   layers with trained parameters, by the
                                                                order of their first calls: see `severed.Calls`
              "dropout": 2, "norms": 3,                         modules that act otherwise in evaluation mode
              "static_norms": ["bn1"]}}                         norm layers in training mode that counted no batch
                                                                between two closely watched training passes

    Event `mode`, of a model's first pass of each kind, and when the mode has changed since the last of that kind:
    {"model": label, "kind": "training" where a backward followed, "evaluation" where no graph was recorded, "unclear"
    where one was and no backward was seen, "sampling" where passes without a graph were given the same input several
    times in training mode, as Monte Carlo dropout does, "training": the model's flag, "grad": whether a graph was
    recorded, "deviating": topmost parts whose flag differs, at most 50, "dropout" and "norms": modules of these kinds
    that are in training mode}.

    Readings `norm/mean`, `norm/var_low` and `norm/var_high` of each layer with running statistics, behind training
    passes.
    """

    name = "modules"

    def __init__(self, training: Training) -> None:
        super().__init__(training)
        self._described: dict[str, Json] = {}
        self._seen: dict[int, Model] = {}
        """Models of which a training pass was seen in this step, by number."""
        self._known: weakref.WeakKeyDictionary[Model, _Known] = weakref.WeakKeyDictionary()
        self._calls = Calls()
        self._modes = Modes(training)
        self._statistics = RunningStatistics(training)

    def watch(self, model: Model, has_grad: bool) -> Called | None:
        if not has_grad:
            return None
        return self._called_and_shaped if model.passes < SHAPED_PASSES else self._called

    def _called(self, model: Model, name: str, module: Any, args: tuple[Any, ...], output: Any) -> None:
        model.called.add(name)

    def _called_and_shaped(self, model: Model, name: str, module: Any, args: tuple[Any, ...], output: Any) -> None:
        model.called.add(name)
        tensor = next(tensors_in(output), None)
        self._calls.note(model, name, module, args, output)
        if tensor is not None and not tensor.is_nested:
            self._of(model).shapes.setdefault(name, list(tensor.shape))

    def root_forward(self, call: Pass) -> None:
        model = self.passes.model_of(call.module) if self.passes is not None else None
        if model is None:
            return
        if call.has_grad:
            model.passes += 1
            self._seen[model.number] = model
        self._modes.hear(model, call)

    def backward(self, tensor: torch.Tensor, loss: torch.Tensor) -> None:
        self._modes.settle(is_backward=True)

    def before_step(self, optimizer: Any, owned: Any) -> None:
        # A part may be used without being called, by its weights: then they have a gradient.
        for model in self._seen.values():
            if model.passes <= CALLED_AFTER * 2:
                reached = self._of(model).reached
                for name, part in model.parts():
                    if name not in reached and any(p.grad is not None for p in parameters_of(part).values()):
                        reached.add(name)

    def end_epoch(self) -> None:
        self._modes.tell()

    def finish(self) -> None:
        self._modes.tell()

    def end_close(self) -> None:
        self._modes.tell()
        seen, self._seen = self._seen, {}
        for model in seen.values():
            if model.is_stale and not model.is_current():
                model.read()
            self._statistics.read(model)
            signature, known = self._signature(model), self._of(model)
            if known.signature != signature:
                known.signature = signature
                if model.label in self._described or len(self._described) < MOST_MODELS:
                    self._described[model.label] = describe(model, self._seen_of(model, known))
                    self.training.fact("model", dict(self._described))

    def _of(self, model: Model) -> _Known:
        known = self._known.get(model)
        if known is None:
            known = self._known[model] = _Known()
        return known

    def _seen_of(self, model: Model, known: _Known) -> Seen:
        return Seen(
            shapes=known.shapes,
            reached=known.reached,
            static=self._statistics.static_of(model),
            calls=self._calls.of(model),
            is_owned=lambda parameter: self.training.name_of(parameter) is not None,
        )

    def _signature(self, model: Model) -> int:
        """Changes with whatever the description says, and is cheap."""
        flags = [
            p.requires_grad
            for _, part in model.parts()
            for p in (part.__dict__.get("_parameters") or {}).values()
            if p is not None
        ]
        ripe = model.passes >= CALLED_AFTER
        static = tuple(sorted(self._statistics.static_of(model)))
        uncalled = len(model.called) if ripe else -1
        return hash((tuple(flags), len(model.parts()), ripe, uncalled, static, len(self.training.owned)))


class _Known:
    """What was seen of one model so far; it goes with the model."""

    def __init__(self) -> None:
        self.shapes: dict[str, list[int]] = {}
        """Shapes of the outputs of its modules."""
        self.reached: set[str] = set()
        """Modules with a parameter that had a gradient."""
        self.signature: int | None = None
        """Of what was described last."""
