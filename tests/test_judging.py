"""When a run is judged while it is active, and by which settings afterwards."""

import json

import pytest
import torch

from tests.trainings import data, events, mlp, step, tracked
from tracker import judging
from tracker.cli import run as command
from tracker.journal import JournalReader
from tracker.rules import Settings, replay

LOCAL_RULE = '''
from tracker.rules import Finding, Phase, Rule
from tracker.rules.engine.signals import LOSS


class AlwaysLoud(Rule):
    """Finds fault with everything.

    ## Why it matters
    It does not.
    ## What to try
    - Nothing.
    ## When it is wrong
    Always.
    """

    phases = (Phase.RUN,)
    needs = (LOSS,)
    waits_for_warmup = False

    def check(self, trace):
        yield Finding(message="1 seen; 0 expected", advice="Nothing.")
'''


def _train(run, epochs, steps=3):
    model, (x, y) = mlp(), data()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    for _ in run.epochs(epochs):
        for _ in range(steps):
            step(model, optimizer, x, y)


def _judged(run, phase):
    return [event for event in events(run, "judge") if event.data["phase"] == phase]


def test_every_epoch_is_judged_while_that_is_cheap():
    with tracked() as run:
        _train(run, 12)

    assert len(_judged(run, "epoch")) == 12


def test_epochs_are_passed_over_where_judging_each_would_cost_too_much(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(judging, "FREE_SECONDS", 0.0)
    monkeypatch.setattr(judging, "SHARE", 1e-9)
    with tracked() as run:
        _train(run, 12)
    trace, engine = replay(record for _, record in JournalReader(run._session.rundir.journal).read())

    assert len(_judged(run, "epoch")) == 1
    assert len(_judged(run, "run")) == 1
    assert trace.epoch == 11
    assert engine.verdict(trace).as_json()["suspicious"] == run.verdict["suspicious"]


def test_a_stored_run_is_judged_by_its_own_settings_unless_others_are_named(tmp_path, monkeypatch, capsys):
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "loud.py").write_text(LOCAL_RULE)
    settings = tmp_path / "project" / "pyproject.toml"
    settings.write_text('[tool.tracker]\nwait_seconds = 0\n[tool.tracker.rules]\nlocal = ["loud.py"]\n')
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "plain.toml").write_text("[tool.tracker]\n")
    monkeypatch.chdir(tmp_path / "elsewhere")
    with tracked(settings=settings) as run:
        _train(run, 2)
    spec = run._session.rundir.spec
    (run._session.rundir.capture / "run.json").write_text(json.dumps(spec))

    command(["check", run.id, "--json"])
    own = json.loads(capsys.readouterr().out)
    command(["check", run.id, "--json", "--settings", "plain.toml"])
    named = json.loads(capsys.readouterr().out)

    assert "always-loud" in [finding["rule"] for finding in run.verdict["findings"]]
    assert own["findings"] == run.verdict["findings"]
    assert "always-loud" not in [finding["rule"] for finding in named["findings"]]
    assert Settings.load(spec["settings"], tmp_path / "project").digest() == own["settings_digest"]
