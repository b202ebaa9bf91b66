"""Tells the user of findings while a run goes on, for which the settings want that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..rundir import RunDir
from .faults import Faults
from .reading import Follower

if TYPE_CHECKING:
    from ..actions.notify import Notifier


class Notices:
    """What the user is told of one run, each finding once."""

    def __init__(self, rundir: RunDir, faults: Faults) -> None:
        self._rundir = rundir
        self._spec: dict[str, Any] = rundir.spec
        self._faults = faults
        self._notifier: Notifier | None = None

    def send(self, follower: Follower) -> None:
        """Sends the findings that were read since the last time."""
        outcomes, follower.outcomes = follower.outcomes, []
        if not ((self._spec.get("settings") or {}).get("rules") or {}).get("notify"):
            return
        if self._notifier is None:
            from ..actions.notify import Notifier
            from ..rules.engine import Settings

            settings = Settings.model_validate(self._spec["settings"])
            told = self._rundir.state.get("notified")
            self._notifier = Notifier(settings, str(self._spec.get("name")), list(told or ()))
        for outcome in outcomes:
            if self._notifier.is_wanted(outcome):
                if not self._notifier.tell(outcome):
                    self._faults.say("notify", str(self._notifier.problem))
                self._rundir.update_state(notified=self._notifier.told)
