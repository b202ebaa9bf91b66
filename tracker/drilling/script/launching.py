"""Starts a script for its drills, again where it ends too early, and puts together what its processes told."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...forwarding import death_with_us
from ...launch import prepare
from ...rules.engine import Settings
from ...rules.engine.records import Fact, Json, Record
from ..drill import Drill
from ..judged import judge, plain_records
from ..measuring import CRASHED, SKIPPED
from .scratch import Scratch
from .telling import BEGAN, FAULT, MET, OVER, RECORDS, read, record

STEPS = 20
"""Steps that the script trains as it is before its loop is taken over."""
PLAIN_SECONDS = 10.0
"""Seconds after which two of them are enough."""
LAUNCHES = 5
"""Times that a script is started: one that a drill has ended goes on with the next."""
LEAST_SECONDS = 20.0
"""Seconds for the drills of a further start."""
_QUIET = {
    "WANDB_MODE": "offline",
    "COMET_MODE": "DISABLED",
    "NEPTUNE_MODE": "debug",
    "CLEARML_OFFLINE_MODE": "1",
    "TRACKER_NO_REPORT": "1",
}
"""Loggers of other makers are kept off the network: these runs are nobody's results."""


@dataclass
class Drilled:
    """What came of a script."""

    records: list[Record] = field(default_factory=list)
    met: dict[str, Any] = field(default_factory=dict)
    """What was trained: `loop`, `loss`, `why`, `profile`, `model`, `loaders`; empty where no training was seen."""
    code: int | None = None
    """Exit code of the last process; None where it was ended for want of time."""
    output: str = ""
    """The end of what the script wrote."""
    fault: str = ""
    """What went wrong with us in the script's process."""
    journal: Path | None = None
    """Journal of the plain first steps."""

    def told(self) -> list[Record]:
        """What the rules are to judge: the plain first steps, then the drills."""
        return [*plain_records(self.journal, str(self.met.get("profile", "unknown"))), *self.records]


def run(
    command: Sequence[str],
    cwd: Path,
    scratch: Scratch,
    drills: Sequence[type[Drill]],
    seconds: float,
    start_seconds: float,
    settings: str,
    regularised: bool,
    hear: Callable[[str], None],
) -> Drilled:
    """Does the drills on a script, with what `preflight_script` is asked for. Raises `OSError`.

    `KeyboardInterrupt` passes, once the script has been ended.
    """
    found, left = Drilled(), [drill.name for drill in drills]
    heard: set[str] = set()

    def hear_once(name: str) -> None:
        """A drill in which the script came to its end begins again with the next start."""
        if name not in heard:
            heard.add(name)
            hear(name)

    own_loop, deadline = True, time.monotonic() + seconds
    for attempt in range(LAUNCHES):
        folder = scratch.folder / f"told-{attempt}"
        folder.mkdir()
        time_left = max(LEAST_SECONDS, deadline - time.monotonic()) if attempt else seconds
        plan = {
            "folder": str(folder),
            "drills": left,
            "seconds": time_left,
            "own_loop": own_loop,
            "steps": STEPS if not attempt else 2,
            "plain_seconds": PLAIN_SECONDS if not attempt else 0.0,
            "original": str(scratch.original),
            "settings": settings,
            "regularised": regularised,
            "has_failed": bool(attempt) and judge(found.told(), drills, Settings.load(settings)).has_failed,
        }
        found.code, found.output = _launch(command, cwd, scratch, plan, time_left + start_seconds, hear_once)
        lines = list(read(folder))
        met = next((line for line in lines if line["kind"] == MET), {})
        found.met = found.met or met
        found.journal = found.journal or _journal(scratch)
        last = _take(lines, found)
        done = {one.name for one in found.records if isinstance(one, Fact)}
        left = [name for name in left if f"drills/{name}" not in done]
        found.fault = next((line["reason"] for line in lines if line["kind"] == FAULT), found.fault)
        if any(line["kind"] in (OVER, FAULT) for line in lines) or not left:
            break
        if found.code == 0 and own_loop and met.get("loss", attempt > 0):
            own_loop = False  # the script's own loop has come to its end: ours does not
        elif last is not None:
            found.records.append(Fact(f"drills/{last}", 0, _ended_in(found)))
            left.remove(last)
        elif found.code != 0 and not found.met:
            break  # it fails by itself, before there is anything to be drilled
    was_seen = found.met or found.journal is not None
    why = "the script ended before its training loop could be taken over" if was_seen else "no training was seen"
    why = f"a fault of tracker itself: {found.fault}" if found.fault else why
    for name in left:
        found.records.append(Fact(f"drills/{name}", 0, {"status": SKIPPED, "reason": why, "seconds": 0.0}))
    return found


