"""Writes the scores of evaluations: they are read when they are there, so that nobody waits for a device."""

from __future__ import annotations

import math

from ..journal import Journal
from ..rules.engine.signals import PREDICTIONS, RECALL, TARGET_ERROR, TARGET_SPREAD, VAL_ACCURACY, VAL_LOSS
from .tally import Answer, Score


class Answers:
    """Scores that were asked for, each to be written once."""

    def __init__(self, journal: Journal) -> None:
        self.waiting: list[tuple[str, int, Answer]] = []
        """Split, step and score of each."""
        self._journal = journal

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

    def _write(self, signal: str, subject: str, step: int, value: float) -> None:
        if not math.isnan(value) or signal == VAL_LOSS.name:
            self._journal.reading(signal, subject, step, value)
