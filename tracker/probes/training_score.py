"""The score of the model on the training steps that are looked at closely."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .criterion import Criterion, Mismatch, Place
from .nested import Aside
from .tally import Answer, Tally

if TYPE_CHECKING:
    from .loss import LossNode


class TrainingScore:
    """Counts what the loss was given, from one epoch to the next."""

    def __init__(self) -> None:
        self._tally: Tally | None = None
        self._kind: tuple[str, int | None] = ("", None)

    def add(self, loss: LossNode) -> None:
        """A loss of the training is about to go backward."""
        if not loss.is_supervised:
            return
        outputs, targets = loss.outputs, loss.targets
        kind_now = (loss.function, loss.n_classes)
        if self._tally is None or self._kind != kind_now:
            # What the loss was given, as it was given: nothing lies between.
            place = Place("", tuple(outputs.shape))
            try:
                criterion = Criterion(loss, place, [], False)
                self._tally, self._kind = Tally(criterion, with_loss=False), kind_now
            except Mismatch:
                return
        try:
            prepared = self._tally.criterion.prepare(outputs, targets)
        except Mismatch:
            return
        self._tally.add(*prepared, len(outputs) if outputs.dim() else 1)

    def take(self) -> Answer | None:
        """The score since the last time; None where nothing was counted."""
        tally, self._tally = self._tally, None
        if tally is None:
            return None
        with Aside():
            return tally.ask()
