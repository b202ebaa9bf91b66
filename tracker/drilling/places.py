"""Where in a model something arrives that should not: the first layer to whose output a change has come."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ..probes.nested import tensors_in
from .trials import Changed, Trials

_MOST_ELEMENTS = 1 << 24
"""Elements of all layers together that are kept to be compared."""


@dataclass(frozen=True)
class Place:
    """A call of a layer in which what was changed elsewhere came to the part that should stay as it is."""

    layer: str
    """Name of the module; empty for the model itself."""
    kind: str
    """Its class."""
    given: tuple[int, ...]
    """Shape of its first input."""
    batch_first: bool | None
    """The attribute of this name."""
    is_recurrent: bool
    by_summary: bool = False
    """Whether a layer inside it had passed on something of the whole: the state at the end of a sequence, say."""
    before: str = ""
    """The first layer inside it that was given the change."""
    after: str = ""
    """The last layer inside it that had not passed it on."""


@dataclass
class _Call:
    name: str
    module: torch.nn.Module
    inputs: list[torch.Tensor]
    outputs: list[torch.Tensor]


def first_place(trials: Trials, changed: Changed, size: int, kept: torch.Tensor, fewer: Changed) -> Place | None:
    """The first layer to finish whose inputs are the same, and whose outputs are not, in the part `kept`.

    The part is one of indices into a dimension of length `size`. Inputs `fewer` are shorter there, which tells that
    dimension from others of the same length; tensors in which it lies together with others tell nothing. None where
    there is no such layer, or where the two calls did not go through the same layers.
    """
    try:
        before, after = _calls(trials, None), _calls(trials, changed)
    except Exception:  # a scripted module takes no hooks
        return None
    if [one.name for one in before] != [one.name for one in after]:
        return None
    try:
        shorter = _calls(trials, fewer)
    except Exception:  # the model takes no other length
        shorter = before
    if [one.name for one in before] != [one.name for one in shorter]:
        shorter = before
    summaries: list[str] = []
    met: list[str] = []
    clean: list[str] = []
    for one, other, short in zip(before, after, shorter, strict=True):
        is_told = shorter is not before
        came_in = _differ(one.inputs, other.inputs, short.inputs, size, kept, is_told)
        came_out = _differ(one.outputs, other.outputs, short.outputs, size, kept, is_told)
        if came_out[0] and not any(came_in):
            inside = f"{one.name}." if one.name else ""
            module = one.module
            own = getattr(module, "batch_first", None)
            return Place(
                one.name,
                type(module).__name__,
                tuple(one.inputs[0].shape) if one.inputs else (),
                own if isinstance(own, bool) else None,
                isinstance(module, torch.nn.RNNBase),
                any(name.startswith(inside) for name in summaries),
                next((name for name in met if name.startswith(inside)), ""),
                next((name for name in reversed(clean) if name.startswith(inside)), ""),
            )
        (met if came_in[0] else clean).append(one.name)
        if came_out[1]:
            summaries.append(one.name)
    return None


def _calls(trials: Trials, changed: Changed | None) -> list[_Call]:
    """The calls of all layers, in the order in which they finish."""
    found: list[_Call] = []
    kept = 0
    model = trials.subject.model
    handles = []

    def note(name: str) -> Any:
        def hook(module: torch.nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            nonlocal kept
            inputs = [one.detach().clone() for _, one in tensors_in((list(args), kwargs))]
            outputs = [one.detach().clone() for _, one in tensors_in(output)]
            kept += sum(one.numel() for one in (*inputs, *outputs))
            if kept <= _MOST_ELEMENTS:
                found.append(_Call(name, module, inputs, outputs))

        return hook

    with trials.fresh():
        try:
            for name, module in model.named_modules():
                handles.append(module.register_forward_hook(note(name), with_kwargs=True))
            with trials.gradients():
                trials.call(changed)
        finally:
            for handle in handles:
                handle.remove()
    return found


def _differ(
    ours: list[torch.Tensor],
    theirs: list[torch.Tensor],
    shorter: list[torch.Tensor],
    size: int,
    kept: torch.Tensor,
    is_told: bool,
) -> tuple[bool, bool]:
    """(whether the kept part differs, whether something without such a dimension differs)."""
    parts = whole = False
    for one, other, short in zip(ours, theirs, shorter, strict=False):
        if one.shape != other.shape or one.dim() != short.dim():
            whole = True
            continue
        follow = [dim for dim in range(one.dim()) if not is_told or one.shape[dim] != short.shape[dim]]
        dims = [dim for dim in follow if one.shape[dim] == size]
        if is_told and follow and not dims:
            continue
        if not dims:
            whole = whole or not torch.equal(one, other)
            continue
        index = kept.to(one.device)
        parts = parts or all(_apart(one.index_select(dim, index), other.index_select(dim, index)) for dim in dims)
    return parts, whole


def _apart(one: torch.Tensor, other: torch.Tensor) -> bool:
    if torch.equal(one, other):
        return False
    if not one.is_floating_point():
        return True
    difference = (one.double() - other.double()).nan_to_num().abs().max()
    return bool(difference > 1e-5 * one.double().nan_to_num().abs().max())


@contextmanager
def shapes() -> Iterator[list[tuple[str, tuple[tuple[int, ...], ...]]]]:
    """(operation, shapes of its outputs) of every operation inside."""
    found: list[tuple[str, tuple[tuple[int, ...], ...]]] = []

    class Listening(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            output = func(*args, **(kwargs or {}))
            outputs = output if isinstance(output, (tuple, list)) else (output,)
            found.append((str(func), tuple(tuple(one.shape) for one in outputs if isinstance(one, torch.Tensor))))
            return output

    with Listening():  # type: ignore[no-untyped-call]
        yield found


def compares_all_with_all(trials: Trials, half: Changed) -> str:
    """The first operation whose output has two dimensions that follow the number of samples; empty for none.

    `half` has the inputs of fewer samples. Attention between samples, distances of all to all, and products with a
    matrix of samples by samples are meant so more often than not.
    """
    found = []
    for changed in (None, half):
        with trials.fresh(), trials.gradients(), shapes() as seen:
            try:
                trials.call(changed)
            except Exception:
                return "a model that takes no other number of samples"
        found.append(seen)
    ours, theirs = found
    if [name for name, _ in ours] != [name for name, _ in theirs]:
        return ""
    for (name, one), (_, other) in zip(ours, theirs, strict=True):
        for shape, fewer in zip(one, other, strict=False):
            if len(shape) == len(fewer) and sum(a != b for a, b in zip(shape, fewer, strict=True)) > 1:
                return name
    return ""
