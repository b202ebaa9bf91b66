"""What tables of vectors are asked for: a vocabulary of which only the unknown word is ever used shows here."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from ..rules.engine.records import Json
from . import nodes
from .nodes import inputs, kind
from .parameters import is_real

WATCHED = frozenset({"Embedding", "EmbeddingBag"})
"""Operations that a walk keeps for this module."""
TELLS_AT = 8
"""Looks after which a table that is asked for next to nothing is told of ahead of the end."""

_MOST_TABLES = 16
_MOST_LOOKS = 64
_MOST_ROWS = 64
_MOST_ELEMENTS = 1 << 16
_MOST_IDS, _MOST_FORMS = 4, 2
"""A start, an unknown word, an end and a filler make four ids; with and without the filler, two forms."""


@dataclass
class _Table:
    weight: weakref.ref[torch.Tensor]
    rows: int
    looks: int = 0
    ids: set[int] = field(default_factory=set)
    forms: set[tuple[int, ...]] = field(default_factory=set)
    across: set[tuple[int, ...]] = field(default_factory=set)
    """The forms where positions stand in the first dimension."""
    is_counted: bool = True
    """Whether all indices only ever counted upwards: positions, which are the same for every sample."""
    name: str = ""

    @property
    def n_forms(self) -> int:
        return min(len(self.forms), len(self.across))

    @property
    def is_varied(self) -> bool:
        return len(self.ids) > _MOST_IDS or self.n_forms > _MOST_FORMS


class Lookups:
    """The ids that each table was asked for, until they differ."""

    def __init__(self) -> None:
        self._tables: dict[int, _Table] = {}

    @property
    def is_open(self) -> bool:
        """Whether to look again: some ids are still all alike."""
        return any(not one.is_counted and not one.is_varied and one.looks < _MOST_LOOKS for one in self._all())

    def look(self, watched: list[Any]) -> bool:
        """Take in the look-ups of one graph; whether there is something to tell anew."""
        seen: dict[int, tuple[int, bool]] = {}
        for node in watched:
            if kind(node) not in WATCHED:
                continue
            behind = inputs(node)[0]
            indices = nodes.saved(node, "indices")
            if behind is None or kind(behind) != "AccumulateGrad" or not isinstance(indices, torch.Tensor):
                continue
            if not indices.is_cpu or not 0 < indices.numel() <= _MOST_ELEMENTS:
                continue
            weight = behind.variable
            if not is_real(weight):
                continue
            table = self._tables.get(id(weight))
            if table is None or table.weight() is not weight:
                if len(self._tables) >= _MOST_TABLES:
                    continue
                table = self._tables[id(weight)] = _Table(weakref.ref(weight), len(weight))
            if id(weight) not in seen:
                seen[id(weight)] = (table.looks, table.is_varied)
                table.looks += 1
            _note(table, node, indices)
        return any(
            (looks >= TELLS_AT and self._tables[key].is_varied and not was_varied)
            or (looks == TELLS_AT - 1 and not self._tables[key].is_varied)
            for key, (looks, was_varied) in seen.items()
        )

    def told(self, names: Mapping[int, str]) -> list[Json]:
        """The part `lookups` of the fact `graph`; `names` of weights by `id`, where they are known by now."""
        for key, one in self._tables.items():
            one.name = names.get(key) or one.name
        return [
            {
                "table": one.name or f"[{one.rows} rows]",
                "rows": one.rows,
                "looks": one.looks,
                "ids": list[Json](sorted(one.ids)[: _MOST_IDS + 1]),
                "forms": min(one.n_forms, _MOST_FORMS + 1),
                "positions": one.is_counted,
            }
            for one in self._all()
        ]

    def _all(self) -> list[_Table]:
        return list(self._tables.values())


def _note(table: _Table, node: Any, indices: torch.Tensor) -> None:
    if table.is_counted:
        table.is_counted = kind(node) == "Embedding" and _counts(indices)
    if table.is_varied:
        return
    table.ids.update(torch.unique(indices)[: _MOST_IDS + 1].tolist())
    if len(table.ids) > _MOST_IDS:
        return
    rows = across = _rows(node, indices)
    if indices.dim() == 2 and kind(node) == "Embedding":
        across = indices.t()[:_MOST_ROWS].tolist()
    table.forms.update(_form(row) for row in rows if row)
    table.across.update(_form(row) for row in across if row)


def _counts(indices: torch.Tensor) -> bool:
    """Whether indices, (T,) or (..., T), count upwards by one, in every row from the same number on."""
    rows = indices.reshape(-1, indices.shape[-1]) if indices.dim() else indices.reshape(1, 1)
    return rows.shape[1] > 1 and bool((rows == rows[:1]).all()) and bool((rows[0].diff() == 1).all())


def _rows(node: Any, indices: torch.Tensor) -> list[list[int]]:
    """The ids of some samples, one list for each; one id each where they stand in a row (N,)."""
    if kind(node) == "EmbeddingBag":
        offsets = nodes.saved(node, "offsets")
        if isinstance(offsets, torch.Tensor) and offsets.dim() == 1 and len(offsets):
            starts = offsets[: _MOST_ROWS + 1].tolist()
            ends = [*starts[1:], indices.numel()]
            flat = indices.reshape(-1)
            return [flat[a:b].tolist() for a, b in zip(starts, ends, strict=True)][:_MOST_ROWS]
    if indices.dim() < 2:
        return [[one] for one in indices.reshape(-1).tolist()]
    found: list[list[int]] = indices.reshape(-1, indices.shape[-1])[:_MOST_ROWS].tolist()
    return found


def _form(row: list[int]) -> tuple[int, ...]:
    """A row without its repetitions: samples that differ in nothing but lengths have the same."""
    return tuple(one for one, before in zip(row, [None, *row], strict=False) if one != before)
