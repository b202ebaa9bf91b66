"""Closes a run that has ended: its verdict, its grade and all that is known only now."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..rundir import PREFLIGHT, RunDir
from ..stalls import STORED
from . import ending, wording
from .capturing import capture_at_end
from .connecting import make_views
from .faults import Faults
from .pages import write_pages
from .proof import nothing_trained, prove_restorable
from .reading import Follower, replayed_verdict
from .reporting import Reporting

if TYPE_CHECKING:
    from ..stores.mlflow_writer import RunWriter

HEARTBEAT_TAG = "tracker.heartbeat"
"""The tag by which a run that goes on is told from one whose process is gone; one that has ended needs it no more."""
_LOOKED_AT = ("report.html", "capture/preflight.md", "findings.md")
"""Artifacts that the description leads to, where the run has them."""
_TOLD_GAPS = 10
"""Gaps that the closing block may name; all are in `reproducibility.json`."""


def close_run(
    rundir: RunDir,
    writer: RunWriter,
    follower: Follower | None,
    at_start: Mapping[str, Any],
    others: Mapping[str, Any],
    faults: Faults,
    report: Reporting,
) -> None:
    """Stores the verdict, the grade and the rest, and closes the run, all of which was read. May be repeated.

    `at_start` is what was captured at the start, `others` what the further ranks said of their ends.
    """
    spec = rundir.spec
    end = follower.end if follower is not None else None
    end_signal = follower.end_signal if follower is not None else 0
    exit_code = ending.exit_code_of(spec, has_ended=end is not None)
    status, how = ending.status_of(end[1] if end else None, end_signal, exit_code)
    if end is None and others.get("failed"):  # what failed there is why this rank was ended, as torchrun does
        status, how = "FAILED", f"{how}; {others['failed']}"
    captured = capture_at_end(rundir, spec, at_start)
    if follower is not None and follower.dropped:
        what = f"{follower.dropped} readings were lost: the disk was full, or the journal at its largest size"
        gap = {"part": "series", "what": what, "fix": "free some space, or set TRACKER_HOME", "blocking": False}
        captured["gaps"] = [*captured["gaps"], gap]
    captured["gaps"] = [*captured["gaps"], *others.get("gaps", ())]
    is_preflight = spec.get("kind") == PREFLIGHT
    proof = nothing_trained(captured) if is_preflight else prove_restorable(rundir, captured)
    said = (follower.verdict if follower is not None else None) or _replayed(rundir, faults)
    verdict, compared = _among_relatives(said, rundir, writer, captured, faults) if follower is not None else (said, [])
    ended_at = end[0] if end else follower.last_time if follower is not None else written_last(rundir)
    written = ending.write_artifacts(rundir, verdict, proof, writer.run_id, _params(rundir, writer, follower))
    kept = rundir.path / STORED
    for path in [*written, *compared, *([kept] if kept.exists() else [])]:
        writer.artifact(path, "")
    if any(rundir.capture.iterdir()):
        write_pages(rundir.capture)
        writer.folder(rundir.capture, "capture")
    metrics = ending.last_metrics(verdict, proof)
    writer.metrics([(key, value, round(ended_at * 1000), 0) for key, value in metrics.items()])
    if HEARTBEAT_TAG in writer.current()[1]:
        writer.untag(HEARTBEAT_TAG)
    report.finish(writer, status, how, ended_at)
    now, tags = writer.current()
    place = f"#/experiments/{writer.experiment_id}/runs/{writer.run_id}"
    pages = [name for name in _LOOKED_AT if (rundir.path / name).exists()]
    block = wording.block(verdict, proof, spec["id"], place, pages)
    described = {wording.NOTE: wording.with_block(tags.get(wording.NOTE, ""), block)}
    writer.tags({**ending.last_tags(verdict, proof, how), **described})
    make_views(writer, faults, has_ended=True)
    # A run that user code made is closed by user code, unless that died.
    if rundir.state.get("created") or (end is None and now == "RUNNING"):
        writer.end(status, ended_at)
    rundir.update_state(
        finished=True,
        status=status,
        grade=proof["grade"],
        suspicious=verdict.get("suspicious"),
        reproducible=proof["reproducible"],
        meaning=proof["meaning"],
        missing=[gap for gap in proof["gaps"] if gap.get("blocking")][:_TOLD_GAPS],
        faults=faults.said,
    )


def written_last(rundir: RunDir) -> float:
    """When the journal was written last, or else when the run began, in seconds since 1970."""
    try:
        return rundir.journal.stat().st_mtime
    except OSError:
        return float(rundir.spec.get("started") or time.time())


def _params(rundir: RunDir, writer: RunWriter, follower: Follower | None) -> dict[str, Any]:
    feed = follower.feed if follower is not None else None
    return {
        "params": feed.params if feed is not None else rundir.spec.get("params") or {},
        "hyperparameters": rundir.read_json("process.json").get("params") or {},
        "renamed": {**feed.keys.changed, **feed.param_keys.changed} if feed is not None else {},
        "not_stored": writer.refused,
    }


def _among_relatives(
    verdict: Mapping[str, Any], rundir: RunDir, writer: RunWriter, captured: Mapping[str, Any], faults: Faults
) -> tuple[Mapping[str, Any], list[Path]]:
    """The verdict beside the earlier runs of the experiment, but for a run that repeats another, and a preflight."""
    if rundir.spec.get("reproduce_of") or rundir.spec.get("kind") == PREFLIGHT:
        return verdict, []
    from .relatives import judged_among_relatives

    try:
        return judged_among_relatives(verdict, rundir, writer.uri, writer.experiment_id, captured)
    except Exception as error:  # the store, a file of an earlier version, a local rule: the run itself is judged
        faults.note("family", error)
        return verdict, []


def _replayed(rundir: RunDir, faults: Faults) -> dict[str, Any]:
    try:
        return replayed_verdict(rundir, rundir.spec) or dict(ending.UNKNOWN)
    except Exception as error:  # a local rule of the user's, among others
        faults.note("replay", error)
        return {**ending.UNKNOWN, "why": f"the journal could not be judged: {type(error).__name__}: {error}"}
