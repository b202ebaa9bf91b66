"""What users call their runs and tags: nothing of it keeps a run out of its store, or replaces the verdict."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mlflow import MlflowClient
from playing import make_spec, played

from tracker.rundir import RunDir

Upload = Callable[[RunDir], bool]

HOSTILE = {
    "mlflow.runName": "called otherwise",
    "tracker.id": "fake",
    "suspicious": "no",
    "rules.fired": "|none|",
    "k@[\n": "\0\ud800",
    "": "empty",
    "x" * 400: "long",
    "long": "z" * 100_000,
}


def test_hostile_tags_are_stored_beside_the_verdict(cwd: Path, uri: str, upload_here: Upload) -> None:
    rundir = RunDir.create(make_spec(cwd, uri, tags=HOSTILE))
    played(rundir)
    assert upload_here(rundir)
    run = MlflowClient(uri).get_run(rundir.state["mlflow_run_id"])
    tags = run.data.tags

    assert run.info.run_name == "called otherwise"
    assert (tags["tracker.id"], tags["suspicious"], tags["rules.fired"][:15]) == (
        rundir.spec["id"], "true", "|double-softmax",
    )  # fmt: skip
    assert (tags["user.tracker.id"], tags["user.suspicious"], tags["user.rules.fired"]) == ("fake", "no", "|none|")
    assert tags["_"] == "empty"
    assert len(tags["long"]) == 8000


def test_a_long_or_odd_name_is_no_obstacle(cwd: Path, uri: str, upload_here: Upload) -> None:
    names = ["n" * 10_000, "ü🎈\n[x]", "\ud800"]
    rundirs = [RunDir.create(make_spec(cwd, uri, name=name)) for name in names]
    for rundir in rundirs:
        played(rundir, epochs=1)

    assert [upload_here(rundir) for rundir in rundirs] == [True] * 3
