"""What a re-run will do, worked out before anything is restored or executed: command, surroundings, gaps."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..capture.cells import NOTEBOOK, ORIGIN, script_of
from ..capture.launchers import launcher_of
from ..capture.secrets import redact
from ..compare.recorded import RecordedRun
from ..errors import ReproduceError
from .prefix import Prefix

PATCH_LINES = 40
"""Lines of the uncommitted changes that are shown before they are executed."""

HIDDEN = "[redacted"
"""How a value begins that looked like a secret when it was recorded."""

_VALUED = ("-W", "-X", "--check-hash-based-pycs")
_COMBINED = re.compile(r"-[bBdEhiIOPqRsSuvVx]*[mc]\Z")
"""Interpreter flags that end with `-m` or `-c`, such as `-um`."""
_NOT_REPEATED = {"-i"}
_PLACE_IN_A_LAUNCH = ("RANK", "LOCAL_RANK", "GROUP_RANK", "LOCAL_WORLD_SIZE", "WORLD_SIZE")


@dataclass(frozen=True)
class Closer:
    """A closer look than the original had, in place of a proof."""

    until: int | None = None
    """Step behind which the re-run ends, counted from 0 as findings do; None for the whole run."""
    debug: bool = False
    """Whether every step is looked at closely, or the last ones where the end is known."""

    def __bool__(self) -> bool:
        return self.debug or self.until is not None


@dataclass(frozen=True)
class Plan:
    """How a run is done again. Paths of the project are relative to its root, wherever that is restored."""

    own_id: str
    mlflow_id: str | None
    name: str
    index: int
    """Which run of its process it was, counted from 0."""
    flags: tuple[str, ...]
    entry: tuple[str, ...]
    """`("script.py",)` or `("-m", "package.module")`."""
    arguments: tuple[str, ...]
    project: Path | None
    """Where the project was, on the machine that recorded the run."""
    cwd: str
    variables: Mapping[str, str]
    search_path: tuple[str, ...]
    """Folders of the project that were on the import path besides that of the script."""
    randomness: Mapping[str, Any]
    tracking_uri: str | None
    environment: Mapping[str, Any]
    data: Mapping[str, Any]
    code: Mapping[str, Any]
    gaps: tuple[Mapping[str, Any], ...] = ()
    patch: str = ""
    launched: bool = False
    """Whether `tracker run` had started it."""
    observe: str | None = None
    """How closely it was looked at."""
    closer: Closer = Closer()
    prefix: Prefix | None = None
    """How much is run again and compared; None for the whole run."""
    launcher: tuple[str, ...] = ()
    """What starts the script as several processes that train together: `("-m", "torch.distributed.run", ...)`."""
    ranks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """The random generators of the other processes of such a launch, by rank."""
    interpreter: str = sys.executable
    """The Python that runs it: of the environment that was found equal, or built for it."""

    @property
    def python(self) -> str:
        """The version of Python that was recorded, or `unknown`."""
        return str(((self.environment.get("process") or {}).get("python") or {}).get("version") or "unknown")

    @property
    def packages(self) -> list[Mapping[str, Any]]:
        """The distributions that were recorded."""
        rows = self.environment.get("packages")
        return [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []

    @property
    def until(self) -> int | None:
        """The optimizer step, counted from 0, behind which the re-run ends; None for the end of the script."""
        return self.closer.until if self.prefix is None else self.prefix.steps

    def command(self, root: Path) -> list[str]:
        """The command line of the re-run below `root`."""
        entry = list(self.entry)
        if entry[0] != "-m":
            entry[0] = str(root / entry[0])
        return [self.interpreter, *(self.launcher or self.flags), *entry, *self.arguments]

    @property
    def shown_command(self) -> str:
        """The command as people read it, secrets hidden."""
        words = ["python", *(self.launcher or self.flags), *self.entry, *self.arguments]
        return redact(" ".join(word if word and " " not in word else repr(word) for word in words))

    @property
    def changed_files(self) -> list[str]:
        """Files with uncommitted changes, out of the stored patch."""
        names = re.findall(r"^diff --git a/.*? b/(.*)$", self.patch, flags=re.MULTILINE)
        return list(dict.fromkeys(names))


def make_plan(run: RecordedRun) -> Plan:
    """Works out how to do a run again; raises `ReproduceError` when its code or its command is not known."""
    if not run.is_ours:
        raise ReproduceError(
            f"Run {run.given} was logged by plain MLflow code: neither its code nor its command is stored. "
            "Expected a run made under 'with track(run):'."
        )
    if run.is_preflight:
        raise ReproduceError(
            f"Run {run.given} is a preflight: drills on a copy, and no training that could be done again. "
            "Call 'tracker preflight' once more. Expected a training."
        )
    code = run.captured("code.json")
    if not code and run.capture_problem and run.tags.get("code.tree"):
        raise ReproduceError(
            f"The code of run {run.given} was captured, but it cannot be fetched: {run.capture_problem} "
            "Make the artifacts of the run reachable again, where its store says they are."
        )
    if not code.get("tree") or code.get("kind") == "none":
        raise ReproduceError(
            f"The code of run {run.given} was not captured: code.json has no tree. Nothing can be restored (grade R0)."
        )
    account = run.captured("run.json") or (run.rundir.spec if run.rundir is not None else {})
    spec = run.rundir.spec if run.rundir is not None else account
    environment = run.environment
    process = environment.get("process") or run.process.get("environment") or {}
    entry = process.get("entry") or {}
    flags, form = split_command(spec.get("orig_argv") or entry.get("orig_argv") or [])
    variables = _variables(process)
    root, cwd = _project(code, spec)
    arguments = tuple(str(word) for word in (spec.get("argv") or ["", *entry.get("argv", [])])[1:])
    launcher = launcher_of(account)
    if account.get(ORIGIN) == NOTEBOOK:
        arguments = ()  # those of its kernel
    _refuse_what_cannot_be_repeated([*arguments, *(launcher or ())], process, launcher is not None, run.given)
    return Plan(
        own_id=str(run.own_id),
        mlflow_id=run.mlflow_id,
        name=run.name,
        index=int(account.get("index") or 0),
        flags=tuple(flags),
        entry=_entry(form, entry, code, account, run.given),
        arguments=arguments,
        project=root,
        cwd=cwd,
        variables=variables,
        search_path=_search_path(spec, root, entry),
        randomness=run.captured("randomness.json") or run.process.get("randomness") or {},
        tracking_uri=run.store.uri if run.store is not None else None,
        environment=environment,
        data=run.captured("data.json"),
        code=code,
        gaps=tuple(run.evidence.get("gaps") or _local_gaps(run)),
        patch=_patch(run.capture),
        launched=bool(account.get("launched")),
        observe=(account.get("settings") or {}).get("observe"),
        launcher=tuple(launcher or ()),
        ranks=_ranks(run),
    )


def _ranks(run: RecordedRun) -> dict[str, Mapping[str, Any]]:
    """The random generators of the ranks besides rank 0, as far as they were seen."""
    seen = run.captured("ranks.json").get("seen")
    ranks = [str(rank) for rank in seen if isinstance(rank, int) and rank > 0] if isinstance(seen, list) else []
    stored = {rank: run.captured(f"process-{rank}.json").get("randomness") for rank in ranks}
    return {rank: randomness for rank, randomness in stored.items() if isinstance(randomness, dict)}


def split_command(argv: Sequence[str]) -> tuple[list[str], str]:
    """The interpreter's flags in a recorded `sys.orig_argv`, and how the code was given: `script`, `-m` or `-c`."""
    flags: list[str] = []
    words = list(argv[1:])
    while words:
        word = words.pop(0)
        if not word.startswith("-") or word == "-":
            return flags, "script"
        if _COMBINED.match(word):
            if len(word) > 2:
                flags.append(word[:-1])
            return flags, f"-{word[-1]}"
        if word not in _NOT_REPEATED:
            flags.append(word)
            if word in _VALUED and words:
                flags.append(words.pop(0))
        elif word in _VALUED and words:
            words.pop(0)
    return flags, "script"


