"""`tracker preflight`: drills on an unmodified script, before the long run."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from shutil import get_terminal_size
from typing import Any

from ..errors import ConfigError
from .launching import COMMAND, MODULE
from .output import ExitCode, print_json, say
from .progress import counted


def preflight(
    words: Sequence[str],
    only: Sequence[str],
    settings: Path | None,
    tracking_uri: str | None,
    seconds: float,
    start_seconds: float,
    regularised: bool,
    log: bool,
    as_json: bool,
) -> int:
    """Prints the table; 1 when a drill has failed, 2 when none could be done. Raises `ConfigError`, `OSError`."""
    from ..drilling.judged import FIRST_STEPS
    from ..drilling.recording import record
    from ..drilling.script.preflight import preflight_script
    from ..drilling.script.target import module_target, script_target
    from ..drilling.table import text
    from ..drills import chosen_drills
    from ..rules.engine import Settings

    kind, *given = words
    if kind == COMMAND or not given:
        raise ConfigError(
            "tracker preflight: a script is missing. Expected tracker preflight [OPTIONS] SCRIPT [ARGS]... "
            "or -m MODULE [ARGS]..."
        )
    target = module_target(given[0], Path.cwd()) if kind == MODULE else script_target(Path(given[0]))
    loaded = Settings.load(settings if settings is not None else target.file.parent)

    chosen = chosen_drills(only)
    with nullcontext(lambda name: None) if as_json else counted(len(chosen), "drill") as hear:
        outcome = preflight_script(
            target, given[1:], Path.cwd(), loaded, only, seconds, start_seconds, regularised, hear
        )  # fmt: skip
    judged, drilled = outcome.judged, outcome.drilled
    run_id = None
    was_seen = bool(drilled.met) or any(row.drill == FIRST_STEPS for row in judged.rows)
    if log and was_seen:
        about: dict[str, Any] = {"script": str(target.file), "argv": [str(target.file), *given[1:]]}
        if tracking_uri:
            about["tracking_uri"] = tracking_uri
        run_id = record(judged, loaded, f"preflight {target.name}", about).spec["id"]
    form = {
        **judged.as_json(),
        "run_id": run_id,
        "met": {key: value for key, value in drilled.met.items() if key != "kind"},
    }
    if as_json:
        print_json(form)
    else:
        if was_seen:
            width = get_terminal_size().columns if sys.stdout.isatty() else 100
            say(text(judged.rows, max(60, min(width, 120))))
        else:
            say(f"The script ended with {_ended(drilled.code)} before a training step was seen. It said last:")
            say(drilled.output[-1500:])
        if run_id:
            say(f"run {run_id}")
    if judged.has_failed:
        return ExitCode.FOUND
    return ExitCode.FINE if form["passed"] else ExitCode.UNJUDGED


def _ended(code: int | None) -> str:
    return "no end (it took too long)" if code is None else f"exit code {code}" if code >= 0 else f"signal {-code}"


__all__ = ["preflight"]
