"""Acts on findings inside the training process: saves a checkpoint, asks the training to stop."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from .stop import reason

if TYPE_CHECKING:
    from ..rules.engine import Outcome, Settings
    from ..session import Session

MOST_CHECKPOINTS = 3
"""Checkpoints that findings may cause in one run."""


class Actions:
    """What the settings ask for when a rule has found something; with none, nothing is done."""

    def __init__(self, session: Session, settings: Settings) -> None:
        self._session = session
        self._settings = settings
        self._saved: set[str] = set()

    def act(self, outcome: Outcome, step: int) -> bool:
        """Does what follows from an outcome; True when the training is to stop."""
        if not outcome.findings:
            return False
        if self._settings.checkpoints(outcome):
            self._guarded("checkpoint", lambda: self._save(outcome, step))
        stops = self._settings.stops(outcome)
        if stops and self._session.spec.get("automatic") and self._session.place.is_alone:
            training = self._session.training
            if training is not None and training.stopped_by is None:
                training.stopped_by = reason(outcome)
        return stops

    def _save(self, outcome: Outcome, step: int) -> None:
        training = self._session.training
        if training is None or outcome.rule in self._saved or len(self._saved) >= MOST_CHECKPOINTS:
            return
        self._saved.add(outcome.rule)
        from ..probes.checkpoint import save

        name = f"{outcome.rule}-step-{step}.pt"
        folder = self._session.rundir.path / "checkpoints"
        folder.mkdir(mode=0o700, exist_ok=True)
        save(training, folder / name, {"rule": outcome.rule, "step": step, "message": outcome.findings[0].message})
        self._session.journal.event("artifact", step, {"path": f"checkpoints/{name}", "folder": "checkpoints"})

    def _guarded(self, name: str, do: Callable[[], None]) -> None:
        if name not in self._session.guard.off:
            with self._session.guard.part(name):
                do()
