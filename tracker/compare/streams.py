"""The numbers of two runs, compared bit by bit.

A *stream* is everything one metric said during a run, `[(step, value), ...]` in the order in which it was said. A
*ledger* holds all streams of a run together with what is needed to explain a difference: the epochs, the digests of
the weights, and how the run ended.
"""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from ..rules.engine.records import END, EPOCH, Event, Fact, Reading, Record
from ..rules.engine.signals import GRAD_NORM, LOSS, LR, METRIC, METRIC_IN_MLFLOW
from .floats import close, is_single, same_bits, ulp_distance
from .prints import FACT, PrintComparison, PrintDifference, Prints, Reader

Stream = Sequence[tuple[int, float]]

RTOL, ATOL = 1e-5, 1e-8
"""Tolerances of grade R4n: |a - b| <= ATOL + RTOL * max(|a|, |b|)."""

EXCLUDED = (
    "system/*",
    "time*",
    "*/time*",
    "*_time",
    "*/sec",
    "*per_sec*",
    "*_seconds",
    "*throughput*",
    "*runtime*",
    "*elapsed*",
    "*duration*",
    "*overhead*",
    "*memory*",
)
"""Metrics that measure the machine and not the model; they differ between any two executions."""

OBSERVED = "observed/"
"""What stands before our own series, so that they never meet a metric of the user's with the same name."""

USER_SIGNALS = (METRIC.name, METRIC_IN_MLFLOW.name)
"""Signals of numbers that the user logged; the second kind is already in MLflow when we see it."""

_SAMPLED = frozenset({GRAD_NORM.name})
_OURS = frozenset({LOSS.name, LR.name}) | _SAMPLED


@dataclass(frozen=True)
class Ledger:
    """What one run said, and what is needed to explain where another one says something else."""

    streams: Mapping[str, Stream] = field(default_factory=dict)
    positions: Mapping[str, Sequence[int]] = field(default_factory=dict)
    """For each point of each stream its place among all records of the run, to find the *first* difference."""
    moments: Mapping[str, Sequence[int]] = field(default_factory=dict)
    """For each point the optimizer step at which it was said: users count the steps of their metrics as they like."""
    epoch_starts: tuple[int, ...] = ()
    """First optimizer step of each epoch but the first."""
    weights: Mapping[str, str] = field(default_factory=dict)
    """Digests of the model's state: `start` and `end`."""
    status: str | None = None
    """FINISHED, FAILED or KILLED; None when the run did not live to say it."""
    prints: Prints = field(default_factory=Prints)
    """Fingerprints of batches, gradients and weights."""

    @property
    def sampled(self) -> frozenset[str]:
        """Streams whose number of points depends on the speed of the machine: only common steps are compared."""
        heads = tuple(OBSERVED + name for name in _SAMPLED)
        return frozenset(key for key in self.streams if key.startswith(heads))

    @property
    def steps(self) -> list[int]:
        """The optimizer steps of which the training loss is known, in order."""
        return [step for step, _ in self.streams.get(OBSERVED + LOSS.name, ())]


def ledger_of(records: Iterable[Record]) -> Ledger:
    """Reads the ledger out of a run's records, which must be in journal order."""
    streams: dict[str, list[tuple[int, float]]] = {}
    positions: dict[str, array[int]] = {}
    moments: dict[str, array[int]] = {}
    epoch_starts: list[int] = []
    weights: dict[str, str] = {}
    status: str | None = None
    prints = Reader()
    moment = 0
    for position, record in enumerate(records):
        if isinstance(record, Reading):
            key = _key_of(record)
            if record.signal == LOSS.name:
                moment = record.step
            if key is not None:
                streams.setdefault(key, []).append((record.step, record.value))
                positions.setdefault(key, array("q")).append(position)
                moments.setdefault(key, array("q")).append(moment)
        elif isinstance(record, Event) and record.name == EPOCH:
            last = record.data.get("last_step")
            epoch_starts.append((int(last) if isinstance(last, (int, float)) else record.step) + 1)
        elif isinstance(record, Event) and record.name == END:
            status = str(record.data.get("status"))
        elif isinstance(record, Fact) and record.name == "weights" and isinstance(record.value, dict):
            weights.update({str(k): str(v) for k, v in record.value.items() if k in ("start", "end") and v is not None})
        elif isinstance(record, Fact) and record.name == FACT:
            prints.take(record.step, record.value)
    return Ledger(streams, positions, moments, tuple(epoch_starts), weights, status, prints.prints())


