"""The end of a run: how it ended, what the rules said, how far it could be done again."""

from __future__ import annotations

import getpass
import json
import os
import signal
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..rules.engine.records import Event, Json
from ..rundir import RunDir, read_json
from ..stores.keys import Keys
from . import wording

LOST = "lost: the process died without a word (kill -9, os._exit, out of memory or power)"
EXIT_SECONDS = 10.0
"""How long the process of a run that has ended may take to be gone."""
_STATUSES = ("FINISHED", "FAILED", "KILLED")
_WORST = {"info": 0, "warning": 1, "error": 2, "fatal": 3}
_GRADES = ("R0", "R1", "R2", "R3", "R4", "R5")

UNKNOWN: dict[str, Json] = {
    "suspicious": "unknown",
    "findings": [],
    "skipped": [],
    "crashed": [],
    "why": "the run ended before it was judged",
}


def status_of(end: Event | None, end_signal: int, exit_code: int | None = None) -> tuple[str, str]:
    """MLflow's status and a sentence on how the run ended.

    A run that said how it ended has that status, unless the exit code of its process, where `tracker run` has learnt it
    (minus a signal's number), says otherwise. One that a signal ended is KILLED. One that died without a word is
    FAILED, as nobody asked for its end; the tag `tracker.ended` then begins with `lost`.
    """
    if end is not None:
        status = str(end.data.get("status", "FINISHED"))
        status, reason = (status if status in _STATUSES else "FAILED"), str(end.data.get("reason") or "")
        if status == "FINISHED" and exit_code:
            return _by_code(exit_code)
        return ("FINISHED", "") if exit_code == 0 else (status, reason)
    if end_signal or (exit_code is not None and exit_code < 0):
        return _by_code(-end_signal or exit_code or 0)
    if exit_code is not None:  # os._exit, most likely
        return ("FAILED" if exit_code else "FINISHED"), f"ended without a word, exit code {exit_code}"
    return "FAILED", LOST


def exit_code_of(spec: Mapping[str, Any], has_ended: bool) -> int | None:
    """The exit code of the training process, minus a signal's number, where `tracker run` has learnt it; else None.

    A run that its own block has ended does not depend on what the process did afterwards. The process of one that says
    it has ended is still on its way out: it is waited for, a little.
    """
    if not spec.get("launched_directly") or (has_ended and not spec.get("automatic")):
        return None
    launch = Path(str(spec["launched"]))
    deadline = time.monotonic() + EXIT_SECONDS
    while time.monotonic() < deadline:
        told = read_json(launch / "exit.json")
        if told.get("pid") == spec.get("pid") and isinstance(told.get("code"), int):
            return int(told["code"])
        if told or not _lives(read_json(launch / "plan.json").get("pid")):
            return None
        time.sleep(0.05)
    return None


def _lives(pid: object) -> bool:
    """Whether a process of ours has this number."""
    try:
        os.kill(int(str(pid)), 0)
    except (OSError, ValueError):
        return False
    return True


def _by_code(code: int) -> tuple[str, str]:
    if code > 0:
        return "FAILED", f"exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return "KILLED", f"killed by {name}"


def first_tags(spec: Mapping[str, Any], captured: Mapping[str, Any], version: str, adopted: bool) -> dict[str, str]:
    """The tags a run has from the beginning. In a run that user code made, what MLflow's own tags say is theirs."""
    code, environment = captured.get("code") or {}, captured.get("environment") or {}
    tags = {
        "tracker.id": spec["id"],
        "tracker.version": version,
        "suspicious": "unknown",
        "reproducible": "unknown",
        "code.tree": code.get("tree"),
        "code.dirty": None if code.get("dirty") is None else str(bool(code["dirty"])).lower(),
        "env.digest": str(environment.get("digest") or "")[:16],
        "repro.of": spec.get("reproduce_of"),
        "tracker.kind": spec.get("kind"),
    }
    if not adopted:
        argv = spec.get("argv") or [""]
        tags |= {
            "mlflow.source.name": str(spec.get("script") or argv[0] or "<interactive>"),
            "mlflow.source.type": "NOTEBOOK" if "ipykernel" in str(argv[0]) else "LOCAL",
            "mlflow.source.git.commit": code.get("commit"),
            "mlflow.source.git.branch": code.get("branch"),
            "mlflow.user": _user(),
        }
    own = {key: str(text) for key, text in tags.items() if text}
    keys = Keys()
    theirs = {keys[str(key)]: str(text) for key, text in (spec.get("tags") or {}).items()}
    # What MLflow says of a run the user may say better; by what we say of it runs are found and filtered.
    return {**own, **{f"user.{key}" if is_ours(key) else key: text for key, text in theirs.items()}}


