"""Notices when a run begins to train another model: the next fold of a cross-validation, or the next of a sweep."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import Any

import torch

from .optimizers import parameters_of
from .probe import Probe, Tap
from .walk import walk

PATIENCE = 100
"""Backward calls after which a new optimizer that nothing was computed for is waited for no longer."""


class Trainings(Probe):
    """Event `training`: from here on another model is trained, and is judged for itself.

    An optimizer that is made after others have stepped may go on where they were (a new one for each epoch, or for the
    whole model once its head is trained), or begin afresh. It begins afresh when it and the optimizers so far each own
    parameters that the other does not, and the loss is about its own. Optimizers that stood ready from the beginning,
    as those of a GAN, are one training.
    """

    name = "trainings"
    taps = (Tap("torch.optim.optimizer:Optimizer", "__init__", after="made"),)

    def __init__(self, training: Any) -> None:
        super().__init__(training)
        self._made: weakref.ref[Any] | None = None
        self._patience = 0

    def made(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], result: object) -> None:
        """An optimizer was made."""
        if self.training.done and self._is_another(parameters_of(args[0])):
            self._made = weakref.ref(args[0])
            self._patience = PATIENCE
            self.training.awaited = self

    def look(self, tensor: torch.Tensor) -> None:
        """`tensor` is about to be sent backward, and an optimizer waits for the first loss that is about its own."""
        optimizer = self._made() if self._made is not None else None
        self._patience -= 1
        if optimizer is None or not self._patience:
            self.training.awaited = None
            return
        new = parameters_of(optimizer)
        leaves = walk(tensor.grad_fn).leaves if tensor.grad_fn is not None else []
        if any(id(leaf) in new for leaf in leaves) and self._is_another(new):
            self.training.awaited = None
            self.training.begin_another()

    def release(self) -> None:
        self.training.awaited = None

    def _is_another(self, new: set[int]) -> bool:
        """Whether these parameters and those trained so far each have some that the others have not."""
        owned = self.training.owned
        known = {id(p) for one in owned for _, p in one.items()}
        goes_on = known <= new and all(one.is_whole() for one in owned)
        return not known or not (new <= known or goes_on)
