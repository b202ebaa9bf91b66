"""Runs a training script as `tracker run` does, unmodified, in a process of its own, only without the upload.

    python -m tests.corpus.running PATH.py [--seed N] [--facts loss graph] [--signals grad_norm]   # what comes of one

The process is forked from one that has loaded torch already: of hundreds of scripts that train for a second or two,
loading it would be most of the time.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import runpy
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tracker.journal import JournalReader
from tracker.rules.engine.records import VERDICT, Event, Fact, Reading, Record
from tracker.rundir import RunDir

PATIENCE = 240.0
"""Seconds after which a script hangs, on a machine that is busy with others."""


@dataclass(frozen=True)
class Job:
    """A script and what stands behind it on the command line."""

    path: Path
    arguments: tuple[str, ...] = ()
    is_observed: bool = True
    """Without it, the script runs as if there were no tracker."""


@dataclass(frozen=True)
class Ran:
    """What a script left behind."""

    code: int
    """Exit code; minus the signal that ended it."""
    seconds: float
    output: str
    """Both streams."""
    records: list[Record] = field(repr=False)
    """The journal of its run; empty when nothing was trained."""

    @property
    def verdict(self) -> dict[str, Any]:
        """The verdict in its machine form; empty when there is none."""
        found = [one.data for one in self.records if isinstance(one, Event) and one.name == VERDICT]
        return dict(found[-1]) if found else {}

    @property
    def headlines(self) -> list[str]:
        """Rules with a headline of WARNING or worse, the first one first."""
        return [
            finding["rule"]
            for finding in self.verdict.get("findings", ())
            if any(one["severity"] != "info" for one in (finding, *finding["consequences"]))
        ]

    @property
    def loud(self) -> list[str]:
        """Rules with a finding of WARNING or worse, those folded under a headline too."""
        every = [one for top in self.verdict.get("findings", ()) for one in (top, *top["consequences"])]
        return [one["rule"] for one in every if one["severity"] != "info"]

    @property
    def broken(self) -> list[str]:
        """What of the tracker failed."""
        crashed = [f"{one['rule']}: {one['reason']}" for one in self.verdict.get("crashed", ())]
        faults = [str(one.data) for one in self.records if isinstance(one, Event) and one.name == "fault"]
        return [*crashed, *faults]


def run(path: Path, *arguments: str, is_observed: bool = True) -> Ran:
    """Runs one script to its end."""
    return next(ran for _, ran in run_all([Job(path, arguments, is_observed)], at_once=1))


def run_all(jobs: Iterable[Job], at_once: int = 2) -> Iterator[tuple[Job, Ran]]:
    """Runs scripts, some at a time, and gives each when it is done."""
    _load()
    waiting = list(reversed(list(jobs)))
    running: dict[int, tuple[Job, Path, float]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                job = waiting.pop()
                place = Path(tempfile.mkdtemp(prefix="corpus-"))
                running[_start(job, place)] = job, place, time.perf_counter()
            for pid, (job, place, began) in list(running.items()):
                done, status = os.waitpid(pid, os.WNOHANG)
                seconds = time.perf_counter() - began
                if done:
                    ran = _collected(place, os.waitstatus_to_exitcode(status), seconds)
                    del running[pid]
                    shutil.rmtree(place, ignore_errors=True)
                    yield job, ran
                elif seconds > PATIENCE:
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)
    finally:
        for pid, (_, place, _) in running.items():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            shutil.rmtree(place, ignore_errors=True)


def _load() -> None:
    """What every script loads, once. Nothing may start a thread: the processes are forked."""
    os.environ["OMP_NUM_THREADS"] = "1"
    import sklearn.datasets  # type: ignore[import-untyped]
    import sklearn.model_selection  # type: ignore[import-untyped]
    import sklearn.preprocessing  # type: ignore[import-untyped]  # noqa: F401
    import torch

    import tracker.launched
    import tracker.run
    import tracker.session  # noqa: F401

    torch.set_num_threads(1)


def _start(job: Job, place: Path) -> int:
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        with open(place / "output", "wb") as output:
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
        code = _run_here(job, place)
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _run_here(job: Job, place: Path) -> int:
    """In the process of the script: what the bootstrap of `tracker run` does, the script, and what its end does."""
    from tracker import run as runs

    warnings.resetwarnings()  # those of the caller, a test say, are its own
    for name in [name for name in os.environ if name.startswith(("TRACKER_", "MLFLOW_"))]:
        del os.environ[name]
    os.environ["TRACKER_HOME"] = str(place / "home")
    path = job.path.resolve()
    sys.argv = [str(path), *job.arguments]
    sys.path[0] = str(path.parent)
    (place / "work").mkdir()
    os.chdir(place / "work")
    if job.is_observed:
        _observe(place)
    code = 0
    try:
        runpy.run_path(str(path), run_name="__main__")
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException as error:
        traceback.print_exc()
        sys.last_value = error
        code = 1
    runs.end_open_blocks()
    return code


def _observe(place: Path) -> None:
    from tracker import launch, launched
    from tracker import session as sessions

    plan = launch.prepare({"quiet": True}, [sys.executable, *sys.argv])
    os.environ |= {name: plan.environment[name] for name in (launched.VARIABLE, "TRACKER_QUIET")}
    launched.plan.cache_clear()
    sessions.start_sidecar = _captured_at_once  # type: ignore[assignment]
    launched.arm()


def _captured_at_once(rundir: RunDir) -> None:
    """Takes the place of the sidecar: says that all is captured and stored."""
    (rundir.capture / "code.json").write_text("{}")
    rundir.update_state(captured=True, capture_gaps=[], finished=True)


def _collected(place: Path, code: int, seconds: float) -> Ran:
    output = (place / "output").read_text(encoding="utf-8", errors="replace")
    journals = sorted((place / "home").glob("runs/*/journal*"))
    records = [record for journal in journals[:1] for _, record in JournalReader(journal).read()]
    return Ran(code, seconds, output, records)


def main() -> int:
    """Runs one script and shows what the rules say of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path)
    parser.add_argument("--seed", help="handed to the script as --seed")
    parser.add_argument("--facts", nargs="*", default=[], help="facts to show, in each form they had")
    parser.add_argument("--signals", nargs="*", default=[], help="signals to show, or parts of their names")
    parser.add_argument("--output", action="store_true", help="what the script wrote")
    options = parser.parse_args()
    ran = run(options.path, *(["--seed", options.seed] if options.seed is not None else []))
    if options.output or ran.code:
        print(ran.output)
    if not ran.records:
        print(f"exit code {ran.code}, nothing was trained")
        return 1
    _show(ran, print, options.facts, options.signals)
    return 0


