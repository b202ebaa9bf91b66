"""A preflight of a script, from the copy of its folder to the run in MLflow."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...drills import chosen_drills
from ...errors import ConfigError
from ...journal import JournalReader
from ...rules.engine import Settings
from ...rules.engine.records import END, OUTCOME, VERDICT, Event, Fact, Record
from ..judged import Judged, judge
from .launching import Drilled, run
from .scratch import scratch_copy

_LEFT_OUT = frozenset({OUTCOME, VERDICT, END, "tag", "fault"})
"""Events of the plain first steps that are about their own run: it is judged, and ends, with the drills."""


@dataclass(frozen=True)
class Outcome:
    """What a preflight of a script came to."""

    judged: Judged
    drilled: Drilled


def preflight_script(
    script: Path,
    arguments: Sequence[str],
    cwd: Path,
    settings: Settings,
    only: Sequence[str] = (),
    seconds: float = 90.0,
    start_seconds: float = 60.0,
    hear: Callable[[str], None] = lambda name: None,
) -> Outcome:
    """Does the drills on a script in a copy of its folder. Raises `ConfigError` for wrong arguments, and `OSError`."""
    chosen = chosen_drills(only)
    script = script.absolute()
    if not script.is_file():
        raise ConfigError(f"tracker preflight {script}: there is no such file. Expected a Python script.")
    with scratch_copy(script, cwd.absolute()) as scratch:
        command = [sys.executable, str(scratch.moved(script)), *arguments]
        source = str(settings.path) if settings.path else str(script.parent)
        drilled = run(command, scratch.moved(cwd), scratch, chosen, seconds, start_seconds, source, hear)
        records: list[Record] = []
        if drilled.journal is not None:
            plain = (one for _, one in JournalReader(drilled.journal).read())
            records += [one for one in plain if not (isinstance(one, Event) and one.name in _LEFT_OUT)]
    if drilled.met.get("profile", "unknown") != "unknown":
        records.append(Fact("profile", 0, str(drilled.met["profile"])))
    return Outcome(judge([*records, *drilled.records], chosen, settings), drilled)
