"""The usual suspects, each as a change to the training that lasts for a block: is the fault gone with it?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from ..drilling.preserved import preserved
from ..drilling.subject import Subject
from ..probes.nested import tensors_in
from .attempt import at_steps

CLIPPED_AT = 1.0
"""Norm at which gradients are clipped: usual for transformers and recurrent networks."""
_SQUASHING = (torch.nn.Softmax, torch.nn.Sigmoid, torch.nn.ReLU, torch.nn.Tanh)
_UNDONE = {"SoftmaxBackward0": "softmax", "SigmoidBackward0": "sigmoid", "TanhBackward0": "tanh"}
_NEEDS_PROBABILITIES = frozenset({"binary_cross_entropy", "nll_loss"})
"""Losses that cannot do without what the last activation makes."""


@contextmanager
def clipped(subject: Subject) -> Iterator[None]:
    """Gradients of a norm of at most 1."""

    def clip(optimizer: torch.optim.Optimizer) -> None:
        torch.nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], CLIPPED_AT)

    with at_steps(subject, clip):
        yield


@contextmanager
def in_shape_of_targets(subject: Subject) -> Iterator[None]:
    """Outputs (N, 1) as (N,), and the other way round: a loss that broadcast the two compares one with one."""

    def reshape(module: torch.nn.Module, args: Any, output: Any) -> Any:
        if not isinstance(output, torch.Tensor):
            return output
        return output.unsqueeze(-1) if output.dim() == 1 else output.squeeze(-1)

    handle = subject.model.register_forward_hook(reshape)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def in_training_mode(subject: Subject) -> Iterator[None]:
    """Every module in training mode, whatever the loop says. The modes are put back by the one who preserves."""

    def train(module: torch.nn.Module, args: Any) -> None:
        module.train()

    handle = subject.model.register_forward_pre_hook(train)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def every_parameter_trained(subject: Subject) -> Iterator[None]:
    """Every parameter needs its gradient and belongs to an optimizer: the first one takes those of none."""
    held = {id(one) for optimizer in subject.optimizers for group in optimizer.param_groups for one in group["params"]}
    new = [one for one in subject.model.parameters() if id(one) not in held]
    group = subject.optimizers[0].param_groups[0]
    kept = group["params"]
    flags = [(one, one.requires_grad) for one in subject.model.parameters()]
    try:
        for one, _ in flags:
            one.requires_grad_(one.is_floating_point() or one.is_complex())
        group["params"] = [*kept, *new]
        yield
    finally:
        group["params"] = kept
        for one in new:
            subject.optimizers[0].state.pop(one, None)
        for one, flag in flags:
            one.requires_grad_(flag)


def left_out(subject: Subject) -> int:
    """Parameters that are frozen, or that no optimizer holds."""
    held = {id(one) for optimizer in subject.optimizers for group in optimizer.param_groups for one in group["params"]}
    return sum(not one.requires_grad or id(one) not in held for one in subject.model.parameters())


@contextmanager
def drawn_anew(subject: Subject) -> Iterator[None]:
    """Weights as torch initialises them; a parameter that is not a layer's own gets small random numbers if it is
    constant. The values are put back by the one who preserves."""
    own: set[int] = set()
    for module in subject.model.modules():
        reset = getattr(module, "reset_parameters", None)
        if callable(reset):
            reset()
            own.update(id(one) for one in module.parameters(recurse=False))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for one in subject.model.parameters():
            if (
                id(one) not in own
                and one.dim() > 1
                and one.is_floating_point()
                and bool((one == one.flatten()[0]).all())
            ):
                one.copy_(torch.randn(one.shape, generator=generator) * one.shape[-1] ** -0.5)
    yield


@contextmanager
def normalised_inputs(subject: Subject) -> Iterator[None]:
    """Every floating input of the model with mean 0 and standard deviation 1: columns of tables, channels of images."""

    def scale(module: torch.nn.Module, args: Any, kwargs: Any) -> Any:
        return tuple(_standard(one) for one in args), {name: _standard(one) for name, one in kwargs.items()}

    handle = subject.model.register_forward_pre_hook(scale, with_kwargs=True, prepend=True)
    try:
        yield
    finally:
        handle.remove()


def is_normalised(subject: Subject) -> bool | None:
    """Whether all floating inputs have about mean 0 and deviation 1 already; None without any."""
    given = [one for _, one in tensors_in((list(subject.args), subject.kwargs)) if _is_measured(one)]
    if not given:
        return None
    return all(bool((_standard(one) - one).abs().mean() < 0.1) for one in given)


def _is_measured(one: Any) -> bool:
    return isinstance(one, torch.Tensor) and one.is_floating_point() and one.dim() > 1 and len(one) > 1


def _standard(value: Any) -> Any:
    if isinstance(value, Mapping):
        return type(value)({key: _standard(one) for key, one in value.items()}) if type(value) is dict else value
    if type(value) in (list, tuple):
        return type(value)(_standard(one) for one in value)
    if not _is_measured(value):
        return value
    kept = 1 if value.dim() > 3 else value.dim() - 1  # channels of images, features of tables and sequences
    others = [axis for axis in range(value.dim()) if axis != kept]
    mean, deviation = value.mean(others, keepdim=True), value.std(others, keepdim=True)
    return (value - mean) / torch.where(deviation > 0, deviation, torch.ones_like(deviation))


def last_activation(subject: Subject, function: str | None) -> str:
    """What the model ends in, softmax, sigmoid, tanh or relu, where the loss may do without; else empty."""
    if function in _NEEDS_PROBABILITIES:
        return ""
    try:
        with preserved(subject.modules, subject.optimizers, subject.others), torch.enable_grad():
            output = subject.output()
            made = type(getattr(output, "grad_fn", None)).__name__
            module = _made_by(subject)
    except Exception:  # a model that cannot be called from outside of its loop
        return ""
    if not isinstance(output, torch.Tensor) or (function is None and made == "SigmoidBackward0"):
        return ""
    if module is not None:
        return type(module).__name__.lower()
    return _UNDONE.get(made, "")


def _made_by(subject: Subject) -> torch.nn.Module | None:
    """The activation whose output is the model's."""
    made: list[tuple[torch.nn.Module, Any]] = []

    def keep(module: torch.nn.Module, args: Any, output: Any) -> None:
        made.append((module, output))

    handles = [one.register_forward_hook(keep) for one in subject.model.modules() if isinstance(one, _SQUASHING)]
    try:
        output = subject.output()
    finally:
        for handle in handles:
            handle.remove()
    return next((module for module, one in reversed(made) if one is output), None)


@contextmanager
def without_last_activation(subject: Subject) -> Iterator[None]:
    """The model gives what goes into its last activation; of a function, what it can be computed back to."""
    with preserved(subject.modules, subject.optimizers, subject.others):
        module = _made_by(subject)

    def skip(module: torch.nn.Module, args: Any, output: Any) -> Any:
        return args[0]

    def undo(module: torch.nn.Module, args: Any, output: Any) -> Any:
        kind = _UNDONE.get(type(getattr(output, "grad_fn", None)).__name__)
        if kind == "softmax":  # log softmax(z) is z but for a constant in each row
            return output.clamp_min(torch.finfo(output.dtype).tiny).log()
        if kind == "sigmoid":
            return torch.logit(output, eps=torch.finfo(output.dtype).eps)
        edge = 1 - torch.finfo(output.dtype).eps
        return torch.atanh(output.clamp(-edge, edge)) if kind == "tanh" else output

    handle = module.register_forward_hook(skip) if module is not None else subject.model.register_forward_hook(undo)
    try:
        yield
    finally:
        handle.remove()