def is_ours(key: str) -> bool:
    """True for a tag that holds our verdict, or our account of the run: a user's of that name becomes `user.<name>`."""
    return key in ("suspicious", "reproducible") or key.startswith(("tracker.", "rules.", "repro.", "code.", "env."))


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user id without a name, as in many containers
        return ""


def _all(verdict: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Every finding, consequences included, headline first."""
    for finding in verdict.get("findings") or ():
        yield finding
        yield from finding.get("consequences") or ()


def fired(verdict: Mapping[str, Any]) -> list[str]:
    """Ids of the rules that fired, headline first, consequences included."""
    return list(dict.fromkeys(str(finding.get("rule")) for finding in _all(verdict)))


def last_tags(verdict: Mapping[str, Any], proof: Mapping[str, Any], how: str) -> dict[str, str]:
    """The tags that hold the verdict."""
    names = fired(verdict)
    tags = {
        "suspicious": str(verdict.get("suspicious", "unknown")),
        "reproducible": str(proof["reproducible"]),
        "rules.fired": f"|{'|'.join(names)}|" if names else "",
        "rules.config": str(verdict.get("settings_digest") or ""),
        "rules.engine": str(verdict.get("engine_version") or ""),
        "repro.grade": str(proof["grade"]),
        "repro.scope": str(proof.get("scope") or ""),
        "tracker.ended": how,
    }
    return {key: text for key, text in tags.items() if text or key == "rules.fired"}


def last_metrics(verdict: Mapping[str, Any], proof: Mapping[str, Any]) -> dict[str, float]:
    """The metrics for sorting: how many rules fired, the worst severity (0 for none, 1 info to 4 fatal), the grade.

    Of a preflight, which has no grade, how many drills passed, failed and were skipped.
    """
    severities = [finding.get("severity") for finding in _all(verdict)]
    found = {
        "rules/fired": float(len(fired(verdict))),
        "rules/worst": float(max((_WORST.get(str(severity), 0) + 1 for severity in severities), default=0)),
    }
    drills = verdict.get("preflight")
    if isinstance(drills, Mapping):
        counts = {key: drills.get(key) for key in ("passed", "failed", "skipped")}
        return found | {f"preflight/{key}": float(count) for key, count in counts.items() if isinstance(count, int)}
    grade = str(proof["grade"])[:2]
    return found | {"repro/grade": float(_GRADES.index(grade)) if grade in _GRADES else 0.0}


def write_artifacts(
    rundir: RunDir, verdict: Mapping[str, Any], proof: Mapping[str, Any], run_id: str, params: Mapping[str, Any]
) -> list[Path]:
    """Writes findings, grade and parameters into the run's folder; returns the files to upload."""
    machine = {
        **verdict,
        "run_id": run_id,
        "tracker_id": rundir.spec.get("id"),
        "reproducible": proof["reproducible"],
        "grade": proof["grade"],
    }
    contents = {"findings.json": machine, "reproducibility.json": proof, "params.json": params}
    paths = []
    for name, content in contents.items():
        path = rundir.path / name
        path.write_text(json.dumps(content, indent=1, ensure_ascii=False, default=str), "utf-8", "backslashreplace")
        paths.append(path)
    page = rundir.path / "findings.md"
    page.write_text(wording.findings_page(verdict), "utf-8", "backslashreplace")
    return [*paths, page]
