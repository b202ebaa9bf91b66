"""Whether a model is to say what comes next: labels that are its own input, one position on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

_LEAST_LENGTH, _LEAST_COMPARED, _LEAST_VALUES = 4, 32, 3
_MOST_ELEMENTS = 1 << 20
_STILL = 0.9
"""Share of positions that are followed by themselves beyond which a shift cannot be told."""


@dataclass(frozen=True)
class Claim:
    """An input of which the labels say the next position, or the same one."""

    name: str
    tensor: torch.Tensor
    time: int
    """Dimension of the positions, 0 or 1; the samples are the other one."""
    shift: int
    """1 where labels are one position on, 0 where they are the position itself."""
    counted: torch.Tensor
    """(samples, positions): whether the loss looks at the position."""

    @property
    def length(self) -> int:
        """Positions."""
        return int(self.tensor.shape[self.time])

    @property
    def count(self) -> int:
        """Samples."""
        return int(self.tensor.shape[1 - self.time])


def find_claim(inputs: list[tuple[str, torch.Tensor]], labels: list[torch.Tensor]) -> Claim | None:
    """The first input of which labels are the next position, else the first of which they are the same position."""
    for shift in (1, 0):
        for name, tensor in inputs:
            if tensor.dim() < 2 or tensor.numel() > _MOST_ELEMENTS or tensor.dim() > 3:
                continue
            for label in (one.to(tensor.device) for one in labels):
                found = _discrete(name, tensor, label, shift) if not tensor.is_floating_point() else None
                if tensor.is_floating_point() and shift:
                    found = _continuous(name, tensor, label)
                if found is not None:
                    return found
    return None


def _discrete(name: str, tensor: torch.Tensor, labels: torch.Tensor, shift: int) -> Claim | None:
    if tensor.dim() != 2 or labels.is_floating_point() or tensor.dtype == torch.bool:
        return None
    for time, told in _ordered(tensor, labels):
        tokens = tensor if time == 1 else tensor.t()
        length = tokens.shape[1]
        if told.shape[1] == length - 1 and not shift:
            continue
        used = min(told.shape[1], length - shift)
        now, following, said = tokens[:, :used], tokens[:, shift : shift + used], told[:, :used]
        counts = said >= 0
        one = said[counts]
        if length < _LEAST_LENGTH or one.numel() < _LEAST_COMPARED or not torch.equal(following[counts], one):
            continue
        if len(set(one.tolist())) < _LEAST_VALUES:
            continue
        # Rows that stay the same are followed by themselves.
        if shift and float((now[counts] == one).float().mean()) > _STILL:
            continue
        counted = torch.zeros(tokens.shape, dtype=torch.bool)
        counted[:, :used] = counts.cpu()
        return Claim(name, tensor, time, shift, counted)
    return None


def _ordered(tensor: torch.Tensor, labels: torch.Tensor) -> Iterator[tuple[int, torch.Tensor]]:
    """(dimension of time, labels by sample and position), for either order of the two."""
    rows, columns = tensor.shape
    given = labels.reshape(-1)
    if given.numel() == rows * columns and labels.shape != (columns, rows):
        yield 1, given.reshape(rows, columns)
        yield 0, given.reshape(rows, columns).t()
    elif given.numel() == rows * columns:
        yield 1, given.reshape(columns, rows).t()
    elif given.numel() == rows * (columns - 1):
        yield 1, given.reshape(rows, columns - 1)
    elif given.numel() == (rows - 1) * columns:
        yield 0, given.reshape(rows - 1, columns).t()


def _continuous(name: str, tensor: torch.Tensor, labels: torch.Tensor) -> Claim | None:
    if not labels.is_floating_point() or labels.numel() != tensor.numel() or labels.shape[:2] != tensor.shape[:2]:
        return None
    told = labels.reshape(tensor.shape)
    for time in (1, 0):
        length = tensor.shape[time]
        if length < _LEAST_LENGTH or tensor.shape[1 - time] < 1 or tensor.numel() < _LEAST_COMPARED:
            continue
        now, following = tensor.narrow(time, 0, length - 1), tensor.narrow(time, 1, length - 1)
        if not torch.equal(told.narrow(time, 0, length - 1), following):
            continue
        if float((now == following).float().mean()) > _STILL:
            continue
        counted = torch.ones(tensor.shape[1 - time], length, dtype=torch.bool)
        return Claim(name, tensor, time, 1, counted)
    return None


def by_position(output: torch.Tensor, claim: Claim) -> Iterator[torch.Tensor]:
    """The ways to read an output as (samples, positions, values); there may be one position less than in the input."""
    n = claim.count
    for t in (claim.length, claim.length - 1):
        shape = tuple(output.shape)
        if len(shape) > 1 and shape[:2] == ((n, t) if claim.time == 1 else (t, n)):
            yield (output if claim.time == 1 else output.transpose(0, 1)).reshape(n, t, -1)
            return
        if len(shape) > 1 and shape[:2] in ((n, t), (t, n)):
            yield (output if shape[:2] == (n, t) else output.transpose(0, 1)).reshape(n, t, -1)
            return
        if len(shape) > 2 and shape[0] == n and shape[-1] == t:
            yield output.movedim(-1, 1).reshape(n, t, -1)
            return
        if shape and shape[0] == n * t:
            yield output.reshape(n, t, -1)
            yield output.reshape(t, n, -1).transpose(0, 1)
            return
