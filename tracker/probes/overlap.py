"""Samples of the training and of each held-out set, by their digests: how many are on both sides."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch

from . import digests

if TYPE_CHECKING:
    from ..rules.engine.records import Json
    from .twins import Sketched, Twins

MOST_SAMPLES = 4096
"""Training samples, and samples of each held-out set, that are digested: 4096 of either take a few milliseconds."""

FEW = math.log(1e6)
"""Logarithm of the number of different samples there can be, below which equal ones are no surprise."""

_CONTINUOUS = 0.5
"""Share of the values of a batch that must be different for them to be measured ones, not levels or counts."""


class Samples(NamedTuple):
    """Samples of a batch, as they are compared."""

    digests: list[int]
    sketched: Sketched | None = None
    """Where near twins are looked for: those of them that are new."""


class Overlap:
    """What the digests of samples tell: those of the training, those of each held-out set, and what is in both."""

    def __init__(self, finds_near: bool = False) -> None:
        """With `finds_near`, samples are compared by what they are like, too."""
        self.trained: set[int] = set()
        """Digests of the samples that were trained on."""
        self.held_out: dict[str, set[int]] = {}
        """Digests of the samples of each held-out set, by its name."""
        self.batches = 0
        """Batches of the training whose samples were taken."""
        self._duplicates = 0
        self._is_few: bool | None = None
        self._is_continuous = False
        self._twins: Twins | None = None
        if finds_near:
            from .twins import Twins  # numpy is loaded for those who ask for it

            self._twins = Twins()

    @property
    def room(self) -> int:
        """Samples of the training that may still be digested."""
        return MOST_SAMPLES - len(self.trained)

    def look(self, inputs: torch.Tensor, most: int, places: Callable[[], Sequence[int] | None]) -> Samples:
        """Looks at the first `most` samples of inputs (N, ...); `places` tells their indices in their data set."""
        found = digests.of_samples(inputs, most)
        return Samples(found, self._twins.sketch(inputs, found, places()) if self._twins is not None else None)

    def note_kind(self, inputs: torch.Tensor) -> None:
        """Learns from the first inputs, whose first axis is the samples, what kind of values a sample has."""
        if self._is_few is None and inputs.is_cpu and len(inputs) > 1:
            part = inputs.detach()[:64].reshape(min(len(inputs), 64), -1)
            values = part[:, :4096].reshape(-1).tolist()
            different = len(set(values))
            self._is_few = part.shape[1] * math.log(max(different, 2)) < FEW
            self._is_continuous = part.is_floating_point() and different > _CONTINUOUS * len(values)

    def train_on(self, samples: Samples, counts_duplicates: bool) -> None:
        """Takes samples that are trained on."""
        before = len(self.trained)
        self.trained.update(samples.digests)
        if counts_duplicates:
            self._duplicates += len(samples.digests) - (len(self.trained) - before)
        if self._twins is not None and samples.sketched is not None:
            self._twins.train_on(samples.sketched)

    def hold_out(self, split: str, samples: Samples) -> None:
        """Takes samples of a held-out set."""
        known = self.held_out.setdefault(split, set())
        known.update(samples.digests[: MOST_SAMPLES - len(known)])
        if self._twins is not None and samples.sketched is not None:
            self._twins.hold_out(split, samples.sketched)

    def forget(self, split: str) -> None:
        """What passed for a held-out set is trained on."""
        self.held_out.pop(split, None)
        if self._twins is not None:
            self._twins.forget(split)

    def seen_share(self, samples: Samples) -> float:
        """Share of samples that training has seen, 0 to 1."""
        found = samples.digests
        return sum(sample in self.trained for sample in found) / len(found) if found else 0.0

    def shared(self) -> dict[str, tuple[int, int]]:
        """(samples, those of them that training has seen) of each held-out set with any."""
        if not self.trained:
            return {}
        return {split: (len(own), len(own & self.trained)) for split, own in self.held_out.items() if own}

    def described(self) -> dict[str, Json]:
        """The value of the fact `overlap`."""
        found: dict[str, Json] = {
            "train_samples": len(self.trained),
            "train_duplicates": self._duplicates,
            "train_batches": self.batches,
            "is_few": bool(self._is_few),
            "is_continuous": self._is_continuous,
        }
        for split, (samples, shared) in self.shared().items():
            found[split] = {"samples": samples, "shared": shared}
        return found

    def near(self) -> dict[str, Json] | None:
        """At the end of an epoch, the value of the fact `near`; None when it is not asked for, or nothing is new."""
        if self._twins is None:
            return None
        self._twins.end_epoch()
        return self._twins.described()


def nowhere() -> None:
    """The indices of samples that come from no loader: not known."""
