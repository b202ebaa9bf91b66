"""Near twins: held-out samples that are far nearer to a sample of the training than samples of this data are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from .sketches import Sketcher

if TYPE_CHECKING:
    from ..rules.engine.records import Json

MOST = 2048
"""Samples of the training, and of each held-out set, that are compared: 1 MiB of sketches for each."""
MOST_SETS = 4
LEAST = 100
"""Samples of the training needed: of fewer, the neighbours of a sample do not tell how dense the data is."""

NEAR, FAR = 8, 32
"""The neighbours between which the density around a sample is measured; the nearer ones may be copies of it."""
BY_CHANCE = 5e-3
"""Share of samples that come out as twins in data that is as dense near a sample as a little further away."""
MOST_RATIO = 1 / 3
"""Distance to the nearest sample over that to the `NEAR`th, above which it is no twin whatever the density: data of
many dimensions is spread so evenly that less is rare too."""

_GROWTH = 1.2
"""How many times as many samples one side must have before all are compared again: it takes a tenth of a second."""
_BLOCK = 256


class Sketched(NamedTuple):
    """Samples that were looked at, and are not known to be trained on or held out yet."""

    digests: list[int]
    sketches: Any
    places: list[int | None]
    """Index of each in the data set of its loader; None where it is not known."""
    has_known: bool
    """Whether others of the batch were there before, value by value: then nothing is augmented, or little."""


class _Set:
    """Samples of one split."""

    def __init__(self) -> None:
        self.digests: list[int] = []
        self.places: list[int | None] = []
        self.parts: list[Any] = []

    def add(self, found: Sketched) -> None:
        room = MOST - len(self.digests)
        self.digests += found.digests[:room]
        self.places += found.places[:room]
        if room > 0:
            self.parts.append(found.sketches[:room])

    def rows(self) -> Any:
        return np.concatenate(self.parts)


class Twins:
    """The sketches of both sides, and what a comparison of them says.

    Of a training with augmentation, the samples of the first epoch are kept: those of later epochs are twins of theirs.
    A copy that is equal value by value is no near twin, and is counted elsewhere.
    """

    def __init__(self) -> None:
        self._sketcher = Sketcher()
        self._known: set[int] = set()
        self._trained = _Set()
        self._held_out: dict[str, _Set] = {}
        self._told: tuple[int, ...] = ()
        self._is_open = True

    def sketch(self, rows: torch.Tensor, digests: Sequence[int], places: Sequence[int] | None) -> Sketched | None:
        """Sketches of the samples that are new, of the first `len(digests)` of the rows; None when there are none."""
        if not digests or (len(self._trained.digests) >= MOST and len(self._held_out) >= MOST_SETS):
            return None
        new = [at for at, digest in enumerate(digests) if digest not in self._known][:MOST]
        if not new:
            return None
        part = rows[: len(digests)]
        sketches = self._sketcher.of_samples(part if len(new) == len(part) else part[new])
        if sketches is None:
            return None
        where = [places[at] if places is not None and at < len(places) else None for at in new]
        return Sketched([digests[at] for at in new], sketches, where, len(new) < len(digests))

    def train_on(self, found: Sketched) -> None:
        """The samples are trained on."""
        if (self._is_open or found.has_known) and len(self._trained.digests) < MOST:
            self._trained.add(found)
            self._known.update(found.digests)

    def hold_out(self, split: str, found: Sketched) -> None:
        """The samples belong to a held-out set."""
        if split in self._held_out or len(self._held_out) < MOST_SETS:
            self._held_out.setdefault(split, _Set()).add(found)
            self._known.update(found.digests)

    def forget(self, split: str) -> None:
        """What passed for a held-out set is trained on."""
        gone = self._held_out.pop(split, None)
        if gone is not None:
            self._known.difference_update(gone.digests)

    def end_epoch(self) -> None:
        """An epoch is over: what is trained on from now on may be what was, augmented anew."""
        self._is_open = self._is_open and len(self._trained.digests) < LEAST

    def described(self) -> dict[str, Json] | None:
        """The value of the fact `near`; None when little is new since it was told last."""
        counts = (len(self._trained.digests), *(len(one.digests) for one in self._held_out.values()))
        is_compared = len(counts) == len(self._told) and self._told[0] >= LEAST
        grown = any(n > _GROWTH * told for n, told in zip(counts, self._told, strict=False))
        if counts == self._told or (is_compared and not grown):
            return None
        self._told = counts
        found: dict[str, Json] = {"kind": self._sketcher.kind, "train_samples": counts[0]}
        if self._sketcher.kind is None:
            return {**found, "why": self._sketcher.why}
        if counts[0] < LEAST:
            return {**found, "why": f"{counts[0]} samples of the training were compared; {LEAST} are needed"}
        with np.errstate(all="ignore"):
            return {**found, **self._compared()}

    def _compared(self) -> dict[str, Json]:
        trained = self._trained.rows()
        own = _nearest(trained, trained, self._trained.digests, self._trained.digests)
        dimension = _dimension(own.distances)
        if dimension is None:
            return {"why": "the samples of the training are all as far from each other, or equal"}
        bar = min(MOST_RATIO, _ratio(dimension))
        found: dict[str, Json] = {
            "train_twins": int(_are_twins(own.distances, bar).sum()),
            "dimension": dimension,
            "by_chance": BY_CHANCE,
        }
        for split, held in self._held_out.items():
            if not held.digests:
                continue
            near = _nearest(held.rows(), trained, held.digests, self._trained.digests)
            are_twins = _are_twins(near.distances, bar)
            about: dict[str, Json] = {"samples": len(held.digests), "twins": int(are_twins.sum())}
            if are_twins.any():
                ratios = np.where(are_twins, near.distances[:, 0] / near.distances[:, NEAR - 1], np.inf)
                example = int(ratios.argmin())
                about |= {
                    "distance": float(np.median(near.distances[are_twins, 0])),
                    "usual": float(np.median(near.distances[are_twins, NEAR - 1])),
                    "example": [held.places[example], self._trained.places[int(near.indices[example])]],
                }
            found[split] = about
        return found


class _Nearest(NamedTuple):
    distances: Any
    """(n, FAR), from the nearest on; NaN for samples that cannot be compared."""
    indices: Any
    """(n,): the nearest."""


def _nearest(rows: Any, others: Any, digests: Sequence[int], other_digests: Sequence[int]) -> _Nearest:
    """The `FAR` nearest of `others` to each row, without those of the same digest."""
    is_usable = np.isfinite(others).all(1)
    places: dict[int, list[int]] = {}
    for at, digest in enumerate(other_digests):
        places.setdefault(digest, []).append(at)
    others = np.where(is_usable[:, None], others, 0.0)
    lengths = (others**2).sum(1)
    distances, indices = [], []
    for start in range(0, len(rows), _BLOCK):
        part = rows[start : start + _BLOCK]
        squares = (part**2).sum(1)[:, None] - 2 * part @ others.T + lengths
        squares[:, ~is_usable] = np.inf
        for at, digest in enumerate(digests[start : start + _BLOCK]):
            if digest in places:
                squares[at, places[digest]] = np.inf
        squares = np.where(np.isfinite(part).all(1, keepdims=True), squares, np.inf)
        few = np.sort(np.partition(squares, FAR - 1, axis=1)[:, :FAR], axis=1)
        distances.append(np.sqrt(np.maximum(few, 0.0)))
        indices.append(squares.argmin(1))
    found = np.concatenate(distances)
    return _Nearest(np.where(np.isfinite(found), found, np.nan), np.concatenate(indices))


def _dimension(distances: Any) -> float | None:
    """How many dimensions the data fills around its samples; None when that cannot be told.

    Levina and Bickel's estimate (2005), from the neighbours `NEAR` to `FAR` of each sample, so that copies of it do not
    count; the median over the samples. In one dimension the logarithm of the `FAR`th distance over the jth is on
    average the sum of 1 / i from j to `FAR` - 1.
    """
    expected = np.cumsum(1 / np.arange(FAR - 1, NEAR - 1, -1)).mean()
    means = np.log(distances[:, FAR - 1 :] / distances[:, NEAR - 1 : FAR - 1]).mean(1)
    means = means[np.isfinite(means) & (means > 0)]
    return float(expected / np.median(means)) if len(means) >= LEAST // 2 else None


def _ratio(dimension: float) -> float:
    """Distance to the nearest over that to the `NEAR`th that a share `BY_CHANCE` of samples falls below.

    Where samples lie evenly, the ratio to the power of the dimension is the least of `NEAR` - 1 even numbers.
    """
    return float((1 - (1 - BY_CHANCE) ** (1 / (NEAR - 1))) ** (1 / dimension))


def _are_twins(distances: Any, bar: float) -> Any:
    return distances[:, 0] < bar * distances[:, NEAR - 1]