def _key_of(reading: Reading) -> str | None:
    if reading.signal in USER_SIGNALS:
        return reading.subject
    if reading.signal in _OURS:
        return f"{OBSERVED}{reading.signal}" + (f"/{reading.subject}" if reading.subject else "")
    return None


@dataclass(frozen=True)
class Difference:
    """One number that is not the same in two runs."""

    metric: str
    step: int
    a: float
    b: float
    position: int = 0
    moment: int = 0

    @property
    def ulps(self) -> int | None:
        """How many representable numbers apart; in single precision if both numbers are; None beside NaN and inf."""
        return ulp_distance(self.a, self.b)

    @property
    def relative(self) -> float:
        """|a - b| over the larger magnitude; infinite when one of them is not finite."""
        if not (math.isfinite(self.a) and math.isfinite(self.b)):
            return math.inf
        scale = max(abs(self.a), abs(self.b))
        # Divided first: the difference of two huge numbers may not be representable.
        return abs(self.a / scale - self.b / scale) if scale else 0.0

    @property
    def size(self) -> str:
        """The size in words: `3 ULPs, 2.1e-07 relative`."""
        if self.ulps is None:
            return "not comparable"
        kind = "float32 " if is_single(self.a) and is_single(self.b) else ""
        return f"{self.ulps} {kind}ULP{'s' * (self.ulps != 1)}, {self.relative:.1e} relative"

    def as_json(self) -> dict[str, Any]:
        """The difference as JSON; numbers that JSON does not know are text."""
        values = {"a": self.a, "b": self.b, "relative": self.relative}
        finite = {name: value if math.isfinite(value) else repr(value) for name, value in values.items()}
        return {"metric": self.metric, "step": self.step, "ulps": self.ulps, **finite}


