"""How much of a run came out the same when it was done again: the grade, its scope, and the first difference.

====  ====================  ========================================================================================
R0    not captured          the code, the command or the packages are unknown
R1    captured with gaps    all three are known, and at least one named thing is not
R2    restorable            no gap, and a restore into an empty folder gave the same code and data
R3    re-executed           ended with the same status, and the same metrics at the same steps
R4n   within tolerance      R3, and |a - b| <= 1e-8 + 1e-5 max(|a|, |b|) for every compared number
R5    bit for bit           R3, and all numbers and the final weights have the same bits
====  ====================  ========================================================================================

R3 and up hold in a *scope*: the same `process`, the same `host` and environment, the same machine with a rebuilt
environment (`env-rebuilt`), or another machine (`other-host`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from ..compare.causes import Cause, why
from ..compare.floats import ulp_distance
from ..compare.prints import ends, kind_of
from ..compare.streams import (
    ATOL,
    EXCLUDED,
    OBSERVED,
    RTOL,
    Comparison,
    Difference,
    Ledger,
    compare_streams,
    ledger_of,
)

__all__ = [
    "ATOL", "EXCLUDED", "GRADES", "OBSERVED", "RTOL", "SCOPES", "Cause", "Comparison", "Difference", "Grade", "Ledger",
    "Scope", "Standing", "compare_streams", "grade", "ledger_of", "rank", "standing_after", "ulp_distance", "why",
]  # fmt: skip

Scope = Literal["process", "host", "env-rebuilt", "other-host"]
SCOPES: tuple[Scope, ...] = ("process", "host", "env-rebuilt", "other-host")
GRADES = ("R0", "R1", "R2", "R3", "R4n", "R5")
"""All grades, lowest first."""

_STOPPED = (None, "KILLED")
"""How a run ended that did not come to its end by itself: without a word, or by a signal such as Ctrl-C."""

NAMES = {
    "R0": "not captured",
    "R1": "captured with gaps",
    "R2": "captured and restorable",
    "R3": "re-executed",
    "R4n": "within tolerance",
    "R5": "bit for bit",
}


def rank(grade: str | None) -> int:
    """The place of a grade in the scale, 0 for R0 to 5 for R5; -1 for none and for words that are no grade."""
    return GRADES.index(grade) if grade in GRADES else -1


@dataclass(frozen=True)
class Grade:
    """What a re-execution proved."""

    grade: str
    scope: Scope
    n_metrics: int
    n_points: int
    first_difference: Difference | None
    explanation: str
    cause: Cause | None = None
    details: tuple[str, ...] = field(default_factory=tuple)
    """Everything else that was not the same: missing metrics, unequal lengths, weights."""
    is_prefix: bool = False
    """True when the original was stopped before its end, and all it had said by then came out again."""
    steps: int | None = None
    """How many optimizer steps the grade is about, where only the beginning was run again."""

    @property
    def label(self) -> str:
        """The grade as it is shown: `R5`, or `R5[300]` for the first 300 steps."""
        return self.grade if self.steps is None else f"{self.grade}[{self.steps}]"

    @property
    def is_reproduced(self) -> bool:
        """True from R4n up, and for a run that was stopped: the numbers came out again."""
        return self.is_prefix or rank(self.grade) >= rank("R4n")

    def as_json(self) -> dict[str, Any]:
        """The grade as JSON; always finite."""
        first = self.first_difference
        return {
            "grade": self.label,
            "name": NAMES[self.grade],
            "scope": self.scope,
            "metrics": self.n_metrics,
            "points": self.n_points,
            "first_difference": None if first is None else first.as_json(),
            "cause": None if self.cause is None else asdict(self.cause),
            "explanation": self.explanation,
            "details": list(self.details),
            "prefix": self.is_prefix,
        }


def grade(
    original: Ledger,
    rerun: Ledger,
    comparison: Comparison | None = None,
    *,
    scope: Scope = "host",
    captured: str = "R2",
    weights: tuple[Mapping[str, str], Mapping[str, str]] | None = None,
) -> Grade:
    """Grades a re-execution against its original.

    `comparison` is that of the two ledgers (made here when absent), `captured` the grade that stood before anything was
    executed and to which a failed re-execution falls back, `weights` the `start` and `end` digests of both runs where
    they are not in the ledgers.
    """
    compared = comparison if comparison is not None else compare_streams(original, rerun)
    before, after = weights or (original.weights, rerun.weights)
    first = compared.first_difference
    cause = why(original, compared, before, after)
    details = _details(compared, before, after)

    def say(level: str, explanation: str) -> Grade:
        return Grade(level, scope, len(compared.metrics), compared.n_points, first, explanation, cause, details)

    fallback = captured if rank(captured) <= rank("R2") else "R2"
    if original.status in _STOPPED and compared.is_within_tolerance and _is_continued(original, rerun, compared):
        how = "have the same bits" if compared.is_bitwise else "are within the tolerance"
        text = f"The original was stopped before its end; all {compared.n_points} numbers up to there {how}."
        return replace(say(fallback, text), is_prefix=True, details=())
    if original.status is None or rerun.status != original.status:
        return say(
            fallback,
            f"The re-run ended {rerun.status or 'without a status'}; the original, {original.status or 'too'}.",
        )
    if not compared.same_shape:
        return say(fallback, f"The re-run did not log the same numbers: {details[0]}.")
    if not compared.n_points:
        return say("R3", "Neither run logged a number that can be compared.")
    if not compared.is_within_tolerance:
        return say("R3", f"{compared.n_different} of {compared.n_points} numbers differ.")
    made = original.steps[-1] + 1 if original.steps else None
    digests = ends(original.prints, rerun.prints, made) or (before.get("end"), after.get("end"))
    if compared.is_bitwise and None not in digests and digests[0] == digests[1]:
        sampled = " (of the weights, above 1 GiB, blocks were sampled)" if kind_of(str(digests[0])) == "sampled" else ""
        return say("R5", f"All {compared.n_points} numbers and the final weights have the same bits{sampled}.")
    if not compared.is_bitwise:
        return say("R4n", f"{compared.n_different} of {compared.n_points} numbers differ, each within the tolerance.")
    if None in digests:
        missing = "original" if digests[0] is None else "re-run"
        return say("R4n", f"All {compared.n_points} numbers have the same bits; the {missing} has no weights digest.")
    return say("R4n", f"All {compared.n_points} numbers have the same bits; the final weights have not.")


def _is_continued(original: Ledger, rerun: Ledger, compared: Comparison) -> bool:
    """True when the re-run said everything that the original said, at the same steps, whatever it said later."""

    def steps(ledger: Ledger, key: str) -> Counter[int]:
        return Counter(step for step, _ in ledger.streams[key])

    return not compared.only_in_a and not any(steps(original, key) - steps(rerun, key) for key in compared.lengths)


def _details(compared: Comparison, before: Mapping[str, str], after: Mapping[str, str]) -> tuple[str, ...]:
    lines = [f"{key} was logged by the original only" for key in compared.only_in_a]
    lines += [f"{key} was logged by the re-run only" for key in compared.only_in_b]
    lines += [
        f"{key} has {m} points in the re-run; the original has {n}"
        if n != m
        else f"{key} was logged at other steps ({n} points in both)"
        for key, (n, m) in compared.lengths.items()
    ]
    for moment, words in (("start", "first"), ("end", "final")):
        if before.get(moment) and after.get(moment) and before[moment] != after[moment]:
            lines.append(f"{words} weights {after[moment][:12]}; the original has {before[moment][:12]}")
    return tuple(lines)


@dataclass(frozen=True)
class Standing:
    """What a run's tags say of its reproducibility."""

    grade: str | None
    scope: str | None
    last: str
    reproducible: str
    """true, false or unknown."""
    prefix: str | None = None
    """What a re-run of the beginning has proved, if the last one was that: grade and scope."""