def _entry(
    form: str, entry: Mapping[str, Any], code: Mapping[str, Any], account: Mapping[str, Any], given: str
) -> tuple[str, ...]:
    kind = entry.get("form") or ("module" if form == "-m" else "script")
    if kind == "module" and entry.get("module"):
        return ("-m", str(entry["module"]))
    if kind == "script" and code.get("entry"):
        return (str(code["entry"]),)
    typed = script_of(account)
    if typed is not None:
        return (typed,)
    seen = {
        "notebook": "a notebook",
        "stdin": "standard input",
        "interactive": "an interactive prompt",
        "command": "'python -c'",
    }
    raise ReproduceError(
        f"Run {given} came from {seen.get(str(kind), 'a script outside the captured folder')}, so there is no file to "
        f"run again. Its code is stored: restore it with 'git clone' from capture/code.bundle."
    )


def _project(code: Mapping[str, Any], spec: Mapping[str, Any]) -> tuple[Path | None, str]:
    """Where the project was, and the working directory relative to it (`.` where that was outside)."""
    root = Path(str(code["root"])) if code.get("root") else None
    cwd = code.get("cwd")
    if isinstance(cwd, str) and not os.path.isabs(cwd) and ".." not in Path(cwd).parts:
        return root, cwd or "."
    given = spec.get("cwd")
    if root is not None and given and Path(given).is_relative_to(root):
        return root, str(Path(given).relative_to(root))
    return root, "."


