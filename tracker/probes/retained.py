"""Graphs of the past that something still holds: a loss that was added up, or outputs in a list, with their history."""

from __future__ import annotations

import weakref
from typing import Any

import torch

from ..rules.engine.signals import GRAPHS_HELD, GRAPHS_MARKED
from .models import tensors_in
from .nodes import kind
from .probe import Pass, Probe

KEY = "soundrun"
"""Our key in a node's `metadata`, a dictionary that torch keeps with each node of a graph for its anomaly mode."""
_DEPTH = 50
"""Operations below the loss, at most, at which a graph is marked: what holds the loss, its logits or a part, holds
all that is below."""
_MOST = 2000
"""Graphs that are marked, at most: each costs a dictionary as long as it is held."""


class _Mark:
    """Lives as long as the node it is attached to."""

    __slots__ = ("__weakref__",)


class Retained(Probe):
    """How many graphs of earlier epochs are still there, among those of closely watched steps.

    The same is told of passes in evaluation mode that record a graph, with the subject `evaluation`: nobody wants one
    there, and what an evaluation keeps, such as its outputs, holds it.

    A graph goes when nothing refers to it, at the latest when its loss has a new value. What is held for an epoch, such
    as a running sum, is not counted until the next epoch has gone by as well.
    """

    name = "retained graphs"

    def __init__(self, training: Any) -> None:
        super().__init__(training)
        self._marks: dict[str, list[tuple[int, weakref.ref[_Mark]]]] = {"": [], "evaluation": []}
        """By subject of the readings: number of each mark, and the mark while it lives; dead ones go now and then."""
        self._made = dict.fromkeys(self._marks, 0)
        """Marks made so far."""
        self._of_earlier = dict.fromkeys(self._marks, 0)
        """Marks that were made before the epoch that is going on."""
        self._room = dict.fromkeys(self._marks, 16)

    def root_forward(self, call: Pass) -> None:
        if call.has_grad and not call.in_training_mode:
            self._mark("evaluation", next((one.grad_fn for one in tensors_in(call.output) if one.requires_grad), None))

    def backward(self, tensor: torch.Tensor, loss: torch.Tensor) -> None:
        self._mark("", tensor.grad_fn)

    def _mark(self, what: str, result: Any) -> None:
        """Marks a graph below its result."""
        if self._made[what] >= _MOST:
            return
        node = _deep(result)
        # A node that is marked is part of a graph that was made once and is used in each step: none of this step's own.
        if node is not None and KEY not in node.metadata:
            mark = node.metadata[KEY] = _Mark()
            self._marks[what].append((self._made[what], weakref.ref(mark)))
            self._made[what] += 1
            if len(self._marks[what]) > self._room[what]:
                alive = self._marks[what] = [one for one in self._marks[what] if one[1]() is not None]
                self._room[what] = 2 * len(alive) + 16

    def end_epoch(self) -> None:
        step = self.training.last_step
        for what, marks in self._marks.items():
            earlier = self._of_earlier[what]
            if earlier and not self.training.session.ended:  # a script that is over has let go of everything
                held = sum(mark() is not None for number, mark in marks if number < earlier)
                self.journal.reading(GRAPHS_HELD.name, what, step, held)
                self.journal.reading(GRAPHS_MARKED.name, what, step, earlier)
            self._of_earlier[what] = self._made[what]


def _deep(node: Any) -> Any:
    """The node some operations below `node`, the last ahead of a leaf at most; None for a loss without a graph."""
    for _ in range(_DEPTH):
        if node is None:
            return None
        following = next(
            (one for one, _ in node.next_functions if one is not None and kind(one) != "AccumulateGrad"), 0
        )
        if following == 0:
            return node
        node = following
    return node
