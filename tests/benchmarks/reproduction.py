"""Does every run come back? Healthy scripts of the corpus, trained in dirty projects of every kind, done again from
their ID.

    python -m tests.benchmarks.reproduction                                        # all scripts, the kinds in turn
    python -m tests.benchmarks.reproduction --kinds renamed,clean --scripts 'v-*'  # some of both
    python -m tests.benchmarks.reproduction --each-kind --scripts 'v-iris*' --into figures.json

For each script a fresh project is made (`projects.py` tells how), its seeds taken out of it but for every fifth.
`tracker run` trains it, with a home, a cache and a SQLite store of its own. Then the project, its remote and the local
folders of the run are moved away, and `tracker reproduce ID --yes` does it again in a new folder, with the store alone.
Demanded are, beforehand, grade R2 without a blocking gap, and then R5 on the same host. Exits with 1 when a run falls
short.
"""

from __future__ import annotations

import argparse
import contextlib
import fnmatch
import glob
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.benchmarks.projects import KINDS, Project
from tests.benchmarks.unseeded import without_seeds

CORPUS = Path(__file__).resolve().parents[1] / "corpus"
SEEDED_EACH = 5
"""One in so many scripts keeps its seeds."""
TRACKER = os.path.join(os.path.dirname(sys.executable), "tracker")
"""The command as it is installed: nothing of the project is on its import path."""

_KEPT = ("PATH", "LANG", "LD_LIBRARY_PATH", "TMPDIR", "PYTHONPATH")


def _name(script: Path) -> str:
    return script.parent.name if script.name == "train.py" else script.stem


@dataclass(frozen=True)
class Case:
    """A script, in a project of a kind."""

    kind: str
    script: Path
    is_seeded: bool = False

    @property
    def name(self) -> str:
        """What the script is called."""
        return _name(self.script)


@dataclass
class Came:
    """What became of a case."""

    kind: str
    script: str
    is_seeded: bool
    captured: str = ""
    """The grade from the capture alone."""
    reproducible: str = ""
    gaps: list[str] = field(default_factory=list)
    """Blocking gaps."""
    minor: list[str] = field(default_factory=list)
    """The other gaps."""
    grade: str = ""
    scope: str = ""
    points: int = 0
    explanation: str = ""
    trouble: str = ""
    """What failed: the script, the capture, the re-run; with the last words of the process."""
    seconds: list[float] = field(default_factory=list)
    """Of the original until it was uploaded, and of the re-run."""

    @property
    def is_whole(self) -> bool:
        """Whether everything demanded is there."""
        return not self.short

    @property
    def short(self) -> str:
        """What falls short, first things first; empty when nothing does."""
        if self.trouble:
            return self.trouble
        if self.captured != "R2" or self.gaps:
            return f"captured {self.captured}: {'; '.join(self.gaps) or 'no gap named'}"
        if (self.grade, self.scope) != ("R5", "host"):
            return f"{self.grade} {self.scope}: {self.explanation}"
        return "" if self.points else "R5, but nothing was compared"


class _Trouble(Exception):
    """What failed, in words."""


def new_store(folder: Path) -> None:
    """Make a SQLite store that keeps its artifacts beside it, as one does who keeps runs of many projects in it."""
    folder.mkdir(parents=True)
    code = "import mlflow; mlflow.MlflowClient('sqlite:///mlflow.db').search_experiments()"
    variables = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}
    subprocess.run([sys.executable, "-c", code], cwd=folder, env=variables, check=True, capture_output=True)


def _copy_store(template: Path, folder: Path) -> None:
    """Copy an empty store; the place of its artifacts is written in it."""
    shutil.copytree(template, folder)
    with contextlib.closing(sqlite3.connect(folder / "mlflow.db")) as database, database:
        database.execute("UPDATE experiments SET artifact_location = ?", (str(folder / "mlruns" / "0"),))


def reproduce_case(case: Case, store: Path, patience: float = 300.0, keep: Path | None = None) -> Came:
    """Train, move everything away, do it again; never raises for what goes wrong.

    `store` is an empty store to copy, `keep` a folder for what is left of a case that falls short.
    """
    came = Came(case.kind, case.name, case.is_seeded)
    place = Path(tempfile.mkdtemp(prefix="reproduction-"))
    try:
        _copy_store(store, place / "store")
        _Attempt(case, place, patience, came).make()
    except _Trouble as trouble:
        came.trouble = str(trouble)
    except (OSError, ValueError, AssertionError, SyntaxError) as error:
        came.trouble = f"{type(error).__name__}: {error}"
    if keep is not None and not came.is_whole:
        shutil.move(place, keep / f"{case.kind}-{case.name}-{os.urandom(2).hex()}")
    shutil.rmtree(place, ignore_errors=True)
    return came


