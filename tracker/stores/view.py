"""Saved views of the runs table in MLflow's UI: the columns of the verdict, and the same grouped by verdict.

MLflow keeps a saved view as an experiment tag. Its form is not documented; it was read from the UI of MLflow 3.17 and
tried in a browser; a link names a view only where the UI can show it (`readable_views`). A view is made once for an
experiment, and renewed only while it is as we wrote it: one that somebody has changed, renamed or deleted is theirs.
TRACKER_NO_VIEW=1 leaves them all out.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

KEY = "soundrun"
GROUPED = "soundrun-by-verdict"
PREFIX = "mlflow.sharedViewState."
TAG = f"{PREFIX}{KEY}"
MADE = "mlflow.soundrun.views"
"""Experiment tag that says the views were made: one that is missing then was deleted, and is not made again."""
NAMES = {KEY: "Verdicts", GROUPED: "Verdicts, grouped"}
MAX_VALUE = 20_000
"""Characters an experiment tag may have."""

_FIXED = {"attributes.`Run Name`": 175, "runDateAndNestInfo": 140}
"""Columns that the table always has, first, made narrower so that all others have room."""
COLUMNS = {
    "tags.`suspicious`": 88,
    "tags.`reproducible`": 99,
    "tags.`repro.grade`": 93,
    "tags.`rules.fired`": 200,
    "metrics.`val/accuracy`": 100,
    "metrics.`val/loss`": 80,
    "metrics.`train/loss`": 85,
}
"""Columns in the UI's notation (the kind, a dot, the name in backticks), in order, with their widths in pixels.

On a screen 1440 pixels wide all of them are seen; beside the panel of an assistant, with which MLflow's UI opens for
the first time, those of verdict and grade are.
"""
LAST = {"metrics.`rules/worst`": 95}
"""Behind the metrics of the user's: a number to sort by, as the UI sorts no tags."""
THEIRS = 3
"""Metrics of the user's that get a column."""
_WIDTH = 100

_SAME = {"acc": "accuracy", "valid": "val", "validation": "val", "eval": "val", "training": "train"}
_OURS = re.compile(
    r"(loss|grad_norm|update_ratio|throughput|overhead|epoch|memory)$"
    r"|(train|val)/(loss|accuracy)$|(rules|repro|lr|system|tracker)/"
)
_HELD_OUT = re.compile(r"(^|[^a-z])(val|valid|validation|test|eval|dev)([^a-z]|$)", re.IGNORECASE)
_SCORE = re.compile(r"acc|f1|auc|iou|dice|map|bleu|rouge|r2|score|precision|recall|perplexity|ppl|reward|return", re.I)


def _plain(name: str) -> str:
    """The name with words for the same written the same: `valid_acc` and `val/accuracy` are one metric."""
    words = [word for word in re.split(r"[^a-z0-9]+", name.lower()) if word]
    return " ".join(_SAME.get(word, word) for word in words)


def key_metrics(names: Iterable[str]) -> list[str]:
    """Of a run's metrics those of the user's own that deserve a column, scores on held-out data first."""
    given = set(names)
    ours = {column[len("metrics.`") : -1] for column in COLUMNS}
    shown = {_plain(name) for name in ours & given}
    theirs = [name for name in given - ours if "`" not in name and not _OURS.match(name) and _plain(name) not in shown]
    ranked = sorted(theirs, key=lambda name: (not _HELD_OUT.search(name), not _SCORE.search(name), name))
    return [name for name in ranked if _HELD_OUT.search(name) or _SCORE.search(name)][:THEIRS]


def _state(key: str, columns: Mapping[str, int]) -> dict[str, Any]:
    widths = {**_FIXED, **columns}
    state: dict[str, Any] = {
        "searchFilter": "",
        "orderByKey": "attributes.start_time",
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": list(columns),
        "columnOrder": list(widths),
        "columnWidths": widths,
    }
    if key == GROUPED:
        by = {"mode": "tag", "groupByData": "suspicious"}
        state["groupBy"] = {"aggregateFunction": "average", "groupByKeys": [by]}
    return state


