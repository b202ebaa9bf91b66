"""Filters of the first layer, from stored facts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...rules.engine.tables import number, text
from ..drawing.pictures import around_zero, png, side_by_side, stored_pixels
from ..gathering.gathered import Gathered

Values = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Filters:
    """Filters at a step, `values[filter, row, column, channel]`."""

    step: int
    layer: str
    count: int
    """Of the layer; the first ones are kept."""
    values: Values

    @property
    def kept(self) -> int:
        """Filters that are there."""
        return len(self.values)

    @property
    def height(self) -> int:
        """Pixels."""
        return int(self.values.shape[1])

    @property
    def width(self) -> int:
        """Pixels."""
        return int(self.values.shape[2])

    @property
    def channels(self) -> int:
        """1 or 3."""
        return int(self.values.shape[3])

    def change_from(self, before: Filters) -> float:
        """Length of the change over the length before."""
        if before.values.shape != self.values.shape:
            return math.nan
        return float(np.linalg.norm(self.values - before.values) / (np.linalg.norm(before.values) or 1.0))

    def picture(self, most: float, width: int) -> str:
        """Base64 of a picture of all of them, about `width` pixels wide; values of `most` have the full colour."""
        if self.channels == 3:
            shown = np.clip((self.values / (most or 1.0) + 1) * 127.5, 0, 255).astype(np.uint8)
        else:
            shown = around_zero(self.values[..., 0], most)
        columns = math.ceil(math.sqrt(self.kept))
        zoom = max(1, width // (columns * (self.width + max(1, self.width // 5))))
        return png(side_by_side(list(shown), columns, zoom))


def filters_of(gathered: Gathered) -> list[Filters]:
    """All that are kept of the layer that was told of last, oldest first."""
    found = []
    for step, fact in gathered.filters.all:
        sizes = [fact.get(name) for name in ("kept", "height", "width", "channels")]
        pixels = stored_pixels(fact.get("pixels"), *sizes)
        low, high = number(fact.get("low")), number(fact.get("high"))
        if pixels is None or low is None or high is None or high < low or pixels.shape[3] not in (1, 3):
            continue
        if pixels.shape[0] > 64 or max(pixels.shape[1:3]) > 64:
            continue
        values = low + pixels.astype(np.float64) / 255 * (high - low)
        layer = text(fact.get("layer")) or text(fact.get("parameter"))
        found.append(Filters(step, layer, int(number(fact.get("count")) or len(pixels)), values))
    return [one for one in found if one.layer == found[-1].layer and one.values.shape == found[-1].values.shape]