def _take(lines: Sequence[Mapping[str, Any]], found: Drilled) -> str | None:
    """Takes over what was measured; returns the drill that had begun and was not over."""
    last = None
    for line in lines:
        if line["kind"] == BEGAN:
            last = str(line["drill"])
        elif line["kind"] == RECORDS:
            found.records += [record(one) for one in line["records"]]
            last = None
    return last


def _ended_in(found: Drilled) -> Json:
    """How a drill ended in which the script did."""
    if found.code is None:
        why = "it took too long"
    elif found.code == 0:
        why = "the script's own loop came to its end in it; let it train for more steps, if it can"
    else:
        why = f"the script ended in it: {_last_line(found.output)}"
    return {"status": CRASHED if found.code else SKIPPED, "reason": why, "seconds": 0.0}


def _launch(
    command: Sequence[str],
    cwd: Path,
    scratch: Scratch,
    plan: Mapping[str, Any],
    seconds: float,
    hear: Callable[[str], None],
) -> tuple[int | None, str]:
    environment = _environment(scratch)
    launch = prepare({"quiet": True, "preflight": dict(plan)}, command, environment)
    output = scratch.folder / "output.txt"
    with output.open("wb") as stream:
        process = subprocess.Popen(
            command, cwd=cwd, env=launch.environment, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream,
            start_new_session=True, preexec_fn=death_with_us(),
        )  # fmt: skip
        try:
            code = _wait(process, Path(plan["folder"]), seconds, hear)
        finally:
            _end(process)
            launch.close()
    text = output.read_text(encoding="utf-8", errors="replace")
    return code, text[-4000:]


def _wait(process: subprocess.Popen[bytes], folder: Path, seconds: float, hear: Callable[[str], None]) -> int | None:
    deadline, heard = time.monotonic() + seconds, 0
    while True:
        code = process.poll()
        began = [line["drill"] for line in read(folder) if line["kind"] == BEGAN]
        for name in began[heard:]:
            hear(name)
        heard = len(began)
        if code is not None:
            return code
        if time.monotonic() > deadline:
            return None
        time.sleep(0.1)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends the script and what it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(5.0)
        except subprocess.TimeoutExpired:
            continue
    process.wait()


def _environment(scratch: Scratch) -> dict[str, str]:
    kept = dict(os.environ)
    kept.update(_QUIET)
    kept["TRACKER_HOME"] = str(scratch.folder / "home")
    kept["MLFLOW_TRACKING_URI"] = f"sqlite:///{scratch.folder / 'mlflow.db'}"
    kept["TRACKER_PREFLIGHT_OF"] = str(scratch.original)
    kept["WANDB_DIR"] = str(scratch.folder)
    kept.pop("MLFLOW_RUN_ID", None)
    entries = [entry for entry in kept.get("PYTHONPATH", "").split(os.pathsep) if entry]
    if entries:
        kept["PYTHONPATH"] = os.pathsep.join(str(scratch.moved(Path(entry))) for entry in entries)
    return kept


def _journal(scratch: Scratch) -> Path | None:
    return next(iter(sorted((scratch.folder / "home" / "runs").glob("*/journal.bin"))), None)


def _last_line(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it said nothing"
