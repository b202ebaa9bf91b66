"""What passes through the layers of a model in one iteration of its training, and what comes back."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import torch
from torch.utils.hooks import RemovableHandle

from ..probes.activation_kinds import Plan, function_of, plan_of
from ..probes.nested import Aside, is_measurable, may_compute, tensors_in
from ..rules.engine.records import Json

_NORMS = ("Norm",)
_MOST_IN_FIT = 60
_MOST_ELEMENTS = 1 << 22
"""Elements of a tensor that are looked at; of a larger one, every n-th sample."""


@dataclass
class Layer:
    """What was seen of one call of a module; numbers on a device stay there until they are read."""

    name: str
    kind: str
    """Class of the module, or `relu()` for an activation that was called as a function."""
    is_weighted: bool = False
    """Whether it has a weight matrix of its own, and is no norm layer."""
    rms: Any = None
    spread: Any = None
    """Root mean square of what samples differ by, in the output."""
    input_spread: Any = None
    """The same of the input: with skip connections, what is on the main path."""
    gradient: Any = None
    """Norm of the loss's gradient with respect to the output."""
    dead: Any = None
    """Share of units that are 0 for the whole batch; None where units do not die."""
    saturated: Any = None
    """Share of values on the flat part of the function; None where it has none."""
    units: int = 0
    samples: int = 0
    """Values of each unit: samples times positions."""


@dataclass
class Pass:
    """One iteration: the layers in the order of their first calls, and the gradients that came to the parameters."""

    layers: list[Layer] = field(default_factory=list)
    gradients: dict[str, torch.Tensor] = field(default_factory=dict)
    """By the parameter's name; the sum where several came. Sparse ones are not kept."""
    reached: set[str] = field(default_factory=set)
    """Names of the parameters that a gradient came to."""
    called: set[str] = field(default_factory=set)


@contextmanager
def seeing(model: torch.nn.Module) -> Iterator[Pass]:
    """Sees one iteration inside of the block; all hooks are gone behind it."""
    seen = Pass()
    handles: list[RemovableHandle] = []
    hooked = [parameter for parameter in model.parameters() if parameter.requires_grad and parameter.is_leaf]
    before = [parameter._backward_hooks for parameter in hooked]
    watch = _Watch(seen, handles)
    try:
        for name, module in model.named_modules():
            if _is_leaf(module) and not isinstance(module, torch.jit.ScriptModule):
                watch.attach(name, module)
        for name, parameter in model.named_parameters():
            if parameter.requires_grad and parameter.is_leaf:
                handles.append(parameter.register_hook(watch.taker(name)))  # type: ignore[no-untyped-call]
        yield seen
    finally:
        for handle in handles:
            handle.remove()
        # A tensor whose hooks were removed keeps an empty table of them: it had none before.
        for parameter, hooks in zip(hooked, before, strict=True):
            parameter._backward_hooks = hooks


