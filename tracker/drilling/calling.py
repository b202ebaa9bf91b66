"""How a model is called with a batch, and how its loss is made of the output, for what is given from code."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from ..errors import ConfigError
from ..probes.nested import tensors_in
from .preserved import preserved
from .signatures import positions, takes_by_name, takes_one_by_one
from .subject import Subject

LEARNING_RATE = 1e-3
"""Of the Adam that stands in where no optimizer is given: torch's default."""

_DEPTH = 3
"""Functions within functions that a loss is looked for modules in."""


def subject_of(
    model: torch.nn.Module,
    loss: Callable[..., Any] | None,
    batch: Any,
    *,
    optimizer: torch.optim.Optimizer | Sequence[torch.optim.Optimizer] | None = None,
    forward: Callable[[torch.nn.Module, Any], Any] | None = None,
    loaders: Mapping[str, Any] | None = None,
    profile: str = "unknown",
) -> Subject:
    """The subject of the drills; raises `ConfigError` for what cannot be one.

    Of a tuple or list the last is what the loss compares with, and the rest are the inputs: `loss(model(inputs),
    targets)`; several go to the model one by one. Any other batch is both: `loss(model(batch), batch)`. A mapping, or
    an object with fields, goes to the model as keywords where `forward` has parameters of these names. With `forward`
    the output is `forward(model, batch)`, whatever the batch is. Without a loss the model's own is taken: the output
    itself, its `loss`, or the item of that name; a pair then goes to a model that takes both.
    """
    _check_kinds(model, loss, batch, forward)
    batch = own_copy(batch)
    is_pair = isinstance(batch, (tuple, list)) and len(batch) > 1 and not _is_by_name(model, batch, forward)
    inputs, targets = _inputs(batch), batch[-1] if is_pair else batch
    called: torch.nn.Module = model
    kwargs: dict[str, Any] = {}
    if forward is not None:
        called, args = Called(model, forward), (batch,)
    elif is_pair and loss is None and takes_one_by_one(model, tuple(batch)):
        args = tuple(batch)
    elif is_pair and len(batch) > 2:
        _check_takes(model, inputs)
        args = tuple(inputs)
    else:
        args, kwargs = call_with(model, inputs if is_pair else batch)
    criteria = modules_of(loss)
    optimizers = [optimizer] if isinstance(optimizer, torch.optim.Optimizer) else list(optimizer or ())
    trainable = [one for module in (model, *criteria) for one in module.parameters() if one.requires_grad]
    if not optimizers and trainable:
        optimizers = _stand_ins([model, *criteria], list(dict.fromkeys(trainable)))

    def of_output(output: Any) -> torch.Tensor:
        made = own_loss(output if loss is None else _called(loss, output, targets))
        if not isinstance(made, torch.Tensor) or made.numel() != 1:
            seen = list(made.shape) if isinstance(made, torch.Tensor) else type(made).__name__
            raise ConfigError(
                f"The loss gave {seen}; expected a tensor with one element, such as a mean over the batch."
                + (" Give the loss: preflight(model, loss, batch)." if loss is None else "")
            )
        return made.reshape(())

    found = [tensor for _, tensor in tensors_in(targets)] if is_pair else []
    return Subject(
        called,
        args,
        kwargs,
        of_output,
        found[0] if len(found) == 1 else None,
        optimizers,
        loaders or {},
        profile,
        criteria=[one for one in criteria if one is not model],
    )


@contextmanager
def tried(subject: Subject) -> Iterator[None]:
    """Calls model and loss once, so that what does not fit is raised as it is, before any drill.

    A model that makes its parameters when it is first called has them inside the block, and afterwards none again.
    Raises `ConfigError` where the batch is on another device than the model.
    """
    is_lazy = any(torch.nn.parameter.is_lazy(one) for one in (*subject.model.parameters(), *subject.model.buffers()))
    with preserved(subject.modules, subject.optimizers, subject.others):
        _try(subject)
        if is_lazy:
            yield
    if not is_lazy:
        yield


