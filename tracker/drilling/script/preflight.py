"""A preflight of a script, from the copy of its folder to the run in MLflow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...drills import chosen_drills
from ...errors import ConfigError
from ...rules.engine import Settings
from ..judged import Judged, judge
from .launching import Drilled, run
from .scratch import scratch_copy
from .target import Target


@dataclass(frozen=True)
class Outcome:
    """What a preflight of a script came to."""

    judged: Judged
    drilled: Drilled


def preflight_script(
    target: Target,
    arguments: Sequence[str],
    cwd: Path,
    settings: Settings,
    only: Sequence[str] = (),
    seconds: float = 90.0,
    start_seconds: float = 60.0,
    regularised: bool = False,
    hear: Callable[[str], None] = lambda name: None,
) -> Outcome:
    """Does the drills on a script or module in a copy of its folder.

    With `regularised`, dropout and the like stay on while one batch is overfitted. `hear` is told the name of each
    drill when it begins. Raises `ConfigError` for wrong arguments, and `OSError`.
    """
    chosen = chosen_drills(only)
    with scratch_copy(target.file, cwd.absolute()) as scratch:
        if target.module and scratch.original != cwd.absolute():
            raise ConfigError(
                f"tracker preflight -m {target.module}: {cwd} is too large to be copied, or your home folder. "
                "Start from the project's own folder."
            )
        source = str(settings.path) if settings.path else str(target.file.parent)
        command = target.command(scratch, arguments)
        drilled = run(
            command, scratch.moved(cwd), scratch, chosen, seconds, start_seconds, source, regularised, hear
        )  # fmt: skip
        return Outcome(judge(drilled.told(), chosen, settings), drilled)
