"""What the code of a model says that its graph cannot: a dropout function that is never told of the mode."""

from __future__ import annotations

import ast
import inspect
import textwrap
from typing import Any

from ..rules.engine.records import Json
from .models import walk
from .probe import Pass, Probe

_FUNCTIONS = frozenset({"dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout"})
_HOMES = frozenset({"F", "functional", "nn.functional", "torch.nn.functional"})
_TRAINING_AT = 2
"""Place of the parameter `training` in all of them; its default is True."""
_MOST_CLASSES = 200


class Spelling(Probe):
    """Fact `always_dropout`: calls of a dropout function, in the methods of a model, that leave `training` to its
    default, which is True: ``[{"class": "Net", "line": 31, "call": "F.dropout(x, 0.5)"}]``, with the line in the file.

    The source of each class is read once, at the first pass of its model. What cannot be read is passed over, and so
    are functions with a name of their own (`from torch.nn.functional import dropout`).
    """

    name = "spelling"
    is_unheard = True

    def __init__(self, training: Any) -> None:
        super().__init__(training)
        self._read: set[type] = set()
        self._found: list[Json] = []

    def root_forward(self, call: Pass) -> None:
        if type(call.module) in self._read:
            return
        before = len(self._found)
        for _, module in walk(call.module):
            kind = type(module)
            if kind not in self._read and len(self._read) < _MOST_CLASSES:
                self._read.add(kind)
                if kind.__module__.partition(".")[0] != "torch":
                    self._found += _always(kind)
        if len(self._found) > before:
            self.training.fact("always_dropout", list(self._found))


def _always(kind: type) -> list[Json]:
    try:
        lines, first = inspect.getsourcelines(kind)
        tree = ast.parse(textwrap.dedent("".join(lines)))
    except (OSError, TypeError, SyntaxError, ValueError):
        return []
    return [
        {"class": kind.__name__, "line": first + node.lineno - 1, "call": ast.unparse(node)[:80]}
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and _leaves_it(node)
    ]


def _leaves_it(call: ast.Call) -> bool:
    at = call.func
    return (
        isinstance(at, ast.Attribute)
        and at.attr in _FUNCTIONS
        and ast.unparse(at.value) in _HOMES
        and len(call.args) <= _TRAINING_AT
        and not any(isinstance(arg, ast.Starred) for arg in call.args)
        and all(keyword.arg not in (None, "training") for keyword in call.keywords)
    )
