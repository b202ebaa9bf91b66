"""Runs an ordinary training script as it is and observed, in the same place, and keeps all that can be told of both."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import unified_diff
from fnmatch import fnmatch
from hashlib import sha256
from pathlib import Path

from tracker.journal import JournalReader
from tracker.rules.engine.records import END, Event, Record
from tracker.rundir import RunDir

SCRIPTS = Path(__file__).resolve().parents[1] / "corpus" / "scripts"
PATIENCE = 300
"""Seconds after which a script hangs, on a machine that is busy with others."""

TRACKER = (sys.executable, "-c", "import sys; del sys.path[0]; from tracker.cli import main; main()")

IN_BLOCK = """
import os, runpy, sys
from contextlib import nullcontext
sys.argv = sys.argv[1:]
observed = os.environ.pop("OBSERVED")
sys.path[0] = os.path.dirname(os.path.abspath(sys.argv[0]))
import torch
if observed == "yes":
    from tracker import Run, track
    around = track(Run(os.path.basename(sys.argv[0]), quiet=True))
else:
    around = nullcontext()
with around:
    runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""Runs a script by `runpy`, inside a tracked block or bare."""

_CLOCKS = (
    re.compile(rb"(?m)^[VIWEC]\d{4} \d\d:\d\d:\d\d\.\d+ \d+ "),  # of torch's own log: time and process
    re.compile(rb"(?m)^USDT:.*\n"),  # of the profiler: the same
    re.compile(rb"(?<=0x)[0-9a-f]{6,}"),
)


@dataclass(frozen=True)
class Done:
    """What a script left behind: all of it must be the same, observed or not."""

    code: int
    out: bytes
    err: bytes
    files: Mapping[str, str]
    """Digest of each file below the place where it ran; of one that is never twice the same, only that it is there."""


@dataclass(frozen=True)
class Script:
    """How a script of the corpus is started, and what is known of its run."""

    words: Sequence[str]
    """What stands behind `python`; behind `--`, the whole command."""
    code: int = 0
    status: str = "FINISHED"
    steps: int | None = None
    """Optimizer steps of the run; None where they are not counted, or not worth it."""
    runs: int = 1
    """Trainings that are runs of their own."""
    has_params: bool = True
    environment: Mapping[str, str] = field(default_factory=dict)
    """What it needs, below the place where it runs."""
    unlike: Sequence[str] = ()
    """Patterns of files that hold a time, a host or a process, and differ with us and without."""
    is_sample: bool = False
    """Whether it is run with the fast tests."""

    @property
    def name(self) -> str:
        words = [re.sub(r"[^\w=.-]", "", word.removesuffix(".py").replace("/", ".")) for word in self.words]
        return "-".join(word.lstrip("-") for word in words if word != "--")

    def command(self) -> list[str]:
        """As it is run without us."""
        words = list(self.words)
        return words[1:] if words[0] == "--" else [sys.executable, *words]


def environment_of(script: Script, place: Path) -> dict[str, str]:
    """The environment of both: that of a user, whose strings hash the same each time."""
    environment = {name: value for name, value in os.environ.items() if name not in ("TRACKER_STRICT", "PYTHONPATH")}
    own = {name: str(place / value) for name, value in script.environment.items()}
    bins = f"{Path(sys.executable).parent}{os.pathsep}{environment.get('PATH', '')}"
    return {**environment, "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1", "PATH": bins, **own}


def bare(script: Script, folder: Path) -> Done:
    """Runs a script as if there were no tracker."""
    return _run(script, folder, script.command(), {})


def observed(script: Script, folder: Path) -> Done:
    """Runs a script under `tracker run`, which says nothing itself."""
    return _run(script, folder, [*TRACKER, "run", "--quiet", *script.words], {})


def in_block(script: Script, folder: Path, is_observed: bool) -> Done:
    """Runs a script by `runpy` inside a block of another one; that block is tracked, or does nothing."""
    command = [sys.executable, "-c", IN_BLOCK, *script.words]
    return _run(script, folder, command, {"OBSERVED": "yes" if is_observed else "no"})


def _run(script: Script, folder: Path, command: Sequence[str], more: Mapping[str, str]) -> Done:
    place = folder / "scripts"  # the same for both, as tracebacks and warnings name it
    shutil.copytree(SCRIPTS, place, ignore=shutil.ignore_patterns("__pycache__"))
    environment = {**environment_of(script, place), **more}
    done = subprocess.run(
        command,
        cwd=place,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=PATIENCE,
        # Tests that are run in the background ignore Ctrl-C, and their children with them.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    files = {}
    for path in sorted(place.rglob("*")):
        name = str(path.relative_to(place))
        if path.is_file() and not any(fnmatch(name, pattern) for pattern in script.unlike):
            files[name] = sha256(path.read_bytes()).hexdigest()
    shutil.rmtree(place)
    return Done(done.returncode, _without_clocks(done.stdout), _without_clocks(done.stderr), files)


def _without_clocks(text: bytes) -> bytes:
    for pattern in _CLOCKS:
        text = pattern.sub(b"", text)
    return text


def assert_same(without: Done, with_us: Done) -> None:
    """Exit code, both streams and every file: byte by byte."""
    assert with_us.out == without.out, f"stdout\n{_difference(without.out, with_us.out)}"
    assert with_us.err == without.err, f"stderr\n{_difference(without.err, with_us.err)}"
    assert with_us.code == without.code, f"exit code {with_us.code}; without us {without.code}"
    unlike = {name for name, _ in with_us.files.items() ^ without.files.items()}
    assert not unlike, f"files that differ, or are there only once: {sorted(unlike)}"


def _difference(without: bytes, with_us: bytes) -> str:
    lines = [text.decode(errors="replace").splitlines() for text in (without, with_us)]
    return "\n".join(list(unified_diff(*lines, "without us", "with us", n=1, lineterm=""))[:40])


def journals(run: RunDir) -> list[Record]:
    """Everything in the journals of a run, of all its processes."""
    return [record for path in sorted(run.path.rglob("journal*.bin")) for _, record in JournalReader(path).read()]


def faults(run: RunDir) -> list[str]:
    """Each part of ours that failed in a run, and why."""
    found = [record for record in journals(run) if isinstance(record, Event) and record.name == "fault"]
    return [f"{event.data['part']}: {event.data['reason']}" for event in found]


def steps(run: RunDir) -> int:
    """Optimizer steps of a run, as its end tells; -1 for one that did not say that it ended."""
    with_end = [record for _, record in JournalReader(run.journal).read()]
    ends = [record.step for record in with_end if isinstance(record, Event) and record.name == END]
    return ends[-1] if ends else -1
