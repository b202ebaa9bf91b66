"""Reads the loss of each backward, and on closely watched steps what its function was given."""

from __future__ import annotations

from typing import Any

import torch

from ..rules.engine.signals import CLASS_COUNT, LOSS, TRAIN_ACCURACY
from .loss import LossNode, find_loss_node, unscaled
from .probe import Probe

_MAX_CLASSES = 1000
"""Classes that are counted one by one."""


class Losses(Probe):
    """The value of every loss that is sent backward."""

    name = "loss"
    every_step = frozenset({"backward"})

    def backward(self, tensor: torch.Tensor, loss: torch.Tensor) -> None:
        self.training.measure_in_round(LOSS, loss.item() if loss.is_cpu else loss.detach())


class LossFunction(Probe):
    """The function of the loss, its settings and class weights; labels and training accuracy."""

    name = "loss-node"

    def __init__(self, training: Any) -> None:
        super().__init__(training)
        self._is_known = False
        self._counts: torch.Tensor | None = None
        self._right = self._judged = 0

    @property
    def label_counts(self) -> dict[str, int]:
        """Labels of each class in the batches that were looked at closely."""
        counts = [] if self._counts is None else self._counts.tolist()
        return {str(label): count for label, count in enumerate(counts) if count}

    def backward(self, tensor: torch.Tensor, loss: torch.Tensor) -> None:
        node = self.training.loss_node = find_loss_node(tensor.grad_fn if loss is tensor else unscaled(tensor))
        if node is not None:
            self._observe(node)
        elif not self._is_known:
            self.training.fact("loss", {"function": "unknown"})
        self._is_known = True

    def _observe(self, node: LossNode) -> None:
        if not self._is_known:
            described = node.describe()
            # One pure loss is a table; what is part of a sum, or scaled, is a list: its value is not the loss's.
            pure = node.terms == 1 and not node.scaled
            self.training.fact("loss", described if pure else [described])
            if node.weights is not None and node.weights.numel() <= _MAX_CLASSES:
                self.training.session.note_class_weights(node.weights, node.function)
        n = node.n_classes
        targets = node.targets
        if n is None or n > _MAX_CLASSES:
            return
        if node.function == "cross_entropy":
            labels = targets.reshape(-1)
            predicted = node.outputs.argmax(1 if node.outputs.dim() > 1 else 0).reshape(-1)
        else:
            labels = (targets.reshape(-1) >= 0.5).long()
            threshold = 0.0 if node.function.endswith("logits") else 0.5
            predicted = (node.outputs.reshape(-1) >= threshold).long()
        inside = (labels >= 0) & (labels < n) & (labels != node.ignored)
        labels, predicted = labels[inside], predicted[inside]
        counts = torch.bincount(labels, minlength=n).cpu()
        self._counts = counts if self._counts is None or len(self._counts) != n else self._counts + counts
        self._right += int((labels == predicted).sum())
        self._judged += int(labels.numel())

    def end_epoch(self) -> None:
        if self._judged:
            step = self.training.last_step
            for label, count in self.label_counts.items():
                self.journal.reading(CLASS_COUNT.name, label, step, count)
            self.journal.reading(TRAIN_ACCURACY.name, "", step, self._right / self._judged)
            self._right = self._judged = 0
