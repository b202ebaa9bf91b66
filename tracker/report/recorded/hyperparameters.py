"""What the run was given: parameters, arguments, settings of optimizers, schedulers and loaders."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..blocks import Block
from .forms import cut_table, flat, table_in

_TITLES = {"params": "given to the run", "args": "arguments of the script", "const": "constants of the script"}


def blocks(captured: Mapping[str, Any]) -> list[Block]:
    """A table for each source of hyperparameters; nothing where none was captured."""
    tables = {"params": table_in(captured, "run.json", "params"), **table_in(captured, "hyperparameters.json")}
    found: list[Block] = []
    for name, value in tables.items():
        rows = [(key, _setting(one)) for key, one in flat(value)]
        found += cut_table(("name", "value"), rows, caption=_TITLES.get(name, name))
    return found


def params_table(params: Mapping[str, str]) -> list[Block]:
    """The same of a run of which only MLflow's parameters are known."""
    return list(cut_table(("name", "value"), sorted(params.items())))


def _setting(value: object) -> str:
    if value is None:
        return "none"
    return value if isinstance(value, str) else json.dumps(value, default=str)
