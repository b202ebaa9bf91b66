"""Reads what the modules of a model put out in training passes, on closely watched steps."""

from __future__ import annotations

import math
import weakref
from typing import TYPE_CHECKING, Any

import torch

from ..rules.engine.records import Json
from ..rules.engine.signals import DEAD, OUTPUT_RMS, OUTPUT_VARIANCE, SATURATED, SATURATION
from .activation_kinds import Plan, function_of, plan_of
from .models import Model, tensors_in
from .passes import Called, Watcher
from .readback import Label, Readback

if TYPE_CHECKING:
    from .training import Training

MOST_MODULES = 128
"""Modules of a model that are measured; of more, every n-th in the order of registration."""

STEP_ELEMENTS = 1 << 22
"""Elements looked at in a pass, about: larger batches are thinned by samples, never by units (0.2 ms per million)."""

LEAST_ELEMENTS, VARIANCE_ELEMENTS = 1 << 14, 1 << 15
"""Elements of a module that are always looked at, and those its variance is taken over."""

LEAST_SAMPLES = 16
"""Samples, positions of each included, below which nothing is said of dead or saturated units: a healthy unit behind a
ReLU is zero for every second sample, and for all of sixteen with a chance of 1 in 65,000."""

PASSES_A_STEP, CALLS_A_PASS = 4, 4
"""Passes of a model, until one goes backward, and calls of one module in a pass that are measured in a step."""

MOST_EVENTS = 5

UNSEEN = (
    "No activation with units that die or saturate was seen: the model has none, its batches have fewer than "
    f"{LEAST_SAMPLES} samples, or they are functions whose results are reshaped, or not given to a layer"
)

SCRIPTED = "The model is scripted or traced: its parts are not called one by one"

_DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


