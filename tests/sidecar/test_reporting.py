"""The page of a run, as its sidecar makes it: while the run goes on, at its end, and however it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from playing import make_spec, played, query, run_sidecar, wait_for, write_epoch

from tracker.journal import Journal
from tracker.report import page
from tracker.report.gathering.gathered import Gathered
from tracker.report.gathering.loading import stored_source
from tracker.report.gathering.sources import Source
from tracker.rules.engine.records import Event, Json
from tracker.rundir import RunDir
from tracker.sidecar import pace, reporting
from tracker.sidecar.faults import Faults
from tracker.sidecar.reporting import Reporting
from tracker.stores import open_store
from tracker.stores.mlflow_writer import RunWriter, StoreUnreachable

Upload = Callable[[RunDir], bool]
Pages = list[Source]


@pytest.fixture(autouse=True)
def _with_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRACKER_NO_REPORT")


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> Pages:
    """What pages were made of, each of which then only says how far the run was: drawing is tested elsewhere."""
    made: Pages = []

    def quick(source: Source) -> str:
        if source.run_id:  # else it is to load what draws
            made.append(source)
        return f"<p>{source.status} {source.how} at {source.gathered.last_step}</p>"

    monkeypatch.setattr(page, "report_page", quick)
    return made


def _stored(rundir: RunDir, uri: str, into: Path) -> str:
    return open_store(uri).artifacts_to(rundir.path.name, "report.html", into).read_text("utf-8")


@pytest.mark.slow
def test_a_run_that_has_ended_has_a_page_with_its_verdict(
    cwd: Path, uri: str, upload_here: Upload, tmp_path: Path
) -> None:
    rundir = RunDir.create(make_spec(cwd, uri))
    played(rundir, epochs=2)
    upload_here(rundir)
    text = _stored(rundir, uri, tmp_path)

    assert text.startswith("<!doctype html>")
    assert "double-softmax" in text
    assert rundir.state["report"] == str(rundir.path / "report.html")
    assert (rundir.path / "report.html").read_text("utf-8") == text
    assert rundir.state["faults"] == {}


def test_the_page_is_made_of_what_the_store_has(cwd: Path, uri: str, upload_here: Upload, pages: Pages) -> None:
    rundir = RunDir.create(make_spec(cwd, uri))
    played(rundir, epochs=2)
    upload_here(rundir)
    source, store = pages[-1], open_store(uri)
    tags, stored = store.tags(rundir.path.name), stored_source(store, rundir.path.name)
    same = ("run_id", "name", "experiment", "mlflow_id", "status", "how", "verdict", "proof", "params", "captured")

    assert len(pages) == 1
    assert source.verdict == json.loads((rundir.path / "findings.json").read_text())
    assert source.proof["grade"] == tags["repro.grade"]
    assert {key: tags[key] for key in source.tags if key != "mlflow.note.content"} == source.tags
    assert [getattr(source, name) for name in same] == [getattr(stored, name) for name in same]
    assert (source.started, source.ended) == pytest.approx((stored.started, stored.ended), abs=0.002)
    assert source.gathered.readings == stored.gathered.readings > 80
    assert (source.gathered.last_step, source.gathered.epochs.seen) == (19, 2)
    assert "environment.json" in source.captured


@pytest.mark.parametrize(
    ("end", "status", "how"),
    [("kill", "FAILED", "lost: "), ("term", "KILLED", "killed by SIGTERM"), ("FAILED", "FAILED", "the block ended")],
)
def test_a_page_says_how_its_run_ended(
    cwd: Path, uri: str, upload_here: Upload, pages: Pages, end: str, status: str, how: str
) -> None:
    rundir = RunDir.create(make_spec(cwd, uri))
    played(rundir, end=end)
    upload_here(rundir)

    assert [(source.status, source.how[: len(how)]) for source in pages] == [(status, how)]
    assert pages[0].verdict["suspicious"] in ("true", "false", "unknown")


def test_a_run_whose_process_died_before_it_wrote_anything_has_a_page(
    cwd: Path, uri: str, upload_here: Upload, pages: Pages
) -> None:
    rundir = RunDir.create(make_spec(cwd, uri, started=1e9))
    upload_here(rundir)

    assert [(source.status, source.gathered.readings) for source in pages] == [("FAILED", 0)]
    assert rundir.state["finished"]


def test_a_run_the_user_has_already_gets_the_page(
    cwd: Path, uri: str, upload_here: Upload, pages: Pages, tmp_path: Path
) -> None:
    theirs = str(MlflowClient(uri).create_run("0").info.run_id)
    rundir = RunDir.create(make_spec(cwd, uri, adopt=theirs))
    played(rundir)
    upload_here(rundir)

    assert [source.mlflow_id for source in pages] == [theirs]
    assert _stored(rundir, uri, tmp_path) == "<p>FINISHED the block ended at 19</p>"


@pytest.mark.slow
def test_sync_makes_the_page_of_a_run_that_was_lost(cwd: Path, uri: str, tmp_path: Path) -> None:
    rundir = RunDir.create(make_spec(cwd, uri))
    played(rundir, end="kill")
    run_sidecar(rundir, "--sync")

    assert "the process died without a word" in _stored(rundir, uri, tmp_path)
    assert rundir.state["faults"] == {}


@pytest.mark.parametrize("where", ["environment", "settings"])
def test_pages_can_be_switched_off(
    cwd: Path, uri: str, upload_here: Upload, pages: Pages, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    if where == "environment":
        monkeypatch.setenv(reporting.OFF, "1")
    settings: dict[str, Any] = {"report": {"write": where != "settings"}}
    rundir = RunDir.create(make_spec(cwd, uri, settings=settings))
    played(rundir)
    upload_here(rundir)

    assert pages == []
    assert not (rundir.path / "report.html").exists()
    assert rundir.state["finished"]


def test_a_page_that_cannot_be_made_is_said_and_nothing_more(
    cwd: Path, uri: str, upload_here: Upload, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(source: Source) -> str:
        raise RuntimeError("no ink")

    monkeypatch.setattr(page, "report_page", fail)
    rundir = RunDir.create(make_spec(cwd, uri))
    played(rundir)
    whole = upload_here(rundir)

    assert whole
    assert rundir.state["faults"] == {"report": "RuntimeError: no ink"}
    assert query(uri, "select status from runs") == [("FINISHED",)]


def test_a_record_that_cannot_be_gathered_costs_the_page_and_no_record(
    cwd: Path, uri: str, upload_here: Upload, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise TypeError("odd")

    monkeypatch.setattr(Gathered, "take", fail)
    rundir = RunDir.create(make_spec(cwd, uri))
    played(rundir)
    upload_here(rundir)

    assert rundir.state["faults"] == {"report": "TypeError: odd"}
    assert not (rundir.path / "report.html").exists()
    assert len(query(uri, "select 1 from metrics where key = 'val_loss'")) == 2


_ALIVE = """
import sys
from pathlib import Path
from tracker.rundir import RunDir
alive = RunDir(Path(sys.argv[1])).hold_alive()
sys.stdin.read()
"""


def test_the_page_is_renewed_behind_an_epoch_while_the_run_goes_on(
    cwd: Path,
    uri: str,
    start: Callable[..., subprocess.Popen[bytes]],
    upload_here: Upload,
    pages: Pages,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pace, "LONGEST", 0.05)
    monkeypatch.setattr(pace, "SHORTEST", 0.05)
    monkeypatch.setattr(reporting, "FIRST_AFTER", 0.0)
    monkeypatch.setattr(reporting, "FREE_SECONDS", 1e9)
    rundir = RunDir.create(make_spec(cwd, uri))
    alive = start(sys.executable, "-c", _ALIVE, str(rundir.path), stdin=subprocess.PIPE)
    wait_for(rundir.is_alive)
    journal = Journal(rundir.journal)
    sidecar = threading.Thread(target=upload_here, args=[rundir])
    sidecar.start()
    message: Json = [{"message": "1 > 0"}]
    found: dict[str, Json] = {"rule": "loss-spike", "status": "fired", "severity": "warning", "findings": message}
    journal.event("outcome", 3, found)
    journal.reading("loss", "", 0, 1.0)
    wait_for(lambda: query(uri, "select 1 from metrics where key = 'loss'") or rundir.state.get("synced"))
    early = len(pages)
    path = rundir.path / "report.html"
    for epoch, said in enumerate(("<p>RUNNING  at 9</p>", "<p>RUNNING  at 19</p>")):
        write_epoch(journal, epoch, 10)
        wait_for(partial(_says, path, said))
    journal.event("end", 19, {"status": "FINISHED", "reason": "x"})
    journal.close()
    alive.communicate(b"")
    sidecar.join(60)

    assert early == 0
    assert [source.status for source in pages] == ["RUNNING", "RUNNING", "FINISHED"]
    assert pages[0].verdict["findings"][0]["rule"] == "loss-spike"
    assert rundir.state["finished"]


def _says(path: Path, text: str) -> bool:
    return path.exists() and path.read_text() == text


def _played_out(cwd: Path, faults: Faults) -> Reporting:
    rundir = RunDir.create(make_spec(cwd, None))
    report = Reporting(rundir, faults)
    report.begin()
    return report


def test_pages_of_a_run_that_goes_on_stay_within_their_share(cwd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An hour in which an epoch ends each second, and a page takes 0.8 s of a core."""
    now = used = 0.0
    drawn: list[float] = []
    faults = Faults()

    def make(*_: object) -> None:
        nonlocal used
        used += 0.8
        drawn.append(now)

    monkeypatch.setattr(time, "monotonic", lambda: now)
    monkeypatch.setattr(time, "process_time", lambda: used)
    report = _played_out(cwd, faults)
    monkeypatch.setattr(report, "_make", make)
    monkeypatch.setattr(report, "_load", lambda: setattr(report, "_is_loaded", True))
    writer: Any = None
    for second in range(3600):
        now = float(second)
        if second % 2:
            report.take(now, _epoch(second))
        report.renew(writer)

    assert faults.said == {}
    assert drawn[0] <= reporting.FIRST_AFTER + 2
    assert len(drawn) >= 12
    for number, moment in enumerate(drawn, 1):
        assert number * 0.8 <= reporting.FREE_SECONDS + pace.SHARE * moment + 1e-9


