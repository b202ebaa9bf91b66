"""Addresses of stores, names of keys, and the saved view."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tracker.stores.connect import absolute_uri, database_of, has_old_file_store, shown_uri
from tracker.stores.keys import Keys, shortened, storable_key
from tracker.stores.view import COLUMNS, GROUPED, KEY, LAST, MAX_VALUE, key_metrics, view_link, view_value


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("sqlite:///mlflow.db", "sqlite:////w/mlflow.db"),
        ("sqlite:///../x.db", "sqlite:////x.db"),
        ("sqlite:////abs/x.db", "sqlite:////abs/x.db"),
        ("sqlite:///x.db?timeout=5", "sqlite:////w/x.db?timeout=5"),
        ("sqlite://", "sqlite://"),
        ("http://host:5000", "http://host:5000"),
        ("postgresql://u:p@h/db", "postgresql://u:p@h/db"),
        ("./mlruns", "/w/mlruns"),
        ("databricks", "databricks"),
        ("file:///x", "file:///x"),
    ],
)
def test_an_address_means_the_same_from_everywhere(given: str, meant: str) -> None:
    assert absolute_uri(given, Path("/w")) == meant


def test_a_password_is_not_shown() -> None:
    assert shown_uri("http://me:secret@host:5000/x") == "http://me:***@host:5000/x"
    assert shown_uri("http://host:5000") == "http://host:5000"


def test_only_a_sqlite_file_is_a_database_file() -> None:
    assert database_of("sqlite:////w/m.db") == Path("/w/m.db")
    assert database_of("sqlite:///:memory:") is None
    assert database_of("http://host") is None


def test_an_old_file_store_is_recognised(tmp_path: Path) -> None:
    (tmp_path / "mlruns" / "1").mkdir(parents=True)
    before = has_old_file_store(tmp_path)
    (tmp_path / "mlruns" / "1" / "meta.yaml").touch()

    assert not before
    assert has_old_file_store(tmp_path)


KEYS = ["acc@5", "a//b", "/a", "a/", "../a", ".", "", "x" * 400, "a\nb", "a\n", "[0]", "é", "a:b", "日"]


@pytest.mark.parametrize("key", KEYS)
def test_mlflow_takes_every_key_as_it_is_stored(key: str) -> None:
    from mlflow.utils.validation import _validate_length_limit, _validate_metric_name, _validate_param_name

    name = storable_key(key)
    _validate_metric_name(name)
    _validate_param_name(name)
    _validate_length_limit("key", 250, name)

    assert name


def test_two_keys_never_share_a_name() -> None:
    keys = Keys()
    names = [keys[key] for key in ("a@b", "a_x40b", "plain", "a@b")]

    assert len({*names}) == 3
    assert names[0] == names[3]
    assert keys.changed[names[0]] == "a@b"
    assert "plain" not in keys.changed


def test_a_long_text_is_cut_with_a_mark() -> None:
    assert shortened("x" * 20, 10) == "x" * 9 + "…"
    assert shortened("a\0\ud800", 10) == "a\\0?"


def test_the_view_is_in_the_form_the_ui_reads() -> None:
    value = view_value(now=1.5)
    view = json.loads(value)
    state = json.loads(view["state"])
    grouped = json.loads(json.loads(view_value(GROUPED))["state"])

    assert len(value) < MAX_VALUE
    assert (view["name"], view["createdAt"]) == ("Verdicts", 1500)
    assert state["selectedColumns"] == [*COLUMNS, *LAST]
    assert "groupBy" not in state
    assert grouped["groupBy"]["groupByKeys"] == [{"mode": "tag", "groupByData": "suspicious"}]
    assert view_link("http://h:1/", "7", KEY).startswith("http://h:1/#/experiments/7/runs?viewStateShareKey=soundrun&")


def test_columns_are_for_the_users_metrics_that_tell_how_good_a_model_is() -> None:
    ours = ["loss", "val/loss", "val/accuracy", "train/accuracy", "epoch", "rules/fired", "lr/0"]

    assert key_metrics([*ours, "val_loss", "valid_acc"]) == []
    assert key_metrics([*ours, "f1", "grad", "test/auc", "test_loss"]) == ["test/auc", "test_loss", "f1"]
    assert key_metrics(["val_loss", "val_acc"]) == ["val_acc", "val_loss"]
