"""One run again with a single difference taken from another: which of them turns its numbers into the other's.

Every trial is the run A, restored and executed as for a proof, with one thing as it was in run B. What it says at the
first number that differs between the two tells whether that thing alone is the cause.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from ..compare.hunks import Hunk
from ..compare.kinds import RecordedDifference
from ..compare.recorded import RecordedRun
from ..compare.streams import Comparison, Difference
from ..errors import ReproduceError, TrackerError
from .data import DataCheck, place_data
from .environment import current_environment, differences_before, is_rebuildable
from .plan import Plan, make_plan
from .prefix import prefix_of
from .rerun import child_environment, new_folder, rerun, wait_for_upload
from .restore import restore_code
from .swapped import CannotSwap, Swap, swapped
from .trial import NOTHING, TOGETHER, Asked, Trial, judged

ALL = "all"
SWAPPED_TAG = "repro.swapped"
"""Tag of a trial: what it took from the other run."""

_UPLOAD_SECONDS = 60.0

Say = Callable[[str], None]


@dataclass(frozen=True)
class Bisection:
    """All that is needed for the trials, worked out before anything is executed."""

    a: RecordedRun
    b: RecordedRun
    plan: Plan
    other: Plan | None
    """How B was executed; None where that is not known: only its code can be taken then."""
    chosen: tuple[tuple[str, tuple[RecordedDifference, ...]], ...]
    """What is swapped together, by the name it was asked for."""
    first: Difference
    """The first number that differs."""
    hunks: tuple[Hunk, ...] = ()
    """All lines that differ."""

    @property
    def steps(self) -> int | None:
        """How many steps each trial makes; None for the whole run."""
        return None if self.plan.prefix is None else self.plan.prefix.steps


def bisection(
    a: RecordedRun,
    b: RecordedRun,
    differences: Sequence[RecordedDifference],
    numbers: Comparison,
    wanted: Sequence[str],
    steps: int | None = None,
) -> Bisection:
    """What will be tried; raises `ReproduceError` where there is nothing to find, or for an ID that names nothing."""
    first = numbers.first_difference
    if first is None:
        raise ReproduceError("No number differs between the two runs: there is nothing that a swap could explain.")
    for run in (a, b):
        if run.is_alive:
            raise ReproduceError(f"Run {run.given} is still training. Wait until it has ended.")
    prefix = prefix_of(a.ledger, steps, None)
    if prefix is not None and first.moment >= prefix.steps:
        raise ReproduceError(
            f"The runs part at step {first.moment} ({first.metric}), and only {prefix.words} were asked for. "
            f"Expected at least --steps {first.moment + 1}."
        )
    hunks = tuple(one.hunk for one in differences if one.hunk is not None)
    try:
        other: Plan | None = make_plan(b)
    except ReproduceError:
        other = None
    return Bisection(a, b, replace(make_plan(a), prefix=prefix), other, _choose(differences, wanted), first, hunks)


def _choose(
    differences: Sequence[RecordedDifference], wanted: Sequence[str]
) -> tuple[tuple[str, tuple[RecordedDifference, ...]], ...]:
    """What the given names stand for: an ID, the beginning of several (`code`, `code:train.py`), or `all`."""
    found: dict[str, tuple[RecordedDifference, ...]] = {}
    able = [one for one in differences if one.score > 0 and one.follows is None]
    for name in wanted:
        if name == ALL:
            states = tuple(one for one in able if one.kind == "random state" and "hash" not in one.tags)
            found.update({one.id: (one,) for one in able if one not in states})
            if states:
                # Together they are one cause: the runs were not seeded.
                found["state"] = states
            continue
        rows = [one for one in differences if one.id == name] or [one for one in able if one.id.startswith(f"{name}:")]
        if not rows:
            known = ", ".join(one.id for one in differences[:20]) or "none"
            raise ReproduceError(f"{name!r} names no recorded difference of the two. Expected all, or one of: {known}.")
        found[name] = tuple(rows)
    if not found:
        raise ReproduceError("Nothing was recorded that differs and can change numbers: there is nothing to swap.")
    return tuple(found.items())


def trials(
    task: Bisection, into: Path | None, timeout: float | None, say: Say, quiet_stdout: bool = True
) -> Iterator[Trial]:
    """Runs one trial after the other: A as it was, then with each difference, then with all where none is enough.

    With `into`, each lies in a new folder beside that name and stays there; else in a folder that is removed. Raises
    `ReproduceError` when A cannot be restored.
    """
    with _folders(task, into) as (place, theirs):
        environment = _own_environment(task, place(), say)
        number = 0

        def attempt(name: str, rows: Sequence[RecordedDifference]) -> Trial:
            nonlocal number
            number += 1
            of_all = f"trial {number} of {1 + len(task.chosen)}"
            say("one trial more: all of them together" if name == TOGETHER else of_all)
            return _attempt(task, name, rows, place(number), theirs, environment, timeout, say, quiet_stdout)

        yield attempt(NOTHING, ())
        done = []
        for name, rows in task.chosen:
            done.append(attempt(name, rows))
            yield done[-1]
        able = [rows for (_, rows), trial in zip(task.chosen, done, strict=True) if trial.outcome != "not swapped"]
        if len(able) > 1 and not any(trial.outcome == "B" and trial.n_as_b == trial.n_points for trial in done):
            yield attempt(TOGETHER, [one for rows in able for one in rows])


@contextmanager
def _folders(task: Bisection, into: Path | None) -> Iterator[tuple[Callable[..., Path], Path | None]]:
    """Gives out folders for the trials, and one with the code of B where that can be restored."""
    scratch = Path(tempfile.mkdtemp(prefix="soundrun-swap-"))
    beside = None if into is None else into.absolute()

    def place(number: int = 0) -> Path:
        return scratch / f"trial-{number}" if beside is None else beside.with_name(f"{beside.name}-{number}")

    theirs: Path | None = scratch / "other"
    try:
        try:
            restore_code(task.b.capture, scratch / "other")
        except TrackerError:
            theirs = None  # what needs it says so
        yield place, theirs
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _own_environment(task: Bisection, folder: Path, say: Say) -> bool:
    """Whether A needs an environment of its own; says what of this one differs."""
    if not task.plan.environment:
        say("environment: not recorded, so nothing is known of its differences")
        return False
    current = current_environment(task.plan.environment, child_environment(task.plan, folder))
    found = [one for one in differences_before(task.plan.environment, current) if is_rebuildable(one)]
    for one in found:
        say(f"environment: {one}")
    return bool(found)


def _attempt(
    task: Bisection,
    name: str,
    rows: Sequence[RecordedDifference],
    folder: Path,
    theirs: Path | None,
    is_other_environment: bool,
    timeout: float | None,
    say: Say,
    quiet_stdout: bool,
) -> Trial:
    root, cwd = _restore(task, new_folder(folder, task.plan.own_id))
    try:
        swap = swapped(Swap(task.plan, task.other, root, theirs, task.hunks), rows)
        plan = swap.plan
        if is_other_environment or swap.needs_environment:
            plan = _with_environment(task, plan, root, say)
    except CannotSwap as error:
        say(f"{name}: not swapped: {error}")
        return Trial(name, "not swapped", str(error))
    say(f"running with {name} of B: {plan.shown_command}" if rows else f"running A again: {plan.shown_command}")
    done = rerun(plan, root, cwd, timeout, stdout_to_stderr=quiet_stdout)
    if done.was_interrupted:
        raise KeyboardInterrupt  # its numbers say nothing
    if done.rundir is None:
        return Trial(name, "failed", f"exit code {done.returncode}, and no run that can be compared")
    wait_for_upload(done.rundir, _UPLOAD_SECONDS)
    again = RecordedRun.find(str(done.rundir.spec["id"]))
    try:
        again.set_tags({SWAPPED_TAG: f"{name} of {task.b.id}"[:500]})
        # A beginning is ended by us; the whole has to come to its end.
        ended = "" if done.returncode == 0 or plan.prefix is not None else f"exit code {done.returncode}"
        asked = Asked(task.a.ledger, task.b.ledger, task.first, task.steps)
        return judged(name, asked, again.ledger, ended, again.id)
    finally:
        again.close()


def _restore(task: Bisection, folder: Path) -> tuple[Path, Path]:
    """Puts A's code and data into `folder`; raises `ReproduceError` where they are not as recorded."""
    restored = restore_code(task.a.capture, folder)
    if not restored.matches:
        raise ReproduceError(
            f"The restored code of A is not the recorded one: {'; '.join(restored.problems[:3])}. Nothing was executed."
        )
    if not restored.cwd.resolve().is_relative_to(restored.root.resolve()):
        raise ReproduceError(f"The recorded directory {task.plan.cwd!r} leads out of {restored.root}.")
    restored.cwd.mkdir(parents=True, exist_ok=True)
    data = DataCheck(task.plan.data)
    lost = data.out_of_reach(restored.root)
    if lost:
        beside = task.plan.project.parent / f"{task.plan.project.name}-again" if task.plan.project else folder
        raise ReproduceError(
            f"{lost[0]} leads out of the project by a relative path, to nothing from {restored.root}. Nothing was "
            f"executed. Try beside the original: --into {beside}"
        )
    changed = data.changed(restored.root)
    if changed:
        raise ReproduceError(
            f"{len(changed)} data files of A are not the recorded ones, first {changed[0]}: it cannot be done again. "
            "Put the recorded files back where they were."
        )
    place_data(restored.root, data.outside_project(restored.root))
    return restored.root, restored.cwd


def _with_environment(task: Bisection, plan: Plan, root: Path, say: Say) -> Plan:
    from .rebuild import rebuild

    try:
        built = rebuild(plan.environment, task.a.capture, root, say)
    except ReproduceError as error:
        raise CannotSwap(str(error)) from error
    return replace(plan, interpreter=str(built.python), search_path=(*plan.search_path, *built.search_path))
