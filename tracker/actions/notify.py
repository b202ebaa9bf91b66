"""Sends findings to people, through apprise, from the sidecar: a slow service never holds up a training.

Where to is in environment variables, as an address holds a secret: `TRACKER_NOTIFY`, or those that the settings name.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ..rules.engine.settings import Settings, matches

MOST_A_RUN = 20
"""Notifications that one run may send."""


class Notifier:
    """Tells of each rule once: when it fires first, if the settings list it under `notify`."""

    def __init__(self, settings: Settings, run: str, told: list[str]) -> None:
        """`run` is how the run is called in the message; `told` are the rules that were told of before."""
        self._settings = settings
        self._run = run
        self.told = told
        self.problem: str | None = None
        """Why nothing could be sent, in words for a user."""

    def is_wanted(self, outcome: Mapping[str, Any]) -> bool:
        """Whether an outcome, in its stored form, is to be told now."""
        return (
            outcome.get("status") == "fired"
            and outcome.get("severity") != "info"
            and outcome.get("rule") not in self.told
            and len(self.told) < MOST_A_RUN
            and matches(self._settings.rules.notify, str(outcome.get("rule")), str(outcome.get("family")))
        )

    def tell(self, outcome: Mapping[str, Any]) -> bool:
        """Sends one outcome; False, with `problem` set, when it could not be sent."""
        self.told.append(str(outcome.get("rule")))
        try:
            import apprise
        except ImportError:
            self.problem = "notifications need apprise. Install it with: pip install 'soundrun[notify]'"
            return False
        service = apprise.Apprise()
        names = self._settings.rules.notify_from
        for address in (word for name in names for word in os.environ.get(name, "").split()):
            if not service.add(address):
                self.problem = f"an address in {' or '.join(names)} is none that apprise knows"
        if not len(service):
            self.problem = self.problem or f"no address is set in {' or '.join(names)}"
            return False
        title, body = _words(self._run, outcome)
        if not service.notify(title=title, body=body):
            self.problem = "a service did not take the notification"
            return False
        return True


def _words(run: str, outcome: Mapping[str, Any]) -> tuple[str, str]:
    finding = (outcome.get("findings") or [{}])[0]
    where = f" [{finding['subject']}]" if finding.get("subject") else ""
    lines = [f"{finding.get('message', '')}{where}", *(f"- {line}" for line in finding.get("advice") or ())]
    return f"{run}: {outcome.get('rule')} ({outcome.get('severity')})", "\n".join(lines)