def standing_after(
    result: Grade, date: str, grade: str | None = None, scope: str | None = None, reproducible: str = "unknown"
) -> Standing:
    """The standing of the original after one more re-execution; the other arguments are its standing before.

    The highest grade that was ever proven stays, with its scope. `reproducible` becomes true when the numbers came out
    again; false when they did not in a scope that is claimed: this host, and the scope of the standing grade. A failure
    anywhere else is only remembered in `last`. `date` is how it shall be shown.
    """
    if result.is_prefix:  # there is no end to compare: neither proven nor disproven
        return Standing(grade, scope, f"{result.scope} {date}: {result.explanation}", reproducible)
    proven = rank(grade) >= rank("R3")
    claimed = {"host", scope} if proven else {"host"}
    fell_short = not result.is_reproduced or (proven and scope == result.scope and rank(result.grade) < rank(grade))
    if rank(result.grade) >= rank("R3") and rank(result.grade) > rank(grade):
        best: tuple[str | None, str | None] = (result.grade, result.scope)
    else:
        best = (grade, scope)
    head = f"{result.grade} {result.scope} {date}"
    if result.grade == "R3" and not result.n_points:  # the same end, and no number on either side: nothing against it
        return Standing(*best, f"{head}: {result.explanation}", reproducible)
    if not fell_short:
        return Standing(*best, head, "true")
    last = f"failed: {head}: {result.explanation}"
    return Standing(*best, last, "false" if result.scope in claimed else reproducible)
