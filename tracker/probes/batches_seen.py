"""Remembers which samples the latest batches were made of, so that a broken batch can be named."""

from __future__ import annotations

import weakref
from collections import deque
from typing import Any

from .probe import Probe, Tap

KEPT = 8
"""Batches that are remembered, beside those that workers fetch ahead."""

MOST_INDICES = 64
"""Indices of a batch that are told."""


class BatchesSeen(Probe):
    """The indices that the sampler of each loader gave out last. It draws none: it hears them given out.

    Workers are given their indices ahead of the batch they make; batches come in the order in which they were given
    out, so that the n-th batch of a pass is that of the n-th indices.
    """

    name = "batches-seen"
    taps = (Tap("torch.utils.data.dataloader:_BaseDataLoaderIter", "_next_index", after="given_out"),)

    def __init__(self, training: Any) -> None:
        super().__init__(training)
        self._latest: weakref.WeakKeyDictionary[Any, deque[tuple[int, Any]]] = weakref.WeakKeyDictionary()
        self._current: weakref.ref[Any] | None = None
        """The pass over a loader that asked last."""

    def given_out(self, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        """A loader's sampler gave out the indices of a batch."""
        iterator = args[0]
        self._current = weakref.ref(iterator)
        kept = self._latest.get(iterator)
        if kept is None:
            ahead = getattr(iterator, "_prefetch_factor", 0) or 0
            kept = deque(maxlen=KEPT + min(256, ahead * getattr(iterator, "_num_workers", 0)))
            self._latest[iterator] = kept
        # With workers the place in the pass is counted as indices are sent, without them as batches are given.
        number = getattr(iterator, "_send_idx", None)
        kept.append((iterator._num_yielded if number is None else number, result))

    def indices(self) -> list[int] | None:
        """The indices of the batch that was drawn last, at most `MOST_INDICES`; None when they are not known."""
        iterator = self._current() if self._current is not None else None
        if iterator is None:
            return None
        number = iterator._num_yielded - 1
        indices = next((given for place, given in reversed(self._latest[iterator]) if place == number), None)
        if not isinstance(indices, (list, tuple)) or not indices:
            return None
        try:
            return [int(index) for index in indices[:MOST_INDICES]]
        except (TypeError, ValueError):
            return None  # indices of a kind of the user's own, or of a data set that has none
