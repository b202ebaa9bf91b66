"""What a re-run with something of another run says: whose numbers came out, and which difference is enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ..compare.floats import same_bits
from ..compare.streams import Difference, Ledger, compare_streams
from .prefix import beginning

NOTHING = "nothing"
"""What is swapped in the first trial: A itself must come out again, or no trial means anything."""
TOGETHER = "all together"


@dataclass(frozen=True)
class Trial:
    """One re-run of A with something of B."""

    swapped: str
    """The ID of the difference, `nothing`, or `all together`."""
    outcome: Literal["A", "B", "other", "failed", "not swapped"]
    """Whose number came out where A and B part; `failed` where none did."""
    detail: str = ""
    value: float | None = None
    """The number that came out there."""
    n_as_a: int = 0
    n_as_b: int = 0
    """How many of the numbers have the bits of A, and of B."""
    n_points: int = 0
    run_id: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The trial as JSON."""
        return {
            "swapped": self.swapped,
            "outcome": self.outcome,
            "detail": self.detail,
            "value": self.value,
            "points": self.n_points,
            "as_a": self.n_as_a,
            "as_b": self.n_as_b,
            "run_id": self.run_id,
        }


@dataclass(frozen=True)
class Asked:
    """What a trial is asked: the first number that differs between two runs, and how much of them is compared."""

    a: Ledger
    b: Ledger
    first: Difference
    steps: int | None = None
    """How many steps a trial makes; None for the whole run."""


def judged(name: str, asked: Asked, ledger: Ledger, ended: str = "", run_id: str | None = None) -> Trial:
    """Whose numbers a trial had: those of A, of B, or others; `ended` says how it ended where that was not well."""
    sides = [asked.a, asked.b]
    if asked.steps is not None:
        sides = [beginning(side, asked.steps) for side in sides]
        ledger = beginning(ledger, asked.steps)
    came = _values(ledger, asked.first)
    as_a, as_b = (compare_streams(side, ledger) for side in sides)
    counts = (as_a.n_points - as_a.n_different, as_b.n_points - as_b.n_different, as_b.n_points)
    if not came:
        said = f"it did not say {asked.first.metric} at step {asked.first.step}"
        return Trial(name, "failed", f"{ended}: {said}" if ended else said, None, *counts, run_id)
    outcome: Literal["A", "B", "other"] = "other"
    if _same(came, _values(sides[1], asked.first)):
        outcome = "B"
    elif _same(came, _values(sides[0], asked.first)):
        outcome = "A"
    return Trial(name, outcome, ended, came[-1], *counts, run_id)


def _values(ledger: Ledger, at: Difference) -> list[float]:
    """What a run said of the metric at the step, in order: a metric may be logged several times at one step."""
    return [value for step, value in ledger.streams.get(at.metric, ()) if step == at.step]


def _same(one: Sequence[float], other: Sequence[float]) -> bool:
    return len(one) == len(other) and all(same_bits(x, y) for x, y in zip(one, other, strict=True))


def verdict(found: Sequence[Trial]) -> tuple[str, list[str]]:
    """What the trials say, in a sentence, and the differences that alone are enough."""
    control = found[0] if found else None
    if control is None or control.outcome != "A":
        said = "was not tried" if control is None else f"gave {_said(control)}"
        return f"A does not come out again by itself (it {said}), so that the swaps prove nothing.", []
    alone = [trial.swapped for trial in found[1:] if trial.outcome == "B" and trial.swapped != TOGETHER]
    whole = [trial.swapped for trial in found[1:] if trial.swapped in alone and trial.n_as_b == trial.n_points]
    if whole:
        return f"{_one_of(whole)} alone turns every number of A into B's.", alone
    together = next((trial for trial in found if trial.swapped == TOGETHER and trial.outcome == "B"), None)
    if alone:
        rest = "" if together is None else "; together with what else was tried it does"
        return f"{_one_of(alone)} alone turns the first number that differs into B's, and not all others{rest}.", alone
    if together is not None:
        return "No difference alone turns A into B; together they do.", []
    return "None of the differences that were tried turns A into B: the cause is something else.", []


def _said(trial: Trial) -> str:
    return trial.detail or {"B": "the number of B", "other": "another number"}.get(trial.outcome, "nothing")


def _one_of(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"Each of {', '.join(names)}"
