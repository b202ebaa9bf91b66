"""Texts that a loader gives beside its tensors: what a sample was before it became numbers."""

from __future__ import annotations

import weakref
from typing import Any

from .drawn import Drawn
from .sample_inputs import MOST_TEXT

_MOST_ITEMS = 16


class SampleTexts:
    """The texts of the latest batch. Of a loader whose first batch has none, no further one is looked into."""

    def __init__(self) -> None:
        self._iterator = 0
        """`id` of the pass whose batches have texts."""
        self._drawn: weakref.ref[Drawn] | None = None
        self._texts: list[str] = []

    def is_of(self, iterator: Any) -> bool:
        """Whether the batches of a pass over a loader have texts."""
        return self._iterator == id(iterator)

    def note(self, iterator: Any, batch: Any, drawn: Drawn | None) -> None:
        """A loader gave a batch, which is known as `drawn`."""
        self._texts = _texts_in(batch)
        self._iterator = id(iterator) if self._texts else 0
        self._drawn = weakref.ref(drawn) if drawn is not None else None

    def of(self, drawn: Drawn | None, samples: int) -> list[str]:
        """The texts of a batch of so many samples; none where they are not known."""
        is_it = drawn is not None and self._drawn is not None and self._drawn() is drawn
        return self._texts if is_it and len(self._texts) == samples else []


def _texts_in(batch: Any) -> list[str]:
    """The first list of texts in a batch, each as far as it is kept."""
    items: list[Any] = []
    if isinstance(batch, (list, tuple)):
        items = list(batch[:_MOST_ITEMS])
    elif isinstance(batch, dict):
        items = list(dict.values(batch))[:_MOST_ITEMS]
    for item in items:
        if isinstance(item, (list, tuple)) and item and all(type(one) is str for one in item):
            return [one[:MOST_TEXT] for one in item]
    return []
