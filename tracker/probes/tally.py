"""Adds up what a model got right: loss, hits, errors and predictions of one set of data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from .criterion import BINARY, Criterion
from .sent import Sent

MAX_CLASSES = 100
"""Classes, or yes-or-no questions, that are counted one by one."""

CHUNK = 1 << 16
"""Elements of small outputs that are kept to be judged together: a call for each batch would cost more than most."""

MOST_ELEMENTS = 1 << 22
"""Elements of an output that are judged; of a larger one, rows spread evenly over it."""


_OF_CLASSES = 3
"""Dimensions of the counts of classes, (1, classes, classes); others have two, (3, columns)."""


class Score(NamedTuple):
    """What is known of one set of data; numbers that cannot be told are NaN."""

    samples: int
    loss: float
    accuracy: float
    error: float
    """Root mean squared difference."""
    spread: float
    """Standard deviation of the targets about the mean of each column's: what a constant answer would be off by."""
    labels: list[float]
    """How often each class was the right one."""
    hits: list[float]
    predicted: list[float]
    confusion: list[list[float]]
    """For each true class, how often each class was predicted: empty where answers are no classes."""


class Tally:
    """Sums over batches. They stay on the device the outputs are on, until `ask` sends them home."""

    def __init__(self, criterion: Criterion, with_loss: bool = True) -> None:
        self.samples = 0
        self.rows = 0
        """Answers that are judged: of sequences, those at every position."""
        self.batches = 0
        self.criterion = criterion
        self._with_loss = with_loss
        self._waiting: list[tuple[int, torch.Tensor, torch.Tensor]] = []
        self._elements = 0
        self._sums: torch.Tensor | None = None
        self._counts: torch.Tensor | None = None

    def add(self, outputs: torch.Tensor, targets: torch.Tensor, size: int) -> None:
        """Takes one batch of `size` samples, as `Criterion.prepare` gives it.

        Raises `Mismatch`, here or when asked, for targets that the loss does not take: labels that are no classes, say.
        """
        self.samples += size
        self.rows += len(targets) if targets.dim() else 1
        self.batches += 1
        if outputs.numel() <= CHUNK // 4:
            # Copies: the script may write to its own.
            self._waiting.append((size, outputs.clone(), targets.clone()))
            self._elements += outputs.numel()
            if self._elements >= CHUNK:
                self._judge_waiting()
        else:
            self._judge([size], *_thinned(outputs, targets))

    def ask(self) -> Answer | None:
        """Everything so far, on its way home; None when there is nothing. Raises `Mismatch` as `add` does."""
        self._judge_waiting()
        if self._sums is None or self._counts is None:
            return None
        return Answer(self.samples, self.criterion, self._sums, self._counts)

    def _judge_waiting(self) -> None:
        waiting, self._waiting, self._elements = self._waiting, [], 0
        groups: dict[tuple[Any, ...], list[tuple[int, torch.Tensor, torch.Tensor]]] = {}
        for batch in waiting:
            _, outputs, targets = batch
            key = (outputs.device, outputs.shape[1:], targets.shape[1:], targets.dtype)
            groups.setdefault(key, []).append(batch)
        for batches in groups.values():
            if len(batches) == 1 or self._can_join(batches):
                outputs = torch.cat([outputs for _, outputs, _ in batches])
                self._judge(
                    [size for size, _, _ in batches], outputs, torch.cat([targets for _, _, targets in batches])
                )
            else:
                for size, outputs, targets in batches:
                    self._judge([size], outputs, targets)

    def _can_join(self, batches: list[tuple[int, torch.Tensor, torch.Tensor]]) -> bool:
        """Whether the loss of the batches together is the mean of theirs."""
        if not self.criterion.is_plain or not self._with_loss:
            return not self._with_loss
        rows = {len(outputs) / size for size, outputs, _ in batches}
        if len(rows) > 1:
            return False
        if not self.criterion.is_classifying or batches[0][2].is_floating_point():
            return True
        return batches[0][2].is_cpu and not any(bool((t == self.criterion.ignored).any()) for _, _, t in batches)

    def _judge(self, sizes: Sequence[int], outputs: torch.Tensor, targets: torch.Tensor) -> None:
        wide = torch.float32 if outputs.device.type == "mps" else torch.float64
        criterion = self.criterion
        zero = torch.zeros((), dtype=wide, device=outputs.device)
        loss = weight = zero
        if self._with_loss:
            weight = zero + float(1 if criterion.reduction == "sum" else sum(sizes))
            loss = criterion.loss(outputs, targets).to(wide) * weight
        right = judged = square = n = zero
        counts = torch.zeros((3, 0), dtype=wide, device=outputs.device)
        if criterion.is_classifying or criterion.function in BINARY:
            right, judged, counts = _classes(criterion, outputs, targets, wide)
        else:
            square = (outputs - targets).to(wide).square().sum()
            n = zero + outputs.numel()
            counts = _moments(targets.to(wide))
        sums = torch.stack([loss, weight, right.to(wide), judged.to(wide), square, n])
        if self._sums is None or self._counts is None or self._sums.device != sums.device:
            self._sums, self._counts = sums, counts
        elif self._counts.shape != counts.shape:
            self._sums, self._counts = self._sums + sums, counts[..., :0]
        else:
            self._sums = self._sums + sums
            self._counts = self._counts + counts