def _epoch(step: int) -> Event:
    return Event("epoch", step, {"epoch": step})


def test_nothing_is_drawn_again_without_an_epoch_between(cwd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now, drawn = 0.0, 0
    report = _played_out(cwd, Faults())
    monkeypatch.setattr(time, "monotonic", lambda: now)

    def make(*_: object) -> None:
        nonlocal drawn
        drawn += 1

    monkeypatch.setattr(report, "_make", make)
    monkeypatch.setattr(report, "_load", lambda: setattr(report, "_is_loaded", True))
    writer: Any = None
    counts = []
    for epochs in (0, 1, 0, 0, 1, 0):
        for _ in range(epochs):
            report.take(1.0, _epoch(1))
        for _ in range(50):
            now += 1e4
            report.renew(writer)
        counts.append(drawn)

    assert counts == [0, 1, 1, 1, 2, 2]


def test_a_store_that_is_away_for_a_moment_is_no_fault_of_a_page_that_comes_again(
    cwd: Path, pages: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = Faults()
    report = _played_out(cwd, faults)

    def away(self: RunWriter) -> None:
        raise StoreUnreachable("away")

    monkeypatch.setattr(RunWriter, "stored", away)
    writer = object.__new__(RunWriter)
    report._make(writer, "RUNNING", "", None)
    live = dict(faults.said)
    report.finish(writer, "FINISHED", "", 1.0)

    assert live == {}
    assert faults.said == {"report": "StoreUnreachable: away"}


def test_what_draws_is_loaded_in_the_process_that_draws_and_only_there() -> None:
    code = "import sys, tracker.sidecar.upload; print([n for n in ('matplotlib', 'jinja2', 'PIL') if n in sys.modules])"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    found = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)

    assert found.stdout.strip() == "[]"
