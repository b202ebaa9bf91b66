"""The beginning of a run, done again: proof in seconds for a run of hours.

The re-run makes one step more than is compared, since what a script says of a step it often says behind it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from ..compare.prints import last_common_weights
from ..compare.streams import Ledger, compare_streams
from ..errors import ConfigError, ReproduceError
from .verdict import Grade, Scope, Standing, grade, rank

T = TypeVar("T")


@dataclass(frozen=True)
class Prefix:
    """How much of a run is compared: its first optimizer steps."""

    steps: int
    words: str
    """As the user said it: `300 steps`, `2 epochs`."""


def prefix_of(ledger: Ledger, steps: int | None, epochs: int | None) -> Prefix | None:
    """The beginning that was asked for; None when that is the whole run, or nothing was asked for.

    Raises `ConfigError` when both are given, `ReproduceError` when the run did not record what is counted.
    """
    if steps is None and epochs is None:
        return None
    if steps is not None and epochs is not None:
        raise ConfigError("--steps and --epochs are two ways to say how much is run again: give one of them.")
    made = ledger.steps
    if not made:
        raise ReproduceError("The run recorded no training step, so it has no beginning to repeat. Leave out --steps.")
    if epochs is not None:
        starts = [0, *ledger.epoch_starts]
        if epochs >= len(starts):
            return None
        return Prefix(starts[epochs], _counted(epochs, "epoch"))
    assert steps is not None
    return Prefix(steps, _counted(steps, "step")) if steps <= made[-1] else None


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def beginning(ledger: Ledger, steps: int) -> Ledger:
    """What a run had said before it made optimizer step `steps` (counted from 0)."""
    kept = {
        key: [index for index, moment in enumerate(ledger.moments.get(key, ())) if moment < steps]
        for key in ledger.streams
    }
    return replace(
        ledger,
        streams={key: _taken(ledger.streams[key], rows) for key, rows in kept.items() if rows},
        positions={key: _taken(ledger.positions[key], rows) for key, rows in kept.items() if rows},
        moments={key: _taken(ledger.moments[key], rows) for key, rows in kept.items() if rows},
        epoch_starts=tuple(start for start in ledger.epoch_starts if start < steps),
        weights=_start_of(ledger.weights),
        status=None,
        prints=ledger.prints.before(steps),
    )


def _taken(row: Sequence[T], places: list[int]) -> list[T]:
    return [row[place] for place in places]


def _start_of(weights: Mapping[str, str]) -> dict[str, str]:
    return {moment: digest for moment, digest in weights.items() if moment == "start"}


def grade_beginning(original: Ledger, rerun: Ledger, prefix: Prefix, *, scope: Scope, captured: str) -> Grade:
    """Grades a re-run of the beginning: R5[n] when all numbers of the first n steps have the same bits.

    The n of R5[n] is the last step of the beginning behind which both runs took a digest of the weights, and these are
    equal. `captured` is the grade that stood before; a beginning that differs falls back to it.
    """
    one, other = beginning(original, prefix.steps), beginning(rerun, prefix.steps)
    compared = compare_streams(one, other)
    whole = grade(
        replace(one, status="beginning"), replace(other, status="beginning"), compared, scope=scope, captured=captured
    )
    told = replace(whole, steps=prefix.steps, explanation=f"Of the first {prefix.words}: {whole.explanation}")
    if not (compared.same_shape and compared.is_bitwise) or whole.cause is not None:
        return told
    step = last_common_weights(one.prints, other.prints)
    if not step:
        return told
    text = (
        f"All {compared.n_points} numbers of the first {prefix.words} have the same bits, and so have the weights "
        f"after {_counted(step, 'step')}."
    )
    return replace(told, grade="R5", steps=step, explanation=text)


def standing_after_beginning(
    result: Grade, date: str, grade: str | None = None, scope: str | None = None, reproducible: str = "unknown"
) -> Standing:
    """The standing of the original after a re-run of its beginning; the other arguments are its standing before.

    What was proven of the whole run stays as it is: a beginning proves less, and cannot raise it. One that comes out
    otherwise in a scope that is claimed speaks against the run as much as a whole re-run would.
    """
    head = f"{result.label} {result.scope} {date}"
    if result.is_reproduced:
        return Standing(grade, scope, head, reproducible, f"{result.label} {result.scope}")
    proven = rank(grade) >= rank("R3")
    is_claimed = result.scope == "host" or (proven and result.scope == scope)
    last = f"failed: {head}: {result.explanation}"
    return Standing(grade, scope, last, "false" if is_claimed else reproducible)
