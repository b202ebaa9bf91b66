"""What the code of a model says that its graph cannot: functions that act on the mode and are never told of it."""

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
_NORM_TRAINING_AT, _NORM_MEAN_AT = 5, 1
"""Places of `training` and `running_mean` in `batch_norm`."""
_MOST_CLASSES = 200


class Spelling(Probe):
    """Fact `always_dropout`: calls of a dropout function, in the methods of a model, that leave `training` to its
    default, which is True: ``[{"class": "Net", "line": 31, "call": "F.dropout(x, 0.5)"}]``, with the line in the file.

    Fact `always_batch_norm`: in the same form, calls of `batch_norm` in a `forward` that say `training=True` whatever
    the mode, although they keep running statistics (`self.mean`), which then are of use to nobody. A `forward` that
    asks for the mode is passed over, and so are calls on a condition.

    The source of each class is read once, at the first pass of its model. What cannot be read is passed over, and so
    are functions with a name of their own (`from torch.nn.functional import dropout`).
    """

    name = "spelling"
    is_unheard = True

    def __init__(self, training: Any) -> None:
        super().__init__(training)
        self._read: set[type] = set()
        self._found: list[Json] = []
        self._norms: list[Json] = []

    def root_forward(self, call: Pass) -> None:
        if type(call.module) in self._read:
            return
        before, norms_before = len(self._found), len(self._norms)
        for _, module in walk(call.module):
            kind = type(module)
            if kind not in self._read and len(self._read) < _MOST_CLASSES:
                self._read.add(kind)
                if kind.__module__.partition(".")[0] != "torch":
                    dropouts, norms = _always(kind)
                    self._found += dropouts
                    self._norms += norms
        if len(self._found) > before:
            self.training.fact("always_dropout", list(self._found))
        if len(self._norms) > norms_before:
            self.training.fact("always_batch_norm", list(self._norms))


def _always(kind: type) -> tuple[list[Json], list[Json]]:
    """Calls of a dropout function, and of `batch_norm`, that do not follow the mode."""
    try:
        lines, first = inspect.getsourcelines(kind)
        tree = ast.parse(textwrap.dedent("".join(lines)))
    except (OSError, TypeError, SyntaxError, ValueError):
        return [], []
    dropouts = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and _leaves_it(node)]
    forwards = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == "forward"]
    norms = [call for forward in forwards for call in _norms_in(forward)]
    return _described(kind, first, dropouts), _described(kind, first, norms)


def _described(kind: type, first: int, calls: list[ast.Call]) -> list[Json]:
    return [{"class": kind.__name__, "line": first + node.lineno - 1, "call": ast.unparse(node)[:80]} for node in calls]


def _norms_in(forward: ast.FunctionDef) -> list[ast.Call]:
    """Calls of `batch_norm` with running statistics of the module's that are always in training mode."""
    if any(isinstance(node, ast.Attribute) and node.attr == "training" for node in ast.walk(forward)):
        return []
    on_condition = {
        id(inner)
        for node in ast.walk(forward)
        if isinstance(node, (ast.If, ast.IfExp, ast.While))
        for inner in ast.walk(node)
    }
    return [
        node
        for node in ast.walk(forward)
        if isinstance(node, ast.Call) and id(node) not in on_condition and _is_always_training(node)
    ]


def _is_always_training(call: ast.Call) -> bool:
    at = call.func
    if not isinstance(at, ast.Attribute) or at.attr != "batch_norm" or ast.unparse(at.value) not in _HOMES:
        return False
    given: dict[str | None, ast.expr] = {keyword.arg: keyword.value for keyword in call.keywords}
    if None in given or any(isinstance(arg, ast.Starred) for arg in call.args):
        return False
    training = call.args[_NORM_TRAINING_AT] if len(call.args) > _NORM_TRAINING_AT else given.get("training")
    mean = call.args[_NORM_MEAN_AT] if len(call.args) > _NORM_MEAN_AT else given.get("running_mean")
    is_kept = isinstance(mean, ast.Attribute) and isinstance(mean.value, ast.Name) and mean.value.id == "self"
    return is_kept and isinstance(training, ast.Constant) and training.value is True


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
