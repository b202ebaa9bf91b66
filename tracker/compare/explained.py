"""The answer to "why are these two runs not the same", in one sentence and as an ordered list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .causes import Cause
from .kinds import LIKELY, POSSIBLE, RecordedDifference
from .streams import Comparison

_NAMED = 3


@dataclass(frozen=True)
class Explanation:
    """Where the numbers of two runs part, and which recorded differences explain it, the likeliest first."""

    headline: str
    differences: tuple[RecordedDifference, ...]
    cause: Cause | None

    @property
    def likeliest(self) -> RecordedDifference | None:
        """The difference that explains most; None where none can explain anything."""
        first = self.differences[0] if self.differences else None
        return first if first is not None and first.score > 0 else None

    def as_json(self) -> dict[str, Any]:
        """The explanation as JSON."""
        cause = self.cause
        return {
            "headline": self.headline,
            "likeliest": None if self.likeliest is None else self.likeliest.id,
            "where": None if cause is None else cause.where,
            "evidence": None if cause is None else cause.evidence,
            "differences": [one.as_json() for one in self.differences],
        }


def explanation_of(differences: Sequence[RecordedDifference], cause: Cause | None, numbers: Comparison) -> Explanation:
    """Puts the differences, which are ordered already, into a sentence."""
    return Explanation(_headline(differences, cause, numbers), tuple(differences), cause)


def _headline(found: Sequence[RecordedDifference], cause: Cause | None, numbers: Comparison) -> str:
    # What follows from another difference was said with it.
    able = [one for one in found if one.score > 0 and one.follows is None]
    if cause is None:
        named = _named([one for one in able if one.kind != "random state"])
        if not numbers.n_points:
            return f"No number was logged by both. Recorded differences: {named or 'none'}."
        return f"The numbers have the same bits{f', although these differ: {named}' if named else ''}."
    where = f"The numbers part at the {cause.where}{_first(numbers, cause)}"
    if not able:
        return f"{where}, and nothing recorded differs that explains it: {cause.likely}."
    first, rest = able[0], able[1:]
    if first.kind == "random state" and "unseeded" in first.tags and "hash" not in first.tags:
        drawn = [one for one in able if "unseeded" in one.tags and "hash" not in one.tags]
        names = " and ".join(one.what.removeprefix("random state of ") for one in drawn[:2])
        others = _named([one for one in rest if one.kind != "random state"])
        text = f"{where}. Most likely: the random state of {names}, which the runs did not seed"
        return f"{text}. Less likely: {others}." if others else f"{text}; nothing else differs."
    lead = "Most likely" if first.score >= LIKELY else "What differs"
    text = f"{where}. {lead}: {first.sentence}"
    deliberate = [one for one in rest if one.kind != "random state" and one.score >= POSSIBLE]
    if deliberate:
        text += f". Then: {_named(deliberate)}"
    if any("unseeded" in one.tags and one.score >= POSSIBLE for one in rest):
        text += ". Besides, the runs were not seeded: each has random numbers of its own"
    return f"{text}."


def _first(numbers: Comparison, cause: Cause) -> str:
    first = numbers.first_difference
    if first is None:
        return f" ({cause.evidence})" if cause.evidence else ""
    return f" ({first.metric} at step {first.step}, {first.size})"


def _named(found: Sequence[RecordedDifference]) -> str:
    text = "; ".join(one.sentence for one in found[:_NAMED])
    more = len(found) - _NAMED
    return f"{text}; {more} more" if more > 0 else text
