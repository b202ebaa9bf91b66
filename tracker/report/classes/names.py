"""What the classes are called: as the user named them, or by their numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..drawing.lines import shortened
from ..gathering.sources import Source

LONGEST = 24
"""Letters of a name in a sentence; what is longer has an ellipsis in its middle."""

_MOST = 10_000


class ClassNames:
    """Names of classes by their number. What has no name is called by its number."""

    def __init__(self, names: Mapping[int, str] | None = None) -> None:
        self._names = dict(names or {})

    def __call__(self, number: object, longest: int = LONGEST) -> str:
        """The name, short enough for a sentence or a label; of a class that is told as text, that text."""
        if isinstance(number, float) and number.is_integer():
            number = int(number)
        if isinstance(number, str) and number.isdecimal() and len(number) < 6:
            number = int(number)
        known = self._names.get(number) if isinstance(number, int) else None
        return shortened(str(known if known is not None else number)[:_MOST], longest)

    @property
    def are_known(self) -> bool:
        """Whether any class has a name that is not its number."""
        return bool(self._names)


def names_of_classes(source: Source) -> ClassNames:
    """The names that came with the class weights, in the order of the labels."""
    for given in (_rows(source.captured.get("class_weights.json")), source.gathered.facts.get("class_weights")):
        if isinstance(given, dict) and given and not all(str(name).isdecimal() for name in given):
            return ClassNames({number: str(name) for number, name in enumerate(given)})
    return ClassNames()


def _rows(table: Any) -> dict[str, Any] | None:
    rows = table.get("classes") if isinstance(table, dict) else None
    if not isinstance(rows, list):
        return None
    return {str(row.get("class")): row for row in rows if isinstance(row, dict)}
