"""Calls a model again and again from one state, with parts of its batch changed, and reads what comes out."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch

from ..probes.loss import LossNode, find_loss_node
from ..probes.nested import tensors_in
from .drill import Skip
from .preserved import Kept
from .subject import Subject

Changed = Mapping[int, torch.Tensor]
"""What stands in for an input, by the input's `id`."""

COMPARED = "what the loss compares"
"""The path of an output that a model which returns its own loss keeps to itself."""

_TARGET = re.compile(r"(^|/|_)(labels?|targets?|gold|y|y_true)$")


class Trials:
    """Each call starts from the same weights, buffers, attributes and random numbers, in evaluation mode.

    Batch normalisation then uses its stored statistics, and dropout does nothing. Every call leaves the model as it
    was. Fast paths that torch takes in evaluation only, and which give outputs of other shapes, are off meanwhile.
    """

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self._kept = Kept(subject.modules)
        self._is_own_loss = False
        self._takes_gradients = False

    @contextmanager
    def fresh(self) -> Iterator[None]:
        """The model in evaluation mode, inside; as it was, afterwards."""
        fast = torch.backends.mha.get_fastpath_enabled()
        try:
            torch.backends.mha.set_fastpath_enabled(False)
            with _uncompiled(self.subject.model):
                for module in self.subject.model.modules():
                    module.training = False
                yield
        finally:
            torch.backends.mha.set_fastpath_enabled(fast)
            self._kept.restore()

    def call(self, changed: Changed | None = None) -> Any:
        """The model's output; to be called inside `fresh`. What is not changed is handed over as a copy."""
        own = {id(tensor): tensor.clone() for _, tensor in self.subject.inputs()}
        args, kwargs = replaced((self.subject.args, self.subject.kwargs), {**own, **(changed or {})})
        return self.subject.model(*args, **kwargs)

    def gradients(self) -> AbstractContextManager[Any]:
        """Without gradients, but for a model that takes some itself: of an energy, or of a field."""
        return torch.enable_grad() if self._takes_gradients else torch.no_grad()

    def outputs(self, changed: Changed | None = None) -> dict[str, torch.Tensor]:
        """Floating-point outputs by their path, without a graph.

        For a model that returns its own loss it is what that loss compares. Raises `Skip` when there is neither.
        """
        if not self._is_own_loss:
            try:
                with self.fresh(), self.gradients():
                    found = floating(self.call(changed))
            except RuntimeError:
                if self._takes_gradients:
                    raise
                with self.fresh(), torch.enable_grad():
                    found = floating(self.call(changed))
                self._takes_gradients = True
            if any(tensor.numel() > 1 for tensor in found.values()):
                return {path: tensor.detach().clone() for path, tensor in found.items() if tensor.dim()}
            self._is_own_loss = True
        with self.fresh(), torch.enable_grad():
            node = self.loss_node(self.call(changed))
            outputs = node.outputs if node is not None else None
            if not isinstance(outputs, torch.Tensor) or not outputs.dim() or not outputs.is_floating_point():
                raise Skip("the model returns its own loss, and what that loss compares could not be read")
            return {COMPARED: outputs.detach().clone()}

    def loss_node(self, output: Any) -> LossNode | None:
        """The loss function in the graph of an output; None when it is not recognised."""
        losses = [tensor for tensor in floating(output).values() if tensor.numel() == 1 and tensor.requires_grad]
        if self.subject.loss is not None:
            losses.insert(0, self.subject.loss(output))
        found = (find_loss_node(loss.grad_fn) for loss in losses)
        return next((node for node in found if node is not None), None)

    def compared(self) -> tuple[str, torch.Tensor | None, torch.Tensor | None]:
        """(function, outputs, targets) of the loss, without a graph; an empty name when it is not recognised."""
        try:
            with self.fresh(), torch.enable_grad():
                node = self.loss_node(self.call())
                if node is None:
                    return "", None, self.subject.targets
                outputs, targets = node.outputs, node.targets
                return (
                    node.function,
                    outputs.detach().clone() if isinstance(outputs, torch.Tensor) else None,
                    targets.detach().clone() if isinstance(targets, torch.Tensor) else self.subject.targets,
                )
        except Skip:
            raise
        except Exception:  # a loss of the user's that is for training mode only, say
            return "", None, self.subject.targets


