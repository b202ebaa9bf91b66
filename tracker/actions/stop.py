"""Ends a training that nobody can ask to stop: an unmodified script has no flag that it looks at."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..rules.engine import Outcome


class StopTraining(SystemExit):
    """A rule that the settings list under `stop` has fired.

    Raised from `optimizer.step()` under `tracker run` only. As a `SystemExit` it runs the script's `finally` blocks and
    exit functions, passes `except Exception`, and prints no traceback; the exit code is 1.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"tracker: training stopped: {reason}")
        self.reason = reason


def reason(outcome: Outcome) -> str:
    """The rule and its first finding, in a line."""
    return f"{outcome.rule}: {outcome.findings[0].message}"