def _try(subject: Subject) -> None:
    try:
        with torch.enable_grad():
            subject.compute()
    except RuntimeError as error:
        homes = {one.device for one in (*subject.model.parameters(), *subject.model.buffers())}
        others = {one.device for _, one in (*subject.inputs(), *tensors_in(subject.targets))} - homes
        if len(homes) == 1 and others:
            home, other = homes.pop(), others.pop()
            raise ConfigError(
                f"The batch is on {other} and the model on {home}; expected both on one device. "
                f"Give the batch's tensors as tensor.to({str(home)!r})."
            ) from error
        raise


class Called(torch.nn.Module):
    """A model that is called the way somebody says: its one argument is the batch."""

    def __init__(self, model: torch.nn.Module, call: Callable[[torch.nn.Module, Any], Any]) -> None:
        super().__init__()
        self.model = model
        self.call = call
        self.training = model.training

    def forward(self, batch: Any) -> Any:
        """The output for the batch."""
        return self.call(self.model, batch)


def _check_kinds(model: Any, loss: Any, batch: Any, forward: Any) -> None:
    if not isinstance(model, torch.nn.Module):
        raise ConfigError(f"preflight() got a model of type {type(model).__name__}; expected a torch.nn.Module.")
    if loss is not None and not callable(loss):
        raise ConfigError(f"preflight() got a loss of type {type(loss).__name__}; expected something to call.")
    if forward is not None and not callable(forward):
        raise ConfigError(
            f"preflight() got a forward of type {type(forward).__name__}; expected forward(model, batch) -> output."
        )
    if isinstance(batch, (DataLoader, Iterator)):
        name = "loader" if isinstance(batch, DataLoader) else "batches"
        give = f"next(iter({name}))" if isinstance(batch, DataLoader) else f"next({name})"
        raise ConfigError(f"preflight() got a batch of type {type(batch).__name__}; expected one batch. Give {give}.")
    if isinstance(batch, Dataset):
        raise ConfigError(
            f"preflight() got a batch of type {type(batch).__name__}; expected one batch. "
            "Give next(iter(DataLoader(dataset, 32)))."
        )


def _is_by_name(model: torch.nn.Module, batch: Any, forward: Any) -> bool:
    """Whether a tuple is a record that goes to the model by the names of its fields: one of more than two."""
    if forward is not None or len(batch) < 3 or not hasattr(batch, "_fields"):
        return False
    return bool(call_with(model, batch)[1])


def _inputs(batch: Any) -> Any:
    if not isinstance(batch, (tuple, list)) or len(batch) < 2:
        return batch
    return batch[0] if len(batch) == 2 else tuple(batch[:-1])


def _check_takes(model: torch.nn.Module, inputs: Sequence[Any]) -> None:
    known = positions(model)
    if known is not None and not known[0] <= len(inputs) <= known[1]:
        least, most = known
        expected = f"{least}" if least == most else f"{least} to {most}"
        raise ConfigError(
            f"The batch has {len(inputs)} inputs before its last item, and {type(model).__name__}.forward takes "
            f"{expected}. Say how it is called: preflight(..., forward=lambda model, batch: model(batch[0]))."
        )


def _called(loss: Callable[..., Any], output: Any, targets: Any) -> Any:
    """The loss of an output: with its targets, one by one where it takes several; without, where it takes none."""
    known = positions(loss)
    if known is not None and known[1] == 1:
        return loss(output)
    if isinstance(targets, (tuple, list)) and known is not None and known[0] == 1 + len(targets) > 2:
        return loss(output, *targets)
    return loss(output, targets)


def _stand_ins(modules: list[torch.nn.Module], trainable: list[torch.nn.Parameter]) -> list[torch.optim.Optimizer]:
    """Adam for all parameters, and its kind for those with sparse gradients."""
    every = (part for module in modules for part in module.modules())
    known = {id(part.weight) for part in every if getattr(part, "sparse", False) and hasattr(part, "weight")}
    sparse = [one for one in trainable if id(one) in known]
    dense = [one for one in trainable if id(one) not in known]
    found: list[torch.optim.Optimizer] = [torch.optim.Adam(dense, LEARNING_RATE)] if dense else []
    return [*found, torch.optim.SparseAdam(sparse, LEARNING_RATE)] if sparse else found


