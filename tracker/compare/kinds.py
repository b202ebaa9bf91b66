"""What a recorded difference between two runs is: its kind, a name for the command line, and what it can explain."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from .hunks import Hunk

Kind = Literal[
    "code",
    "argument",
    "parameter",
    "seed",
    "random state",
    "data",
    "package",
    "threads",
    "switch",
    "variable",
    "python",
    "hardware",
]

Fit = Literal["likely", "possible", "unlikely", "no"]

LIKELY, POSSIBLE = 3.0, 1.8
"""From these scores on a difference is called a likely or a possible explanation."""

_SHOWN = 80
"""Characters of a value that are shown in a sentence."""


@dataclass(frozen=True)
class RecordedDifference:
    """One thing that was recorded of two runs and is not the same, before it is known where their numbers part."""

    id: str
    """Names it on the command line, the same for the same two runs: `code:train.py:12`, `package:numpy`, `threads`."""
    kind: Kind
    what: str
    """Its name in a sentence."""
    a: Any
    b: Any
    hunk: Hunk | None = None
    repeats: tuple[str, ...] = ()
    """The same difference where it was recorded once more: the variable behind a number of threads."""
    sets: tuple[str, ...] = ()
    """Other differences that follow from this one, as a seed follows from the line that sets it."""
    follows: str | None = None
    """The ID of the difference that this one follows from."""
    can_matter: bool = True
    """False where it touches no number: a comment, a tool that only logs."""
    topics: frozenset[str] = frozenset()
    """What it is about, where that can be told: `seed`, `loader`, `data`, `model`, `update`, `evaluation`, `unread`."""
    score: float = 0.0
    """How well it explains where the numbers part; comparable within one pair of runs only."""
    reason: str = ""
    """Why it can explain where the numbers part, or cannot."""
    tags: frozenset[str] = field(default_factory=frozenset)
    """Finer kinds: `native` for a package that computes, `hash` for the seed of string hashes."""

    @property
    def fit(self) -> Fit:
        """How well it explains where the numbers part, in a word."""
        if self.score >= LIKELY:
            return "likely"
        if self.score >= POSSIBLE:
            return "possible"
        return "unlikely" if self.score > 0 else "no"

    @property
    def short(self) -> str:
        """The difference in a few words: `threads: 1 against 2`."""
        if self.hunk is not None:
            return f"{self.what}: {self.hunk.short}"
        return f"{self.what}: {shown(self.a)} against {shown(self.b)}"

    @property
    def sentence(self) -> str:
        """The difference with all that repeats it or follows from it."""
        text = self.short
        if self.sets:
            text += f", which sets {', '.join(self.sets[:3])}"
        if self.repeats:
            more = len(self.repeats) - 3
            text += f" (also {', '.join(self.repeats[:3])}{f' and {more} more' if more > 0 else ''})"
        return text

    def as_json(self) -> dict[str, Any]:
        """The difference as JSON."""
        return {
            "id": self.id,
            "kind": self.kind,
            "what": self.what,
            "a": self.a,
            "b": self.b,
            "sentence": self.sentence,
            "fit": self.fit,
            "reason": self.reason,
            "can_change_numbers": self.can_matter,
            "repeats": list(self.repeats),
            "sets": list(self.sets),
            "follows": self.follows,
            "hunk": None if self.hunk is None else self.hunk.as_json(),
        }


def shown(value: object) -> str:
    """A value as a reader sees it: nothing for None, and no more than 80 characters."""
    text = "nothing" if value is None else str(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