def _uncompiled(model: torch.nn.Module) -> AbstractContextManager[Any]:
    """Inside, a compiled model runs as it is written: each new shape and mode would be compiled otherwise."""
    is_compiled = any(type(module).__name__ == "OptimizedModule" for module in model.modules())
    if not is_compiled or not hasattr(torch.compiler, "set_stance"):
        return nullcontext()
    return torch.compiler.set_stance("force_eager")  # type: ignore[no-any-return, unused-ignore]


def floating(output: Any) -> dict[str, torch.Tensor]:
    """Floating-point tensors of an output, by their path."""
    return {path: tensor for path, tensor in tensors_in(output) if tensor.is_floating_point()}


def given(subject: Subject, targets: torch.Tensor | None = None) -> list[tuple[str, torch.Tensor]]:
    """(name, tensor) of what the subject's model is called with, as `named`, and without what equals the targets."""
    found = named(subject.model, subject.args, subject.kwargs)
    return [one for index, one in enumerate(found) if not index or not _equals(one[1], targets)]


def _equals(tensor: torch.Tensor, targets: torch.Tensor | None) -> bool:
    if targets is None or tensor.numel() != targets.numel() or tensor.dtype != targets.dtype:
        return False
    return torch.equal(tensor.reshape(-1), targets.reshape(-1).to(tensor.device))


def named(model: torch.nn.Module, args: Any, kwargs: Mapping[str, Any]) -> list[tuple[str, torch.Tensor]]:
    """(name, tensor) of what a model is called with, without the targets that some models are handed too.

    The name is that of the parameter of `forward`, with the path inside where it is a nest.
    """
    try:
        names = list(inspect.signature(model.forward).parameters)
    except (TypeError, ValueError):
        names = []
    found = []
    for index, value in enumerate(args):
        found += tensors_in(value, names[index] if index < len(names) else str(index))
    for key, value in kwargs.items():
        found += tensors_in(value, key)
    within = set(_within((tuple(args), dict(kwargs))))
    found = [(name, tensor) for name, tensor in found if tensor.numel() and id(tensor) in within]
    return [one for one in found if not _TARGET.search(one[0])] or found


def _within(value: Any) -> Iterator[int]:
    """The `id` of each tensor that `replaced` can replace."""
    if isinstance(value, torch.Tensor):
        yield id(value)
    elif (type(value) in (list, tuple)) or (isinstance(value, tuple) and hasattr(value, "_fields")):
        for one in value:
            yield from _within(one)
    elif isinstance(value, dict):
        for one in value.values():
            yield from _within(one)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield from _within(getattr(value, field.name))


def replaced(value: Any, changed: Changed) -> Any:
    """The same nest with other tensors in it; the nest itself is not touched."""
    if isinstance(value, torch.Tensor):
        return changed.get(id(value), value)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(replaced(one, changed) for one in value))
    if type(value) in (list, tuple):
        return type(value)(replaced(one, changed) for one in value)
    if isinstance(value, dict):
        made = copy.copy(value)
        for key, one in value.items():
            made[key] = replaced(one, changed)
        return made
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        whole: Any = value
        made = copy.copy(whole)
        for field in dataclasses.fields(value):
            object.__setattr__(made, field.name, replaced(getattr(value, field.name), changed))
        return made
    return value


def rms(tensor: torch.Tensor) -> float:
    """Root of the mean square; infinite where something is not finite."""
    if not tensor.numel():
        return 0.0
    found = float(tensor.double().pow(2).mean().sqrt())
    return found if found == found else float("inf")


def effect(trials: Trials, changed: Changed, base: dict[str, torch.Tensor]) -> float | None:
    """The largest change of an output, as a share of its size; None where the model does not take the change."""
    try:
        found = trials.outputs(changed)
    except Exception:
        return None
    shares = []
    for path, ours in base.items():
        theirs = found.get(path)
        if theirs is None or theirs.shape != ours.shape:
            return 1.0  # outputs that come and go, or change their shape, depend on what was changed
        if torch.equal(ours, theirs):
            shares.append(0.0)
            continue
        share = rms(theirs - ours) / (rms(ours) or 1.0)
        if not math.isfinite(share):
            return None
        shares.append(share)
    return float(f"{max(shares):.4g}") if shares else None


__all__ = ["COMPARED", "Changed", "Trials", "effect", "floating", "given", "named", "replaced", "rms"]