def _seal(name: str, state: Mapping[str, Any]) -> str:
    """A digest by which a view that nobody has changed is recognised; the UI drops it when somebody saves over it."""
    content = {field: value for field, value in state.items() if field != "soundrun"}
    return hashlib.sha256(json.dumps([name, content], sort_keys=True).encode()).hexdigest()[:16]


def view_value(key: str = KEY, metrics: Iterable[str] = (), now: float | None = None) -> str:
    """The value of a view's tag; `metrics` get columns beside those of the verdict, `now` is in Unix seconds."""
    theirs = {f"metrics.`{name}`": _WIDTH for name in metrics}
    state = _state(key, {**COLUMNS, **theirs, **LAST})
    created = round((time.time() if now is None else now) * 1000)
    sealed = json.dumps({**state, "soundrun": _seal(NAMES[key], state)})
    return json.dumps({"name": NAMES[key], "createdAt": created, "updatedAt": created, "state": sealed})


def _unchanged(value: str) -> list[str] | None:
    """The metrics of the user's in a view that is as we wrote it; None for any other."""
    try:
        view = json.loads(value)
        state = json.loads(view["state"])
        columns = [str(column) for column in state["selectedColumns"]]
        is_sealed = state.get("soundrun") == _seal(view["name"], state)
        # Views of before the seal had these fields and no others.
        is_old = set(state) == set(_state(KEY, {})) and view["createdAt"] == view["updatedAt"]
        if not is_sealed and not (is_old and view["name"] == NAMES[KEY]):
            return None
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    ours = {*COLUMNS, *LAST, "metrics.`val_loss`"}
    return [
        column[len("metrics.`") : -1] for column in columns if column not in ours and column.startswith("metrics.`")
    ]


def save_views(client: Any, experiment_id: str, metrics: Iterable[str] = (), wanted: bool = False) -> list[str]:
    """Makes the views through an MLflow client, or renews ours; returns the keys of those that were written.

    `metrics` are the names of a run's metrics: the user's own among them get columns. Where a view was deleted it is
    made again only if `wanted`.
    """
    if os.environ.get("TRACKER_NO_VIEW") == "1":
        return []
    tags = client.get_experiment(experiment_id).tags
    found = key_metrics(metrics)
    written = []
    for key in NAMES:
        there = tags.get(PREFIX + key)
        if there is None:
            if MADE in tags and not wanted and key in tags[MADE].split():
                continue
            value = view_value(key, found)
        else:
            shown = _unchanged(there)
            if shown is None:
                continue
            value = view_value(
                key, list(dict.fromkeys([*shown, *found]))[:THEIRS], json.loads(there)["createdAt"] / 1000
            )
            if value == there:
                continue
        client.set_experiment_tag(experiment_id, PREFIX + key, value)
        written.append(key)
    made = " ".join(NAMES)
    if tags.get(MADE) != made:
        client.set_experiment_tag(experiment_id, MADE, made)
    return written


def readable_views(client: Any, experiment_id: str) -> list[str]:
    """The keys of those of our views that are there, in a form which MLflow's UI can show.

    One that cannot be shown takes the UI to another page, or makes it fail, instead of showing the runs.
    """
    tags = client.get_experiment(experiment_id).tags
    return [key for key in NAMES if _is_readable(tags.get(PREFIX + key))]


def _is_readable(value: str | None) -> bool:
    try:
        stored = json.loads(value or "")["state"]
        if stored.startswith("deflate;"):  # as the UI itself writes it
            return True
        state = json.loads(stored)
        columns, groups = state.get("selectedColumns", []), state.get("groupBy")
        return (
            all(isinstance(column, str) for column in [*columns, *state.get("columnOrder", [])])
            and isinstance(columns, list)
            and isinstance(state.get("columnWidths", {}), dict)
            and (groups is None or isinstance(groups, str) or isinstance(groups["groupByKeys"], list))
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        return False


def view_link(base: str, experiment_id: str, key: str = "") -> str:
    """The address of the runs table, with a view if one is named, below the UI's address `base`.

    It leads to the pages for model training: those for language models, with which the UI begins, hide the runs.
    """
    page = f"{base.rstrip('/')}/#/experiments/{quote(str(experiment_id))}/runs"
    view = f"viewStateShareKey={key}&" if key else ""
    return f"{page}?{view}workflowType=machine_learning"
