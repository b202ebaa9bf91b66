"""One pass through a model, watched: what went into every layer, what came out, and the gradients of both."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from torch import nn

from ...probes.nested import tensors_in

Tensors: TypeAlias = "list[tuple[str, torch.Tensor]]"
"""(path in what was given or returned, tensor)."""


@dataclass(eq=False)
class Call:
    """One call of one layer."""

    name: str
    """Of the layer in the model; empty for the model."""
    kind: str
    """Its class."""
    nth: int
    """How many calls of the layer went before."""
    index: int
    parent: Call | None = None
    children: list[Call] = field(default_factory=list)
    inputs: Tensors = field(default_factory=list)
    outputs: Tensors = field(default_factory=list)
    input_gradients: dict[str, torch.Tensor] = field(default_factory=dict)
    """By path: what this call alone adds to the gradient of its input."""
    output_gradients: dict[str, torch.Tensor] = field(default_factory=dict)
    takes_graph: bool = False
    """Whether what went in was part of the graph."""
    has_graph: bool = False
    """Whether what came out is part of the graph."""
    writes: bool = False
    """Whether it has written into what it was given."""
    entered: int = 0
    """Place of its beginning among all beginnings and ends."""
    left: int = 0

    @property
    def title(self) -> str:
        """`blocks.0.act`, with the number of the call where it is not the first."""
        return (self.name or f"the model ({self.kind})") + (f", call {self.nth + 1}" if self.nth else "")


@dataclass
class Trace:
    """All calls of a pass, in the order in which they began, and what the pass left."""

    calls: list[Call]
    output: Tensors
    loss: float | None = None
    gradients: dict[str, torch.Tensor | None] = field(default_factory=dict)
    """By every name of a parameter; None where it got none."""
    buffers: dict[str, torch.Tensor] = field(default_factory=dict)
    """As the pass left them, by every name."""
    no_gradients: str = ""
    """Why there are none; empty where there are."""


Substitutes: TypeAlias = Callable[[Call, str, Tensors], "Mapping[str, torch.Tensor]"]
"""Values by path that take the place of what goes into a call (`inputs`) or comes out of it (`outputs`)."""


class Tracer:
    """Watches the calls of a model's layers while `watching()`; hooks are gone afterwards, whatever happens."""

    def __init__(
        self, model: nn.Module, *, keep: bool, gradients: bool, substitutes: Substitutes | None = None
    ) -> None:
        self._model = model
        self._keep = keep
        self._gradients = gradients
        self._substitutes = substitutes
        self.calls: list[Call] = []
        self._stack: list[tuple[Call, list[tuple[torch.Tensor, int]]]] = []
        self._seen: dict[str, int] = {}
        self._clock = 0
        self._copies: dict[int, tuple[torch.Tensor, int, torch.Tensor]] = {}
        self._on = False

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Sets hooks on every module."""
        handles: list[Any] = []
        try:
            for name, module in self._model.named_modules():
                if not isinstance(module, torch.jit.ScriptModule):
                    handles.append(module.register_forward_pre_hook(self._before(name), with_kwargs=True))
                    handles.append(module.register_forward_hook(self._after, with_kwargs=True))
            self._on = True
            yield
        finally:
            self._on = False
            for handle in handles:
                handle.remove()
            self._copies.clear()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Calls that the backward pass makes again, for what it has not kept, are not watched."""
        self._on = False
        try:
            yield
        finally:
            self._on = True

    def _before(self, name: str) -> Callable[..., Any]:
        def entering(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            if not self._on:
                return None
            call = Call(name, type(module).__name__, self._seen.get(name, 0), len(self.calls))
            self._seen[name] = call.nth + 1
            call.entered = self._tick()
            if self._stack:
                call.parent = self._stack[-1][0]
                call.parent.children.append(call)
            self.calls.append(call)
            found = tensors_in((list(args), kwargs))
            call.inputs = [(path, self._copy(tensor)) for path, tensor in found]
            call.takes_graph = any(tensor.requires_grad for _, tensor in found)
            changed = self._changed(call, "inputs", found)
            given: dict[int, torch.Tensor] = {}
            for path, tensor in found:
                now = changed.get(path, tensor)
                if self._gradients and now.requires_grad and torch.is_grad_enabled() and now.is_floating_point():
                    # A view of its own: its gradient is what this call adds, not the sum over all who read the tensor.
                    known = given.get(id(tensor))
                    now = now.view_as(now) if known is None else known
                    now.register_hook(_keeper(call.input_gradients, path))  # type: ignore[no-untyped-call]
                if now is not tensor:
                    given[id(tensor)] = now
            if given:
                args, kwargs = _replaced(args, given), _replaced(kwargs, given)
            inside = [(tensor, tensor._version) for _, tensor in tensors_in((list(args), kwargs))]
            self._stack.append((call, inside))
            return (args, kwargs) if given else None

        return entering

    def _after(self, module: nn.Module, args: Any, kwargs: Any, output: Any) -> Any:
        if not self._on or not self._stack:
            return None
        call, inside = self._stack.pop()
        call.left = self._tick()
        call.writes = any(tensor._version != version for tensor, version in inside)
        found = tensors_in(output, "")
        call.outputs = [(path, self._copy(tensor)) for path, tensor in found]
        call.has_graph = any(tensor.requires_grad for _, tensor in found)
        if self._gradients:
            for path, tensor in found:
                if tensor.requires_grad and tensor.is_floating_point() and torch.is_grad_enabled():
                    tensor.register_hook(_keeper(call.output_gradients, path))  # type: ignore[no-untyped-call]
        changed = self._changed(call, "outputs", found)
        if not changed:
            return None
        return _replaced(output, {id(tensor): changed[path] for path, tensor in found if path in changed})

    def _changed(self, call: Call, what: str, found: Tensors) -> dict[str, torch.Tensor]:
        if self._substitutes is None:
            return {}
        wanted = self._substitutes(call, what, found)
        return {path: _substitute(tensor, wanted[path]) for path, tensor in found if path in wanted}

    def _tick(self) -> int:
        self._clock += 1
        return self._clock

    def _copy(self, tensor: torch.Tensor) -> torch.Tensor:
        """The values now: what is written into the tensor later does not change them. Of the same values one copy."""
        if not self._keep:
            return tensor.new_empty(0)
        known = self._copies.get(id(tensor))
        if known is not None and known[0] is tensor and known[1] == tensor._version:
            return known[2]
        made = tensor.detach().clone()
        self._copies[id(tensor)] = (tensor, tensor._version, made)
        return made


def _substitute(tensor: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    if not tensor.is_floating_point():
        return value.to(tensor).clone()
    if tensor.shape != value.shape:  # no gradient passes, but the graph goes on
        return value.to(tensor) + (0.0 * torch.nan_to_num(tensor)).sum()
    return _Substitute.apply(tensor, value)  # type: ignore[no-any-return, no-untyped-call]


class _Substitute(torch.autograd.Function):
    """Other values in the same place of the graph."""

    @staticmethod
    def forward(ctx: Any, tensor: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        return value.to(tensor).clone()

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:
        return gradient, None


def _keeper(into: dict[str, torch.Tensor], path: str) -> Callable[[torch.Tensor | None], None]:
    def keep(gradient: torch.Tensor | None) -> None:
        if gradient is None:  # of several outputs of one function, this one was not used
            return
        made = gradient.detach().clone()
        into[path] = into[path] + made if path in into else made

    return keep


def _replaced(value: Any, new: Mapping[int, torch.Tensor]) -> Any:
    """The same nest with some tensors exchanged; what cannot be made anew is left as it is."""
    if isinstance(value, torch.Tensor):
        return new.get(id(value), value)
    if isinstance(value, tuple):
        parts = [_replaced(one, new) for one in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts) if type(value) is tuple else value
    if type(value) is list:
        return [_replaced(one, new) for one in value]
    if isinstance(value, dict):
        made = copy.copy(value)
        for key, one in value.items():
            made[key] = _replaced(one, new)
        return made
    return value
