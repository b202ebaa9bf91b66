"""Which dimension of inputs and outputs is that of the samples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from .drill import Skip
from .subject import Subject
from .trials import Changed, Trials, given, rms

LEAST = 4
"""Samples: with fewer, what one does to another cannot be told from what it does to itself."""


@dataclass(frozen=True)
class Samples:
    """A batch read as so many samples, along one dimension of each input."""

    count: int
    along: int
    """The dimension of the main input."""
    inputs: tuple[tuple[str, torch.Tensor, int], ...]
    """(name, tensor, dimension of the samples)."""
    alike: tuple[tuple[torch.Tensor, int], ...] = ()
    """Targets that the model is handed as well: they are as long as the inputs."""

    def with_rows(self, rows: torch.Tensor) -> Changed:
        """The inputs with, for each sample, the contents of sample `rows[i]`."""
        return {id(one): one.index_select(dim, rows.to(one.device)) for _, one, dim in self.inputs}

    def first(self, count: int) -> Changed:
        """The inputs of the first `count` samples only."""
        both = [(one, dim) for _, one, dim in self.inputs] + list(self.alike)
        return {id(one): one.narrow(dim, 0, count).clone() for one, dim in both}


def readings(subject: Subject, targets: torch.Tensor | None) -> list[Samples]:
    """The ways to read the batch as samples, the likeliest first; raises `Skip` where there is none.

    Targets that are as long, or a loader that says how many it gives, tell samples from time steps.
    """
    inputs = given(subject, targets)
    if not inputs:
        raise Skip("the model is given no tensor that could be changed")
    main = max((one for _, one in inputs), key=lambda one: (one.is_floating_point() or one.dim() > 1, one.numel()))
    graph = _graph(subject, inputs)
    if graph:
        raise Skip(f"the samples are joined by a graph ({graph}): one may depend on another")
    dims = [dim for dim in range(min(2, main.dim())) if main.shape[dim] > 1]
    per_batch = [dim for dim in dims if main.shape[dim] in _batch_sizes(subject)]
    if len(per_batch) == 1:
        dims = per_batch
    elif targets is not None and targets.dim():
        rows = len(targets)
        if rows < LEAST:
            raise Skip(f"the batch has fewer than {LEAST} samples")
        exact = [dim for dim in dims if main.shape[dim] == rows]
        if exact and main.dim() > 1 and targets.dim() > 1 and targets.shape[:2] == main.shape[:2]:
            exact = dims
        flat = [dim for dim in dims if rows > main.shape[dim] and rows % main.shape[dim] == 0]
        dims = exact or flat
        if not dims:
            shape = list(main.shape[:2])
            raise Skip(f"the targets begin with {rows}, the inputs with {shape}: what a sample is cannot be told")
    else:
        dims = dims[:1]
    found = [_along(subject, inputs, main, dim) for dim in dims if main.shape[dim] >= LEAST]
    if not found:
        raise Skip(f"the batch has fewer than {LEAST} samples")
    return found


def _along(subject: Subject, inputs: list[tuple[str, torch.Tensor]], main: torch.Tensor, dim: int) -> Samples:
    count = int(main.shape[dim])
    known = {id(one) for _, one in inputs}
    others = [one for _, one in subject.inputs() if id(one) not in known]
    along = [(name, one, at) for name, one in inputs if (at := _dimension(one, count, dim)) is not None]
    alike = [(one, at) for one in others if (at := _dimension(one, count, dim)) is not None]
    return Samples(count, dim, tuple(along), tuple(alike))


def _dimension(tensor: torch.Tensor, count: int, preferred: int) -> int | None:
    return next((dim for dim in (preferred, 0, 1) if dim < tensor.dim() and tensor.shape[dim] == count), None)


def _batch_sizes(subject: Subject) -> set[int]:
    train = subject.loaders.get("train")
    loaders = [train] if train is not None else list(subject.loaders.values())
    sizes = (getattr(loader, "batch_size", None) for loader in loaders)
    return {size for size in sizes if isinstance(size, int) and size > 1}


def _graph(subject: Subject, inputs: list[tuple[str, torch.Tensor]]) -> str:
    """The name of an input that joins samples to one another; empty where there is none."""
    for value in (*subject.args, *subject.kwargs.values()):
        if isinstance(value, torch.Tensor) and value.layout is not torch.strided:
            return "a sparse input"
    for name, one in inputs:
        others = [other for _, other in inputs if other is not one]
        if one.dim() == 2 and one.shape[0] == one.shape[1] and any(len(one) in other.shape[:1] for other in others):
            return f"{name}, {len(one)} x {len(one)}"
        if (
            one.dim() == 2
            and len(one) == 2
            and not one.is_floating_point()
            and any(other.is_floating_point() and other.dim() and len(other) != 2 for other in others)
        ):
            return f"{name}, pairs of indices"
    return ""


@dataclass(frozen=True)
class Rows:
    """Where the samples are in an output."""

    dim: int
    each: int
    """Rows of each sample along the dimension: the steps of a sequence that was flattened."""
    samples_first: bool = True

    def of(self, output: torch.Tensor, count: int) -> torch.Tensor:
        """(count, values): a row for each sample."""
        moved = output.movedim(self.dim, 0)
        if self.samples_first:
            return moved.reshape(count, -1)
        return moved.reshape(self.each, count, -1).movedim(1, 0).reshape(count, -1)


@dataclass(frozen=True)
class Shape:
    """How the outputs follow the number of samples."""

    rows: dict[str, Rows]
    """By path; outputs without samples are missing."""
    paired: bool = False
    """Whether an output has a number for each two samples."""
    resizes: bool = True
    """Whether the model takes another number of samples."""


def shape_of(trials: Trials, samples: Samples, outputs: dict[str, torch.Tensor]) -> Shape:
    """Finds the samples in the outputs: what half the batch makes half as long. Where a model takes no half batch, the
    first dimension of that length."""
    count, half = samples.count, samples.count // 2
    try:
        fewer: dict[str, torch.Tensor] | None = trials.outputs(samples.first(half))
    except Exception:
        fewer = None
    if fewer is None or not set(outputs) <= set(fewer):
        rows = {}
        for path, one in outputs.items():
            dims = [dim for dim in range(min(2, one.dim())) if one.shape[dim] == count]
            if dims:
                rows[path] = Rows(dims[0], 1)
        return Shape(rows, resizes=False)
    rows, paired = {}, False
    for path, one in outputs.items():
        other = fewer[path]
        if other.dim() != one.dim():
            continue
        dims = [dim for dim in range(one.dim()) if one.shape[dim] != other.shape[dim]]
        scaled = [dim for dim in dims if one.shape[dim] * half == other.shape[dim] * count]
        paired = paired or len(scaled) > 1
        if len(dims) == len(scaled) == 1 and one.shape[scaled[0]] % count == 0:
            rows[path] = Rows(scaled[0], one.shape[scaled[0]] // count)
    return Shape(rows, paired)


def orders(rows: Rows, samples: Samples, certain: bool) -> Iterator[Rows]:
    """The orders in which flattened rows may be: by sample, or by step."""
    yield rows
    if rows.each > 1 and not certain:
        yield Rows(rows.dim, rows.each, samples_first=False)


def spread_of(rows: torch.Tensor) -> float:
    """How much samples (first dimension) differ, as a root mean square; at least what float32 can tell."""
    centred = rows.double() - rows.double().mean(0, keepdim=True)
    return rms(centred) + 1e-5 * rms(rows)


def evenly(count: int, most: int) -> list[int]:
    """At most `most` numbers below `count`, from first to last."""
    if count <= most:
        return list(range(count))
    return sorted({round(index * (count - 1) / (most - 1)) for index in range(most)})