class Answer:
    """Sums on their way home from a device; on the CPU they are there."""

    def __init__(self, samples: int, criterion: Criterion, sums: torch.Tensor, counts: torch.Tensor) -> None:
        self._samples = samples
        self.criterion = criterion
        self._is_of_classes, self._columns = counts.dim() == _OF_CLASSES, counts.shape[-1]
        self._sent = Sent(torch.cat([sums, counts.reshape(-1).to(sums)]))

    @property
    def is_there(self) -> bool:
        """Whether reading it would not wait."""
        return self._sent.is_there

    def read(self) -> Score:
        """The score; waits for the device."""
        loss, weight, right, judged, square, n, *flat = self._sent.read().tolist()
        rows = [flat[at : at + self._columns] for at in range(0, len(flat), self._columns or 1)]
        confusion: list[list[float]] = []
        spread = math.nan
        if self._is_of_classes:
            confusion = rows
            columns = zip(*rows, strict=True)
            rows = [[*map(sum, rows)], [row[at] for at, row in enumerate(rows)], [*map(sum, columns)]]
        elif n:
            spread = _spread(*rows) if rows else math.nan
            rows = []
        labels, hits, predicted = rows or ([], [], [])
        return Score(
            self._samples,
            loss / weight if weight else math.nan,
            right / judged if judged else math.nan,
            math.sqrt(square / n) if n and square >= 0 else math.nan,
            spread,
            labels, hits, predicted,
            confusion,
        )  # fmt: skip


def _classes(
    criterion: Criterion, outputs: torch.Tensor, targets: torch.Tensor, wide: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """How many are right, of how many, and for each label how often each class was predicted: (1, classes, classes)."""
    if criterion.is_classifying:
        n = criterion.n_classes or outputs.shape[-1]
        labels = targets.argmax(-1) if targets.is_floating_point() else targets
        predicted = outputs.argmax(-1)
        inside = (labels >= 0) & (labels < n) & (labels != criterion.ignored)
    elif outputs.shape[-1] == 1 or criterion.n_classes == 2:
        n = 2
        labels = (targets >= 0.5).long().reshape(-1)
        predicted = (outputs > criterion.threshold()).long().reshape(-1)
        inside = torch.ones_like(labels, dtype=torch.bool)
    else:
        return _questions(criterion, outputs, targets, wide)
    hits = (labels == predicted) & inside
    right, judged = hits.sum(), inside.sum()
    if n > MAX_CLASSES:
        return right, judged, torch.zeros((3, 0), dtype=wide, device=outputs.device)
    return right, judged, _count(labels * n + predicted, inside, n * n, wide).reshape(1, n, n)


def _moments(targets: torch.Tensor) -> torch.Tensor:
    """(3, columns): number, sum and sum of squares of each column; of many columns, of all together."""
    columns = targets.reshape(len(targets), -1) if targets.dim() > 1 and targets.shape[-1] <= MAX_CLASSES else None
    if columns is None or columns.shape[1] > MAX_CLASSES:
        columns = targets.reshape(-1, 1)
    return torch.stack([torch.ones_like(columns).sum(0), columns.sum(0), columns.square().sum(0)])


def _spread(numbers: Sequence[float], sums: Sequence[float], squares: Sequence[float]) -> float:
    if not numbers or not all(numbers):
        return math.nan
    within = sum(square - total * total / n for n, total, square in zip(numbers, sums, squares, strict=True))
    return math.sqrt(max(0.0, within) / sum(numbers))


def _questions(
    criterion: Criterion, outputs: torch.Tensor, targets: torch.Tensor, wide: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """For yes-or-no questions, one a column, (3, columns): how often yes was right, a hit, and said.

    How many are right would say little, as most answers are no.
    """
    none = torch.zeros((), dtype=wide, device=outputs.device)
    if outputs.shape[-1] > MAX_CLASSES:
        return none, none, torch.zeros((3, 0), dtype=wide, device=outputs.device)
    wanted, said = targets >= 0.5, outputs > criterion.threshold()
    return none, none, torch.stack([wanted.sum(0), (wanted & said).sum(0), said.sum(0)]).to(wide)


def _count(values: torch.Tensor, inside: torch.Tensor, n: int, wide: torch.dtype) -> torch.Tensor:
    """How often each of the `n` classes is there. (`bincount` on a device would wait, and is not deterministic.)"""
    if values.is_cpu:
        return torch.bincount(values[inside], minlength=n).to(wide)
    ordered = torch.where(inside, values, n).sort().values
    return torch.searchsorted(ordered, torch.arange(n + 1, device=values.device)).diff().to(wide)


def _thinned(outputs: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    step = -(-outputs.numel() // MOST_ELEMENTS)
    return (outputs, targets) if step == 1 or outputs.dim() == 0 else (outputs[::step], targets[::step])