def _show(ran: Ran, say: Callable[[str], None], facts: Sequence[str], signals: Sequence[str]) -> None:
    verdict = ran.verdict
    steps = max((record.step for record in ran.records), default=0)
    say(f"exit code {ran.code}, {steps} steps, {ran.seconds:.1f} s; suspicious: {verdict.get('suspicious')}")
    say(f"why: {verdict.get('why')}")
    for top in verdict.get("findings", ()):
        for finding, indent in ((top, ""), *((one, "    ") for one in top["consequences"])):
            where = f" [{finding['subject']}]" if finding["subject"] else ""
            when = f"steps {finding['first_step']} to {finding['last_step']}"
            over = f", gone at {finding['resolved_at']}" if finding["resolved_at"] is not None else ""
            say(f"{indent}{finding['severity'].upper()} {finding['rule']}{where} {when}{over}: {finding['message']}")
    say(f"clear: {', '.join(verdict.get('clear', ()))}")
    for skipped in verdict.get("skipped", ()):
        say(f"skipped {skipped['rule']}: {skipped['reason']}")
    for broken in ran.broken:
        say(f"BROKEN {broken}")
    for record in ran.records:
        if isinstance(record, Fact) and record.name in facts:
            say(f"fact {record.name} at {record.step}: {record.value}")
        elif isinstance(record, Event) and record.name in facts:
            say(f"event {record.name} at {record.step}: {record.data}")
        elif isinstance(record, Reading) and any(part in record.signal for part in signals):
            say(f"{record.signal} [{record.subject}] at {record.step}: {record.value:.6g}")


if __name__ == "__main__":
    raise SystemExit(main())
