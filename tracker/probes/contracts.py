"""Reads the labels of losses that want them as -1 and 1, or as 0 and 1, and that keep no node of their own."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from ..rules.engine.records import Json
from . import nodes
from .loss import unscaled
from .nodes import SHAPES, below, inputs, kind, only_input
from .probe import Probe
from .terms import terms_of

FIRST, EVERY = 24, 16
"""Backwards on closely watched steps that are all looked at, and of the later ones one in how many."""

MOST_FUNCTIONS = 8

_PEELED = SHAPES | {"Mean", "Sum", "Neg", "Pow", "Where", "MaskedSelect", "Index"}
_HINGES = frozenset({"ClampMin", "Clamp", "Relu", "Threshold", "Maximum"})
_SHIFTS = frozenset({"Rsub", "Sub", "Add", "Neg"})
_RATES = frozenset({"Exp", "Softplus", "Relu"})
"""What makes a rate of a number: behind one of them, an output is no logarithm of a rate."""


class Labels(NamedTuple):
    """How many labels of one batch are what."""

    function: str
    expected: str
    """`signs`: -1 and 1; `shares`: between 0 and 1; `logarithms`: not labels, but outputs, as logarithms of rates."""
    positive: int = 0
    negative: int = 0
    zero: int = 0
    """Those that are neither 1 nor -1, where these are expected."""
    given: str = ""
    """What the outputs were made by."""


class Contracts(Probe):
    """The labels of margin losses and of binary losses written by hand, on closely watched steps, on the CPU only.

    Fact `contracts`, told on the watched steps 1, 2, 4, 8 ... and at the end: a list, one table for each function, of

        {"function", "expected": `signs`, `shares` or `logarithms`, "steps": looked at, "positive", "negative", "zero":
         how many labels were 1, -1, and neither; "given": the operation that made the outputs}

    Of labels that are multiplied with the outputs only those are counted whose values can be told apart; `shares` is
    told only for binary losses with a label y that is 1 or -1 throughout, and `logarithms` only where outputs are not.
    """

    name = "contracts"

    def __init__(self, training: Any) -> None:
        super().__init__(training)
        self._seen: dict[str, tuple[int, Labels]] = {}
        """Steps looked at, and all the labels seen, of each function."""
        self._backwards = self._steps = 0
        self._is_new = False

    def backward(self, tensor: torch.Tensor, loss: torch.Tensor) -> None:
        self._backwards += 1
        if (self._backwards > FIRST and self._backwards % EVERY) or not nodes.is_apart():
            return
        root = tensor.grad_fn if loss is tensor else unscaled(tensor)
        if root is None:
            return
        with torch.no_grad(), torch._C.DisableTorchFunction():
            for term in terms_of(root)[:MOST_FUNCTIONS]:
                found = labels_of(term.node)
                if found is not None:
                    self._take(found)

    def _take(self, found: Labels) -> None:
        if found.function not in self._seen and len(self._seen) >= MOST_FUNCTIONS:
            return
        steps, seen = self._seen.get(found.function, (0, found._replace(positive=0, negative=0, zero=0)))
        self._seen[found.function] = (
            steps + 1,
            seen._replace(
                positive=seen.positive + found.positive,
                negative=seen.negative + found.negative,
                zero=seen.zero + found.zero,
            ),
        )
        self._is_new = True

    def end_close(self) -> None:
        if self._is_new:
            self._steps += 1
            if not self._steps & (self._steps - 1):
                self._tell()

    def finish(self) -> None:
        self._tell()

    def begin_another(self) -> None:
        self._seen, self._steps, self._backwards = {}, 0, 0

    def _tell(self) -> None:
        if self._is_new:
            self._is_new = False
            told: list[Json] = [{**seen._asdict(), "steps": steps} for steps, seen in self._seen.values()]
            self.training.fact("contracts", told)


def labels_of(node: Any) -> Labels | None:
    """The labels in the term of a loss; None where it is no such loss, or they cannot be read."""
    for _ in range(16):
        if node is None:
            return None
        what = kind(node)
        if what in ("Mul", "Div") and only_input(node) is not None and _is_by_number(node):
            node = only_input(node)
        elif what in _PEELED:
            node = next((following for following in inputs(node) if following is not None), None)
        else:
            break
    what = kind(node)
    if what == "SoftMarginLoss":
        return _counted("soft_margin_loss", nodes.saved(node, "target"))
    if what in ("Add", "Sub", "Rsub") and len(inputs(node)) == 2 and None not in inputs(node):
        return _of_two(node)
    if what in _HINGES:
        return _of_product(node, "hinge loss")
    if what in ("Softplus", "LogSigmoid", "Log", "Log1P", "Exp"):
        return _of_product(node, "logistic loss" if what != "Exp" else "exponential loss")
    return None


def _is_by_number(node: Any) -> bool:
    other = nodes.factor(node)
    return not isinstance(other, torch.Tensor) or other.numel() == 1


def _of_two(node: Any) -> Labels | None:
    sides = [below(side, SHAPES | {"Neg"}) for side in inputs(node)]
    kinds = [kind(side) if side is not None else "" for side in sides]
    if kinds == ["Where", "Where"]:
        return _of_choices(sides)
    if kinds == ["Exp", "Mul"] and only_input(sides[1]) is not None:
        of = only_input(sides[1])
        made = kind(below(of, SHAPES | {"Add"}))
        if only_input(sides[0]) is of and made in _RATES:
            return Labels("poisson_nll_loss", "logarithms", given=made.lower())
        return None
    if kinds == ["Mul", "Mul"]:
        return _of_binary(sides)
    return None


def _of_choices(sides: list[Any]) -> Labels | None:
    """`cosine_embedding_loss` and `hinge_embedding_loss`: each of two parts is chosen by the label."""
    first, second = (nodes.saved(side, "condition") for side in sides)
    if not isinstance(first, torch.Tensor) or not isinstance(second, torch.Tensor) or first.shape != second.shape:
        return None
    if not (first.is_cpu and second.is_cpu) or not first.numel():
        return None
    # The one asks for `y == 1` and `y == -1`, the other for `y != 1` and `y != -1`: exactly one holds of a label.
    both, none = int((first & second).sum()), int((~(first | second)).sum())
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    if both and none:
        return None
    if _is_hinge_embedding(sides):
        return Labels("hinge_embedding_loss", "signs", only_second, only_first, both) if not none else None
    return Labels("cosine_embedding_loss", "signs", only_first, only_second, none) if not both else None


def _is_hinge_embedding(sides: list[Any]) -> bool:
    """Whether the part of dissimilar pairs is the first: a margin less a distance, cut at 0."""
    first, second = (kind(below(next((i for i in inputs(side) if i is not None), None))) for side in sides)
    return first == "ClampMin" and second != "ClampMin"


def _of_binary(sides: list[Any]) -> Labels | None:
    """`y * log p + (1 - y) * log (1 - p)`, with any sign: a label of -1 and 1 makes the second factor 0 and 2."""
    factors = []
    for side in sides:
        of = only_input(side)
        if of is None or kind(of) not in ("Log", "LogSigmoid", "Log1P"):
            return None
        factor = nodes.factor(side)
        if not isinstance(factor, torch.Tensor) or not factor.is_cpu or factor.numel() < 2:
            return None
        if not factor.is_floating_point():
            return None
        factors.append(factor.abs())
    first, second = factors
    if first.shape != second.shape or not bool((first == 1).all()) or not bool(((second == 0) | (second == 2)).all()):
        return None
    n = int((second == 2).sum())
    return Labels("binary cross entropy by hand", "shares", first.numel() - n, n)


def _of_product(node: Any, name: str) -> Labels | None:
    """`max(0, 1 - y * out)`, `log(1 + exp(-y * out))` and their kin: the labels are a factor of the outputs."""
    at, is_turned = node, False
    for _ in range(6):
        at = next((following for following in inputs(at) if following is not None), None)
        if at is None or kind(at) not in _SHIFTS | SHAPES | {"Exp"}:
            break
        behind = inputs(at)
        if len([following for following in behind if following is not None]) > 1:
            return None
        is_turned ^= kind(at) in ("Neg", "Rsub") or (kind(at) == "Sub" and behind[0] is None)
    if at is None or kind(at) != "Mul" or only_input(at) is None:
        return None
    of = only_input(at)
    factor = nodes.factor(at)
    sizes = nodes.shape(of)
    if not isinstance(factor, torch.Tensor) or sizes is None or list(factor.shape) != sizes:
        return None
    if kind(of) == "Sub" and None not in inputs(of) and kind(node) == "ClampMin":
        name = "margin_ranking_loss"
    # All these fall as the product rises, but for the logarithm of a sigmoid: what has the other sign is a mask.
    return _counted(name, -factor if is_turned != (kind(node) != "LogSigmoid") else factor)


def _counted(function: str, labels: Any) -> Labels | None:
    """The labels by value; None where some are none of -1, 0 and 1, or where 0 and -1 are all there is: a mask."""
    if not isinstance(labels, torch.Tensor) or not labels.is_cpu or not labels.numel() or labels.dtype is torch.bool:
        return None
    ones, minus, zeros = int((labels == 1).sum()), int((labels == -1).sum()), int((labels == 0).sum())
    if ones + minus + zeros != labels.numel() or (zeros and minus and not ones):
        return None
    return Labels(function, "signs", ones, minus, zeros)
