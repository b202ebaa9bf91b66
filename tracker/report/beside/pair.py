"""The two runs that a page shows beside each other."""

from __future__ import annotations

from dataclasses import dataclass

from ...compare.runs import RunComparison
from ...compare.streams import Difference
from ..gathering.sources import Source


@dataclass(frozen=True)
class Pair:
    """Runs A and B, and all that differs between them."""

    a: Source
    b: Source
    comparison: RunComparison

    @property
    def first(self) -> Difference | None:
        """The earliest number whose bits differ."""
        return self.comparison.numbers.first_difference
