"""Reading runs from a real store: ours are read in the sidecar's tests, these are of plain MLflow code."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tracker.errors import StoreError
from tracker.rules.engine.records import Reading
from tracker.stores import open_store
from tracker.stores.view import GROUPED, KEY, MADE, PREFIX, TAG, readable_views, save_views, view_value


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('store') / 'mlflow.db'}"


@pytest.fixture(scope="module")
def client(uri: str) -> MlflowClient:
    return MlflowClient(uri)


@pytest.fixture(scope="module")
def plain_run(client: MlflowClient, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A run that knows nothing of the tracker."""
    where = tmp_path_factory.mktemp("artifacts")
    run_id = str(client.create_run(client.create_experiment("plain", where.as_uri()), run_name="old").info.run_id)
    for step, value in enumerate([0.5, math.nan, math.inf]):
        client.log_metric(run_id, "val_loss", value, timestamp=1000 * (step + 1), step=step)
    client.log_metric(run_id, "acc", 0.25, timestamp=1500, step=0)
    client.log_metric(run_id, "system/cpu", 1.0, timestamp=1500, step=0)
    client.log_param(run_id, "lr", "0.1")
    return run_id


def test_metrics_of_a_plain_run_are_readings_in_the_order_of_time(uri: str, plain_run: str) -> None:
    found = list(open_store(uri).records(plain_run))
    records = [record for _, record in found if isinstance(record, Reading)]

    assert [moment for moment, _ in found] == [1.0, 1.5, 2.0, 3.0]
    assert [record.subject for record in records] == ["val_loss", "acc", "val_loss", "val_loss"]
    assert {record.signal for record in records} == {"metric"}
    assert math.isnan(records[2].value)
    assert records[3].value == math.inf


def test_a_run_is_described(uri: str, plain_run: str) -> None:
    info = open_store(uri).find(plain_run)

    assert (info.name, info.experiment, info.status, info.is_ours) == ("old", "plain", "RUNNING", False)
    assert open_store(uri).params(plain_run) == {"lr": "0.1"}


def test_tags_metrics_and_files_can_be_added(uri: str, plain_run: str, tmp_path: Path) -> None:
    store = open_store(uri)
    store.set_tags(plain_run, {"suspicious": "true"})
    store.set_metrics(plain_run, {"rules/fired": 2})
    (tmp_path / "a.txt").write_text("hello")
    store.add_artifact(plain_run, tmp_path / "a.txt", "notes")
    copied = store.artifacts_to(plain_run, "notes", tmp_path / "out")

    assert store.tags(plain_run)["suspicious"] == "true"
    assert (copied / "a.txt").read_text() == "hello"
    assert any(record.subject == "rules/fired" for _, record in store.records(plain_run) if isinstance(record, Reading))


def test_an_unknown_run_is_named_with_the_nearest_one(uri: str, plain_run: str) -> None:
    wrong = plain_run[:-1] + ("0" if plain_run[-1] != "0" else "1")

    with pytest.raises(StoreError, match=rf"Did you mean {plain_run} \(old\)"):
        open_store(uri).find(wrong)
    with pytest.raises(StoreError, match="The latest runs there are"):
        open_store(uri).find("nothing-like-it")
    with pytest.raises(StoreError, match="Did you mean 'plain'"):
        open_store(uri).runs("plian")


def test_a_missing_artifact_is_an_error_that_says_what_to_do(uri: str, plain_run: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="tracker sync"):
        open_store(uri).artifacts_to(plain_run, "capture", tmp_path)


