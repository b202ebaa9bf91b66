"""All that was recorded of two runs and is not the same, once each, ordered by how well it explains their numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..capture.differences import Difference
from .arguments import argument_differences, arguments_of
from .causes import Cause
from .fit import rank
from .hunks import Hunk
from .kinds import RecordedDifference
from .material import data_differences, data_names, randomness_differences
from .recorded import RecordedRun
from .streams import Comparison
from .surroundings import environment_recorded, fold_surroundings
from .told import (
    code_differences,
    fold_parameters,
    is_told,
    parameter_differences,
)

WHOLE_CODE = "code"
"""The ID of the code as a whole, where its lines are not known."""


def recorded_differences(
    a: RecordedRun,
    b: RecordedRun,
    hunks: Sequence[Hunk],
    code_same: bool | None,
    params: Mapping[str, tuple[str | None, str | None]],
    environment: Sequence[Difference],
    cause: Cause | None,
    numbers: Comparison,
) -> tuple[RecordedDifference, ...]:
    """The list; what repeats another difference is under it, what follows from one stands right behind it.

    `environment` holds the differences of the two environments, `cause` says where the numbers part; None where they
    do not.
    """
    data = (a.captured("data.json"), b.captured("data.json"))
    names = {*data_names(data[0]), *data_names(data[1])}
    line_by_line = {hunk.file for hunk in hunks if is_told(hunk.file)}
    told = [
        *code_differences(hunks, a, b, names),
        *argument_differences(arguments_of(a), arguments_of(b)),
    ]
    if code_same is False and not hunks:
        told.append(RecordedDifference(WHOLE_CODE, "code", "code", _tree(a), _tree(b)))
    files = data_differences(*data, told=line_by_line)
    left, told, files = fold_parameters(parameter_differences(params), told, files)
    rows, told = fold_surroundings([*environment_recorded(environment), *randomness_differences(a, b)], told)
    return tuple(rank([*told, *left, *files, *rows], cause, numbers))


def _tree(run: RecordedRun) -> str:
    return str(run.captured("code.json").get("tree"))[:12]