@dataclass(frozen=True)
class Comparison:
    """Two sets of streams, point by point."""

    metrics: tuple[str, ...] = ()
    n_points: int = 0
    different: Mapping[str, int] = field(default_factory=dict)
    """How many points of a metric differ, where any do."""
    first_difference: Difference | None = None
    """The earliest number whose bits differ."""
    first_beyond: Difference | None = None
    """The earliest number that differs by more than the tolerance."""
    only_in_a: tuple[str, ...] = ()
    only_in_b: tuple[str, ...] = ()
    lengths: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Streams with unequal steps: how many points each of the two has."""
    finals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """The last value of each compared metric."""
    excluded: tuple[str, ...] = ()
    firsts: Mapping[str, Difference] = field(default_factory=dict)
    """The earliest number of each metric whose bits differ."""
    prints: PrintComparison = field(default_factory=PrintComparison)
    """The fingerprints of both."""

    @property
    def first_print(self) -> PrintDifference | None:
        """The earliest fingerprint that differs."""
        return self.prints.first

    @property
    def n_different(self) -> int:
        """How many of the compared points differ, over all metrics."""
        return sum(self.different.values())

    @property
    def same_shape(self) -> bool:
        """True when both have the same metrics with the same steps."""
        return not (self.only_in_a or self.only_in_b or self.lengths)

    @property
    def is_bitwise(self) -> bool:
        """True when every compared number has the same bits."""
        return self.n_points > 0 and self.first_difference is None

    @property
    def is_within_tolerance(self) -> bool:
        """True when no compared number differs by more than the tolerance."""
        return self.n_points > 0 and self.first_beyond is None


def compare_streams(
    a: Mapping[str, Stream] | Ledger,
    b: Mapping[str, Stream] | Ledger,
    rtol: float = RTOL,
    atol: float = ATOL,
    exclude: Sequence[str] = EXCLUDED,
) -> Comparison:
    """Compares every metric that is in both, at every step that both have.

    Values are equal when their 64 bits are; NaN equals NaN. `exclude` holds patterns of metric keys, case ignored. A
    metric with several values at one step is compared value by value. Which difference is the first is decided by the
    order in which `a` said its numbers, where `a` is a ledger, else by the step.
    """
    left, right = _as_ledger(a), _as_ledger(b)
    sampled = left.sampled | right.sampled
    excluded = {key for key in {*left.streams, *right.streams} if _matches(key, exclude)}
    common = sorted((left.streams.keys() & right.streams.keys()) - excluded)
    lengths: dict[str, tuple[int, int]] = {}
    finals: dict[str, tuple[float, float]] = {}
    first: Difference | None = None
    beyond: Difference | None = None
    firsts: dict[str, Difference] = {}
    different: Counter[str] = Counter()
    n_points = 0
    for key in common:
        one, other = left.streams[key], right.streams[key]
        if one and other:
            finals[key] = (one[-1][1], other[-1][1])
        matched = 0
        for index, step, x, y in _pairs(one, other):
            matched += 1
            if same_bits(x, y):
                continue
            different[key] += 1
            difference = _difference(left, key, index, step, x, y)
            first = _earlier(first, difference)
            firsts[key] = _earlier(firsts.get(key), difference)
            if not close(x, y, rtol, atol):
                beyond = _earlier(beyond, difference)
        n_points += matched
        if key not in sampled and not (matched == len(one) == len(other)):
            lengths[key] = (len(one), len(other))
    return Comparison(
        metrics=tuple(common),
        n_points=n_points,
        different=dict(different),
        first_difference=first,
        first_beyond=beyond,
        only_in_a=tuple(sorted(left.streams.keys() - right.streams.keys() - excluded - sampled)),
        only_in_b=tuple(sorted(right.streams.keys() - left.streams.keys() - excluded - sampled)),
        lengths=lengths,
        finals=finals,
        excluded=tuple(sorted(excluded)),
        firsts=firsts,
        prints=PrintComparison(left.prints, right.prints),
    )


def _as_ledger(streams: Mapping[str, Stream] | Ledger) -> Ledger:
    return streams if isinstance(streams, Ledger) else Ledger(streams)


def _matches(key: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(key.lower(), pattern.lower()) for pattern in patterns)


def _pairs(one: Stream, other: Stream) -> Iterator[tuple[int, int, float, float]]:
    """(index in `one`, step, value, value) of all points both have; the n-th value at a step meets the other's n-th."""
    if len(one) == len(other) and all(p[0] == q[0] for p, q in zip(one, other, strict=True)):
        for index, ((step, x), (_, y)) in enumerate(zip(one, other, strict=True)):
            yield index, step, x, y
        return
    seen: Counter[int] = Counter()
    values: dict[tuple[int, int], float] = {}
    for step, value in other:
        values[step, seen[step]] = value
        seen[step] += 1
    seen.clear()
    for index, (step, x) in enumerate(one):
        found = values.get((step, seen[step]))
        seen[step] += 1
        if found is not None:
            yield index, step, x, found


def _difference(ledger: Ledger, key: str, index: int, step: int, x: float, y: float) -> Difference:
    moments = ledger.moments.get(key)
    return Difference(key, step, x, y, _place(ledger, key, index, step), moments[index] if moments else step)


def _place(ledger: Ledger, key: str, index: int, step: int) -> int:
    places = ledger.positions.get(key)
    return places[index] if places else step


def _earlier(known: Difference | None, new: Difference) -> Difference:
    return new if known is None or (new.position, new.step) < (known.position, known.step) else known
