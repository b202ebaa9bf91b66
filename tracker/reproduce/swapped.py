"""Taking one recorded difference from another run into the plan and the restored folder of a run.

Only the folder of the trial is written to; what is taken out of stored JSON is checked before it is used.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..capture.data import digest_files
from ..compare.arguments import with_option
from ..compare.hunks import Hunk, apply
from ..compare.kinds import RecordedDifference
from ..compare.surroundings import HASH_SEED, THREAD_VARIABLES
from ..errors import TrackerError
from .draws import draws_of_trial, with_state_of
from .plan import HIDDEN, Plan


class CannotSwap(TrackerError):
    """A difference cannot be taken from one run into the other; the text says why."""


@dataclass(frozen=True)
class Swap:
    """A run that is about to be done again with something of another one."""

    plan: Plan
    other: Plan | None
    """How the other run was executed."""
    root: Path
    """Where the run is restored."""
    theirs: Path | None
    """Where the code of the other run is restored; None where it cannot be."""
    hunks: tuple[Hunk, ...] = ()
    """All lines that differ between the two."""
    needs_environment: bool = False
    """Whether an environment has to be built, as packages were swapped."""

    @property
    def known(self) -> Plan:
        """How the other run was executed; raises `CannotSwap` where that is not known."""
        if self.other is None:
            raise CannotSwap("how B was executed is not stored")
        return self.other


def swapped(swap: Swap, rows: Sequence[RecordedDifference]) -> Swap:
    """The plan with `rows` as the other run has them; writes their code and data into the folder.

    Raises `CannotSwap`, possibly after a part of it was done: the folder is of no use then.
    """
    code = [one for one in rows if one.kind == "code"]
    if code:
        _code(swap, code)
    for one in rows:
        if one.kind != "code":
            swap = _TAKE.get(one.kind, _nothing)(swap, one)
    if any(one.kind in _DRAWS_OTHERWISE for one in rows):
        randomness = draws_of_trial(swap.plan, swap.other, rows)
        swap = replace(swap, plan=replace(swap.plan, randomness=randomness))
    return swap


_DRAWS_OTHERWISE = ("code", "argument", "data", "package", "variable")
"""What can make a script seed or draw otherwise before its training begins."""


def _nothing(swap: Swap, one: RecordedDifference) -> Swap:
    reasons = {
        "hardware": "it is a part of the machine",
        "switch": "the script sets it: swap the line or the argument that does",
        "parameter": "the script sets it: swap the line, the argument or the file it comes from",
    }
    raise CannotSwap(reasons.get(one.kind, "nothing is known of how to swap it"))


def _code(swap: Swap, rows: Sequence[RecordedDifference]) -> None:
    found = [one.hunk for one in rows if one.hunk is not None]
    if len(found) < len(rows) or swap.theirs is None:
        raise CannotSwap("the code of B cannot be restored")
    try:
        apply(found, swap.root, swap.theirs)
    except (OSError, ValueError) as error:
        raise CannotSwap(f"the change cannot be made in the code of A: {error}") from error


def _argument(swap: Swap, one: RecordedDifference) -> Swap:
    mine, theirs = swap.plan.arguments, swap.known.arguments
    words = theirs if one.id == "args" else with_option(mine, theirs, one.id.removeprefix("args:"))
    return replace(swap, plan=replace(swap.plan, arguments=tuple(words)))


def _variable(swap: Swap, one: RecordedDifference) -> Swap:
    return _with_variables(swap, [one.id.removeprefix("variable:")])


def _with_variables(swap: Swap, names: Sequence[str]) -> Swap:
    variables = dict(swap.plan.variables)
    for name in names:
        value = swap.known.variables.get(name)
        if value is None:
            variables.pop(name, None)
        elif HIDDEN in value:
            raise CannotSwap(f"the value of {name} was not stored")
        else:
            variables[name] = value
    return replace(swap, plan=replace(swap.plan, variables=variables))


def _threads(swap: Swap, one: RecordedDifference) -> Swap:
    mine = {name: swap.plan.variables.get(name) for name in THREAD_VARIABLES}
    theirs = {name: swap.known.variables.get(name) for name in THREAD_VARIABLES}
    if one.follows is not None:
        raise CannotSwap(f"the script sets it: swap {one.follows}")
    if mine != theirs:
        return _with_variables(swap, THREAD_VARIABLES)
    # Nobody set it: it was the number of cores.
    count = _threads_of(swap.known.environment)
    if count is None:
        raise CannotSwap("the number of threads of B is not stored")
    return replace(swap, plan=replace(swap.plan, variables={**swap.plan.variables, "OMP_NUM_THREADS": str(count)}))


def _threads_of(environment: Mapping[str, Any]) -> int | None:
    process = environment.get("process")
    threads = process.get("threads") if isinstance(process, Mapping) else None
    count = threads.get("torch") if isinstance(threads, Mapping) else None
    return count if isinstance(count, int) and count > 0 else None


def _python(swap: Swap, one: RecordedDifference) -> Swap:
    if not one.id.startswith("python:flag-"):
        raise CannotSwap("another Python is another environment: swap its packages one by one")
    return replace(swap, plan=replace(swap.plan, flags=swap.known.flags))


def _package(swap: Swap, one: RecordedDifference) -> Swap:
    name = one.id.removeprefix("package:")
    mine, theirs = _packages(swap.plan.environment), _packages(swap.known.environment)
    if name not in mine and name not in theirs:
        raise CannotSwap("neither run has it among its packages")
    taken = {**mine, name: theirs[name]} if name in theirs else {key: row for key, row in mine.items() if key != name}
    environment = {**swap.plan.environment, "packages": list(taken.values())}
    return replace(swap, plan=replace(swap.plan, environment=environment), needs_environment=True)


def _packages(environment: Mapping[str, Any]) -> dict[str, Any]:
    rows = environment.get("packages")
    return {str(row.get("name")): row for row in rows if isinstance(row, Mapping)} if isinstance(rows, list) else {}


# -- randomness --------------------------------------------------------------------------------------------------------


def _random(swap: Swap, one: RecordedDifference) -> Swap:
    if one.follows is not None:
        raise CannotSwap(f"the script sets it: swap {one.follows}")
    name = one.id.partition(":")[2]
    if name == "hash":
        return _with_variables(swap, [HASH_SEED])
    randomness = with_state_of(swap.plan, swap.known, name, swap.hunks)
    if randomness is None:
        raise CannotSwap(f"the random state of {name} was not stored with B")
    return replace(swap, plan=replace(swap.plan, randomness=randomness))


# -- data --------------------------------------------------------------------------------------------------------------


def _data(swap: Swap, one: RecordedDifference) -> Swap:
    name = one.id.removeprefix("data:")
    mine, theirs = _item(swap.plan.data, name), _item(swap.known.data, name)
    if theirs is None:
        raise CannotSwap("B did not read it: swap what names it, a line or an argument")
    source = _stored_copy(swap, theirs)
    relative = theirs.get("relative") if mine is None else mine.get("relative")
    if isinstance(relative, str):
        return _put(swap, relative, source)
    if mine is None:
        raise CannotSwap("A did not read it: swap what names it, a line or an argument")
    path = str(mine.get("path"))
    arguments = tuple(word.replace(path, str(source)) for word in swap.plan.arguments)
    if arguments == swap.plan.arguments:
        raise CannotSwap(f"the script names {path} itself, and nothing is written there")
    return replace(swap, plan=replace(swap.plan, arguments=arguments))


def _item(data: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    rows = data.get("items")
    for row in rows if isinstance(rows, list) else []:
        if isinstance(row, Mapping) and str(row.get("relative") or row.get("path")) == name:
            return row
    return None


def _stored_copy(swap: Swap, item: Mapping[str, Any]) -> Path:
    """Where the file of B is, with its recorded content: in its code, or where it was."""
    places = [Path(str(item.get("path")))]
    relative = item.get("relative")
    if swap.theirs is not None and isinstance(relative, str):
        place = swap.theirs / relative
        if place.resolve().is_relative_to(swap.theirs.resolve()):
            places.insert(0, place)
    for place in places:
        if place.is_file() and _is_content(place, item):
            return place
    raise CannotSwap(f"the file of B was not stored, and is no longer at {places[-1]} as it was")


def _is_content(place: Path, item: Mapping[str, Any]) -> bool:
    with tempfile.TemporaryDirectory(prefix="soundrun-data-") as folder:
        digest_files([place], Path(folder))
        rows = json.loads((Path(folder) / "data.json").read_text(encoding="utf-8"))["items"]
    return any((row.get("kind"), row.get("sha256")) == (item.get("kind"), item.get("sha256")) for row in rows)


def _put(swap: Swap, relative: str, source: Path) -> Swap:
    target = swap.root / relative
    if not target.parent.resolve().is_relative_to(swap.root.resolve()) or ".git" in target.parts:
        raise CannotSwap(f"{relative} leads out of the folder of the trial")
    target.parent.mkdir(parents=True, exist_ok=True)
    # Unlinked first: a large file is a link to the original.
    target.unlink(missing_ok=True)
    shutil.copyfile(source, target)
    return swap


_TAKE: dict[str, Callable[[Swap, RecordedDifference], Swap]] = {
    "argument": _argument,
    "variable": _variable,
    "threads": _threads,
    "python": _python,
    "package": _package,
    "seed": _random,
    "random state": _random,
    "data": _data,
}
