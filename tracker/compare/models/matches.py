"""Tensors of two models that hold the same values, maybe joined, transposed or added."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Match:
    """Tensors of A that hold what tensors of B hold: several on a side are joined along their first axis."""

    a: tuple[str, ...]
    b: tuple[str, ...]
    by: str
    """How they were found: `table`, `name`, `end of name`, `order and shape`, `joined`, `summed`."""
    flips_a: bool = False
    """Whether each tensor of A is transposed first."""
    flips_b: bool = False
    is_sum: bool = False
    """Whether the two of one side are added, as the two biases of torch's recurrent layers are."""

    @property
    def name(self) -> str:
        """Of A, for tables."""
        return " + ".join(self.a)

    @property
    def says(self) -> str:
        """`fc.weight -> net.0.weight (transposed)`."""
        extra = " (transposed)" if self.flips_a or self.flips_b else " (summed)" if self.is_sum else ""
        return f"{' + '.join(self.a)} -> {' + '.join(self.b)}{extra}, by {self.by}"

    def value(self, side: str, tensors: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """What one side, `a` or `b`, holds, from its tensors or their gradients by name."""
        names, flips = (self.a, self.flips_a) if side == "a" else (self.b, self.flips_b)
        found = [tensors[name].detach() for name in names]
        if self.is_sum:
            return torch.stack(found).sum(0)
        return self._joined(found, flips)

    def gradient(self, side: str, gradients: Mapping[str, torch.Tensor | None]) -> torch.Tensor | None:
        """The gradient of what one side holds, of those parts that have one; None where none has.

        Each of two tensors that are added has the gradient of the sum: the first speaks for both.
        """
        names, flips = (self.a, self.flips_a) if side == "a" else (self.b, self.flips_b)
        found = [gradients.get(name) for name in names]
        if self.is_sum:
            return found[0]
        known = [one for one in found if one is not None]
        return self._joined(known, flips) if known else None

    @staticmethod
    def _joined(found: list[torch.Tensor], flips: bool) -> torch.Tensor:
        found = [one.t() for one in found] if flips else found
        return torch.cat(found) if len(found) > 1 else found[0]


@dataclass
class Matching:
    """All that was matched, and what was not."""

    matches: list[Match] = field(default_factory=list)
    left_a: dict[str, Shape] = field(default_factory=dict)
    """Parameters of A without a partner, and their shapes."""
    left_b: dict[str, Shape] = field(default_factory=dict)
    buffers_a: dict[str, Shape] = field(default_factory=dict)
    """Buffers of A without a partner."""
    buffers_b: dict[str, Shape] = field(default_factory=dict)


def fit(a: Shape, b: Shape) -> str:
    """`same`, `reshaped`, `transposed`, or empty where neither can hold the other's values in its order."""
    if a == b:
        return "same"
    if product_of(a) != product_of(b):
        return ""
    if [size for size in a if size != 1] == [size for size in b if size != 1]:
        return "reshaped"
    if len(a) == len(b) == 2 and a == b[::-1]:
        return "transposed"
    return "reshaped" if a and b and a[0] == b[0] and 2 in (len(a), len(b)) else ""


def named_tensors(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Parameters and buffers by every name that they have: a tied weight stands under both."""
    found: dict[str, torch.Tensor] = dict(model.named_parameters(remove_duplicate=False))
    found.update(model.named_buffers(remove_duplicate=False))
    return {name: tensor for name, tensor in found.items() if not torch.nn.parameter.is_lazy(tensor)}


def product_of(shape: Shape) -> int:
    """Elements of a tensor of this shape."""
    made = 1
    for size in shape:
        made *= size
    return made