def test_opening_a_store_to_read_makes_none(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no database at"):
        open_store(None, tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_a_dead_server_is_an_error_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")

    with pytest.raises(StoreError, match=r"http://127\.0\.0\.1:9 does not answer"):
        open_store("http://127.0.0.1:9")


def test_views_are_made_once_and_those_that_somebody_changed_are_left_alone(
    client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = client.create_experiment("views")
    monkeypatch.setenv("TRACKER_NO_VIEW", "1")
    off = save_views(client, number)
    monkeypatch.delenv("TRACKER_NO_VIEW")
    first = save_views(client, number)
    client.set_experiment_tag(number, TAG, "theirs")

    assert (off, first, save_views(client, number, ["f1"])) == ([], [KEY, GROUPED], [GROUPED])
    assert client.get_experiment(number).tags[TAG] == "theirs"


def test_a_view_of_ours_gets_columns_for_the_metrics_of_later_runs_and_keeps_those_it_has(client: MlflowClient) -> None:
    number = client.create_experiment("columns")
    save_views(client, number, ["loss", "test/auc"])
    renewed = save_views(client, number, ["loss", "f1"])
    view = json.loads(client.get_experiment(number).tags[TAG])
    shown = json.loads(view["state"])["selectedColumns"]

    assert renewed == [KEY, GROUPED]
    assert [name for name in shown if name in ("metrics.`test/auc`", "metrics.`f1`")] == [
        "metrics.`test/auc`",
        "metrics.`f1`",
    ]
    assert "metrics.`loss`" not in shown
    assert save_views(client, number, ["f1"]) == []


def test_a_view_of_an_earlier_version_is_renewed_and_one_saved_over_in_the_ui_is_not(client: MlflowClient) -> None:
    number = client.create_experiment("earlier")
    old = json.loads(view_value(now=1.0))
    state = {name: value for name, value in json.loads(old["state"]).items() if name != "soundrun"}
    client.set_experiment_tag(number, TAG, json.dumps({**old, "state": json.dumps(state)}))
    of_old = save_views(client, number)
    client.set_experiment_tag(number, TAG, json.dumps({**old, "updatedAt": 2000, "state": json.dumps(state)}))

    assert of_old == [KEY, GROUPED]
    assert save_views(client, number, ["f1"]) == [GROUPED]


def test_a_view_that_somebody_deleted_comes_back_only_when_it_is_asked_for(client: MlflowClient) -> None:
    number = client.create_experiment("deleted")
    save_views(client, number)
    client.delete_experiment_tag(number, PREFIX + GROUPED)

    assert save_views(client, number) == []
    assert save_views(client, number, wanted=True) == [GROUPED]
    assert MADE.startswith("mlflow.")  # MLflow's pages do not show such tags


@pytest.mark.parametrize(
    ("state", "can_be_shown"),
    [
        ("{}", True),
        ("deflate;abc", True),
        (json.dumps({"selectedColumns": ["tags.`a`"], "groupBy": "tag.average.a", "later": {}}), True),
        ("{", False),
        ("[]", False),
        (json.dumps({"selectedColumns": 3}), False),
        (json.dumps({"groupBy": {"odd": 1}}), False),
        (None, False),
    ],
)
def test_a_link_names_only_views_that_the_ui_can_show(
    client: MlflowClient, state: str | None, can_be_shown: bool
) -> None:
    number = client.create_experiment(f"shown {state}")
    save_views(client, number)
    client.set_experiment_tag(number, TAG, json.dumps({"name": "x", "createdAt": 1, "state": state}))

    assert readable_views(client, number) == ([KEY] if can_be_shown else []) + [GROUPED]


def test_a_run_is_found_by_the_beginning_of_its_id(uri: str, client: MlflowClient, plain_run: str) -> None:
    number = client.get_run(plain_run).info.experiment_id
    ours = client.create_run(number, tags={"tracker.id": "abcdef01" * 4}).info.run_id
    store = open_store(uri)

    assert store.find(plain_run[:8]).run_id == plain_run
    assert store.find("abcdef01").run_id == ours
    with pytest.raises(StoreError, match="Did you mean"):
        store.find(plain_run[:5])


def test_a_beginning_that_two_runs_share_names_both(uri: str, client: MlflowClient, plain_run: str) -> None:
    number = client.get_run(plain_run).info.experiment_id
    runs = [client.create_run(number, tags={"tracker.id": f"fedcba{one}" + "0" * 25}).info.run_id for one in "01"]
    with pytest.raises(StoreError, match="2 runs begin with 'fedcba'") as caught:
        open_store(uri).find("fedcba")

    assert all(run_id in str(caught.value) for run_id in runs)
