"""Digests the weights: at the first step, at epochs where the model is small enough, and at the end."""

from __future__ import annotations

from typing import Any

from .parameters import DIGEST_BYTES, digest
from .probe import Probe


class Weights(Probe):
    """The fact `weights`: digest at the start, the latest digest, and after how many steps it was taken."""

    name = "weights"

    def __init__(self, training: Any) -> None:
        super().__init__(training)
        self._start: str | None = None
        self._latest: tuple[str, int] | None = None

    def adopted(self) -> None:
        held = self.training.owned
        if self.training.step == 0 and all(o.is_real() for o in held) and sum(o.size() for o in held) <= DIGEST_BYTES:
            self._start = digest(item for owned in held for item in owned.items())

    def end_epoch(self) -> None:
        if self.training.session.clock.source != "steps":  # those are too many, and end nothing
            self._take(DIGEST_BYTES)

    def finish(self) -> None:
        self._take(None)
        if self._latest is not None:
            digest_now, steps = self._latest
            self.journal.fact("weights", self.training.done, {"start": self._start, "end": digest_now, "step": steps})

    def _take(self, most: int | None) -> None:
        held, steps = self.training.owned, self.training.done
        if not held or (self._latest is not None and self._latest[1] == steps):
            return
        if all(owned.is_whole() and owned.is_real() for owned in held) and (
            most is None or sum(owned.size() for owned in held) <= most
        ):
            self._latest = (digest(item for owned in held for item in owned.items()), steps)
