"""Reads facts defensively: a fact may be missing, a table, a list of tables, or anything else in a stored run."""

from __future__ import annotations

import math
from collections.abc import Mapping

from .records import Json
from .trace import Trace


def table(value: object) -> Mapping[str, Json]:
    """The value if it is a table, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def tables(value: object) -> list[Mapping[str, Json]]:
    """Every table in the value: itself, or those in a list."""
    if isinstance(value, Mapping):
        return [value]
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def number(value: object) -> float | None:
    """A finite number; None for anything else, True and False included."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)


def text(value: object) -> str:
    """The value if it is a string, else an empty one."""
    return value if isinstance(value, str) else ""


def texts(value: object) -> list[str]:
    """The strings in a list."""
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def shape(value: object) -> list[int]:
    """The whole numbers of a list: a shape. Empty for anything else."""
    if not isinstance(value, list) or not all(isinstance(one, int) and not isinstance(one, bool) for one in value):
        return []
    return [one for one in value if isinstance(one, int)]


def losses_of(trace: Trace) -> list[Mapping[str, Json]]:
    """The table of each kind of loss, of the fact `loss`."""
    return [one for one in tables(trace.facts.get("loss")) if text(one.get("function"))]


def targets_of(trace: Trace, function: str) -> Mapping[str, Json]:
    """What the loss function was given, of the fact `targets`; empty when it is not known."""
    return next((one for one in tables(trace.facts.get("targets")) if one.get("function") == function), {})


def layers_of(trace: Trace) -> dict[str, Mapping[str, Json]]:
    """Every leaf module of the models, by its whole name, in the order of registration, of the fact `model`."""
    found: dict[str, Mapping[str, Json]] = {}
    for model in table(trace.facts.get("model")).values():
        for name, leaf in table(table(model).get("layers")).items():
            found[name] = table(leaf)
    return found