class _Attempt:
    def __init__(self, case: Case, place: Path, patience: float, came: Came) -> None:
        self.case = case
        self.place = place
        self.patience = patience
        self.came = came
        (place / "user").mkdir()
        (place / "elsewhere").mkdir()

    def make(self) -> None:
        source = self.case.script.read_text(encoding="utf-8")
        project = Project(
            self.place / "here", source if self.case.is_seeded else without_seeds(source), self.place / "user"
        )
        project.place.mkdir()
        KINDS[self.case.kind](project)
        run_id = self._train(project)
        for name in ("here", "runs", "cache"):
            if (self.place / name).exists():
                (self.place / name).rename(self.place / f"{name}-is-gone")
        if (project.place.with_name("here-is-gone") / "ran").exists():
            raise _Trouble("a program of the user's ran during the capture")
        self._again(run_id)
        if (self.place / "here" / "ran").exists() or project.place.exists():
            raise _Trouble(f"the re-run wrote into {project.place}")

    def _environment(self, runs: str) -> dict[str, str]:
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
        return {
            **kept,
            "HOME": str(self.place / "user"),
            "XDG_CACHE_HOME": str(self.place / "cache"),
            "TRACKER_HOME": str(self.place / runs),
            "MLFLOW_TRACKING_URI": f"sqlite:///{self.place / 'store' / 'mlflow.db'}",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "OMP_NUM_THREADS": "1",
            "GIT_CONFIG_NOSYSTEM": "1",
        }

    def _call(
        self, arguments: Sequence[str], cwd: Path, runs: str, variables: Mapping[str, str]
    ) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                [TRACKER, *arguments],
                cwd=cwd,
                env=_joined(self._environment(runs), variables),
                capture_output=True,
                text=True,
                errors="replace",
                timeout=self.patience,
            )
        except subprocess.TimeoutExpired as late:
            raise _Trouble(f"'{' '.join(arguments[:2])}' took more than {self.patience:g} s") from late

    def _train(self, project: Project) -> str:
        began = time.monotonic()
        done = self._call(["run", "--name", self.case.kind, *project.command], project.cwd, "runs", project.variables)
        if done.returncode:
            raise _Trouble(f"the original ended with {done.returncode}: {_last(done.stderr)}")
        folder = self._uploaded(self.place / "runs" / "runs", began)
        self.came.seconds.append(round(time.monotonic() - began, 1))
        proof = json.loads((folder / "reproducibility.json").read_text(encoding="utf-8"))
        self.came.captured, self.came.reproducible = proof["grade"], proof["reproducible"]
        for gap in proof["gaps"]:
            (self.came.gaps if gap.get("blocking") else self.came.minor).append(f"{gap['part']}: {gap['what']}")
        if proof["grade"] == "R1" and not self.came.gaps:
            self.came.gaps.append(f"the restore was not proved: {proof.get('proof')}")
        return str(json.loads((folder / "spec.json").read_text(encoding="utf-8"))["id"])

    def _uploaded(self, runs: Path, began: float) -> Path:
        while time.monotonic() - began < self.patience:
            for folder in sorted(runs.glob("*/")):
                state = _read(folder / "state.json")
                if state.get("finished"):
                    return folder
            time.sleep(0.1)
        raise _Trouble("the run was not uploaded, or there is none")

    def _again(self, run_id: str) -> None:
        began = time.monotonic()
        arguments = ["reproduce", run_id, "--yes", "--json", "--into", str(self.place / "again")]
        done = self._call(arguments, self.place / "elsewhere", "runs-of-the-second", {})
        self.came.seconds.append(round(time.monotonic() - began, 1))
        try:
            said: dict[str, Any] = json.loads(done.stdout)
        except ValueError:
            said = {}
        if "grade" not in said:
            raise _Trouble(f"not done again: {said.get('error') or _last(done.stderr)}")
        self.came.grade, self.came.scope = str(said["grade"]), str(said["scope"])
        self.came.points = int(said.get("points") or 0)
        self.came.explanation = str(said.get("explanation"))
        first = said.get("first_difference")
        if first:
            self.came.explanation += f" First: {json.dumps(first)}"
        if (self.came.grade, done.returncode) == ("R5", 1):
            raise _Trouble("grade R5, and exit code 1")
        if self.came.grade != "R5":
            self.came.explanation += f" Said: {_last(done.stderr)}"


