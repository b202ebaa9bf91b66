"""A run beside the earlier runs of its experiment: real trainings, a real store, the verdict and its replay."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from torch.nn import functional

from tracker import Run, session, track
from tracker.cli import run as command
from tracker.rundir import RunDir
from tracker.stores import open_store

Upload = Callable[[RunDir], bool]


def _train(seed: int, rate: float = 0.5, shuffled: bool = False) -> RunDir:
    """A run of eight epochs of a small classifier on the same data; `shuffled` puts wrong labels to it."""

    def only_code(rundir: RunDir) -> None:
        (rundir.capture / "code.json").write_text("{}")

    generator = torch.Generator().manual_seed(0)
    x = torch.randn(480, 8, generator=generator)
    y = (x[:, 0] + x[:, 1] > 0).long()
    labels = y[torch.randperm(len(y), generator=generator)] if shuffled else y
    with mock.patch.object(session, "start_sidecar", only_code):
        run = Run(settings={"wait_seconds": 0, "experiment": "plays"}, quiet=True)
        with track(run):
            torch.manual_seed(seed)
            model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 2))
            optimizer = torch.optim.SGD(model.parameters(), rate)
            for _ in range(8):
                for batch in torch.randperm(400).split(20):
                    optimizer.zero_grad()
                    functional.cross_entropy(model(x[batch]), labels[batch]).backward()
                    optimizer.step()
                with torch.no_grad():
                    out = model(x[400:])
                loss = functional.cross_entropy(out, y[400:]).item()
                run.log(val_loss=loss, val_accuracy=(out.argmax(1) == y[400:]).float().mean().item())
    assert run._session is not None
    return run._session.rundir


@pytest.fixture
def told(cwd: Path, uri: str, upload_here: Upload, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Trains, uploads, and gives the `findings.json` of the run, with its tags under `tags`."""
    monkeypatch.chdir(cwd)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)

    def train(seed: int, **options: Any) -> dict[str, Any]:
        rundir = _train(seed, **options)
        upload_here(rundir)
        state = rundir.state
        assert state.get("finished"), state
        assert not state.get("faults"), state
        said = rundir.read_json("findings.json")
        return {**said, "tags": open_store(uri).tags(state["mlflow_run_id"]), "id": rundir.path.name}

    return train


def _of_relatives(said: dict[str, Any]) -> set[str]:
    every = [f for one in said["findings"] for f in (one, *one["consequences"])]
    return {f["rule"] for f in every} & {"unlike-earlier-runs", "run-regression"}


@pytest.mark.slow
def test_the_seventh_run_is_judged_by_the_six_before_it(
    told: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    earlier = [told(seed) for seed in range(6)]
    reasons = [next(s["reason"] for s in one["skipped"] if s["rule"] == "run-regression") for one in earlier[:5]]
    usual = told(7)
    broken = told(8, shuffled=True)
    fast = told(9, rate=5.0)
    command(["check", broken["id"], "--json"])
    again = json.loads(capsys.readouterr().out)

    assert [one["suspicious"] for one in earlier] == ["false"] * 6
    assert all(f"{n} earlier runs" in reason and "5 are needed" in reason for n, reason in enumerate(reasons))
    assert "run-regression" in usual["clear"]
    assert not _of_relatives(usual)
    assert "run-regression" in _of_relatives(broken)
    assert broken["tags"]["suspicious"] == "true"
    assert "run-regression" in broken["tags"]["rules.fired"]
    assert "unlike-earlier-runs" in _of_relatives(fast)
    assert "optimizer/groups/0/lr is 5.0, not 0.5" in json.dumps(fast["findings"])
    assert again["findings"] == broken["findings"]
    assert (again["clear"], again["skipped"]) == (broken["clear"], broken["skipped"])
