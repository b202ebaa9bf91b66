"""`tracker check`: verdicts on files, on runs in their local folder, and on runs that plain MLflow code logged."""

import json
import math

import pytest

from tracker.cli import run
from tracker.journal import Journal
from tracker.rules.engine.records import END, EPOCH, JUDGE
from tracker.rundir import RunDir, new_id


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    return tmp_path


def machine(capsys, *arguments):
    code = run([*map(str, arguments), "--json"])
    return code, json.loads(capsys.readouterr().out)


def csv_of(path, losses, val_losses):
    """A history of epochs with 20 steps each, evaluated at the last step of each."""
    lines = ["step,loss,val_loss"]
    for step, loss in enumerate(losses):
        is_last = step % 20 == 19
        lines.append(f"{step},{loss},{val_losses[step // 20] if is_last else ''}")
    path.write_text("\n".join(lines) + "\n")
    return path


def falling(n=400):
    return [2.3 * math.exp(-step / 120) + 0.01 * (step * 7919 % 13) for step in range(n)]


def test_a_history_that_becomes_nan_is_suspicious(project, capsys):
    losses = [*falling(300), *[math.nan] * 100]
    path = csv_of(project / "h.csv", losses, [2.3 - 0.05 * epoch for epoch in range(20)])

    code, said = machine(capsys, "check", path)

    assert code == 1
    assert said["suspicious"] == "true"
    headline = said["findings"][0]
    assert headline["rule"] == "nonfinite-loss"
    assert headline["severity"] == "fatal"
    assert 300 <= headline["first_step"] < 320


def test_the_machine_form_has_exactly_the_promised_keys(project, capsys):
    path = csv_of(project / "h.csv", [*falling(300), *[math.nan] * 100], [1.0] * 20)

    _, said = machine(capsys, "check", path)

    promised = {"schema", "run_id", "suspicious", "reproducible", "grade", "findings", "skipped", "crashed"}
    of_a_finding = {
        "rule", "severity", "subject", "message", "advice", "explains", "first_step", "last_step", "count", "evidence",
    }  # fmt: skip
    assert promised <= set(said)
    assert of_a_finding <= set(said["findings"][0])
    assert (said["schema"], said["run_id"], said["reproducible"], said["grade"]) == (1, str(path), "unknown", None)
    assert all(set(item) == {"rule", "reason"} for item in said["skipped"])


def test_a_healthy_history_is_fine(project, capsys):
    path = csv_of(project / "h.csv", falling(), [2.4 * math.exp(-epoch / 6) + 0.1 for epoch in range(20)])

    code, said = machine(capsys, "check", path)

    assert (code, said["suspicious"]) == (0, "false")
    assert said["findings"] == []


def test_too_little_is_unknown_and_not_fine(project, capsys):
    path = csv_of(project / "h.csv", falling(4), [])

    code, said = machine(capsys, "check", path)

    assert (code, said["suspicious"]) == (2, "unknown")


def test_what_people_read_has_headline_numbers_and_advice(project, capsys):
    run(["check", str(csv_of(project / "h.csv", [*falling(300), *[math.nan] * 100], [1.0] * 20))])

    said = capsys.readouterr()
    assert "h.csv: suspicious" in said.out
    assert "nonfinite-loss  step" in said.out
    assert "1. " in said.out
    assert "rules were skipped" in said.out
    assert "loss is read as loss" in said.err


def test_the_worst_of_several_files_decides_the_exit_code(project, capsys):
    good = csv_of(project / "good.csv", falling(), [2.4 * math.exp(-epoch / 6) + 0.1 for epoch in range(20)])
    bad = csv_of(project / "bad.csv", [*falling(300), *[math.nan] * 100], [1.0] * 20)

    code, said = machine(capsys, "check", good, bad, project / "none.csv")

    assert code == 1
    assert [one["suspicious"] for one in said] == ["false", "true", "unknown"]


def test_settings_of_the_project_are_obeyed(project, capsys):
    (project / "pyproject.toml").write_text('[tool.tracker.rules]\nselect = ["generalization"]\n')
    path = csv_of(project / "h.csv", [*falling(300), *[math.nan] * 100], [1.0] * 20)

    code, said = machine(capsys, "check", path)

    assert said["suspicious"] != "true"
    assert {"rule": "nonfinite-loss", "reason": "off: not in 'select'"} in said["skipped"]
    assert code == 2


def play(losses, epoch=20):
    """A run in its folder, as a training process leaves it: judged after each epoch and at the end."""
    spec = {"schema": 1, "id": new_id(), "name": "played", "params": {"lr": 0.1}, "index": 0}
    rundir = RunDir.create(spec)
    journal = Journal(rundir.journal)
    for step, loss in enumerate(losses):
        journal.reading("loss", "", step, loss)
        if (step + 1) % epoch == 0:
            data = {"epoch": step // epoch, "first_step": step + 1 - epoch, "last_step": step}
            journal.event(EPOCH, step, data)
            journal.event(JUDGE, step, {"phase": "epoch"})
    journal.event(JUDGE, len(losses), {"phase": "run"})
    journal.event(END, len(losses), {"status": "FINISHED"})
    journal.close()
    return rundir


def test_a_run_is_judged_from_its_folder_without_any_store(project, capsys):
    rundir = play([*falling(300), *[math.nan] * 100])

    code, said = machine(capsys, "check", rundir.spec["id"])

    assert code == 1
    assert said["run_id"] == rundir.spec["id"]
    assert said["findings"][0]["rule"] == "nonfinite-loss"


def test_writing_a_verdict_needs_the_store(project, capsys):
    rundir = play(falling(100))

    assert run(["check", rundir.spec["id"], "--write"]) == 2
    assert "tracker sync" in capsys.readouterr().err


def test_a_run_that_is_nowhere_names_the_store(project, capsys):
    code = run(["check", "f" * 32])

    assert code == 2
    assert "mlflow.db" in capsys.readouterr().err


@pytest.mark.slow
def test_a_run_of_plain_mlflow_code_is_judged_and_tagged(project, capsys):
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    experiment = client.create_experiment("plain")
    runs = {}
    for name, losses in (("bad", [*falling(300), *[math.nan] * 100]), ("good", falling())):
        run_id = runs[name] = client.create_run(experiment, run_name=name).info.run_id
        for step, loss in enumerate(losses):
            if step % 4 == 0:
                client.log_metric(run_id, "train_loss", loss, step=step, timestamp=1_000_000 + step)
            if step % 20 == 19:
                client.log_metric(
                    run_id, "val_loss", 2.4 * math.exp(-step / 120), step=step, timestamp=1_000_000 + step
                )

    code, said = machine(capsys, "check", runs["bad"], "--write")
    both_code, both = machine(capsys, "check", "--experiment", "plain", "--all")

    tags = client.get_run(runs["bad"]).data.tags
    assert (code, said["suspicious"], said["findings"][0]["rule"]) == (1, "true", "nonfinite-loss")
    assert (tags["suspicious"], tags["rules.fired"]) == ("true", f"|{'|'.join(_fired(said))}|")
    assert client.get_run(runs["bad"]).data.metrics["rules/worst"] == 4
    assert "suspicious" not in client.get_run(runs["good"]).data.tags
    assert both_code == 1
    assert {one["run_id"]: one["suspicious"] for one in both} == {runs["bad"]: "true", runs["good"]: "false"}


def _fired(said):
    found = [finding["rule"] for finding in said["findings"]]
    return found + [folded["rule"] for finding in said["findings"] for folded in finding["consequences"]]
