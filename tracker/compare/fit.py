"""How well a recorded difference explains where the numbers of two runs part: a table, and what a line is about.

The scores only order the differences of one pair of runs. Two laws stand above the table: what was changed on purpose
comes before the random numbers that every unseeded run draws anew, and what touches no number comes last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from .causes import Cause
from .kinds import RecordedDifference
from .streams import OBSERVED, Comparison

_KINDS = ("code", "argument", "parameter", "seed", "data", "package", "native", "threads", "switch", "variable",
          "python", "hardware", "random state")  # fmt: skip

_TABLE: dict[str, tuple[float, ...]] = {
    #                  code arg  par  seed data pack nat  thr  swit vari pyth hard rand
    "initialisation": (3.0, 3.1, 3.0, 3.6, 2.2, 2.3, 2.6, 1.5, 1.6, 1.8, 1.9, 1.2, 1.95),
    "data order":     (3.0, 3.1, 3.0, 3.6, 2.8, 2.4, 2.3, 1.2, 1.2, 1.8, 2.0, 1.1, 1.95),
    "data content":   (3.0, 3.1, 3.0, 2.7, 3.8, 2.8, 2.6, 1.4, 1.2, 2.0, 2.0, 1.4, 1.95),
    "first step":     (3.0, 3.1, 3.0, 3.4, 3.2, 2.3, 2.6, 2.2, 2.2, 2.0, 1.9, 2.1, 1.95),
    "forward":        (3.0, 3.1, 3.0, 2.4, 2.1, 2.3, 3.4, 3.3, 3.2, 2.4, 1.9, 3.05, 1.95),
    "first update":   (3.0, 3.1, 3.0, 2.2, 2.1, 2.3, 3.4, 3.3, 3.2, 2.4, 1.9, 3.05, 1.9),
    "epoch boundary": (3.0, 3.1, 3.0, 3.4, 2.6, 2.3, 2.3, 1.5, 1.4, 2.0, 1.9, 1.4, 1.95),
    "evaluation":     (3.0, 3.1, 3.0, 2.6, 3.3, 2.4, 2.3, 2.0, 1.9, 2.0, 1.9, 1.9, 1.9),
    "drift":          (3.0, 3.1, 3.0, 2.4, 2.5, 2.4, 3.2, 3.2, 3.2, 2.4, 2.0, 3.1, 1.95),
}  # fmt: skip
_UNKNOWN = _TABLE["first step"]

_ABOUT: dict[str, frozenset[str]] = {
    "initialisation": frozenset({"seed", "model"}),
    "data order": frozenset({"seed", "loader", "data"}),
    "data content": frozenset({"data", "loader", "seed"}),
    "first step": frozenset({"seed", "model", "data", "loader", "update"}),
    "forward": frozenset({"model", "update", "threads"}),
    "first update": frozenset({"update", "threads", "model"}),
    "epoch boundary": frozenset({"loader", "seed", "update"}),
    "evaluation": frozenset({"evaluation", "data", "model"}),
    "drift": frozenset({"update", "threads", "seed"}),
}
"""What a changed line is about when it explains that the numbers part there."""

_REASONS = {
    "initialisation": "the first weights come from it",
    "data order": "the order of the samples comes from it",
    "data content": "the samples come from it",
    "first step": "the first numbers come from it",
    "forward": "the first loss is computed with it",
    "first update": "the first update is computed with it",
    "epoch boundary": "a new pass over the data begins with it",
    "evaluation": "the evaluation depends on it",
    "drift": "every step is computed with it",
}

_LAST = {"unread": "neither run was seen to load or read it"}


def rank(found: Sequence[RecordedDifference], cause: Cause | None, numbers: Comparison) -> list[RecordedDifference]:
    """The differences with their scores and reasons, the one that explains most first; stable among equals."""
    scored = [_scored(one, cause, numbers) for one in found]
    leading = {one.id: one.score for one in scored}
    # What follows from another difference stands right behind it, however well it explains by itself.
    scored = [
        replace(one, score=min(one.score, leading[one.follows] - 0.01)) if one.follows in leading else one
        for one in scored
    ]
    return sorted(scored, key=lambda one: -one.score)


def _scored(one: RecordedDifference, cause: Cause | None, numbers: Comparison) -> RecordedDifference:
    nothing = _cannot(one, cause)
    if nothing:
        return replace(one, score=0.0, reason=nothing)
    if "unread" in one.topics:
        return replace(one, score=0.5, reason=_LAST["unread"])
    where = "" if cause is None else cause.where
    table = _TABLE.get(where, _UNKNOWN)
    kind = "native" if one.kind == "package" and "native" in one.tags else one.kind
    score = table[_KINDS.index(kind)]
    reason = _REASONS.get(where, "numbers can depend on it")
    if one.kind in ("code", "argument", "parameter"):
        score, reason = _by_topic(one, where, score, reason)
        if one.kind == "parameter":
            score -= 0.3  # what set it, where that is known, comes first
        if _is_rate(cause, numbers) and _names_rate(one):
            score, reason = 5.0, "the learning rate is what differs first"
    elif one.kind == "random state":
        score, reason = _of_state(one, score)
    elif "aside" in one.tags:
        score -= 1.0
    if one.sets and one.kind in ("code", "argument"):
        score += 0.8
        reason = f"it sets {one.sets[0]}"
    return replace(one, score=score, reason=reason)


def _cannot(one: RecordedDifference, cause: Cause | None) -> str:
    """Why a difference touches no number; empty where it can."""
    if "before" in one.tags and (cause is None or cause.where != "initialisation"):
        return "it was seeded before the training began, and the first weights are equal"
    if one.can_matter:
        return ""
    if one.kind == "code":
        return "only comments, layout or the file's mode differ"
    if one.kind == "random state":
        return "nothing was drawn from it"
    if one.kind == "data":
        return "the run wrote it: it follows from the numbers"
    if one.kind == "package":
        return "neither run imported it, or it touches no tensor"
    return "it changes no numbers"


def _by_topic(one: RecordedDifference, where: str, score: float, reason: str) -> tuple[float, str]:
    about = _ABOUT.get(where)
    if about is None or not one.topics:
        return score, reason
    common = sorted(one.topics & about)
    if common:
        return score + 0.6 + 0.05 * len(common), f"it is about the {common[0]}, and {reason}"
    return score - 0.4, f"it is about the {min(one.topics)}"


def _of_state(one: RecordedDifference, score: float) -> tuple[float, str]:
    if "hash" in one.tags:
        return 0.6, "it orders sets of strings, where the script depends on that"
    if "drawn" in one.tags:
        return 1.2, "seeded alike, but more was drawn by one of the two: it follows from something else"
    if "before" in one.tags:
        return min(score, 1.5), "what was computed before the seed was given comes from it"
    # torch makes weights and shuffles, numpy may do so, python's is drawn from by libraries as well.
    less = {"state:numpy": 0.05, "state:python": 0.08}.get(one.id, 0.0)
    return score - less, "it was not seeded: each run has random numbers of its own"


def _is_rate(cause: Cause | None, numbers: Comparison) -> bool:
    first = numbers.first_difference
    is_first = first is not None and first.metric.startswith(f"{OBSERVED}lr")
    return is_first or (cause is not None and "learning rate" in cause.likely)


def _names_rate(one: RecordedDifference) -> bool:
    return "update" in one.topics or any(name.rpartition("/")[2].endswith("lr") for name in (one.what, *one.repeats))
