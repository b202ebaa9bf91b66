"""What the sidecar captures itself: code at once, then packages and hardware, and the data when the run has ended.

Each part is imported only when it runs, and a part that fails becomes a named gap: the upload goes on without it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..capture.captured import Captured, Gap, guarded
from ..capture.launchers import seedings_of
from ..rundir import PROCESS, RunDir, read_json
from ..stores.connect import absolute_uri, database_of

_OF_THE_SPEC = (
    "schema", "id", "name", "cwd", "script", "argv", "orig_argv", "executable", "started", "params", "settings",
    "settings_folder",
    "index", "sys_path", "reproduce_of", "launched",
)  # fmt: skip

OWN_FILES = ("mlflow.db", "mlflow.db-journal", "mlflow.db-wal", "mlflow.db-shm", "mlruns", "mlartifacts")
"""Below the folder of the run: what MLflow writes there is no code of the user's."""


def capture_settings(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    """The table `[tool.tracker.capture]` that the run was given."""
    settings = spec.get("settings") or {}
    capture = settings.get("capture") if isinstance(settings, Mapping) else None
    return capture if isinstance(capture, Mapping) else {}


def _paths(names: object) -> list[Path]:
    return [Path(name) for name in names if isinstance(name, str) and name] if isinstance(names, list) else []


def _store_files(spec: Mapping[str, Any], cwd: Path) -> list[Path]:
    """The database of the store, and the artifacts beside it, wherever in the project they lie."""
    uri = str(spec.get("tracking_uri") or os.environ.get("MLFLOW_TRACKING_URI") or "")
    database = database_of(absolute_uri(uri, cwd)) if uri else None
    return [] if database is None else [database, database.parent / "mlruns"]


def _code(rundir: RunDir, spec: Mapping[str, Any], process: Mapping[str, Any]) -> Captured:
    from ..capture.born import process_began
    from ..capture.code import CodeLimits, capture_code

    chosen = capture_settings(spec)
    limits = CodeLimits(**{name: chosen[name] for name in ("max_file_mb", "max_total_mb") if name in chosen})
    cwd = Path(spec["cwd"])
    script = Path(spec["script"]) if spec.get("script") else None
    return capture_code(
        script.parent if script is not None and script.parent.is_dir() else cwd,
        rundir.capture,
        limits,
        script=script,
        loaded_files=_paths(process.get("loaded_files")),
        exclude=[*(cwd / name for name in OWN_FILES), *_store_files(spec, cwd), rundir.path],
        cwd=cwd,
        began=process_began(
            int(spec.get("pid") or 0),
            Path(str(spec["launched"])) / "plan.json" if spec.get("launched_directly") else None,
            spec.get("started"),
        ),
    )


def _packages(rundir: RunDir, spec: Mapping[str, Any], process: Mapping[str, Any], root: Path | None) -> Captured:
    from ..capture.packages import capture_packages

    return capture_packages(
        rundir.capture,
        [str(entry) for entry in spec.get("sys_path") or ()],
        process=_environment(process),
        project=root,
        loaded_files=_paths(process.get("loaded_files")),
    )


def _environment(process: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of the training process at entry, completed by those known at the end: torch may have come later."""
    at_entry, at_end = process.get("environment") or {}, process.get("environment_at_end") or {}
    return {**at_entry, **{name: value for name, value in at_end.items() if not at_entry.get(name)}}


def _data(rundir: RunDir, spec: Mapping[str, Any], process: Mapping[str, Any], root: Path | None) -> Captured:
    from ..capture.data import digest_files
    from ..capture.inputs import keep_inputs
    from ..capture.listed import listed_files
    from ..capture.opened import children_paths
    from ..launched import opened_by_children

    children = children_paths(rundir.path / "opened")
    if spec.get("launched"):
        children += children_paths(opened_by_children(str(spec["launched"]), int(spec["pid"])))
    read = [*_paths(process.get("opened")), *map(Path, dict.fromkeys(children))]
    captured = digest_files(
        read,
        rundir.capture,
        sys_path=[str(entry) for entry in spec.get("sys_path") or ()],
        root=root,
        unseen_readers=[str(name) for name in process.get("unseen_readers") or ()],
        overflowed=int(process.get("opened_overflow") or 0),
        declared=spec.get("data"),
        outputs=[row for row in process.get("outputs") or () if os.path.lexists(str(row.get("path")))],
        cwd=Path(spec["cwd"]) if spec.get("cwd") else None,
        listed=listed_files(process.get("listed"), read, root, [str(entry) for entry in spec.get("sys_path") or ()]),
    )
    captured.add(
        keep_inputs(
            rundir.capture,
            root,
            loaded_files=_paths(process.get("loaded_files")),
            rewritten=process.get("rewritten") or (),
            climbing=process.get("climbing") or (),
        )
    )
    return captured


def _children(rundir: RunDir, spec: Mapping[str, Any]) -> Captured:
    """What the random generators of worker processes began with, as the workers left word."""
    from ..capture.randomness import overflow_gaps
    from ..capture.seedings import OVERFLOW, children_notes
    from ..launched import opened_by_children

    folders = [rundir.path / "opened"]
    if spec.get("launched"):
        folders.append(opened_by_children(str(spec["launched"]), int(spec["pid"])))
    found, left_out = children_notes(folders)
    too_many = [kind for notes in found.values() for kind in notes.get(OVERFLOW, ())]
    gaps = overflow_gaps(too_many)
    if left_out:
        what = f"what {left_out} worker processes began with, of all that made generators without a seed, is not stored"
        gaps.append(Gap("randomness", what, "seed the generators that workers make"))
    facts: Any = {"in_children": found} if found else {}
    return Captured(facts=facts, gaps=gaps)


def _typed(rundir: RunDir, spec: Mapping[str, Any], process: Mapping[str, Any], root: Path | None) -> Captured:
    """The script that a re-run executes, where the code came from no file: a notebook, `python -c`, standard input."""
    from ..capture.cellscript import keep_script

    typed = process.get("typed")
    if not isinstance(typed, Mapping) or not capture_settings(spec).get("code", True):
        return Captured()
    return keep_script(rundir.capture, typed, str(spec["id"]), root, Path(spec["cwd"]))


def _root(facts: Mapping[str, Any]) -> Path | None:
    root = facts.get("root")
    return Path(root) if isinstance(root, str) else None


def _as_json(gaps: Sequence[Gap]) -> list[dict[str, Any]]:
    return [
        {"part": gap.part, "what": gap.what, "fix": gap.fix, "blocking": gap.blocking} for gap in dict.fromkeys(gaps)
    ]


def capture_at_start(
    rundir: RunDir,
    spec: Mapping[str, Any],
    late_by: float | None = None,
    after_code: Callable[[], object] | None = None,
) -> dict[str, Any]:
    """Captures code, packages and hardware; returns `{"code": facts, "environment": facts, "gaps": [...]}`.

    `late_by` says how many seconds after the end of the run this is done, when no sidecar lived to do it in time;
    `after_code` is called between the code and the rest.
    """
    process = rundir.read_json(PROCESS)
    chosen = capture_settings(spec)
    code, gaps = Captured(), []
    if chosen.get("code", True):
        code = guarded("code", _code, rundir, spec, process)
        if late_by is not None:
            gaps.append(
                Gap("code", f"the code was captured {late_by:.0f} s after the run had ended", "run it again", True)
            )
    else:
        gaps.append(Gap("code", "the code was not captured: capture.code is false", "set capture.code = true", True))
    if after_code is not None:
        after_code()
    packages = guarded("environment", _packages, rundir, spec, process, _root(code.facts))
    return {
        "code": code.facts,
        "environment": {name: packages.facts[name] for name in ("digest", "packages") if name in packages.facts},
        "gaps": _as_json([*code.gaps, *packages.gaps, *gaps]),
        "torch_seen": bool(_environment(process).get("torch")),
    }


def capture_at_end(rundir: RunDir, spec: Mapping[str, Any], at_start: Mapping[str, Any]) -> dict[str, Any]:
    """Captures what is known only now: the data, and what the training process wrote of itself. Same form as above."""
    process = rundir.read_json(PROCESS)
    root = _root(at_start.get("code") or {})
    environment, gaps = at_start.get("environment") or {}, list(at_start.get("gaps") or ())
    if _environment(process).get("torch") and not at_start.get("torch_seen"):
        packages = guarded("environment", _packages, rundir, spec, process, root)
        environment = packages.facts or environment
        gaps = [gap for gap in gaps if gap.get("part") != "environment"] + _as_json(packages.gaps)
    data = Captured()
    if capture_settings(spec).get("data", True):
        data = guarded("data", _data, rundir, spec, process, root)
        gaps += _as_json(data.gaps)
    else:
        gaps += _as_json([Gap("data", "the data was not captured: capture.data is false", "set capture.data = true")])
    script = guarded("command", _typed, rundir, spec, process, root)
    gaps += _as_json(script.gaps)
    if process and "randomness_at_end" not in process:
        what = "the process died before it could say which files it read after its last epoch"
        gaps += _as_json([Gap("data", what, "compare data.json with what the script reads", False)])
    gaps += [gap for gap in process.get("gaps") or () if isinstance(gap, dict) and gap not in gaps]
    if not process:
        lost = Gap("randomness", "the training process left no account of itself", "run it again", True)
        gaps += _as_json([lost])
    in_children = guarded("randomness", _children, rundir, spec)
    gaps += _as_json(in_children.gaps)
    if process.get("launcher") == []:  # the script has started the ranks itself: they are its children
        ranks = [process, *(read_json(path) for path in sorted(rundir.capture.glob("process-*.json")))]
        known: Any = in_children.facts.get("in_children") or {}
        in_children.facts["in_children"] = {**known, **seedings_of(ranks)}
    at_end = {name: process[name] for name in ("randomness_at_end", "switches_changed") if name in process}
    parts = {
        "randomness": {**(process.get("randomness") or {}), **at_end, **in_children.facts},
        "hyperparameters": process.get("params"),
        "class_weights": process.get("class_weights"),
        "sampler_weights": process.get("sampler_weights"),
        "class_counts": process.get("class_counts"),
    }
    for name, content in parts.items():
        if content:
            (rundir.capture / f"{name}.json").write_text(json.dumps(content, indent=1, default=str), encoding="utf-8")
    account = {**_account(spec), **script.facts, "launcher": process.get("launcher")}
    (rundir.capture / "run.json").write_text(json.dumps(account, indent=1), encoding="utf-8")
    return {"code": at_start.get("code") or {}, "environment": environment, "data": data.facts, "gaps": gaps}


def _account(spec: Mapping[str, Any]) -> dict[str, Any]:
    """What of the spec a later re-run needs. No tags, no tracking URI: it may hold a password; arguments redacted."""
    from ..capture.environment import redact_arguments

    account = {name: spec.get(name) for name in _OF_THE_SPEC}
    for name in ("argv", "orig_argv"):
        account[name] = redact_arguments([str(argument) for argument in spec.get(name) or ()])[0]
    return account
