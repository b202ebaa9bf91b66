"""Passes through a model from one and the same state, in its own precision or in float64."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ...drilling.calling import call_with, own_copy
from ...drilling.preserved import preserved
from ...errors import ConfigError
from ...probes.nested import tensors_in
from .matches import Match, named_tensors
from .pairing import paired
from .sizes import aligned
from .tracing import Substitutes, Tensors, Trace, Tracer
from .weights import put_into

_SEED = 20_011
"""Of the fixed directions onto which outputs are projected where there is no loss."""


@dataclass(frozen=True)
class Way:
    """How both models are called, and what is made of their output."""

    batch: Any
    forward: Callable[[nn.Module, Any], Any] | None = None
    loss: Callable[..., torch.Tensor] | None = None
    train: bool = False

    def output(self, model: nn.Module, batch: Any) -> Any:
        """Of one model for a batch that is its own."""
        if self.forward is not None:
            return self.forward(model, batch)
        inputs, _ = self.split(model, batch)
        if isinstance(inputs, (tuple, list)) and not hasattr(inputs, "_fields") and _takes(model, len(inputs)):
            return model(*inputs)
        args, kwargs = call_with(model, inputs)
        return model(*args, **kwargs)

    def split(self, model: nn.Module, batch: Any) -> tuple[Any, Any]:
        """(inputs, targets): of a batch of two, unless there is no loss and the model takes two arguments."""
        if not isinstance(batch, (tuple, list)) or len(batch) != 2 or hasattr(batch, "_fields"):
            return batch, batch
        if self.loss is None and _takes(model, 2):
            return batch, batch
        return batch[0], batch[1]


def _takes(model: nn.Module, count: int) -> bool:
    """True when `forward` cannot be called with fewer than so many arguments, and no more than one."""
    try:
        parameters = list(inspect.signature(model.forward).parameters.values())
    except (TypeError, ValueError):
        return False
    places = [one for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    needed = [one for one in places if one.default is one.empty]
    takes_any = any(one.kind is one.VAR_POSITIONAL for one in parameters)
    return count > 1 and len(needed) > 1 and len(needed) <= count and (count <= len(places) or takes_any)


def run(
    model: nn.Module,
    way: Way,
    *,
    weights: tuple[list[Match], Mapping[str, torch.Tensor]] | None = None,
    double: bool = False,
    keep: bool = True,
    gradients: bool = True,
    like: Tensors | None = None,
    substitutes: Substitutes | None = None,
) -> Trace:
    """One pass from the state that everything is in; afterwards all is as before, also when it raises.

    `weights` are put in first. `like` is the output of the other model, for which the projection is made. With
    `double` everything is computed in float64.
    """
    tracer = Tracer(model, keep=keep, gradients=gradients, substitutes=substitutes)
    with ExitStack() as stack:
        stack.enter_context(preserved([model]))
        stack.enter_context(_settings(model))
        if weights is not None:
            put_into(*weights, named_tensors(model))
        if double:
            stack.enter_context(_doubled(model))
        model.train(way.train)
        parameters = dict(model.named_parameters(remove_duplicate=False))
        for parameter in parameters.values():
            parameter.grad = None
        if gradients and not any(parameter.requires_grad for parameter in parameters.values()):
            for parameter in parameters.values():
                parameter.requires_grad_(parameter.is_floating_point() or parameter.is_complex())
        batch = own_copy(way.batch)
        batch = _in_double(batch) if double else batch
        with tracer.watching():
            output = way.output(model, batch)
            found = tensors_in(output)
            trace = Trace(tracer.calls, [(path, tensor.detach().clone()) for path, tensor in found])
            trace.buffers = {name: one.detach().clone() for name, one in model.named_buffers(remove_duplicate=False)}
            if gradients:
                with tracer.paused():
                    _backward(trace, model, way, output, found, batch, parameters, like)
    return trace


def _backward(
    trace: Trace,
    model: nn.Module,
    way: Way,
    output: Any,
    found: Tensors,
    batch: Any,
    parameters: Mapping[str, nn.Parameter],
    like: Tensors | None,
) -> None:
    loss = _loss(model, way, output, found, batch, trace.output if like is None else like)
    if loss is None or not loss.requires_grad:
        trace.no_gradients = "the output is a constant for autograd: no parameter that can be trained leads to it"
        return
    trace.loss = float(loss.detach().real)
    unique = list({id(one): one for one in parameters.values() if one.requires_grad}.values())
    if _is_reentrant(loss):
        if any(getattr(one, "_post_accumulate_grad_hooks", None) for one in unique):
            trace.no_gradients = "it is checkpointed in the reentrant way and steps an optimizer inside backward()"
            return
        loss.backward()  # type: ignore[no-untyped-call]
        trace.gradients = {name: _dense(one.grad) for name, one in parameters.items()}
        return
    # Not backward(): hooks that a user has on accumulated gradients may step an optimizer.
    got = torch.autograd.grad(loss, unique, allow_unused=True) if unique else ()
    by_id = {id(one): gradient for one, gradient in zip(unique, got, strict=True)}
    trace.gradients = {name: _dense(by_id.get(id(one))) for name, one in parameters.items()}


def _dense(gradient: torch.Tensor | None) -> torch.Tensor | None:
    return gradient.to_dense() if gradient is not None and gradient.layout is not torch.strided else gradient


def _is_reentrant(loss: torch.Tensor) -> bool:
    """True where a part is checkpointed so that only backward() reaches the parameters in it."""
    seen: set[Any] = set()
    queue = [loss.grad_fn]
    while queue:
        node = queue.pop()
        if node is None or node in seen:
            continue
        if node.name() == "CheckpointFunctionBackward":
            return True
        seen.add(node)
        queue += [one for one, _ in node.next_functions]
    return False


def _loss(model: nn.Module, way: Way, output: Any, found: Tensors, batch: Any, like: Tensors) -> torch.Tensor | None:
    """The user's loss, or the sum of the outputs along a fixed random direction, the same for both models."""
    if way.loss is not None:
        made = way.loss(output, way.split(model, batch)[1])
        if not isinstance(made, torch.Tensor) or made.numel() != 1:
            seen = list(made.shape) if isinstance(made, torch.Tensor) else type(made).__name__
            raise ConfigError(
                f"The loss gave {seen}; expected a tensor with one element, such as a mean over the batch."
            )
        return made.reshape(())
    total: torch.Tensor | None = None
    generator = torch.Generator().manual_seed(_SEED)
    directions = {path: torch.randn(one.shape, generator=generator, dtype=torch.float64) for path, one in like}
    for ours, theirs in paired(like, found):
        tensor = theirs[1]
        direction = aligned(tensor, directions[ours[0]])
        if direction is None:
            direction = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
        if tensor.requires_grad and tensor.is_floating_point():
            one = (tensor * direction.to(tensor)).sum() / math.sqrt(max(1, tensor.numel()))
            total = one if total is None else total + one.to(total)
    return total


