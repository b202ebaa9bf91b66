"""The few rows with the smallest keys, of all that batches offer: they stay where they are until all were seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

Fields = Mapping[str, torch.Tensor]
"""What is kept of rows: tensors (rows, ...) by name."""

_MOST_WAITING = 8
"""How many times as many rows as are wanted may wait, until those with larger keys are let go."""


class ChosenRows:
    """At most `most` rows. On a device nothing is waited for; on the CPU only rows that may be of them are copied."""

    def __init__(self, most: int, below: int | None = None) -> None:
        """Rows whose keys are not `below` need not be taken, where it is known."""
        self.most = most
        self._bar: float | None = below
        self._best: list[float] = []
        self._parts: list[tuple[torch.Tensor, Fields]] = []
        self._rows = 0

    def offer(self, keys: torch.Tensor, fields_of: Callable[[torch.Tensor], Fields]) -> None:
        """Takes rows with these keys (N,), no NaN among them; `fields_of(places)` makes copies of some of them."""
        if not len(keys):
            return
        if keys.is_cpu and self._bar is not None:
            places = (keys < self._bar).nonzero().squeeze(1)
            if not len(places):
                return
            if len(places) > self.most:
                places = places[torch.topk(keys[places], self.most, largest=False).indices]
        else:
            places = torch.topk(keys, min(self.most, len(keys)), largest=False).indices
        chosen, fields = keys[places], fields_of(places)
        if self._parts and not _lie_alike(self._parts[0], (chosen, fields)):
            return  # samples of another kind, which cannot lie beside these
        self._parts.append((chosen, fields))
        self._rows += len(chosen)
        if chosen.is_cpu:
            self._best = sorted(self._best + chosen.tolist())[: self.most]
            if len(self._best) == self.most:
                self._bar = self._best[-1]
        if self._rows > _MOST_WAITING * self.most:
            self._join()

    def fields(self) -> dict[str, torch.Tensor]:
        """What is kept of them, in the order of their keys."""
        self._join()
        return dict(self._parts[0][1]) if self._parts else {}

    def _join(self) -> None:
        if not self._parts:
            return
        keys = torch.cat([keys for keys, _ in self._parts])
        best = torch.topk(keys, min(self.most, len(keys)), largest=False)
        fields = {name: torch.cat([part[name] for _, part in self._parts])[best.indices] for name in self._parts[0][1]}
        self._parts, self._rows = [(best.values, fields)], len(best.values)


def _lie_alike(one: tuple[torch.Tensor, Fields], other: tuple[torch.Tensor, Fields]) -> bool:
    return one[0].device == other[0].device and all(
        values.shape[1:] == other[1][name].shape[1:] for name, values in one[1].items()
    )
