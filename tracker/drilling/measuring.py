"""Does the drills one after another, each from the same state, and tells what each has measured."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Sequence

from ..guard import is_strict
from ..rules.engine.records import Fact, Json, Record
from .checking import Unchanged
from .drill import Drill, Drive, Notes, Skip
from .loop import Loop
from .preserved import preserved
from .subject import Subject

Told = Callable[[Sequence[Record]], None]
"""Hears the records of each drill when it is over."""

DONE, SKIPPED, CRASHED = "done", "skipped", "crashed"
"""How a drill ended, in the fact `drills/<name>`."""


def measuring(
    subject: Subject,
    drills: Iterable[Drill],
    tell: Told,
    has_failed: Callable[[], bool],
    seconds: float,
) -> Drive:
    """Does the drills; each `yield` asks for an iteration of the training loop, on the one batch, and gives its loss.

    Whatever ends it early, the drill that is under way puts everything back. `has_failed` says whether a rule has found
    a fault in what was told so far: some drills look for its cause. `seconds` is the time for all of them.
    """
    deadline = time.monotonic() + seconds
    unchanged = Unchanged(subject)
    last: tuple[str, dict[str, Json]] | None = None
    for drill in drills:
        began = time.monotonic()
        notes = Notes(drill.name)
        status, reason = DONE, ""
        if drill.after_failure and not has_failed():
            status, reason = SKIPPED, "nothing failed"
        elif began >= deadline:
            status, reason = SKIPPED, f"the {seconds:g} s for all drills are over; give more with --seconds"
        else:
            drill.budget = min(drill.budget, deadline - began)
            try:
                with preserved(subject.modules, subject.optimizers, subject.others):
                    if drill.in_loop:
                        yield from drill.drive(subject, notes)
                    else:
                        drill.measure(subject, notes)
            except Skip as skip:
                status, reason = SKIPPED, str(skip)
            except Exception as error:
                if is_strict():
                    raise
                status, reason = CRASHED, f"{type(error).__name__}: {error}"[:500]
            fault = "" if unchanged.is_slow else unchanged.fault()
            if fault:
                status, reason = CRASHED, fault
        said: dict[str, Json] = {"status": status, "reason": reason, "seconds": round(time.monotonic() - began, 3)}
        tell([*(notes.records if status == DONE else ()), Fact(f"drills/{drill.name}", 0, said)])
        last = drill.name, said
    fault = unchanged.fault() if last is not None and unchanged.is_slow else ""
    if last is not None and fault:
        tell([Fact(f"drills/{last[0]}", 0, {**last[1], "status": CRASHED, "reason": f"after all drills, {fault}"})])


def drive(steps: Generator[None, float, None], subject: Subject) -> None:
    """Gives `measuring` its iterations from a loop of ours."""
    try:
        next(steps)
        loop: Loop | None = None
        while True:
            try:
                loop = loop or Loop(subject)
                loss = loop.iterate()
            except Exception as error:
                steps.throw(error)  # the drill that asked for it has failed; the next begins
            else:
                steps.send(loss)
    except StopIteration:
        pass
    finally:
        steps.close()
