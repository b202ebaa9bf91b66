"""What a capture found, and what it could not store: the common result of everything in this folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec

if TYPE_CHECKING:  # the alias alone is wanted; the rules package is not loaded inside a training for it
    from ..rules.engine.records import Json

P = ParamSpec("P")


@dataclass(frozen=True)
class Gap:
    """Something a later reader would miss: where it is missing, what it is, and what its owner can do about it."""

    part: str
    """Which capture noticed it: `code`, `environment`, `data`, `randomness`."""

    what: str
    """What is missing, with names and numbers, in one sentence."""

    fix: str
    """The next move of the run's owner, in the imperative."""

    blocking: bool = True
    """Whether the run cannot be called reproducible as long as this gap stands."""

    def as_json(self) -> dict[str, Json]:
        """Return the gap as it is stored with the run."""
        return {"part": self.part, "what": self.what, "fix": self.fix, "blocking": self.blocking}


@dataclass
class Captured:
    """Facts, gaps, and the files that were already written below the capture folder."""

    facts: dict[str, Json] = field(default_factory=dict)
    gaps: list[Gap] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)

    def add(self, other: Captured) -> None:
        """Take over what `other` found; a fact of the same name is replaced."""
        self.facts.update(other.facts)
        self.gaps.extend(other.gaps)
        self.files.extend(other.files)


def guarded(part: str, function: Callable[P, Captured], *args: P.args, **kwargs: P.kwargs) -> Captured:
    """Return `function(*args, **kwargs)`, or a blocking gap that names the exception it raised.

    A capture that fails must never fail the training. `KeyboardInterrupt` and `SystemExit` pass through.
    """
    try:
        return function(*args, **kwargs)
    except Exception as error:
        return Captured(
            gaps=[
                Gap(
                    part,
                    f"{part} could not be captured: {describe(error)}",
                    "Remove the cause named here and run again; the training itself is not affected.",
                )
            ]
        )


def describe(error: BaseException) -> str:
    """Return type and message of `error` on one line of at most 300 characters, without secrets; never raises."""
    # Its patterns take 14 ms to compile, and `import tracker` would pay for them.
    from .secrets import redact

    try:
        message = " ".join(redact(str(error)).split())
    except Exception:  # an exception whose own __str__ fails
        message = "(its message cannot be shown)"
    text = f"{type(error).__name__}: {message}" if message else type(error).__name__
    return text if len(text) <= 300 else text[:297] + "..."
