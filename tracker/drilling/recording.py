"""A preflight as a run of its own: a journal like any other, which the sidecar brings to MLflow."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..journal import Journal
from ..launcher import start_sidecar
from ..rules.engine import Settings
from ..rules.engine.records import END, OUTCOME, VERDICT, Array, Fact, Json, Reading
from ..rundir import PREFLIGHT, RunDir, new_id
from .judged import FAILED, PASSED, SKIPPED_ROW, Judged, Row
from .table import as_markdown, counted


def record(judged: Judged, settings: Settings, name: str, given: Mapping[str, Any]) -> RunDir:
    """Writes the run and starts its upload; raises `OSError` where it cannot be written.

    `given` are parts of the run's spec that are not as by default: `script`, `cwd`, `argv`, `params`, `tracking_uri`.
    """
    spec = {
        "schema": 1,
        "id": new_id(),
        "name": name,
        "experiment": settings.experiment,
        "tracking_uri": os.environ.get("MLFLOW_TRACKING_URI") or settings.tracking_uri,
        "cwd": os.getcwd(),
        "script": None,
        "argv": list(sys.argv),
        "orig_argv": list(sys.orig_argv),
        "sys_path": list(sys.path),
        "executable": sys.executable,
        "pid": os.getpid(),
        "started": time.time() - sum(row.seconds for row in judged.rows),
        "params": {},
        "class_weights": None,
        "kind": PREFLIGHT,
        "tags": {},
        "parent": None,
        "adopt": None,
        "settings": settings.model_dump(mode="json"),
        "settings_folder": str(settings.path.parent) if settings.path else None,
        "wait_seconds": settings.wait_seconds,
        "reproduce_of": None,
        "index": 0,
        **given,
    }
    rundir = RunDir.create(spec)
    with rundir.hold_alive():
        (rundir.capture / "preflight.md").write_text(as_markdown(judged.rows), "utf-8", "backslashreplace")
        rundir.write_json("capture/preflight.json", judged.as_json())
        journal = Journal(rundir.journal)
        for one in judged.records:
            if isinstance(one, Reading):
                journal.reading(one.signal, one.subject, one.step, one.value)
            elif isinstance(one, Array):
                journal.array(one.signal, one.subject, one.step, one.values)
            elif isinstance(one, Fact):
                journal.fact(one.name, one.step, one.value)
            else:
                journal.event(one.name, one.step, one.data)
        for outcome in judged.outcomes:
            journal.event(OUTCOME, 0, outcome.as_json())
        journal.event(VERDICT, 0, verdict_of(judged))
        journal.event(END, 0, {"status": "FINISHED", "reason": ""})
        journal.close()
    start_sidecar(rundir)
    return rundir


def verdict_of(judged: Judged) -> dict[str, Json]:
    """The verdict of the run: that of the rules, said of drills.

    A drill that failed makes it suspicious, and the first of them is the headline. Rules that judge trainings were
    never asked, and are not listed.
    """
    failed = [row for row in judged.rows if row.status == FAILED]
    counts = {status: sum(row.status == status for row in judged.rows) for status in (PASSED, FAILED, SKIPPED_ROW)}
    place = {finding["rule"]: number for number, row in enumerate(judged.rows) for finding in row.findings}
    failing = {finding["rule"] for row in failed for finding in row.findings if finding["severity"] != "info"}
    found = judged.verdict.get("findings")
    findings = [one for one in (found if isinstance(found, list) else ()) if isinstance(one, dict)]
    findings.sort(key=lambda one: (one.get("rule") not in failing, place.get(str(one.get("rule")), len(place))))
    asked = {outcome.rule for outcome in judged.outcomes}
    skipped = judged.verdict.get("skipped")
    said = counted(judged.rows)
    return {
        **judged.verdict,
        "suspicious": "true" if failed else "false" if counts[PASSED] else "unknown",
        "why": f"drills: {said}" + (f"; the first that failed: {failed[0].title}" if failed else ""),
        "findings": list(findings),
        "skipped": [one for one in (skipped if isinstance(skipped, list) else ()) if _rule(one) in asked],
        "preflight": {**counts, "failures": [_failure(row) for row in failed]},
    }


def _rule(entry: Json) -> object:
    return entry.get("rule") if isinstance(entry, dict) else None


def _failure(row: Row) -> Json:
    """What the description of the run says of a drill."""
    head = next((one for one in row.findings if one["severity"] != "info"), None)
    return {
        "drill": row.drill,
        "title": row.title,
        "rule": head["rule"] if head else "",
        "message": head["message"] if head else row.says,
        "advice": list(head["advice"]) if head else [],
    }


def script_folder(script: str | None) -> Path:
    """Where settings are looked for: beside the script, else in the current folder."""
    return Path(script).parent if script else Path.cwd()


__all__ = ["record", "script_folder", "verdict_of"]