@contextmanager
def _settings(model: nn.Module) -> Iterator[None]:
    """Graphs are made; a model's warnings, which its first pass has shown, are not shown for each."""
    on_gpu = any(
        isinstance(one, nn.RNNBase) and any(parameter.is_cuda for parameter in one.parameters())
        for one in model.modules()
    )
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        if on_gpu:  # cuDNN has no backward of a recurrent layer in evaluation mode
            stack.enter_context(torch.backends.cudnn.flags(enabled=False))
        yield


@contextmanager
def _doubled(model: nn.Module) -> Iterator[None]:
    """The model in float64: each tensor of it keeps its identity, and gets its own values back."""
    tensors = {id(one): one for one in (*model.parameters(), *model.buffers())}.values()
    kept = [(one, one.data) for one in tensors if one.is_floating_point() or one.is_complex()]
    default = torch.get_default_dtype()
    try:
        torch.set_default_dtype(torch.float64)
        for tensor, data in kept:
            tensor.data = data.to(torch.complex128 if data.is_complex() else torch.float64)
        yield
    finally:
        torch.set_default_dtype(default)
        for tensor, data in kept:
            tensor.grad = None  # of the other dtype; what was there comes back with the rest of the state
            tensor.data = data


def _in_double(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.double() if value.is_floating_point() else value
    if isinstance(value, dict):
        return {key: _in_double(one) for key, one in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*map(_in_double, value))
    if isinstance(value, (list, tuple)):
        return type(value)(map(_in_double, value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        made = copy.copy(value)
        for one in dataclasses.fields(value):
            object.__setattr__(made, one.name, _in_double(getattr(value, one.name)))
        return made
    return value
