"""Writes the scores of evaluations: they are read when they are there, so that nobody waits for a device."""

from __future__ import annotations

import math

from ..journal import Journal
from ..rules.engine.signals import (
    CONFUSED,
    CONFUSION,
    PREDICTIONS,
    RECALL,
    TARGET_ERROR,
    TARGET_SPREAD,
    VAL_ACCURACY,
    VAL_LOSS,
)
from .moments import Moments
from .tally import Answer, Score

MOST_IN_FULL = 30
"""Classes up to which a matrix of confusions is written; of more, the pairs that are confused most often."""

MOST_PAIRS = 50


class Answers:
    """Scores that were asked for, each to be written once."""

    def __init__(self, journal: Journal) -> None:
        self.waiting: list[tuple[str, int, Answer]] = []
        """Split, step and score of each."""
        self._journal = journal
        self._scored: dict[str, int] = {}
        """Scores of each split."""
        self._moments: dict[str, Moments] = {}
        """Which of them have their confusions written."""
        self._latest: dict[str, tuple[int, list[list[float]]]] = {}
        """Step and confusions of the latest score of each split, while they are not written."""

    def write(self, wait: bool) -> None:
        """Writes the scores that are there; with `wait` all of them."""
        while self.waiting and (wait or self.waiting[0][2].is_there):
            split, step, answer = self.waiting.pop(0)
            score = answer.read()
            subject = "" if split == "val" else split
            self._write(VAL_LOSS.name, subject, step, score.loss)
            self._write(VAL_ACCURACY.name, subject, step, score.accuracy)
            self.write_details(split, step, score)

    def write_details(self, split: str, step: int, score: Score) -> None:
        """Writes what is known of a score beside the loss and the accuracy."""
        self._write(TARGET_ERROR.name, split, step, score.error)
        self._write(TARGET_SPREAD.name, split, step, score.spread)
        for label, (there, hit) in enumerate(zip(score.labels, score.hits, strict=True)):
            if there:
                self._journal.reading(RECALL.name, f"{split}/{label}", step, hit / there)
        if score.predicted:
            self._journal.array(PREDICTIONS.name, split, step, score.predicted)
        if len(score.confusion) > 1:
            at = self._scored[split] = self._scored.get(split, -1) + 1
            moments = self._moments.setdefault(split, Moments())
            self._latest[split] = (step, score.confusion)
            if moments.is_due(at):
                moments.note(at)
                self._write_confusion(split)

    def conclude(self) -> None:
        """The training is over: the latest confusions are written in any case."""
        for split in list(self._latest):
            self._write_confusion(split)
        self._scored, self._moments = {}, {}

    def _write_confusion(self, split: str) -> None:
        step, matrix = self._latest.pop(split)
        if len(matrix) <= MOST_IN_FULL:
            self._journal.array(CONFUSION.name, split, step, [count for row in matrix for count in row])
            return
        pairs = [(n, label, said) for label, row in enumerate(matrix) for said, n in enumerate(row)]
        mistakes = sorted((-n, label, said) for n, label, said in pairs if n and label != said)[:MOST_PAIRS]
        self._journal.array(CONFUSED.name, split, step, [x for n, label, said in mistakes for x in (label, said, -n)])

    def _write(self, signal: str, subject: str, step: int, value: float) -> None:
        if not math.isnan(value) or signal == VAL_LOSS.name:
            self._journal.reading(signal, subject, step, value)
