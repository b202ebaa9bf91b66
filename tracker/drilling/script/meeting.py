"""Learns from the first steps of a script what is trained: the model, a batch, and how its loss is made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from ...probes.criterion import Criterion, Mismatch, Outputs, Place, Target, start_of, way
from ...probes.loss import LossNode, find_loss_node, unscaled
from ...probes.nested import tensors_in
from ...probes.nodes import kind
from ...probes.probe import Pass, Probe
from ..calling import own_copy
from ..subject import Subject

_MOST_PASSES = 4
"""Passes of a step that are kept until its loss is known."""
SILENT = 3
"""Losses in a row that a model has no part in before another takes its place: its training is over."""


class Met(NamedTuple):
    """A forward pass whose output the loss was made of."""

    module: torch.nn.Module
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    loss: Callable[[Any], torch.Tensor] | None
    targets: torch.Tensor | None
    why: str
    """Why the loss is not known."""


class Meeting(Probe):
    """Looks at the first losses, and keeps the pass that the first recognised one of the model in training came from.

    A script may train one model after another, as the clients of a federation, or the members of an ensemble.
    """

    name = "preflight"
    every_step = frozenset({"backward"})

    def __init__(self, training: Any) -> None:
        super().__init__(training)
        self.met: Met | None = None
        self.losses: list[float] = []
        self.silent = 0
        """Losses since the last one that the model had a part in."""
        self._passes: list[tuple[Pass, tuple[Any, ...], dict[str, Any], Outputs]] = []

    def begin_close(self) -> None:
        self._passes.clear()

    def root_forward(self, call: Pass) -> None:
        if not call.has_grad or len(self._passes) >= _MOST_PASSES:
            return
        places: Outputs = {}
        for path, tensor in tensors_in(call.output, "output"):
            if tensor.grad_fn is not None and tensor.dim():
                places[kind(tensor.grad_fn), tensor.grad_fn._sequence_nr()] = Place(path, tuple(tensor.shape))
        self._passes.append((call, own_copy(call.args), own_copy(dict(call.kwargs)), places))

    def backward(self, tensor: torch.Tensor, loss: torch.Tensor) -> None:
        self.losses.append(float(loss.detach()))
        passes, self._passes = self._passes, []
        if not passes:
            return
        if self.met is not None and any(call.module is self.met.module for call, *_ in passes):
            self.silent = 0
        else:
            self.silent += 1
        is_over = self.silent >= SILENT
        if self.met is not None and self.met.loss is not None and not is_over:
            return
        found = _meet(passes, tensor, loss)
        if self.met is None or found.loss is not None:
            self.met = found
            self.silent = 0

    def end_close(self) -> None:
        self._passes.clear()


def _meet(
    passes: list[tuple[Pass, tuple[Any, ...], dict[str, Any], Outputs]], tensor: torch.Tensor, loss: torch.Tensor
) -> Met:
    why = "the function of the loss is not recognised"
    for call, args, kwargs, _ in reversed(passes):
        path = next((path for path, one in tensors_in(call.output, "output") if one is loss), None)
        if path is not None:
            return Met(call.module, args, kwargs, _at(path), None, "")
    node = find_loss_node(tensor.grad_fn if loss is tensor else unscaled(tensor))
    if node is not None:
        for call, args, kwargs, places in reversed(passes):
            found = way(start_of(node), places)
            if isinstance(found, str):
                why = found
                continue
            try:
                again, targets = _again(node, found)
                made = float(again(call.output).detach())
            except Mismatch as error:
                why = str(error)
                continue
            value = float(loss.detach())
            is_same = abs(made - value) <= 1e-3 * max(abs(value), 1e-6) or (made != made and value != value)
            if not is_same and node.terms == 1 and made and node.scaled:
                again = _times(again, value / made)
            elif not is_same and node.terms == 1:
                why = f"made again from the model's output it is {made:.6g}, not {value:.6g}"
                continue
            return Met(call.module, args, kwargs, again, targets, "")
    call, args, kwargs, _ = passes[-1]
    return Met(call.module, args, kwargs, None, None, why)


def _again(
    node: LossNode, found: tuple[Place, list[str], bool]
) -> tuple[Callable[[Any], torch.Tensor], torch.Tensor | None]:
    """The loss as a function of the model's output, and its targets; raises `Mismatch` where it cannot be made."""
    criterion = Criterion(node, *found)
    targets = node.targets
    if not isinstance(targets, torch.Tensor):
        raise Mismatch("the loss keeps no targets")
    targets = targets.detach().clone()
    criterion.target = Target("graph", "", "same", targets.dtype, targets.dim())

    def loss(output: Any) -> torch.Tensor:
        given = next((one for path, one in tensors_in(output, "output") if path == criterion.path), None)
        if given is None:
            raise Mismatch(f"the model returned no tensor at {criterion.path}")
        at = targets.to(given.device)
        return criterion.loss(*criterion.prepare(given, at, keeps_graph=True))

    return loss, targets


def _at(path: str) -> Callable[[Any], torch.Tensor]:
    def loss(output: Any) -> torch.Tensor:
        return next(one for at, one in tensors_in(output, "output") if at == path).reshape(())

    return loss


def _times(loss: Callable[[Any], torch.Tensor], factor: float) -> Callable[[Any], torch.Tensor]:
    return lambda output: loss(output) * factor


def subject_of(met: Met, optimizers: list[Any], loaders: dict[str, Any], profile: str) -> Subject:
    """What the drills are done on."""
    return Subject(
        met.module,
        met.args,
        met.kwargs,
        met.loss,
        met.targets,
        optimizers,
        loaders,
        profile,
        without_loss=f"the loss could not be made again from the model's output: {met.why}",
        is_script=True,
    )
