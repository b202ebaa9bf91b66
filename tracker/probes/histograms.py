"""Keeps histograms of weights, gradients and outputs at a few dozen moments of the run: for the eye, not for a rule."""

from __future__ import annotations

import math
import weakref
from collections.abc import Sequence
from time import thread_time
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import torch

from ..rules.engine.signals import GRAD_HISTOGRAM, OUTPUT_HISTOGRAM, WEIGHT_HISTOGRAM
from .activation_kinds import plan_of
from .activations import PASSES_A_STEP
from .bins import binned, binned_there, sampled
from .models import Model, tensors_in
from .moments import Schedule
from .nested import Aside, is_measurable, may_compute
from .norms import dense
from .parameters import is_real
from .passes import Called, Watcher
from .sent import Sent

if TYPE_CHECKING:
    from .training import Training

MOST = 64
"""Parameters, and modules of a model, that are followed. Of more parameters those of one dimension, biases and scales,
are left out first; then they are spread evenly over the depth."""

LEAST_MORE = 8
"""Parameters of each further optimizer that are followed, however many those before it have."""

MOST_ARRAYS = 10_000
"""Histograms of a run: 3 MB of its journal. One training with as many subjects as are followed has 9,000."""

DIGITS = 6
"""Digits of the bounds of a histogram that are kept: further ones take a tenth of the room of all of it."""

_DTYPES = frozenset({torch.float32, torch.float16, torch.bfloat16, torch.float64})

T = TypeVar("T")


class _Label(NamedTuple):
    """What a histogram is of."""

    signal: str
    subject: str
    step: int


