"""Kinds of optimizers that several rules tell apart."""

from __future__ import annotations

from collections.abc import Mapping

from .records import Json
from .tables import tables, text
from .trace import Trace

SCALE_FREE = frozenset(
    {"adam", "adamw", "nadam", "radam", "adamax", "sparseadam", "adam8bit", "adamw8bit", "lion", "rmsprop"}
)
"""Optimizers that divide by the size of the gradient: a factor of the loss changes nothing. Lower case."""

SGD_LIKE = frozenset({"sgd", "asgd"})
"""Optimizers whose steps are as long as the gradient, times the rate. Lower case."""


def optimizers_of(trace: Trace) -> list[Mapping[str, Json]]:
    """The table of each optimizer that has stepped."""
    return [one for one in tables(trace.facts.get("optimizer")) if text(one.get("class"))]


def kind_of(optimizer: Mapping[str, Json]) -> str:
    """The class of an optimizer, without its module, in lower case."""
    return text(optimizer.get("class")).rpartition(".")[2].lower()
