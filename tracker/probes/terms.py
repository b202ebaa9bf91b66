"""Takes the sum apart that a loss is: `ce + 0.1 * (kl + penalty)` has three terms."""

from __future__ import annotations

import itertools
from types import FrameType
from typing import Any, NamedTuple

import torch

from ..frames import user_frames, variables
from . import nodes
from .composed import is_smoothing
from .nodes import SHAPES, inputs, kind

_MAX_NODES = 256
"""Nodes of the sum: a loss summed over the steps of a sequence has some hundred."""
_MAX_FRAMES = 3
_MAX_ITEMS = 64


class Variable(NamedTuple):
    """A scalar of the user's, and what it is called."""

    name: str
    tensor: torch.Tensor


class Term(NamedTuple):
    """One term of a loss."""

    node: Any
    factor: float | None
    """What it is multiplied with; None when that is on a device, or unknown."""
    coefficient: torch.Tensor | None
    """The part of the factor that is on a device, of shape ()."""
    variable: Variable | None


def terms_of(root: Any, named: dict[Any, Variable] | None = None) -> list[Term]:
    """The terms of the sum at node `root`, of a scalar; one for a loss that is no sum.

    `named` are variables by their node (`scalars_in`): a term that is a variable of the user's is not taken apart.
    """
    found = _flatten(root, named or {})
    while len(found) == 1 and found[0].node is not root and found[0].variable is not None:
        # `loss / 4` is the loss: what was sent backward is a part of it, and nobody's term.
        root = found[0].node
        further = _flatten(root, named or {})
        if len(further) == 1 and further[0].node is root:
            break
        found = [_scaled(term, found[0].factor, found[0].coefficient) for term in further]
    return found


def _flatten(root: Any, named: dict[Any, Variable]) -> list[Term]:
    found: list[Term] = []
    queue: list[Term] = [Term(root, 1.0, None, None)]
    for _ in range(_MAX_NODES):
        if not queue:
            break
        term = queue.pop(0)
        variable = named.get(term.node) if term.node is not root else None
        parts = _parts(term.node) if variable is None else None
        if parts is None:
            found.append(term._replace(variable=variable))
        else:
            queue[:0] = [
                _scaled(Term(node, 1.0, None, None), _times(term.factor, factor), _both(term.coefficient, on_device))
                for node, factor, on_device in parts
            ]
    return found + queue


def has_addend(root: Any) -> bool:
    """Whether something without a graph is added to a loss, or to a part of the sum that it is."""
    queue, n = [root], 0
    while queue and n < _MAX_NODES:
        node, n = queue.pop(0), n + 1
        if _parts(node) is None:
            continue
        behind = inputs(node)
        if kind(node) in ("Add", "Sub", "Rsub") and None in behind:
            return True
        queue += [following for following in behind if following is not None]
    return False


_Parts = list[tuple[Any, float | None, torch.Tensor | None]]


def _parts(node: Any) -> _Parts | None:
    """(node, factor, factor on a device) of each part of a sum, product with a number, or view; None for a term."""
    what, behind = kind(node), inputs(node)
    if what == "Add" and not is_smoothing(node):
        second = nodes.number(node, "alpha")
        return _present(behind, 1.0, second)
    if what in ("Sub", "Rsub"):
        alpha = nodes.number(node, "alpha")
        other = -alpha if isinstance(alpha, float) else None
        return _present(behind, 1.0, other) if what == "Sub" else _present(behind, other, 1.0)
    if what == "Neg":
        return _present(behind, -1.0)
    if what in ("Mul", "Div"):
        return _product(node, what, behind)
    if what in SHAPES and nodes.shape(node) is not None and _is_scalar(node) and _is_scalar(behind[0]):
        return _present(behind[:1], 1.0)
    if what in ("Sum", "Mean") and behind and behind[0] is not None and kind(behind[0]) == "Stack":
        of = nodes.shape(behind[0])
        if of is not None and len(of) == 1:
            factor = 1.0 if what == "Sum" else 1.0 / max(1, of[0])
            return [(one, factor, None) for one in inputs(behind[0]) if one is not None] or None
    return None


def _present(behind: list[Any], *factors: float | torch.Tensor | None) -> _Parts | None:
    pairs = [(node, factor) for node, factor in zip(behind, factors, strict=False) if node is not None]
    return [(n, f, None) if not isinstance(f, torch.Tensor) else (n, 1.0, f) for n, f in pairs] or None


def _product(node: Any, what: str, behind: list[Any]) -> _Parts | None:
    sides = [side for side in behind if side is not None]
    if len(sides) != 1 or not _is_scalar(sides[0]):
        return None  # both have a gradient: a learned weight, which makes it one term
    name = "other" if behind[0] is not None else "self"
    if what == "Div" and name == "self":
        return None
    by = nodes.number(node, name)
    if isinstance(by, torch.Tensor):
        with torch.no_grad():
            return [(sides[0], 1.0, by.reciprocal() if what == "Div" else by)]
    if what == "Div" and by is not None:
        by = 1.0 / by if by else None
    return [(sides[0], by, None)]


def _is_scalar(node: Any) -> bool:
    sizes = nodes.shape(node) if node is not None else None
    return sizes is not None and all(n == 1 for n in sizes)


def _times(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a * b


def _both(a: torch.Tensor | None, b: torch.Tensor | None) -> torch.Tensor | None:
    if a is None or b is None:
        return b if a is None else a
    with torch.no_grad():
        return a * b


def _scaled(term: Term, factor: float | None, coefficient: torch.Tensor | None) -> Term:
    return term._replace(factor=_times(term.factor, factor), coefficient=_both(term.coefficient, coefficient))


def scalars_in(frame: FrameType | None) -> dict[Any, Variable]:
    """Scalars with a graph among the user's variables, by their node: locals, items of lists and tables, attributes.

    Only the innermost frames are looked at, and nothing of the user's is called.
    """
    found: dict[Any, Variable] = {}

    def take(name: str, value: object) -> None:
        # Only plain tensors: a subclass may do anything when it is asked.
        if type(value) is torch.Tensor and value.numel() == 1 and value.grad_fn is not None:
            found.setdefault(value.grad_fn, Variable(name, value))

    with torch._C.DisableTorchFunction():
        for at in itertools.islice(user_frames(frame), _MAX_FRAMES):
            for name, value in variables(at).items():
                take(name, value)
                if type(value) in (list, tuple) and len(value) <= _MAX_ITEMS:
                    for index, item in enumerate(value):
                        take(f"{name}[{index}]", item)
                elif isinstance(value, dict) and len(value) <= _MAX_ITEMS:
                    for key, item in list(dict.items(value)):
                        take(f"{name}.{key}" if isinstance(key, (str, int)) else name, item)
                elif name == "self":
                    for key, item in list(getattr(value, "__dict__", {}).items()):
                        take(key, item)
    return found
