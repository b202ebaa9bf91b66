"""Two recorded runs beside each other, each part with one difference at a time."""

import json
import subprocess

import pytest

from tracker.capture.code import CodeLimits, capture_code
from tracker.capture.data import digest_files
from tracker.cli import run
from tracker.compare.recorded import RecordedRun
from tracker.compare.runs import compare_runs
from tracker.journal import Journal
from tracker.rules.engine.records import END
from tracker.rundir import RunDir, new_id


@pytest.fixture
def repository(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    project = tmp_path / "project"
    project.mkdir()
    (project / "train.py").write_text("lr = 0.1\n")
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "one"]):
        subprocess.run([*git, *command], cwd=project, check=True)
    return project


def environment(threads=1):
    return {"process": {"python": {"version": "3.11.0"}, "threads": {"torch": threads}}, "hardware": {}, "packages": []}


def record(project, losses=(1.0, 0.5), params=None, data=None, threads=1, seed="s", weights="w", status="FINISHED"):
    """A run in its folder, as training and sidecar leave it."""
    rundir = RunDir.create({"schema": 1, "id": new_id(), "name": "r", "params": params or {"lr": 0.1}, "index": 0})
    capture_code(project, rundir.capture, CodeLimits(), script=project / "train.py")
    digest_files([data] if data else [], rundir.capture)
    (rundir.capture / "environment.json").write_text(json.dumps(environment(threads)))
    (rundir.capture / "randomness.json").write_text(json.dumps({"seeding": {"digests": {"torch": seed}}}))
    journal = Journal(rundir.journal)
    for step, loss in enumerate(losses):
        journal.reading("loss", "", step, loss)
    journal.fact("weights", len(losses), {"start": "w0", "end": weights})
    journal.event(END, len(losses), {"status": status})
    journal.close()
    return rundir.spec["id"]


def compared(a, b):
    return compare_runs(RecordedRun.find(a), RecordedRun.find(b))


def test_a_run_does_not_differ_from_its_twin(repository):
    result = compared(record(repository), record(repository))

    assert not result.differs
    assert result.code.same is True
    assert result.numbers.is_bitwise
    assert result.data_same is True


def test_changed_code_is_shown_line_by_line(repository):
    a = record(repository)
    (repository / "train.py").write_text("lr = 0.2\n")
    (repository / "new.py").write_text("x = 1\n")

    result = compared(a, record(repository))

    assert result.differs
    assert result.code.same is False
    assert "-lr = 0.1" in result.code.patch
    assert "+lr = 0.2" in result.code.patch
    assert "b/new.py" in result.code.patch
    assert "2 files changed" in result.code.stat
    assert (result.code.a["dirty"], result.code.b["dirty"]) == (False, True)


def test_code_that_was_not_captured_is_not_called_the_same(repository):
    a, b = record(repository), record(repository)
    RunDir.find(b).capture.joinpath("code.json").unlink()

    result = compared(a, b)

    assert result.code.same is None


def test_differing_parameters_are_listed(repository):
    result = compared(record(repository), record(repository, params={"lr": 0.2, "depth": 3}))

    assert dict(result.params) == {"lr": ("0.1", "0.2"), "depth": (None, "3")}
    assert result.differs


def test_an_environment_difference_says_whether_it_can_change_bits(repository):
    result = compared(record(repository), record(repository, threads=4))

    assert [(one.what, one.can_change_bits) for one in result.environment] == [("threads torch", True)]
    assert result.differs


def test_other_data_and_other_seeds_are_named(repository, tmp_path):
    (tmp_path / "x.csv").write_text("1")
    (tmp_path / "y.csv").write_text("2")

    result = compared(
        record(repository, data=tmp_path / "x.csv"), record(repository, data=tmp_path / "y.csv", seed="other")
    )

    assert result.data_same is False
    assert set(result.data) == {str(tmp_path / "x.csv"), str(tmp_path / "y.csv")}
    assert list(result.randomness.values()) == [("s", "other")]


def test_the_first_number_that_differs_is_named_with_its_size_and_cause(repository):
    result = compared(record(repository, [1.0, 0.5, 0.3]), record(repository, [1.0, 0.5000000596046448, 0.2]))

    first = result.numbers.first_difference
    assert (first.metric, first.step, first.ulps) == ("observed/loss", 1, 1)
    assert result.cause.where == "first update"


def test_other_final_weights_and_another_ending_are_differences(repository):
    assert compared(record(repository), record(repository, weights="other")).differs
    assert compared(record(repository), record(repository, status="FAILED")).differs


def test_the_command_exits_with_0_for_twins_and_1_for_others(repository, capsys):
    a, b, c = record(repository), record(repository), record(repository, [1.0, float("nan")])

    assert run(["compare", a, b]) == 0
    assert "the same bits" in capsys.readouterr().out
    assert run(["compare", a, c, "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert said["metrics"]["first_difference"]["b"] == "nan"
    assert said["differs"] is True


def test_the_command_shows_every_part(repository, capsys):
    a = record(repository)
    (repository / "train.py").write_text("lr = 0.2\n")
    b = record(repository, [1.0, 0.4], params={"lr": 0.2}, threads=2, seed="other")

    code = run(["compare", a, b])

    said = capsys.readouterr().out
    assert code == 1
    for part in ("code: differs", "+lr = 0.2", "parameters: 1 differ", "threads torch", "randomness: 1", "at step 1"):
        assert part in said


def test_one_sentence_says_where_the_numbers_part_and_what_differs(repository):
    first = record(repository)
    faster = record(repository, losses=(1.0, 0.4), params={"lr": 0.2, "optimizer/lr": 0.2})
    chance = record(repository, losses=(0.9, 0.4))
    threads = record(repository, threads=8)

    said = compared(first, faster).explanation
    assert said.startswith("The numbers part at the ")
    assert said.endswith("Most likely: lr: 0.1 against 0.2 (also optimizer/lr).")
    assert "and nothing recorded differs that explains it" in compared(first, chance).explanation
    assert compared(first, threads).explanation.startswith("The numbers have the same bits, although these differ: thr")


def test_other_code_and_another_seed_are_in_the_sentence(repository):
    first = record(repository)
    (repository / "train.py").write_text("lr = 0.2\n")
    second = record(repository, losses=(0.9, 0.4), seed="t")

    said = compared(first, second).explanation

    assert "observed/loss at step 0" in said
    assert "Most likely: train.py line 1: `lr = 0.1` against `lr = 0.2`." in said
    assert "the runs were not seeded" in said
