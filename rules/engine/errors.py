"""Errors of the user's making: what is wrong, the value seen, what was expected, the next move.

::

    TrackerError
      ConfigError          the settings cannot be used; `.where`, `.value`, `.path`; also a ValueError
        UnknownRule        they name a rule or family that does not exist; `.code`, `.nearest`
      RuleError            a rule cannot be used as it is written
        DuplicateRule      two rules have the same id; `.code`, `.modules`
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

LIST_COMMAND = "Run 'tracker rules' for the list."


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like `name`, or None when none is close."""
    return next(iter(get_close_matches(name, sorted(known), n=1, cutoff=0.5)), None)


class TrackerError(Exception):
    """Any mistake that the tracker answers with an explanation instead of a traceback."""


class ConfigError(TrackerError, ValueError):
    """The settings cannot be used.

    `where` is table and key, `value` what stood there, `path` the file if they were read from one.
    """

    def __init__(self, message: str, *, where: str = "", value: object = None, path: Path | None = None) -> None:
        super().__init__(message)
        self.where = where
        self.value = value
        self.path = path


class UnknownRule(ConfigError):
    """A setting names a rule or family that does not exist; correct the spelling or drop it."""

    def __init__(self, code: str, where: str, known: Iterable[str], *, path: Path | None = None) -> None:
        self.code = code
        self.nearest = nearest(code, known)
        hint = f" Did you mean '{self.nearest}'?" if self.nearest else ""
        file = f" of {path}" if path else ""
        message = f"Unknown rule or family '{code}' in {where}{file}.{hint} {LIST_COMMAND}"
        super().__init__(message, where=where, value=code, path=path)


class RuleError(TrackerError):
    """A rule cannot be used as it is written."""


class DuplicateRule(RuleError):
    """Two rules have the same id; rename one of the classes."""

    def __init__(self, code: str, modules: tuple[str, str]) -> None:
        self.code = code
        self.modules = modules
        super().__init__(
            f"Two rules are called '{code}': one in module '{modules[0]}', one in '{modules[1]}'. "
            "A rule's id is its class name in kebab case and has to be unique; rename one of the classes."
        )
