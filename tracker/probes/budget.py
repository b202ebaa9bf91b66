"""Decides which passes without gradients are looked at, and behind which lines none is expected any more."""

from __future__ import annotations

from .sampling import Governor

FREE_PASSES = 16
"""Passes of one evaluation that are looked at whatever they cost; the others while the governor has room."""

FREE_IN_A_ROW = 16
"""Steps in a row with passes without gradients, behind which none is free any more: a teacher's, or a rollout."""

FRUITLESS = 16
"""Times that a line may switch gradients off in vain, such as for an accuracy, before it opens no window any more."""


class EvaluationBudget:
    """What the evaluations of one run may cost. An evaluation is whatever is called without gradients between steps."""

    def __init__(self, governor: Governor) -> None:
        self.opened_at = -1
        """Steps done when the latest evaluation began."""
        self.cut_at = -1
        """Steps done when one was last cut short."""
        self.left_out = 0
        """Passes of the latest evaluation that were not looked at, at least: the budget was used up."""
        self.place: tuple[str, int] | None = None
        """File and line that opened the window."""
        self.fruitless: dict[tuple[str, int], int] = {}
        """How often nothing was called without gradients behind a line that switched them off, without a break."""
        self._governor = governor
        self._evaluated = self._in_a_row = 0

    def begin(self, step: int) -> None:
        """What follows, behind `step` steps, is one evaluation; at every step, it is a part of training."""
        if self.opened_at != step:
            self._in_a_row = self._in_a_row + 1 if step - self.opened_at == 1 and self._evaluated else 0
            self.opened_at, self._evaluated, self.left_out = step, 0, 0

    def allows(self, step: int) -> bool:
        """Whether the pass that begins, behind `step` steps, is looked at; `left_out` counts the others."""
        if self.cut_at == step:
            self.left_out += 1
            return False
        self.begin(step)  # on a step that is looked at closely nobody had to open the window
        self._evaluated += 1
        if (self._evaluated <= FREE_PASSES and self._in_a_row < FREE_IN_A_ROW) or self._governor.has_room:
            return True
        self.cut_at, self.left_out = step, 1
        return False

    def note_place(self) -> None:
        """Training goes on behind the line that opened the window.

        Where nothing was called without gradients: if that is how it always is, the line opens none any more.
        """
        place, self.place = self.place, None
        if place is not None:
            fruitless = 0 if self._evaluated else self.fruitless.get(place, 0) + 1
            if fruitless or place in self.fruitless:
                self.fruitless[place] = fruitless
