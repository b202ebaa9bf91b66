"""Describes the models of a training: their modules, modes, frozen, unused and unregistered parts, norm statistics."""

from __future__ import annotations

import math
import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ..rules.engine.records import Json
from ..rules.engine.signals import NORM_MEAN, NORM_VAR_HIGH, NORM_VAR_LOW
from .models import Model, parameters_of, submodules, tensors_in, topmost, walk
from .parameters import is_real
from .passes import Called, Watcher
from .probe import Pass
from .readback import Label
from .severed import Calls

if TYPE_CHECKING:
    from .training import Training

MOST_NAMES = 50
"""Names in one list of a fact; beside each list stands how many there are."""

SHAPED_PASSES = 2
"""First passes of a model in which the shapes of outputs are noted."""

CALLED_AFTER = 3
"""Training passes after which a module that was not called counts as unused."""

MOST_NORMS = 256
MOST_MODELS = 16
"""Models that are described."""

MOST_MODES = 500
"""Events `mode` in one run."""

REPEATS = 3
"""Times that an input is given in a row before its passes count as samples of one prediction."""

_MOST_ITEMS = 200

_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
_OWN_KEYS = frozenset(nn.Module().__dict__)


class Modules(Watcher):
    """What the models are made of, and in which mode they are called.

    Fact `model`, of the models that were called on closely watched steps, by label (empty where there is one; `None`
    in brackets)::

        {"": {"class": "Net", "wrapper": "DistributedDataParallel" or "",
              "parameters": 1200, "trainable": 800,             numbers of elements
              "modules": 14,                                    registered modules, itself included
              "layers": {"fc1": {"class": "Linear", "output": [32, 8], "parameters": 56}, ...},  leaves, in order of
              "n_layers": 9,                                    registration; `output` where one was seen,
                                                                `p` the share that a dropout leaves out
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
        self._pending: dict[int, list[_Mode]] = {}
        """Passes with a graph since the last backward, by the number of the model."""
        self._n_told = 0
        self._untold: list[tuple[int, Model, dict[str, Any]]] = []
        self._known: weakref.WeakKeyDictionary[Model, _Known] = weakref.WeakKeyDictionary()
        self._calls = Calls()
        self._repeats: tuple[Any, ...] = ()
        self._n_repeats = 0

    # -- moments ---------------------------------------------------------------------------------------------------

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
        self._tell_mode(model, call)

    def backward(self, tensor: torch.Tensor, loss: torch.Tensor) -> None:
        self._settle(is_backward=True)

    def before_step(self, optimizer: Any, owned: Any) -> None:
        # A part may be used without being called, by its weights: then they have a gradient.
        for model in self._seen.values():
            if model.passes <= CALLED_AFTER * 2:
                reached = self._of(model).reached
                for name, part in model.parts():
                    if name not in reached and any(p.grad is not None for p in parameters_of(part).values()):
                        reached.add(name)

    def end_epoch(self) -> None:
        self._tell_modes()

    def finish(self) -> None:
        self._tell_modes()

    def end_close(self) -> None:
        self._tell_modes()
        seen, self._seen = self._seen, {}
        for model in seen.values():
            if model.is_stale and not model.is_current():
                model.read()
            norms = [(name, part) for name, part in model.parts() if _is_norm(part)][:MOST_NORMS]
            if norms:
                self._read_norms(model, norms)
            signature, known = self._signature(model), self._of(model)
            if known.signature != signature:
                known.signature = signature
                if model.label in self._described or len(self._described) < MOST_MODELS:
                    self._described[model.label] = self._describe(model)
                    self.training.fact("model", dict(self._described))

    def _of(self, model: Model) -> _Known:
        known = self._known.get(model)
        if known is None:
            known = self._known[model] = _Known()
        return known

    # -- modes -----------------------------------------------------------------------------------------------------

    def _tell_mode(self, model: Model, call: Pass) -> None:
        if call.has_grad and self.training.close:
            mode, waiting = _Mode(self.training.done, model, call), self._pending.setdefault(model.number, [])
            if not waiting or waiting[-1].flags != mode.flags:
                waiting.append(mode)
        else:
            kind = "unclear" if call.has_grad else "sampling" if self._is_repeated(model, call) else "evaluation"
            self._note(_Mode(self.training.done, model, call), kind)

    def _is_repeated(self, model: Model, call: Pass) -> bool:
        """Whether a model in training mode was given the same input for the third time in a row, without a step."""
        tensor = next(tensors_in(call.args), None) if call.in_training_mode else None
        if tensor is None:
            return False
        now = (model.number, self.training.done, tensor.data_ptr(), tuple(tensor.shape))
        self._n_repeats = self._n_repeats + 1 if now == self._repeats else 1
        self._repeats = now
        return self._n_repeats >= REPEATS

    def _settle(self, is_backward: bool) -> None:
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
        known = self._of(mode.model)
        if known.flags.get(kind) == mode.flags or self._n_told >= MOST_MODES:
            return
        known.flags[kind] = mode.flags
        told = mode.told()
        if known.modes.get(kind) != told:
            known.modes[kind] = told
            self._n_told += 1
            self._untold.append((mode.step, mode.model, {"kind": kind, **told}))

    def _tell_modes(self) -> None:
        """Writes the changes of mode: not at once, as the first steps of the optimizers give the models their names."""
        self._settle(is_backward=False)
        untold, self._untold = self._untold, []
        for step, model, told in untold:
            named: list[Json] = [model.subject(name) for name in told["deviating"]]
            self.journal.event("mode", step, {"model": model.label, **told, "deviating": named})

    # -- norm layers -----------------------------------------------------------------------------------------------

    def _read_norms(self, model: Model, norms: list[tuple[str, Any]]) -> None:
        known = self._of(model)
        groups: dict[tuple[torch.device, torch.dtype], list[tuple[str, Any, Any]]] = {}
        for name, norm in norms:
            buffers = norm.__dict__["_buffers"]
            mean, variance, tracked = (buffers.get(what) for what in _STATISTICS)
            # The version of a tensor counts the changes to it: reading its value would wait for the device.
            version = -1 if tracked is None else tracked._version
            if tracked is not None and norm.training and known.counted.get(name) == version:
                known.static.add(name)
            else:
                known.static.discard(name)
            known.counted[name] = version
            if all(s is not None and s.is_floating_point() and s.numel() and is_real(s) for s in (mean, variance)):
                groups.setdefault((mean.device, mean.dtype), []).append((name, mean, variance))
        step = self.training.step
        with torch.no_grad():
            for group in groups.values():
                means = [mean.detach() for _, mean, _ in group]
                variances = [variance.detach() for _, _, variance in group]
                subjects = [model.subject(name) for name, _, _ in group]
                for signal, tensors, order in (
                    (NORM_MEAN, means, math.inf), (NORM_VAR_LOW, variances, -math.inf),
                    (NORM_VAR_HIGH, variances, math.inf),
                ):  # fmt: skip
                    values = torch.stack(torch._foreach_norm(tensors, order))
                    self.training.readback.add([Label(signal.name, s, step) for s in subjects], values)

    # -- what a model is made of -----------------------------------------------------------------------------------

    def _signature(self, model: Model) -> int:
        """Changes with whatever the description says, and is cheap."""
        flags = [
            p.requires_grad
            for _, part in model.parts()
            for p in (part.__dict__.get("_parameters") or {}).values()
            if p is not None
        ]
        ripe = model.passes >= CALLED_AFTER
        static = tuple(sorted(self._of(model).static))
        uncalled = len(model.called) if ripe else -1
        return hash((tuple(flags), len(model.parts()), ripe, uncalled, static, len(self.training.owned)))

    def _describe(self, model: Model) -> dict[str, Json]:
        parts = model.parts()
        held = {name: parameters_of(part) for name, part in parts}
        sizes = {id(p): (p.numel(), p.requires_grad) for own in held.values() for p in own.values()}
        shapes = self._of(model).shapes
        leaves: dict[str, Json] = {}
        for name, part in parts:
            if not submodules(part):
                leaf: dict[str, Json] = {
                    "class": type(part).__name__, "parameters": sum(p.numel() for p in held[name].values())
                }  # fmt: skip
                if isinstance(part, nn.modules.dropout._DropoutNd):
                    leaf["p"] = float(part.p)
                if name in shapes:
                    leaf["output"] = list(shapes[name])
                leaves[model.subject(name)] = leaf
        unregistered = list(self._unregistered(model, parts))
        frozen = self._frozen(parts, held)
        uncalled = self._uncalled(model, parts, held)
        static = sorted(self._of(model).static)
        calls = self._calls.of(model)
        core = model.core
        return {
            "class": type(core).__name__,
            "wrapper": model.wrapper,
            "parameters": sum(size for size, _ in sizes.values()),
            "trainable": sum(size for size, is_trained in sizes.values() if is_trained),
            "modules": len(parts),
            "layers": dict(list(leaves.items())[:MOST_NAMES]),
            "n_layers": len(leaves),
            **_listed("frozen", [model.subject(name) for name in frozen]),
            **_listed("uncalled", [model.subject(name) for name in uncalled]),
            "unregistered": list(unregistered[:MOST_NAMES]),
            "n_unregistered": len(unregistered),
            "calls": {model.subject(name): dict(about) for name, about in list(calls.items())[:MOST_NAMES]},
            "dropout": sum(_is_dropout(part) for _, part in parts),
            "norms": sum(_is_norm(part) for _, part in parts),
            "static_norms": [model.subject(name) for name in static[:MOST_NAMES]],
        }

    @staticmethod
    def _frozen(parts: list[tuple[str, Any]], held: dict[str, dict[str, torch.Tensor]]) -> list[str]:
        """Topmost parts that hold parameters, none of which is trained."""
        holding, trained = set[str](), set[str]()
        for name, own in held.items():
            for above in _with_parents(name):
                if own:
                    holding.add(above)
                if any(p.requires_grad for p in own.values()):
                    trained.add(above)
        return topmost([name for name, _ in parts if name in holding and name not in trained])

    def _uncalled(
        self, model: Model, parts: list[tuple[str, Any]], held: dict[str, dict[str, torch.Tensor]]
    ) -> list[str]:
        """Topmost parts with trained parameters that nothing used."""
        if model.passes < CALLED_AFTER:
            return []
        used = {above for name in model.called for above in _with_parents(name)}
        # Attention uses the weights of its `out_proj` without calling it, others do the same: they had a gradient.
        for name in self._of(model).reached:
            used.update(_with_parents(name))
        trained = {
            above for name, own in held.items() if any(p.requires_grad for p in own.values())
            for above in _with_parents(name)
        }  # fmt: skip
        unused = [name for name, _ in parts if name in trained and name not in used]
        return topmost(unused)

    def _unregistered(self, model: Model, parts: list[tuple[str, Any]]) -> Iterator[Json]:
        """Modules and parameters that a module keeps in a plain list, dictionary or attribute."""
        registered = {id(part) for _, part in parts} | {id(model.module)}
        parameters = {id(p) for _, part in parts for p in parameters_of(part).values()}
        told: set[int] = set()
        for name, part in parts:
            for key, value in list(part.__dict__.items()):
                if key in _OWN_KEYS:
                    continue
                for path, found in _kept_in(value, f"{name}.{key}" if name else key, 0):
                    if id(found) in told or id(found) in registered or id(found) in parameters:
                        continue
                    told.add(id(found))
                    if isinstance(found, nn.Module):
                        held = [p for _, inner in walk(found) for p in parameters_of(inner).values()]
                        held = [p for p in held if id(p) not in parameters]
                        told.update(id(inner) for _, inner in walk(found))
                    else:
                        held = [found]
                    if held:
                        yield {
                            "path": model.subject(path),
                            "class": type(found).__name__,
                            "parameters": sum(p.numel() for p in held),
                            "trainable": any(p.requires_grad for p in held),
                            "owned": all(self.training.name_of(p) is not None for p in held),
                        }


class _Known:
    """What was seen of one model so far; it goes with the model."""

    def __init__(self) -> None:
        self.shapes: dict[str, list[int]] = {}
        """Shapes of the outputs of its modules."""
        self.reached: set[str] = set()
        """Modules with a parameter that had a gradient."""
        self.counted: dict[str, int] = {}
        """Version of the batch counter of each norm layer."""
        self.static: set[str] = set()
        """Norm layers whose counter stood still."""
        self.flags: dict[str, list[bool]] = {}
        self.modes: dict[str, dict[str, Any]] = {}
        """The last mode of each kind of pass: the flags of all parts, and what was told."""
        self.signature: int | None = None
        """Of what was described last."""


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
            "dropout": sum(_is_dropout(part) for part in active),
            "norms": sum(_is_norm(part) for part in active),
        }


def _listed(key: str, names: list[str]) -> dict[str, Json]:
    listed: list[Json] = list(names[:MOST_NAMES])
    return {key: listed, f"n_{key}": len(names)}


def _with_parents(name: str) -> Iterator[str]:
    """A module's name, and those of the modules around it."""
    yield name
    while name:
        name = name.rpartition(".")[0]
        yield name