class _Watch:
    """The hooks, and what they need to know of each other."""

    def __init__(self, seen: Pass, handles: list[RemovableHandle]) -> None:
        self.seen = seen
        self.handles = handles
        self.unit_dim = -1
        """The dimension of the units behind the layer that was called last."""
        self.activated: set[int] = set()
        """Addresses of the results of activations."""

    def attach(self, name: str, module: torch.nn.Module) -> None:
        plan = plan_of(module)
        weights = [one for one in module.parameters() if one.dim() > 1]
        is_weighted = bool(weights) and not any(part in type(module).__name__ for part in _NORMS)

        def hook(module: torch.nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            if name in self.seen.called or not may_compute():
                return
            self.seen.called.add(name)
            layer = Layer(name, type(module).__name__, is_weighted)
            self._look(layer, plan, (args, kwargs), output)

        self.handles.append(module.register_forward_hook(hook, with_kwargs=True))

    def taker(self, name: str) -> Any:
        def take(gradient: torch.Tensor | None) -> None:
            if gradient is None:
                return
            self.seen.reached.add(name)
            if not is_measurable(gradient):
                return
            with Aside():
                known = self.seen.gradients.get(name)
                self.seen.gradients[name] = gradient.detach().clone() if known is None else known + gradient

        return take

    def _look(self, layer: Layer, plan: Plan | None, given: Any, output: Any) -> None:
        found = next((one for _, one in tensors_in(output) if _is_real(one)), None)
        entering = next((one for _, one in tensors_in(given) if _is_real(one)), None)
        if entering is not None and entering.grad_fn is not None:
            self._look_for_function(entering, layer.name)
        if found is None:
            return
        if plan is not None and plan.unit_dim is not None:
            self.unit_dim = plan.unit_dim
        with Aside():
            values = _thinned(found.detach()).float()
            layer.rms = values.square().mean().sqrt()
            layer.spread = spread_of(values)
            if entering is not None:
                layer.input_spread = spread_of(_thinned(entering.detach()).float())
            if plan is not None and plan.is_activation:
                self.activated.add(found.data_ptr())
                self._read_units(layer, plan, values)
        self.seen.layers.append(layer)
        if found.requires_grad and found.grad_fn is not None:
            self._follow(layer, found)

    def _follow(self, layer: Layer, output: torch.Tensor) -> None:
        def read(gradient: torch.Tensor | None) -> None:
            # Of several outputs of one function, those that are not used get none: of an LSTM whose last state counts.
            if gradient is not None and layer.gradient is None and is_measurable(gradient):
                with Aside():
                    layer.gradient = torch.linalg.vector_norm(gradient.detach().float())

        self.handles.append(output.register_hook(read))  # type: ignore[no-untyped-call]

    def _look_for_function(self, entering: torch.Tensor, consumer: str) -> None:
        """Reads an activation that was called as a function, from what the next layer is given."""
        found = function_of(entering)
        before = self.seen.layers[-1] if self.seen.layers else None
        if found is None or before is None or entering.data_ptr() in self.activated:
            return
        name, plan, is_direct = found
        if not is_direct and (before.dead is not None or before.saturated is not None):
            return  # the activation module in front, pooled or dropped
        self.activated.add(entering.data_ptr())
        with Aside():
            layer = Layer(f"{before.name}.{name}()", f"{name}()")
            values = _thinned(entering.detach()).float()
            layer.rms, layer.spread = values.square().mean().sqrt(), spread_of(values)
            self._read_units(layer, plan, values)
        self.seen.layers.append(layer)

    def _read_units(self, layer: Layer, plan: Plan, values: torch.Tensor) -> None:
        if values.dim() < 2:
            return
        unit_dim = 1 if self.unit_dim == 1 else values.dim() - 1
        others = [dim for dim in range(values.dim()) if dim != unit_dim]
        layer.units = values.shape[unit_dim]
        layer.samples = values.numel() // max(1, layer.units)
        if plan.zero is not None:
            layer.dead = (values.abs().amax(others) <= plan.zero).float().mean()
        if plan.flat is not None:
            layer.saturated = ((values - plan.flat.centre).abs() > plan.flat.reach).float().mean()


def _is_leaf(module: torch.nn.Module) -> bool:
    """Whether a module has no parts, but for what makes its weights (`weight_norm`, `spectral_norm`)."""
    return all(name == "parametrizations" for name, _ in module.named_children())


def spread_of(values: torch.Tensor) -> torch.Tensor | None:
    """Root mean square of what the samples differ by from their mean; None for a single sample without positions."""
    if values.dim() < 2 or not values.numel():
        return None
    if values.shape[0] < 2:
        values = values[0]  # a single sample: its positions are told apart
        if values.dim() < 2 or values.shape[0] < 2:
            return None
    return (values - values.mean(0)).square().mean().sqrt()


def depth_of(seen: Pass) -> dict[str, Json] | None:
    """How the gradient changes from layer to layer on its way back, over the hidden layers with weights.

    The factor is the median of the slopes between all pairs of layers (Theil 1950, Sen 1968), in logarithms: a branch
    that is small on purpose does not change it. The last layer is left out, which may begin small on purpose, too. None
    for less than three layers.
    """
    weighted = [layer for layer in seen.layers if layer.is_weighted][:-1]
    norms = [found for layer in weighted if (found := number(layer.gradient))]
    if len(norms) < 3:
        return None
    stride = -(-len(norms) // _MOST_IN_FIT)
    logs = [(place, math.log(norm)) for place, norm in enumerate(norms)][::stride]
    slopes = [(a - b) / (i - j) for n, (i, a) in enumerate(logs) for j, b in logs[:n]]
    # From the last layer back to the first: the other way round.
    factor = math.exp(max(-700.0, min(700.0, -median(slopes))))
    return {"layers": len(norms), "factor": factor, "first": norms[0], "last": norms[-1]}


def number(value: Any) -> float | None:
    """What was measured, as a finite number."""
    found = float(value) if isinstance(value, (torch.Tensor, float, int)) else math.nan
    return found if math.isfinite(found) else None


def _is_real(tensor: torch.Tensor) -> bool:
    return tensor.is_floating_point() and tensor.numel() > 0 and tensor.dim() > 0


def _thinned(values: torch.Tensor) -> torch.Tensor:
    stride = min(-(-values.numel() // _MOST_ELEMENTS), max(1, values.shape[0] // 2))
    return values[::stride] if stride > 1 else values
