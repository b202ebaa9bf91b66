"""Whether a single column of the inputs says what the label is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from .nested import Aside, may_compute
from .probe import Pass, Probe

if TYPE_CHECKING:
    from ..rules.engine.records import Json

FIRST = 10
"""Backwards on closely watched steps that are looked at: a table's columns do not change."""

MOST_COLUMNS, MOST_ROWS, MOST_CLASSES = 1024, 4096, 64
_LEAST_COLUMNS, _LEAST_ROWS, _LEAST_OF_CLASS = 3, 4, 10
_TINY = 1e-9


class Features(Probe):
    """Compares each column of a table (N, F) of floats with the labels (N,) of the loss, on the first steps looked at.

    Only on the CPU. Fact `features`::

        {"input": parameter of `forward`, "columns": F, "samples": rows compared, "kind": "labels" or "quantity",
         "column": index of the one that tells most, "score": how much it tells, "others": that of the next best,
         "telling": columns with half of its score and more}

    The score for a quantity is the absolute correlation, 0 to 1. For labels it is a distance between classes in
    standard deviations within them: the smallest between neighbours, or that of one class from all others; at most 1e9.
    """

    name = "features"

    def __init__(self, training: Any) -> None:
        super().__init__(training)
        self._given: tuple[str, torch.Tensor] | None = None
        self._looks = 0
        self._sums: dict[tuple[str, int], _Sums] = {}

    def begin_close(self) -> None:
        self._given = None

    def root_forward(self, call: Pass) -> None:
        if self._looks >= FIRST or not call.has_grad or not self.training.close:
            return
        self._given = next((one for one in call.given() if _is_table(one[1])), self._given)

    def backward(self, tensor: torch.Tensor, loss: torch.Tensor) -> None:
        given, self._given = self._given, None
        node = self.training.loss_node
        targets = node.targets if node is not None and node.is_supervised else None
        if given is None or targets is None or not may_compute():
            return
        place, table = given
        row = targets.reshape(-1)
        if len(row) != len(table) or not row.is_cpu:
            return
        self._looks += 1
        with Aside():
            key = (place, table.shape[1])
            sums = self._sums.setdefault(key, _Sums(table.shape[1]))
            sums.add(table.detach()[:MOST_ROWS].double(), row.detach()[:MOST_ROWS].double())

    def end_close(self) -> None:
        self._given = None
        if self._looks and not self._looks & (self._looks - 1):
            self._tell()

    def finish(self) -> None:
        self._tell()

    def begin_another(self) -> None:
        self._sums, self._looks = {}, 0

    def _tell(self) -> None:
        for (place, columns), sums in self._sums.items():
            with Aside():
                told = sums.told()
            if told is not None:
                self.training.fact("features", {"input": place, "columns": columns, **told})
                return


def _is_table(tensor: torch.Tensor) -> bool:
    return (
        tensor.is_floating_point()
        and tensor.is_cpu
        and tensor.dim() == 2
        and len(tensor) >= _LEAST_ROWS
        and _LEAST_COLUMNS <= tensor.shape[1] <= MOST_COLUMNS
    )


class _Sums:
    """Sums over the rows seen so far, of all and of each class; in float64, about the first row."""

    def __init__(self, columns: int) -> None:
        self.columns = columns
        self.origin: torch.Tensor | None = None
        self.n = 0
        self.x, self.xx, self.xy = (torch.zeros(columns, dtype=torch.float64) for _ in range(3))
        self.y = self.yy = self.y_origin = 0.0
        self.is_quantity = False
        self.classes: dict[float, tuple[int, torch.Tensor, torch.Tensor]] = {}

    def add(self, table: torch.Tensor, row: torch.Tensor) -> None:
        if self.origin is None:
            self.origin, self.y_origin = table[0].clone(), float(row[0])
        table, shifted = table - self.origin, row - self.y_origin
        self.n += len(table)
        self.x += table.sum(0)
        self.xx += table.square().sum(0)
        self.xy += (table * shifted[:, None]).sum(0)
        self.y += float(shifted.sum())
        self.yy += float(shifted.square().sum())
        if self.is_quantity:
            return
        for value in sorted(set(row.tolist())):
            if value not in self.classes and (len(self.classes) >= MOST_CLASSES or value != int(value)):
                self.is_quantity = True
                self.classes.clear()
                return
            mine = table[row == value]
            n, x, xx = self.classes.get(value, (0, 0.0 * self.x, 0.0 * self.x))
            self.classes[value] = n + len(mine), x + mine.sum(0), xx + mine.square().sum(0)

    def told(self) -> dict[str, Json] | None:
        scores = self._correlations() if self.is_quantity else self._distances()
        if scores is None or not bool(torch.isfinite(scores).all()):
            return None
        best = int(scores.argmax())
        score, others = float(scores[best]), scores[torch.arange(self.columns) != best]
        return {
            "samples": self.n, "kind": "quantity" if self.is_quantity else "labels", "column": best, "score": score,
            "others": float(others.max()), "telling": int((scores >= score / 2).sum()),
        }  # fmt: skip

    def _correlations(self) -> torch.Tensor | None:
        varied = (self.xx - self.x.square() / self.n).clamp(min=0)
        spread = self.yy - self.y * self.y / self.n
        if spread <= 0:
            return None
        moved = varied > _TINY * self.xx
        return torch.where(moved, (self.xy - self.x * self.y / self.n).abs() / (varied * spread).sqrt(), 0.0)

    def _distances(self) -> torch.Tensor | None:
        # Of a few rows of a class all are alike in some column, by chance.
        if len(self.classes) < 2 or min(n for n, _, _ in self.classes.values()) < _LEAST_OF_CLASS:
            return None
        counts = torch.tensor([float(n) for n, _, _ in self.classes.values()], dtype=torch.float64)[:, None]
        sums = torch.stack([x for _, x, _ in self.classes.values()])
        squares = torch.stack([xx for _, _, xx in self.classes.values()])
        means = sums / counts
        within = (squares - sums.square() / counts).clamp(min=0)
        total = (self.xx / self.n - (self.x / self.n).square()).clamp(min=0).sqrt()
        gaps = means.sort(0).values.diff(dim=0).min(0).values
        best = gaps / ((within.sum(0) / (self.n - len(counts))).sqrt() + _TINY * total)
        for at in range(len(counts)):
            rest = torch.arange(len(counts)) != at
            n_rest, x_rest = counts[rest].sum(), sums[rest].sum(0)
            varied = within[at] + (squares[rest].sum(0) - x_rest.square() / n_rest).clamp(min=0)
            gap = (means[at] - x_rest / n_rest).abs()
            best = torch.maximum(best, gap / ((varied / (self.n - 2)).sqrt() + _TINY * total))
        return torch.where(total > 0, best, 0.0).clamp(max=1e9)