def call_with(model: torch.nn.Module, inputs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Arguments and keywords of the model for the inputs of a batch."""
    values = fields_of(inputs)
    if values:
        names = takes_by_name(model, values)
        if names:
            return (), {name: values[name] for name in names}
    if isinstance(inputs, (tuple, list)) and takes_one_by_one(model, inputs):
        return tuple(inputs), {}
    return (inputs,), {}


def fields_of(value: Any) -> dict[str, Any]:
    """What a mapping, a dataclass or a named tuple holds, by name; empty for anything else."""
    found: dict[Any, Any] = {}
    if isinstance(value, Mapping):
        found = dict(value)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        found = {one.name: getattr(value, one.name) for one in dataclasses.fields(value)}
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        found = dict(zip(value._fields, value, strict=False))
    return found if all(isinstance(key, str) for key in found) else {}


def own_loss(output: Any) -> Any:
    """The loss that a model has computed itself, somewhere in its output; None where there is none."""
    if isinstance(output, torch.Tensor):
        return output
    if isinstance(output, Mapping):
        losses = [one for one in output.values() if isinstance(one, torch.Tensor) and one.numel() == 1]
        if "loss" not in output and losses and len(losses) == len(output):
            return sum(one.reshape(()) for one in losses)  # as detection models of torchvision give them
        return output.get("loss")
    found = getattr(output, "loss", None)
    if found is not None or not isinstance(output, (tuple, list)) or not output:
        return found
    return next((one for one in output if _is_alone(one)), output[0])


def _is_alone(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.numel() == 1 and value.requires_grad


def modules_of(loss: Any, depth: int = _DEPTH) -> list[torch.nn.Module]:
    """Modules that a loss function uses: itself, what it is bound to, and what it closes over."""
    if isinstance(loss, torch.nn.Module):
        return [loss]
    if depth == 0:
        return []
    inside = [getattr(loss, "__self__", None), getattr(loss, "func", None), *(getattr(loss, "args", None) or ())]
    inside += [*(getattr(loss, "keywords", None) or {}).values(), getattr(loss, "__func__", None)]
    if inspect.isfunction(loss):
        names = {name: loss.__globals__[name] for name in loss.__code__.co_names if name in loss.__globals__}
        inside += [*_cells(loss), *names.values()]
    elif loss is not None and type(loss).__module__ not in ("builtins", "functools"):
        inside += list(getattr(loss, "__dict__", {}).values())
    found = [one for value in inside if callable(value) for one in modules_of(value, depth - 1)]
    return list(dict.fromkeys(found))


def _cells(function: types.FunctionType) -> list[Any]:
    """What a function closes over; a variable that is not bound yet is left out."""
    found = []
    for cell in function.__closure__ or ():
        with suppress(ValueError):
            found.append(cell.cell_contents)
    return found


def own_copy(value: Any) -> Any:
    """The same batch in tensors of our own: a model may write into what it is called with."""
    if isinstance(value, torch.Tensor):
        return value.detach().clone().requires_grad_(value.requires_grad)
    if isinstance(value, Mapping):
        made = copy.copy(value)
        try:
            for key in list(value):
                made[key] = own_copy(value[key])  # type: ignore[index]
        except TypeError:  # one that cannot be written to
            return {key: own_copy(one) for key, one in value.items()}
        return made
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*map(own_copy, value))
    if isinstance(value, (list, tuple)):
        return type(value)(map(own_copy, value))
    if isinstance(value, (str, bytes, int, float, bool, complex, type, torch.nn.Module)) or value is None:
        return value
    if callable(getattr(value, "clone", None)):
        return value.clone()  # a batch of graphs, a dictionary of tensors
    attributes = getattr(value, "__dict__", None)
    is_record = dataclasses.is_dataclass(value) and not isinstance(value, type)
    if is_record or (
        isinstance(attributes, dict) and any(isinstance(one, torch.Tensor) for one in attributes.values())
    ):
        made = copy.copy(value)
        names = [one.name for one in dataclasses.fields(value)] if is_record else list(attributes or ())
        for name in names:
            object.__setattr__(made, name, own_copy(getattr(value, name)))
        return made
    return copy.copy(value) if type(value).__module__ == "numpy" else value
