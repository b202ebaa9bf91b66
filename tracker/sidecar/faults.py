"""What went wrong in an upload without ending it."""

from __future__ import annotations

import traceback


class Faults:
    """The first fault of each part, in words."""

    def __init__(self) -> None:
        self.said: dict[str, str] = {}

    def note(self, part: str, error: Exception) -> None:
        """A part failed: its first error is kept, and printed into the log."""
        if part not in self.said:
            self.said[part] = f"{type(error).__name__}: {error}"
            traceback.print_exception(error)

    def say(self, part: str, what: str) -> None:
        """Something is amiss with a part; the latest word on it stands."""
        self.said[part] = what