def _joined(variables: dict[str, str], more: Mapping[str, str]) -> dict[str, str]:
    """Add the variables `more`; folders on the import path are added to those that are there."""
    folders = [given["PYTHONPATH"] for given in (more, variables) if "PYTHONPATH" in given]
    return {**variables, **more, **({"PYTHONPATH": os.pathsep.join(folders)} if folders else {})}


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _last(text: str, lines: int = 6) -> str:
    return " | ".join(text.strip().splitlines()[-lines:])[-900:]


def measure(cases: Sequence[Case], at_once: int, patience: float, keep: Path | None) -> Iterator[Came]:
    """Do every case, some at a time, and give what became of each, in their order."""
    with tempfile.TemporaryDirectory(prefix="reproduction-store-") as scratch, ThreadPoolExecutor(at_once) as pool:
        store = Path(scratch) / "empty"
        new_store(store)
        yield from pool.map(lambda case: reproduce_case(case, store, patience, keep), cases)


def table(found: Sequence[Came]) -> list[str]:
    """One line for each kind, and one for all of them."""
    every, whole = Counter(came.kind for came in found), Counter(came.kind for came in found if came.is_whole)
    lines = [f"{name:32} {whole[name]:4} of {every[name]:4} at R5" for name in KINDS if every[name]]
    return [*lines, f"{'all':32} {sum(whole.values()):4} of {len(found):4} at R5"]


def chosen(patterns: str, kinds: str, each_kind: bool, first: int) -> list[Case]:
    """The cases that are asked for: the scripts with the kinds in turn, or each with every kind."""
    wanted = patterns.split(",")
    places = sorted(CORPUS.glob("healthy/*/train.py"))
    scripts = [path for path in places if any(fnmatch.fnmatch(path.parent.name, pattern) for pattern in wanted)]
    scripts += [Path(found) for pattern in wanted if "/" in pattern for found in sorted(glob.glob(pattern))]
    scripts.sort(key=lambda path: zlib.crc32(_name(path).encode()))  # the first few shall be of all sorts
    names = kinds.split(",") if kinds else list(KINDS)
    if each_kind:
        return [Case(name, path) for path in scripts for name in names]
    turns = range(first, first + len(scripts))
    return [
        Case(names[turn % len(names)], path, is_seeded=turn % SEEDED_EACH == SEEDED_EACH - 1)
        for turn, path in zip(turns, scripts, strict=True)
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures and prints; returns 1 when a run falls short."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scripts", default="*", help="patterns of names, or of paths of other scripts")
    parser.add_argument("--only", help="one script: the same as --scripts with a name and nothing else")
    parser.add_argument("--kinds", default="", help=f"of {', '.join(KINDS)}")
    parser.add_argument("--each-kind", action="store_true", help="every script in projects of every kind")
    parser.add_argument("--first", type=int, default=0, help="the kind to begin with, counted from 0")
    parser.add_argument("--at-once", type=int, default=2)
    parser.add_argument("--patience", type=float, default=300.0, help="seconds for each process")
    parser.add_argument("--show", action="store_true", help="a line for those that came back, too")
    parser.add_argument("--keep", type=Path, help="folder for what is left of those that fall short")
    parser.add_argument("--into", type=Path, help="JSON file for what became of each")
    options = parser.parse_args(arguments)
    cases = chosen(options.only or options.scripts, options.kinds, options.each_kind, options.first)
    if not cases:
        parser.error(f"no script of the corpus has a name like {options.only or options.scripts}")
    if options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
    found: list[Came] = []
    for came in measure(cases, options.at_once, options.patience, options.keep):
        found.append(came)
        if options.show or came.short:
            seeds = "seeded" if came.is_seeded else "unseeded"
            verdict = f"SHORT {came.short}" if came.short else f"R5, {came.points} points"
            print(f"{came.kind:28} {came.script:36} {seeds:8} {came.seconds} {verdict}", flush=True)
        if options.into:
            _write(options.into, found)
    print("\n".join(table(found)))
    return int(any(came.short for came in found))


def _write(target: Path, found: Sequence[Came]) -> None:
    rows: list[Mapping[str, Any]] = [{**asdict(came), "short": came.short} for came in found]
    target.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