def _variables(process: Mapping[str, Any]) -> dict[str, str]:
    """Recorded variables, without those whose value was hidden and those that say which rank a process was."""
    values = (process.get("variables") or {}).get("values") or {}
    return {
        str(name): str(value)
        for name, value in values.items()
        if HIDDEN not in str(value) and name not in _PLACE_IN_A_LAUNCH and not name.startswith("TORCHELASTIC_")
    }


def _refuse_what_cannot_be_repeated(
    arguments: Sequence[str], process: Mapping[str, Any], is_launcher_known: bool, given: str
) -> None:
    hidden = [number for number, word in enumerate(arguments, 1) if HIDDEN in word]
    if hidden:
        raise ReproduceError(
            f"Argument {hidden[0]} of run {given} looked like a secret and was not stored: "
            f"{arguments[hidden[0] - 1]!r}. "
            "Restore the code from capture/code.bundle and run the command by hand."
        )
    size = ((process.get("variables") or {}).get("values") or {}).get("WORLD_SIZE", "1")
    if size not in ("", "1") and not is_launcher_known:
        raise ReproduceError(
            f"Run {given} was one of {size} processes; a launch of several processes cannot be repeated. "
            "Restore the code from capture/code.bundle and start the launcher by hand."
        )


def _search_path(spec: Mapping[str, Any], root: Path | None, entry: Mapping[str, Any]) -> tuple[str, ...]:
    """Folders inside the project that were on `sys.path`, beyond the first: from PYTHONPATH or an editable install.

    Without them the re-run would import the project's modules from where they are today.
    """
    if root is None:
        return ()
    given = [str(item) for item in (spec.get("sys_path") or entry.get("path") or []) if item]
    inside = [Path(item) for item in given[1:] if Path(item).is_relative_to(root)]
    kept = [path.relative_to(root).as_posix() for path in inside if not _is_installed(path.relative_to(root))]
    return tuple(dict.fromkeys(kept))


def _is_installed(path: Path) -> bool:
    """True below a virtual environment that lives inside the project: it is not restored with the code."""
    return any(part in ("site-packages", "dist-packages", ".venv", "venv") for part in path.parts)


def _local_gaps(run: RecordedRun) -> list[Mapping[str, Any]]:
    state = run.rundir.state if run.rundir is not None else {}
    return [gap for gap in [*state.get("capture_gaps", []), *run.process.get("gaps", [])] if isinstance(gap, dict)]


def _patch(capture: Path) -> str:
    for name in ("changes.patch.txt", "changes.patch"):
        try:
            return (capture / name).read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
    return ""