def _kept_in(value: Any, path: str, depth: int) -> Iterator[tuple[str, Any]]:
    """Modules, parameters and other trained tensors in a value of an attribute: itself, or in containers."""
    if isinstance(value, nn.Module) or (isinstance(value, torch.Tensor) and value.is_leaf and value.requires_grad):
        yield path, value
    elif depth < 3 and len(value if type(value) in (list, tuple, set, dict) else ()) <= _MOST_ITEMS:
        if type(value) is dict:
            for key, item in list(value.items()):
                yield from _kept_in(item, f"{path}[{key!r}]", depth + 1)
        elif type(value) in (list, tuple, set):
            for index, item in enumerate(list(value)):
                yield from _kept_in(item, f"{path}[{index}]", depth + 1)


def _is_dropout(module: Any) -> bool:
    """Whether a module leaves out a part at random while it trains."""
    if isinstance(module, nn.modules.dropout._DropoutNd):
        return module.p > 0
    if isinstance(module, (nn.MultiheadAttention, nn.RNNBase)):
        return module.dropout > 0
    return any(part in type(module).__name__ for part in ("DropPath", "Dropout", "StochasticDepth"))


def _is_norm(module: Any) -> bool:
    return (module.__dict__.get("_buffers") or {}).get("running_mean") is not None