class Histograms(Watcher):
    """Arrays `weight/histogram`, `grad/histogram` and `output/histogram`, in the form of `bins.binned`.

    Weights are those ahead of the step, and at last those at the end of the run; gradients those that the optimizer is
    given, without a scaler's factor. Outputs are those of the modules that `output/rms` tells of, by their first call
    in the first pass of the step that goes backward. Of each at most `bins.MOST_VALUES` values are looked at.

    A moment is a step that is looked at closely anyway, as `Schedule` says. There are none with `observe = "light"`,
    and on further ranks, whose weights are those of rank 0.
    """

    name = "histograms"

    def __init__(self, training: Training) -> None:
        super().__init__(training)
        settings = training.session.settings
        self._is_on = settings.report.histograms and settings.observe != "light"
        if not self._is_on:
            self.release()
        self._is_moment = self._has_taken = False
        """Whether this step is one that is kept, and whether anything was."""
        self._schedule = Schedule()
        self._arrays = 0
        self._parameters: weakref.WeakKeyDictionary[Any, frozenset[str]] = weakref.WeakKeyDictionary()
        """Names of the parameters of each optimizer that are followed."""
        self._modules: weakref.WeakKeyDictionary[Model, frozenset[str]] = weakref.WeakKeyDictionary()
        self._stepping: Any = None
        """Whose step is under way, whose gradients its closure is about to make."""
        self._counts: dict[int, int] = {}
        self._passes: dict[int, _Outputs] = {}
        """The latest pass of each model in this step, by the model's number."""
        self._kept: dict[int, _Outputs] = {}
        """Of those, the first that was followed by a backward."""
        self._there: dict[torch.device, list[tuple[_Label, torch.Tensor]]] = {}
        """Histograms of this moment that are on devices."""
        self._sent: list[tuple[list[_Label], Sent]] = []

    # -- moments ---------------------------------------------------------------------------------------------------

    def begin_close(self) -> None:
        self._is_moment = self._is_on and self._is_due()
        self._has_taken = False
        if self._sent:
            self._collect(wait=False)

    def _is_due(self) -> bool:
        is_due = self._schedule.is_due(self.training.step, self.training.session.clock.epoch)
        return is_due and (self._schedule.latest < 0 or self.training.governor.has_room)

    def begin_another(self) -> None:
        self._schedule.begin_another(self.training.session.clock.epoch)

    # -- outputs ---------------------------------------------------------------------------------------------------

    def watch(self, model: Model, has_grad: bool) -> Called | None:
        number = model.number
        if not self._is_moment or not has_grad or not self.training.close or number in self._kept or not may_compute():
            return None
        count = self._counts[number] = self._counts.get(number, 0) + 1
        if count > PASSES_A_STEP:
            return None
        began = thread_time()
        if model not in self._modules or model.passes < 2:
            names = [name for name, module in model.parts() if plan_of(module) is not None]
            self._modules[model] = frozenset(_spread(names, MOST))
        self._passes[number] = _Outputs(model, {})
        self._schedule.spent += thread_time() - began
        return self._called

    def _called(self, model: Model, name: str, module: Any, args: tuple[Any, ...], output: Any) -> None:
        outputs = self._passes.get(model.number)
        if outputs is None or name in outputs.values or name not in self._modules[model]:
            return
        began = thread_time()
        values = next(tensors_in(output), None)
        if values is not None and values.dtype in _DTYPES and values.numel() and is_measurable(values):
            with Aside():
                # A copy: what comes next may write to it, and it is the user's.
                outputs.values[name] = sampled(values)
        self._schedule.spent += thread_time() - began

    def backward(self, tensor: torch.Tensor, loss: torch.Tensor) -> None:
        if self._passes:
            for number, outputs in self._passes.items():
                self._kept.setdefault(number, outputs)
            self._passes = {}

    # -- weights and gradients -------------------------------------------------------------------------------------

    def before_step(self, optimizer: Any, owned: Any) -> None:
        if not self._is_moment:
            return
        found_inf = getattr(optimizer, "found_inf", None)
        if found_inf is not None and found_inf.is_cpu and float(found_inf) > 0:
            return
        self._stepping = None
        if self.training.outer_backwards > 0:
            self._read(owned, getattr(optimizer, "grad_scale", None))
        else:
            self._stepping = owned

    def after_backward(self) -> None:
        if self._stepping is not None and self.training.in_step:
            owned, self._stepping = self._stepping, None
            self._read(owned, None)

    def _read(self, owned: Any, scale: torch.Tensor | None) -> None:
        """Takes the weights of an optimizer, as they are, and their gradients."""
        if not may_compute() or self._is_of_another_rank():
            return
        began = thread_time()
        step = self.training.step
        with Aside():
            for name, parameter in self._followed(owned):
                self._take(_Label(WEIGHT_HISTOGRAM.name, name, step), dense([parameter])[0])
                if parameter.grad is not None and is_real(parameter.grad):
                    self._take(_Label(GRAD_HISTOGRAM.name, name, step), dense([parameter.grad])[0], scale)
        self._schedule.spent += thread_time() - began

    def _followed(self, owned: Any) -> list[tuple[str, torch.Tensor]]:
        names = self._parameters.get(owned)
        if names is None:
            others = sum(len(self._parameters.get(other, ())) for other in self.training.owned if other is not owned)
            names = self._parameters[owned] = frozenset(_chosen(owned.items(), max(LEAST_MORE, MOST - others)))
        return [(name, p) for name, p in owned.items() if name in names and p.requires_grad and is_real(p)]

    # -- writing ---------------------------------------------------------------------------------------------------

    def _take(self, label: _Label, values: torch.Tensor, scale: torch.Tensor | None = None) -> None:
        """Makes the histogram of a tensor; `scale` is what its values are to be divided by."""
        if values.is_floating_point() and values.numel():
            some = sampled(values)
            self._bin(label, some if scale is None else some / scale.to(some.device))

    def _bin(self, label: _Label, some: torch.Tensor) -> None:
        if self._arrays >= MOST_ARRAYS:
            return
        self._arrays += 1
        self._has_taken = True
        if some.is_cpu:
            self._write(label, binned(some))
        else:
            self._there.setdefault(some.device, []).append((label, binned_there(some)))

    def _write(self, label: _Label, found: Sequence[float] | None) -> None:
        if found is not None and not math.isnan(found[0]):
            bounds = [float(f"{bound:.{DIGITS}g}") for bound in found[:2]]
            self.journal.array(*label, bounds + list(found[2:]))

    def end_close(self) -> None:
        kept, self._kept, self._passes, self._counts, self._stepping = self._kept, {}, {}, {}, None
        if not self._is_moment:
            return
        self._is_moment = False
        began, step = thread_time(), self.training.step
        if not self._is_of_another_rank() and may_compute():
            with Aside():
                for model, values in kept.values():
                    for name, some in values.items():
                        self._bin(_Label(OUTPUT_HISTOGRAM.name, model.subject(name), step), some)
                self._send()
        self._schedule.spent += thread_time() - began
        if self._has_taken:
            self._schedule.note(step, self.training.session.clock.epoch)

    def _is_of_another_rank(self) -> bool:
        return bool(self.training.session.place.is_member)

    def _send(self) -> None:
        groups, self._there = self._there, {}
        for group in groups.values():
            self._sent.append(([label for label, _ in group], Sent(torch.stack([row for _, row in group]))))

    def _collect(self, wait: bool) -> None:
        while self._sent and (wait or self._sent[0][1].is_there):
            labels, sent = self._sent.pop(0)
            for label, row in zip(labels, sent.read().tolist(), strict=True):
                self._write(label, row)

    def end_epoch(self) -> None:
        self._collect(wait=True)

    def finish(self) -> None:
        step = self.training.last_step
        if self._is_on and 0 <= self._schedule.latest < step and may_compute() and not self._is_of_another_rank():
            with Aside():
                for owned in self.training.owned:
                    for name, parameter in self._followed(owned):
                        self._take(_Label(WEIGHT_HISTOGRAM.name, name, step), dense([parameter])[0])
                self._send()
        self._collect(wait=True)


class _Outputs(NamedTuple):
    """What was copied of the outputs of one pass, by module."""

    model: Model
    values: dict[str, torch.Tensor]


def _chosen(items: Sequence[tuple[str, torch.Tensor]], most: int) -> list[str]:
    """The parameters that are followed, `most` of them."""
    trained = [(name, p) for name, p in items if p.requires_grad]
    if len(trained) > most:
        trained = [(name, p) for name, p in trained if p.dim() > 1] or trained
    return _spread([name for name, _ in trained], most)


def _spread(items: Sequence[T], most: int) -> list[T]:
    """At most `most` of the items, evenly: the first and the last among them."""
    if len(items) <= most:
        return list(items)
    stride = (len(items) - 1) / max(1, most - 1)
    return [items[round(index * stride)] for index in range(most)]
