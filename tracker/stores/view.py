"""A saved view of the runs table in MLflow's UI, with the columns of the verdict.

MLflow keeps a saved view as an experiment tag. Its form is not documented; it was read from the UI of MLflow 3.17 and
tried in a browser. So a view is made only where there is none, never changed, and can be left out by setting
TRACKER_NO_VIEW=1.
"""

from __future__ import annotations

import json
import os
import time
from typing import Any
from urllib.parse import quote

KEY = "soundrun"
TAG = f"mlflow.sharedViewState.{KEY}"
NAME = "Verdicts"
MAX_VALUE = 20_000
"""Characters an experiment tag may have."""

COLUMNS = {
    "tags.`suspicious`": 100,
    "tags.`rules.fired`": 200,
    "tags.`reproducible`": 110,
    "tags.`repro.grade`": 100,
    "metrics.`rules/worst`": 105,
    "metrics.`train/loss`": 110,
    "metrics.`val_loss`": 110,
}
"""Columns in the UI's notation (the kind, a dot, the name in backticks), in order, with their widths in pixels."""


def view_value(now: float | None = None) -> str:
    """The value of the tag; `now` in Unix seconds."""
    state: dict[str, Any] = {
        "searchFilter": "",
        "orderByKey": "attributes.start_time",
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": list(COLUMNS),
        "columnOrder": list(COLUMNS),
        "columnWidths": COLUMNS,
    }
    created = round((time.time() if now is None else now) * 1000)
    return json.dumps({"name": NAME, "createdAt": created, "updatedAt": created, "state": json.dumps(state)})


def save_view(client: Any, experiment_id: str) -> bool:
    """Makes the view through an MLflow client; False when the experiment has it already or it is switched off."""
    if os.environ.get("TRACKER_NO_VIEW") == "1":
        return False
    experiment = client.get_experiment(experiment_id)
    if TAG in experiment.tags:
        return False
    client.set_experiment_tag(experiment_id, TAG, view_value())
    return True


def view_link(base: str, experiment_id: str) -> str:
    """The address of the runs table with the view, below the UI's address `base`."""
    return f"{base.rstrip('/')}/#/experiments/{quote(str(experiment_id))}/runs?viewStateShareKey={KEY}"