class Activations(Watcher):
    """Scale, variance, dead and saturated units of each module's output, and the first one that is not finite.

    Measured are leaf modules with parameters, and activations; a module that puts out several tensors, such as an
    LSTM, by its first. A module that is called several times in a pass has the number of the call behind its name
    (`relu#2`). Only passes that go backward count, and of those the first of a step for each model. Units are the
    channels of a convolution and the features of a linear layer; those behind them have the units of the layer before.

    Readings `output/rms` and `output/variance` (over the samples, mean over units and positions), `output/dead` and
    `output/saturated` (shares of units; see `LEAST_SAMPLES`), `output/saturation` (share of values).

    Event `nonfinite_output`, at most `MOST_EVENTS` times, of the first module in a pass whose output has a NaN or an
    infinity: {"module", "class", "input_finite": whether its tensor inputs were finite, or null on a device, "model"}.

    An activation that is a function (`torch.relu`) is seen where its result is given to a layer, pooled or dropped at
    most; it is called after the layer that was called last before it: `conv1.relu()`. Where nothing is seen, `unseen`
    says `activations`.
    """

    name = "activations"

    def __init__(self, training: Training) -> None:
        super().__init__(training)
        self._readback = Readback(self._arrived)
        self._plans: weakref.WeakKeyDictionary[Model, dict[str, Plan]] = weakref.WeakKeyDictionary()
        self._latest: dict[int, _Measured] = {}
        """The latest pass of each model in this step, by the model's number."""
        self._counts: dict[int, int] = {}
        self._kept: dict[int, _Measured] = {}
        """Of those, the first that was followed by a backward."""
        self._activated: weakref.WeakSet[Model] = weakref.WeakSet()
        """Models of which an activation was read."""
        self._events = 0
        self._on_device: dict[str, tuple[str, Model]] = {}
        """Class and model of each module whose output is on a device, by its whole name."""
        self._told: weakref.WeakKeyDictionary[Model, int] = weakref.WeakKeyDictionary()
        """The step at which a model's output was told last, of those on a device."""

    # -- moments ---------------------------------------------------------------------------------------------------

    def watch(self, model: Model, has_grad: bool) -> Called | None:
        number = model.number
        if not has_grad or not self.training.close or number in self._kept or _is_seen_by_others():
            return None
        count = self._counts[number] = self._counts.get(number, 0) + 1
        if count > PASSES_A_STEP:
            return None
        plans = self._plans.get(model)
        if plans is None or model.passes < 2:
            plans = self._plans[model] = self._plan(model)
        self._latest[number] = _Measured(model, max(LEAST_ELEMENTS, STEP_ELEMENTS // max(1, len(plans))))
        return self._called

    def backward(self, tensor: torch.Tensor, loss: torch.Tensor) -> None:
        for number, measured in self._latest.items():
            self._kept.setdefault(number, measured)
        self._latest = {}

    def end_close(self) -> None:
        kept, self._kept, self._latest, self._counts = self._kept, {}, {}, {}
        for measured in kept.values():
            self._write(measured)
            model = measured.model
            if any(signal in (DEAD.name, SATURATED.name) for signal, *_ in measured.values):
                self._activated.add(model)
            elif model.passes > 1 and model not in self._activated:
                is_scripted = isinstance(model.core, torch.jit.ScriptModule)
                self.training.unseen("activations", SCRIPTED if is_scripted else UNSEEN)

    def end_epoch(self) -> None:
        self._readback.flush()

    def finish(self) -> None:
        self._readback.flush()

    # -- measuring -------------------------------------------------------------------------------------------------

    def _plan(self, model: Model) -> dict[str, Plan]:
        found = {name: plan for name, module in model.parts() if (plan := plan_of(module)) is not None}
        if len(found) > MOST_MODULES:
            names = list(found)
            stride = (len(names) - 1) / (MOST_MODULES - 1)
            chosen = {names[round(index * stride)] for index in range(MOST_MODULES)}
            found = {name: plan for name, plan in found.items() if name in chosen}
        return found

    def _called(self, model: Model, name: str, module: Any, args: tuple[Any, ...], output: Any) -> None:
        plan = self._plans[model].get(name)
        measured = self._latest.get(model.number)
        if plan is None or measured is None:
            return
        call = measured.calls[name] = measured.calls.get(name, 0) + 1
        values = next(tensors_in(output), None)
        if call > CALLS_A_PASS or values is None or not _is_measurable(values):
            return
        subject = name if call == 1 else f"{name}#{call}"
        with torch._C.DisableTorchFunction():
            if plan.is_activation:
                measured.activated.add(values.data_ptr())
            else:
                self._look_for_function(measured, args)
            measured.is_activated = plan.is_activation
            values = values.detach()
            unit_dim = measured.unit_dim_of(plan, values)
            values = _thinned(values, measured.room)
            size, samples = values.numel(), values.shape[0]
            norm = torch.linalg.vector_norm(values, dtype=torch.float64 if values.is_cuda else _wide(values))
            if values.is_cpu:
                self._look_at(measured, subject, module, args, values, norm.item())
            else:
                measured.classes[subject] = type(module).__name__
            measured.add(OUTPUT_RMS.name, subject, norm, size**-0.5)
            if samples > 1 and values.dim() > 1:
                few = _thinned(values, VARIANCE_ELEMENTS).to(_wide(values))
                # In two passes, as one loses small variances; `torch.var` is ten times slower along dimension 0.
                spread = torch.linalg.vector_norm(few - few.mean(0)).square_()
                measured.add(OUTPUT_VARIANCE.name, subject, spread, few[0].numel() ** -1 / (few.shape[0] - 1))
            _read_units(measured, plan, subject, values, unit_dim)
            measured.latest = subject

    def _look_for_function(self, measured: _Measured, args: tuple[Any, ...]) -> None:
        """Measures what a layer is given, if an activation made it that was called as a function."""
        values = next(tensors_in(args), None)
        if values is None or not measured.latest or values.grad_fn is None or not _is_measurable(values):
            return
        found = function_of(values)
        if found is None or values.data_ptr() in measured.activated:
            return
        name, plan, is_direct = found
        if is_direct or not measured.is_activated:  # else it is the activation module before, pooled or dropped
            measured.activated.add(values.data_ptr())
            values = values.detach()
            unit_dim = measured.unit_dim_of(plan, values)
            _read_units(measured, plan, f"{measured.latest}.{name}()", _thinned(values, measured.room), unit_dim)

    def _look_at(
        self, measured: _Measured, subject: str, module: Any, args: tuple[Any, ...], values: torch.Tensor, norm: float
    ) -> None:
        """On the CPU: says that an output is not finite, with what is known of its inputs."""
        if norm - norm == 0 or measured.is_told or self._events >= MOST_EVENTS or bool(torch.isfinite(values).all()):
            return
        measured.is_told = True
        inputs = [tensor.detach() for tensor in tensors_in(args) if _is_measurable(tensor)]
        finite = all(bool(torch.isfinite(tensor).all()) for tensor in inputs) if inputs else None
        self._tell(measured.model, measured.model.subject(subject), type(module).__name__, finite, self.training.step)

    def _tell(self, model: Model, subject: str, kind: str, input_finite: bool | None, step: int) -> None:
        self._events += 1
        data: dict[str, Json] = {
            "module": subject, "class": kind, "input_finite": input_finite, "model": model.label
        }  # fmt: skip
        self.journal.event("nonfinite_output", step, data)

    def _write(self, measured: _Measured) -> None:
        step, model = self.training.step, measured.model
        groups: dict[torch.device, list[tuple[Label, torch.Tensor]]] = {}
        for signal, module, value, factor in measured.values:
            label = Label(signal, model.subject(module), step)
            if isinstance(value, torch.Tensor):
                groups.setdefault(value.device, []).append((label, (value * factor).float()))
                self._on_device[label.subject] = (measured.classes.get(module, ""), model)
            else:
                self._arrived(*label, value * factor)
        for group in groups.values():
            self._readback.add([label for label, _ in group], torch.stack([value for _, value in group]))

    def _arrived(self, signal: str, subject: str, step: int, value: float) -> None:
        self.journal.reading(signal, subject, step, value)
        # What was on a device arrives in the order of measurement: the first that is not finite is the first module.
        if signal == OUTPUT_RMS.name and not math.isfinite(value) and subject in self._on_device:
            kind, model = self._on_device[subject]
            if self._events < MOST_EVENTS and self._told.get(model) != step:
                self._told[model] = step
                self._tell(model, subject, kind, None, step)


class _Measured:
    """What was measured in one pass of a model."""

    def __init__(self, model: Model, room: int) -> None:
        """`room` is the number of elements of a module that are looked at."""
        self.model = model
        self.room = room
        self.calls: dict[str, int] = {}
        self.values: list[tuple[str, str, float | torch.Tensor, float]] = []
        """(signal, module, number, factor of it) in the order of measurement; numbers on a device are tensors."""
        self.classes: dict[str, str] = {}
        """Classes of the modules whose outputs are on a device."""
        self.activated: set[int] = set()
        """Addresses of outputs of activations."""
        self.is_activated = False
        """Whether the module that was measured last is an activation."""
        self.latest = ""
        """The module that was measured last."""
        self.is_told = False
        """Whether an output that is not finite was told of."""
        self._unit_dim = -1

    def add(self, signal: str, subject: str, value: torch.Tensor, factor: float) -> None:
        """Keeps a number, a tensor of shape () that is to be multiplied by `factor`."""
        self.values.append((signal, subject, value.item() if value.is_cpu else value, factor))

    def unit_dim_of(self, plan: Plan, values: torch.Tensor) -> int:
        """The dimension of the units of a module's outputs, counted from the front."""
        if plan.unit_dim is not None:
            self._unit_dim = plan.unit_dim
        dims = values.dim()
        return 1 if self._unit_dim == 1 and dims > 1 else dims - 1


def _read_units(measured: _Measured, plan: Plan, subject: str, values: torch.Tensor, unit_dim: int) -> None:
    """Reads the shares of dead and of saturated units, where there are any and the samples are enough."""
    if not plan.is_activation or values.dim() < 2 or values.numel() < LEAST_SAMPLES * values.shape[unit_dim]:
        return
    others = [dim for dim in range(values.dim()) if dim != unit_dim]
    if plan.zero is not None:
        is_dead = values.amax(others) <= plan.zero
        if plan.is_signed:
            is_dead &= values.amin(others) >= -plan.zero
        measured.add(DEAD.name, subject, is_dead.sum(), 1 / is_dead.numel())
    if plan.flat is not None:
        away = (values - plan.flat.centre).abs_()
        nearest = away.amin(others)
        measured.add(SATURATED.name, subject, (nearest > plan.flat.reach).sum(), 1 / nearest.numel())
        measured.add(SATURATION.name, subject, (away > plan.flat.reach).sum(), 1 / away.numel())


def _is_measurable(tensor: torch.Tensor) -> bool:
    """Whether a tensor is dense, of real numbers, not empty, and has values."""
    return (
        tensor.dtype in _DTYPES
        and tensor.layout is torch.strided
        and not tensor.is_nested
        and not tensor.is_meta
        and tensor.dim() > 0
        and tensor.numel() > 0
        and getattr(tensor, "fake_mode", None) is None
    )


def _thinned(values: torch.Tensor, room: int) -> torch.Tensor:
    """The same with fewer samples, evenly chosen, at most about `room` elements; never fewer than two samples."""
    stride = -(-values.numel() // room)
    stride = min(stride, values.shape[0] // 2)
    return values[::stride] if stride > 1 else values


def _wide(values: torch.Tensor) -> torch.dtype:
    return values.dtype if values.dtype is torch.float64 else torch.float32


def _is_seen_by_others() -> bool:
    """Whether a profiler would list what we compute."""
    return bool(torch._C._autograd._profiler_enabled())
