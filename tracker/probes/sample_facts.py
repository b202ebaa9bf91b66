"""Writes what is kept of held-out samples, within what a run may take for it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

from .looked_at import LookedAt, Row

if TYPE_CHECKING:
    from ..rules.engine.records import Json
    from .training import Training

MOST_FACTS, MOST_BYTES, MOST_TOGETHER = 200, 20_000, 2_000_000
"""Facts `sample` of a run, bytes of one, and bytes of all facts that are written here."""

_MEANWHILE, _INPUTS = 0.85, 0.6
"""Part of these that may be used before the run ends, so that its last evaluation can be told, and part of the bytes
that is for inputs by then."""

_BYTES = 12
"""Bytes that a number of an entry takes on average."""


class SampleFacts:
    """The facts `sample`, `predictions` and `saliency` of a run (see `Samples`)."""

    def __init__(self, training: Training) -> None:
        self.is_over = False
        """Whether what is written is of the last evaluation: then all that is left may be used."""
        self._training = training
        self._kept: set[str] = set()
        self._bytes = 0

    def tell(self, look: LookedAt) -> bool:
        """Writes an evaluation and the samples of it that are new; False when there is no room for it."""
        told: dict[str, Json] = {
            "split": look.split,
            "fixed": [row.entry for row in look.fixed],
            "worst": [row.entry for row in look.worst],
        }
        size = sum(_numbers_in(row.entry) for row in (*look.fixed, *look.worst)) * _BYTES
        if not self._has_room(size):
            self._training.unseen(
                "predictions",
                f"The {MOST_TOGETHER:,} bytes of a run that are for what the model says of single samples are nearly "
                "used up: of further evaluations only the last one is told.",
            )
            return False
        self._write("predictions", look.step, told, size)
        self.keep(look)
        return True

    def keep(self, look: LookedAt) -> None:
        """Writes the samples of an evaluation that were not written yet."""
        for why, rows in (("fixed", look.fixed), ("worst", look.worst)):
            self._keep(look, rows, why)

    def _keep(self, look: LookedAt, rows: Iterable[Row], why: str) -> None:
        new = [row for row in rows if row.id not in self._kept]
        for row in new:
            sample = row.sample(look.split, why, look.picture)
            size = len(json.dumps(sample))
            if len(self._kept) >= self._share * MOST_FACTS or not self._has_room(size, _INPUTS):
                self._training.unseen(
                    "sample inputs",
                    "As many inputs of held-out samples were kept as a run may have: of further ones there is only "
                    "what the model says of them, but for those of the last evaluation.",
                )
                return
            if size <= MOST_BYTES:
                self._kept.add(row.id)
                self._write("sample", look.step, sample, size)

    def saliency(self, told: dict[str, Json]) -> None:
        """Writes what one answer hangs on."""
        size = len(json.dumps(told))
        if self._has_room(size):
            self._write("saliency", self._training.last_step, told, size)

    @property
    def _share(self) -> float:
        return 1.0 if self.is_over else _MEANWHILE

    def _has_room(self, size: int, meanwhile: float = _MEANWHILE) -> bool:
        return self._bytes + size <= (1.0 if self.is_over else meanwhile) * MOST_TOGETHER

    def _write(self, name: str, step: int, value: dict[str, Json], size: int) -> None:
        self._bytes += size
        self._training.journal.fact(name, step, value)


def _numbers_in(entry: dict[str, Json]) -> int:
    """About how many numbers an entry has, names included."""
    lists = (entry["target"], entry["predicted"], entry.get("top"))
    return 8 + sum(2 * len(value) for value in lists if isinstance(value, list))
