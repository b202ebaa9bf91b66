"""The random numbers of a trial: those of the run itself, but where the swapped difference makes it draw otherwise."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from ..compare.hunks import Hunk
from ..compare.kinds import RecordedDifference
from ..compare.material import GENERATORS, KINDS_OF, is_given
from .plan import Plan

_LINE = re.compile(r"(?P<module>.*):(?P<line>\d+)(?P<thread> in .*)?\Z", re.DOTALL)
SEEDINGS = "seedings"


def draws_of_trial(plan: Plan, other: Plan | None, rows: Sequence[RecordedDifference]) -> dict[str, Any]:
    """What a re-run of `plan` gets when `rows` are taken from `other`: lines, arguments, data, packages.

    The states where the training began are left out, as far as the script comes to them by itself: put back there,
    they would undo another seed, and all that was drawn otherwise until then. A seed that follows from what is swapped
    is left to the script; what was noted by line moves with the lines.
    """
    randomness = copy.deepcopy(dict(plan.randomness))
    _leave_out_entry(randomness, plan)
    seedings = randomness.get(SEEDINGS)
    if isinstance(seedings, dict):
        if any(row.sets for row in rows):
            _leave_out_given(seedings, None if other is None else other.randomness.get(SEEDINGS))
        hunks = [row.hunk for row in rows if row.hunk is not None and not row.hunk.whole]
        randomness[SEEDINGS] = _moved(seedings, hunks, plan)
    return randomness


def _leave_out_entry(randomness: dict[str, Any], plan: Plan) -> None:
    start, entry, seeding = (randomness.get(name) for name in ("at_import", "at_entry", "seeding"))
    if not isinstance(entry, dict):
        return
    for name in GENERATORS:
        is_seeded = isinstance(seeding, dict) and seeding.get(f"{name}_seeded") is True
        is_known = plan.launched and isinstance(start, dict) and start.get(name) is not None
        if is_seeded or is_known:
            entry[name] = None
            if name == "torch":
                entry["cuda"] = {}


def _leave_out_given(seedings: dict[str, Any], others: object) -> None:
    """Takes out the seeds that the two runs gave differently: the script gives its own in the trial."""
    theirs = others if isinstance(others, Mapping) else {}
    for kind in [kind for kind in seedings if is_given(kind)]:
        if not theirs or _values(seedings[kind]) != _values(theirs.get(kind)):
            del seedings[kind]


def _values(lines: object) -> list[Any]:
    return list(lines.values()) if isinstance(lines, Mapping) else []


def _moved(seedings: Mapping[str, Any], hunks: Sequence[Hunk], plan: Plan, keep: bool = False) -> dict[str, Any]:
    """What was noted by line, under the lines that these are once the hunks are in.

    Lines that are changed lose the seeds they gave, unless they are to `keep` them.
    """
    if not hunks:
        return dict(seedings)
    by_module: dict[str, list[Hunk]] = {}
    for hunk in hunks:
        for module in _modules_of(hunk.file, plan):
            by_module.setdefault(module, []).append(hunk)
    found: dict[str, Any] = {}
    for kind, lines in seedings.items():
        if not isinstance(lines, Mapping):
            continue
        for key, values in lines.items():
            place = _moved_line(str(key), by_module, is_given(str(kind)) and not keep)
            if place is not None:
                found.setdefault(kind, {})[place] = values
    return found


def _moved_line(key: str, by_module: Mapping[str, Iterable[Hunk]], is_seed: bool) -> str | None:
    match = _LINE.match(key)
    if match is None:
        return key
    line = then = int(match["line"])
    for hunk in by_module.get(match["module"], ()):
        if hunk.line + hunk.n_lines <= then:
            line += hunk.n_b_lines - hunk.n_lines
        elif hunk.line <= then and is_seed:
            return None
        elif hunk.line <= then:
            inside = then - hunk.line
            line -= inside - min(inside, max(hunk.n_b_lines - 1, 0))
    return f"{match['module']}:{line}{match['thread'] or ''}"


def _modules_of(file: str, plan: Plan) -> set[str]:
    """The names under which a file can have been loaded."""
    path = PurePosixPath(file)
    parts = [*path.parts[:-1], *([] if path.stem == "__init__" else [path.stem])]
    found = {".".join(parts[start:]) for start in range(len(parts))}
    is_module = plan.entry[0] == "-m"
    if (is_module and plan.entry[-1] in found) or (not is_module and plan.entry[0] == file):
        found.add("__main__")
    return found


def with_state_of(plan: Plan, other: Plan, name: str, hunks: Sequence[Hunk]) -> dict[str, Any] | None:
    """The randomness of `plan` with the generator `name` as it was in `other`; None where that was not stored.

    `hunks` are all that differ between the two: what was noted by the lines of `other` is put under those of `plan`.
    """
    back = [
        replace(hunk, line=hunk.b_line, n_lines=hunk.n_b_lines, b_line=hunk.line, n_b_lines=hunk.n_lines)
        for hunk in hunks
        if not hunk.whole
    ]
    return _with_state_of(plan, other.randomness, name, back)


def _with_state_of(plan: Plan, other: Mapping[str, Any], name: str, back: Sequence[Hunk]) -> dict[str, Any] | None:
    randomness = copy.deepcopy(dict(plan.randomness))
    found = False
    for moment in ("at_import", "at_entry"):
        mine, their = randomness.get(moment), other.get(moment)
        if isinstance(mine, dict) and isinstance(their, Mapping):
            names = (name, "cuda") if name == "torch" else (name,)
            mine.update({key: copy.deepcopy(their[key]) for key in names if key in their})
            found = found or their.get(name) is not None
    randomness.update({key: value for key, value in other.items() if str(key).startswith(f"{name}_")})
    mine, their = randomness.get(SEEDINGS), other.get(SEEDINGS)
    if isinstance(mine, dict) and isinstance(their, Mapping):
        head = KINDS_OF[name]
        kept = {kind: lines for kind, lines in mine.items() if not str(kind).startswith(head)}
        moved = _moved(their, back, plan, keep=True)
        taken = {kind: copy.deepcopy(lines) for kind, lines in moved.items() if str(kind).startswith(head)}
        randomness[SEEDINGS] = {**kept, **taken}
        found = found or bool(taken)
    return randomness if found else None
