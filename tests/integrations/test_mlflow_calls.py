"""MLflow calls of the user's own: they land in the run, reach the rules, and disturb nothing."""

from __future__ import annotations

import random
import shutil
import time
from contextlib import contextmanager
from pathlib import Path

import mlflow
import pytest
import torch
from mlflow.entities import Metric

from tests.trainings import data, events, fault_parts, mlp, readings, records, step, subjects
from tracker import Run, track
from tracker.rules.engine.records import Reading

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database of MLflow's: to make one takes seconds."""
    path = tmp_path_factory.mktemp("database") / "mlflow.db"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path.parent)  # the artifacts of its default experiment are kept where it was made
        mlflow.MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def store(tmp_path: Path, database: Path, monkeypatch: pytest.MonkeyPatch) -> mlflow.MlflowClient:
    """A store of this test's own, known to MLflow."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(database, tmp_path / "mlflow.db")
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    mlflow.set_tracking_uri(uri)
    yield mlflow.MlflowClient(uri)
    while mlflow.active_run() is not None:
        mlflow.end_run()
    mlflow.set_tracking_uri(None)


@contextmanager
def begin():
    """A tracked block whose run is in MLflow when it begins: on a busy machine that takes more than user code waits."""
    with track(Run("observed", settings={"wait_seconds": 60}, quiet=True)) as run:
        deadline = time.monotonic() + 60
        while run.mlflow_run_id is None and time.monotonic() < deadline:
            time.sleep(0.1)
        yield run


def in_mlflow(run):
    """What the user logged with MLflow, as the journal has it."""
    return [
        (r.subject, r.step, r.value) for r in records(run) if isinstance(r, Reading) and r.signal == "metric/mlflow"
    ]


def test_what_the_user_logs_with_mlflow_lands_in_our_run_and_reaches_the_rules(store):
    model, (x, y) = mlp(), data()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    random.seed(3)
    state = random.getstate()
    with begin() as run:
        step(model, optimizer, x, y)
        mlflow.log_metric("val_loss", 0.5, step=3)
        mlflow.log_metrics({"val_acc": 0.75, "val_f1": 0.5}, step=4)
        mlflow.log_param("theirs", "yes")
        mlflow.set_tag("note", "mine")
        store.log_batch(mlflow.active_run().info.run_id, [Metric("batched", 1.5, 1, 5)])
        active = mlflow.active_run().info.run_id
        run.log(val_loss=0.25)
    after = mlflow.active_run()
    found = store.get_run(active)

    assert random.getstate() == state
    assert sorted(in_mlflow(run)) == [
        ("batched", 5, 1.5),
        ("val_acc", 4, 0.75),
        ("val_f1", 4, 0.5),
        ("val_loss", 3, 0.5),
    ]
    assert readings(run, "metric", "val_loss") == [(1, 0.25)]
    assert after is None
    assert active == run.mlflow_run_id
    assert found.data.params["theirs"] == "yes"
    assert found.data.tags["tracker.id"] == run.id
    assert found.info.status == "FINISHED"
    assert sorted((m.step, m.value) for m in store.get_metric_history(active, "val_loss")) == [(1, 0.25), (3, 0.5)]
    assert fault_parts(run) == []
    assert len(store.search_runs(["0"])) == 1


@pytest.mark.slow
def test_a_run_that_the_user_starts_takes_the_place_of_ours(store):
    with begin() as run:
        with mlflow.start_run(run_name="theirs") as theirs:
            mlflow.log_metric("val_loss", 0.5, step=1)
        status = store.get_run(theirs.info.run_id).info.status
    (only,) = store.search_runs(["0"])

    assert events(run, "adopt")[0].data["mlflow_run_id"] == theirs.info.run_id
    assert run.mlflow_run_id == only.info.run_id == theirs.info.run_id
    assert only.info.run_name == "theirs"
    assert status == "FINISHED"
    assert in_mlflow(run) == [("val_loss", 1, 0.5)]


@pytest.mark.slow
def test_a_run_that_is_active_before_the_block_is_adopted(store):
    with mlflow.start_run(run_name="theirs") as theirs, begin() as run:
        mlflow.log_metric("val_loss", 0.5)
        inside = mlflow.active_run().info.run_id
    (only,) = store.search_runs(["0"])

    assert inside == theirs.info.run_id == only.info.run_id == run.mlflow_run_id
    assert in_mlflow(run) == [("val_loss", 0, 0.5)]
    assert only.data.tags["tracker.id"] == run.id


@pytest.mark.slow
def test_a_nested_run_of_the_users_stays_theirs(store):
    with begin() as run:
        with mlflow.start_run(nested=True, run_name="fold 1") as fold:
            mlflow.log_metric("val_loss", 9.0)
        mlflow.log_metric("val_loss", 0.5)
    child = store.get_run(fold.info.run_id)

    assert child.data.tags["mlflow.parentRunId"] == run.mlflow_run_id
    assert child.data.metrics == {"val_loss": 9.0}
    assert in_mlflow(run) == [("val_loss", 0, 0.5)]


@pytest.mark.slow
def test_metrics_of_another_run_are_not_ours(store):
    other = store.create_run("0", run_name="another").info.run_id
    with begin() as run:
        store.log_metric(other, "val_loss", 7.0)

    assert in_mlflow(run) == []
    assert store.get_run(other).data.metrics == {"val_loss": 7.0}


@pytest.mark.slow
def test_a_block_inside_an_attached_block_is_a_run_of_its_own(store):
    with begin() as outer:
        mlflow.log_metric("outside", 1.0)
        with begin() as inner:
            mlflow.log_metric("inside", 2.0)
        mlflow.log_metric("outside", 3.0)

    assert inner._session.spec["adopt"] is None
    assert outer.mlflow_run_id != inner.mlflow_run_id
    assert in_mlflow(outer) == [("outside", 0, 1.0), ("outside", 0, 3.0)]
    assert store.get_run(inner.mlflow_run_id).data.tags["mlflow.parentRunId"] == outer.mlflow_run_id


@pytest.mark.slow
def test_a_run_that_the_user_starts_in_an_inner_block_starts(store):
    with begin() as outer:
        mlflow.log_metric("outside", 1.0)
        with begin() as inner, mlflow.start_run(run_name="theirs") as theirs:
            mlflow.log_metric("inside", 2.0)
        mlflow.log_metric("outside", 3.0)

    assert inner.mlflow_run_id == theirs.info.run_id
    assert in_mlflow(inner) == [("inside", 0, 2.0)]
    assert in_mlflow(outer) == [("outside", 0, 1.0), ("outside", 0, 3.0)]


def test_a_block_inside_a_block_does_not_wait_for_the_store(store):
    with track(Run(settings={"wait_seconds": 0}, quiet=True)) as outer:
        began = time.monotonic()
        with track(Run(settings={"wait_seconds": 0}, quiet=True)):
            waited = time.monotonic() - began

    assert waited < 4
    assert outer._session.foreign._attached is None


def test_everything_of_mlflows_is_put_back(store):
    from mlflow.tracking import fluent

    def places():
        client = mlflow.MlflowClient
        return client.log_metric, client.log_batch, mlflow.start_run, mlflow.active_run, fluent._get_or_start_run

    before = places()
    with track(Run(settings={"wait_seconds": 0}, quiet=True)):
        during = places()

    assert places() == before
    assert all(a is not b for a, b in zip(before, during, strict=True))


@pytest.mark.slow
def test_a_store_that_does_not_answer_holds_nobody_up_for_long(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TRACKER_STRICT")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    mlflow.set_tracking_uri("http://127.0.0.1:9")
    model, (x, y) = mlp(), data()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    try:
        with track(Run("observed", settings={"wait_seconds": 0})) as run:
            began = time.monotonic()
            active = mlflow.active_run()
            waited = time.monotonic() - began
            again = mlflow.active_run()
            waited_again = time.monotonic() - began - waited
            losses = [step(model, optimizer, x, y) for _ in range(3)]
    finally:
        mlflow.set_tracking_uri(None)

    assert active is again is None
    assert waited < 7
    assert waited_again < 1
    assert readings(run, "loss") == list(enumerate(losses))
    assert fault_parts(run) == []
    assert "the run was not in MLflow after 5 s" in capsys.readouterr().err


@pytest.mark.slow
def test_autologging_set_up_before_the_block_lands_in_our_run(store):
    from sklearn.datasets import load_digits
    from sklearn.linear_model import LogisticRegression

    mlflow.sklearn.autolog(log_models=False, log_datasets=False, silent=True)
    digits = load_digits()
    try:
        with track(Run("autologged", settings={"wait_seconds": 60}, quiet=True)) as run:
            assert any(run.mlflow_run_id for _ in range(12))  # each asks for five seconds
            LogisticRegression(max_iter=1000).fit(digits.data[:200] / 16, digits.target[:200])
            mlflow.log_metric("val_acc", 0.75, step=1)
    finally:
        mlflow.sklearn.autolog(disable=True)
    (found,) = store.search_runs([experiment.experiment_id for experiment in store.search_experiments()])

    assert found.info.run_id == run.mlflow_run_id
    assert found.info.status == "FINISHED"
    assert found.data.metrics["val_acc"] == 0.75
    assert found.data.metrics["training_accuracy_score"] > 0.9
    assert found.data.tags["tracker.id"] == run.id
    assert subjects(run, "metric/mlflow") >= {"val_acc", "training_accuracy_score"}
