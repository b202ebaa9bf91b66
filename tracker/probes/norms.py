"""Norms of many tensors at once, at little cost for each: a model may have thousands of parameters."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import torch

from .parameters import PLAIN, local

FEW = 16
"""Small tensors on the CPU from which on they are laid end to end: for fewer, their norms are taken one by one."""

SMALL = 4096
"""Elements of a small tensor: laid end to end they are read twice, in float64, yet not called for one by one."""

_FLOATS = frozenset({torch.float16, torch.bfloat16, torch.float32})
_HALVES = frozenset({torch.float16, torch.bfloat16})

Vectors = list[tuple[list[int], torch.Tensor]]
"""For groups of tensors: their indices, and one number for each, as a vector."""


def norm_vectors(tensors: Sequence[torch.Tensor]) -> Vectors:
    """L2 norms, accumulated in float32 at least: for each device and dtype, the indices and a vector of their norms.

    On the CPU an infinite norm of finite values (an overflow of the squares) is computed again in float64. On a device
    nothing is read: there it stays infinite. Many small tensors on the CPU are a group of their own, in float64.
    """
    with torch.no_grad():
        vectors: Vectors = []
        values = dense(tensors)
        for are_small, indices in grouped(values):
            some = [values[index] for index in indices]
            if are_small:
                vectors.append((indices, norms_of(flat(some), [tensor.numel() for tensor in some])))
            else:
                vectors.append((indices, norms_alike(some)))
        return vectors


def dense(tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """The values of each that are on this process. Plain tensors as they are: use them without gradients."""
    return [t if type(t) in PLAIN and t.layout is torch.strided else local(t.detach()) for t in tensors]


def grouped(tensors: Sequence[torch.Tensor]) -> list[tuple[bool, list[int]]]:
    """Indices of tensors of one device and dtype, in order, and whether they are many small ones to be laid flat."""
    groups: dict[Any, list[int]] = {}
    for index, tensor in enumerate(tensors):
        key = tensor.dtype if tensor.is_cpu else (tensor.device, tensor.dtype)  # to ask for the device takes longer
        groups.setdefault(key, []).append(index)
    found: list[tuple[bool, list[int]]] = []
    for key, indices in groups.items():
        if key in _FLOATS and len(indices) >= FEW and "numpy" in sys.modules:
            small = [index for index in indices if 0 < tensors[index].numel() <= SMALL]
            if len(small) >= FEW:
                found.append((True, small))
                is_small = set(small)
                indices = [index for index in indices if index not in is_small]
        if indices:
            found.append((False, indices))
    return found


def flat(tensors: list[torch.Tensor]) -> torch.Tensor:
    """Copies of the tensors, end to end."""
    joined: torch.Tensor = torch._C._nn.flatten_dense_tensors(tensors)
    return joined


def norms_of(joined: torch.Tensor, sizes: list[int]) -> torch.Tensor:
    """L2 norms, in float64, of tensors of these sizes, none of them 0, that lie end to end."""
    numpy: Any = sys.modules["numpy"]
    squares = joined.to(torch.float64, copy=True).square_().numpy()
    starts = numpy.cumsum(sizes) - sizes
    return torch.from_numpy(numpy.add.reduceat(squares, starts)).sqrt_()


def norms_alike(tensors: list[torch.Tensor]) -> torch.Tensor:
    """L2 norms of tensors of one device and dtype, taken one by one."""
    wide = torch.float32 if tensors[0].dtype in _HALVES else None
    found = torch._foreach_norm(tensors, 2, dtype=wide)
    vector = torch.stack(found if not found[0].is_complex() else [norm.real for norm in found])
    if vector.is_cpu and bool(torch.isinf(vector).any()):
        vector = vector.double()
        for at in torch.isinf(vector).nonzero().flatten().tolist():
            if bool(torch.isfinite(tensors[at]).all()):
                vector[at] = torch.linalg.vector_norm(tensors[at], dtype=torch.float64)
    return vector
