"""A run that lives and says nothing."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from playing import make_spec, play, wait_for

from tracker import stalls
from tracker.cli.check import _check_run
from tracker.journal import Journal
from tracker.rules import Settings
from tracker.rundir import RunDir
from tracker.sidecar.stalled import Silence
from tracker.sidecar.upload import Upload
from tracker.stores import open_store


def looks(silence: Silence, records: list[float], until: float, every: float = 1.0) -> list[tuple[float, str]]:
    """What is said, and when, by a sidecar that looks each second while records come at the given times."""
    said, now = [], records[0]
    while now < until:
        text = silence.look(now, max(time for time in records if time <= now))
        if text is not None:
            said.append((now, text))
        now += every
    return said


def test_a_run_that_falls_silent_is_named_once() -> None:
    said = looks(Silence(), [1000.0 + step for step in range(50)], until=2000.0)

    assert [at for at, _ in said] == [1170.0]
    assert said[0][1] == "alive, and no record for 121 s; one came every 1 s before"


def test_it_is_said_when_the_run_goes_on() -> None:
    records = [1000.0 + step for step in range(50)] + [1400.0 + step for step in range(50)]

    said = looks(Silence(), records, until=1450.0)

    assert [text.split(":")[0].split(",")[0] for _, text in said] == ["alive", "no longer"]
    assert said[1] == (1400.0, "no longer: it said nothing for 351 s")


@pytest.mark.parametrize("step", [10.0, 60.0, 300.0])
def test_long_steps_are_no_silence(step: float) -> None:
    records = [1000.0 + step * number for number in range(20)]

    assert looks(Silence(), records, until=records[-1] + 15 * step if step > 10 else records[-1] + 100) == []


def test_what_took_long_before_may_take_long_again() -> None:
    records = [1000.0, 1001.0, 1002.0, 1102.0, 1103.0]

    said = looks(Silence(), records, until=1450.0)

    assert [at for at, _ in said] == [1404.0]


def test_what_lies_before_the_first_record_is_no_silence_of_the_run() -> None:
    said = looks(Silence(), [1000.0, 1001.0], until=1200.0, every=0.5)

    assert [at for at, _ in said] == [1121.5]


def test_a_run_that_has_said_nothing_yet_is_not_stalled() -> None:
    assert looks(Silence(), [1000.0], until=5000.0) == []


def test_a_run_that_was_read_once_and_hangs_since_is_stalled() -> None:
    silence = Silence()
    said = [silence.look(1000.0 + seconds, 1000.0, has_begun=True) for seconds in (1.0, 119.0, 121.0, 200.0)]

    assert said == [None, None, "alive, and no record for 121 s", None]


def test_the_tag_of_a_silent_run_is_set_while_it_lives(cwd: Path, uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rundir = RunDir.create(make_spec(cwd, uri))
    journal = Journal(rundir.journal)
    now = [time.time()]
    clock = SimpleNamespace(time=lambda: now[0], monotonic=time.monotonic, sleep=time.sleep)
    monkeypatch.setattr("tracker.sidecar.upload.time", clock)
    monkeypatch.setattr(Upload, "is_alive", lambda self: True)
    monkeypatch.chdir(cwd)
    upload = Upload(rundir)
    upload._captured = {"gaps": []}

    def look_after(seconds: float, step: int | None) -> str | None:
        now[0] += seconds
        if step is not None:
            journal.clock(now[0])
            journal.reading("loss", "", step, 1.0)
        upload._follow()
        upload._upload(ended=False)
        return open_store(uri).tags(rundir.state["mlflow_run_id"]).get("tracker.stalled")

    before = [look_after(1.0, step) for step in range(3)]
    silent, still, again = look_after(200.0, None), look_after(50.0, None), look_after(10.0, 3)
    journal.close()

    assert before == [None] * 3
    assert silent == still == "alive, and no record for 200 s; one came every 1 s before"
    assert again == "no longer: it said nothing for 260 s"


IN_SECONDS = {"rule": {"stalled-run": {"min_seconds": 0.1}}}
"""Settings by which a second of silence is long, as `short_bars` makes it."""


@pytest.fixture
def short_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run counts as stalled after a second."""
    monkeypatch.setattr(stalls, "SILENCE", 1.0)
    monkeypatch.setattr(stalls, "USUAL", 1.0)
    monkeypatch.setattr(stalls, "LONGEST", 1.0)


def findings_of(verdict: dict, rule: str) -> list[dict]:
    every = [one for found in verdict["findings"] for one in (found, *(found.get("consequences") or ()))]
    return [one for one in every if one["rule"] == rule]


@pytest.mark.slow
def test_a_process_that_sleeps_and_is_killed_is_named(cwd: Path, uri: str, short_bars: None) -> None:
    rundir = RunDir.create(make_spec(cwd, uri, settings=IN_SECONDS))
    upload = Upload(rundir)
    upload._captured = {"gaps": []}

    def is_noticed() -> bool:
        upload._follow()
        upload._upload(ended=False)
        return (rundir.path / stalls.STORED).exists()

    with subprocess.Popen(play(rundir, epochs=30, pause=0.05, end="hang")) as training:
        wait_for(lambda: rundir.journal.exists())
        wait_for(is_noticed, 60)
        training.kill()
    assert upload._bring_in()
    verdict = json.loads((rundir.path / "findings.json").read_text())
    [finding] = findings_of(verdict, "stalled-run")

    assert finding["severity"] == "warning"
    assert finding["message"].startswith("nothing for ")
    assert "behind step 299 since" in finding["message"]
    assert finding["evidence"]["seconds"] > 1.0
    assert verdict["suspicious"] == "true"
    again = _check_run(rundir.spec["id"], Settings.load({}), False, uri, False)
    assert findings_of(again, "stalled-run") == [finding]
    assert again["suspicious"] == "true"


def test_what_was_seen_is_forgotten_when_the_run_goes_on(cwd: Path, uri: str, short_bars: None) -> None:
    rundir = RunDir.create(make_spec(cwd, uri))
    journal = Journal(rundir.journal)
    journal.reading("loss", "", 7, 1.0)
    silence = Silence()
    for now, last in ((10.0, 10.0), (10.5, 10.5), (14.0, 10.5)):
        silence.look(now, last)
        silence.keep(rundir, now)
    seen = rundir.read_json(stalls.STORED)["stalled"]
    silence.look(15.0, 14.9)
    silence.keep(rundir, 15.0)
    journal.close()

    assert (seen["seconds"], seen["step"], seen["went_on"]) == (3.5, 7, False)
    assert not (rundir.path / stalls.STORED).exists()
