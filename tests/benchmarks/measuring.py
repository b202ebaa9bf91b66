"""Times steps under several conditions in one process, and tells small differences from the noise of the machine.

A cycle runs each condition for one short block, in a new order each time, with a block of bare steps before and after
it: bare, X, bare, Y, bare. The first bare step behind a block does not count: it pays for what the block has left in
the caches, and the block of a control, which follows on bare steps only, would look too cheap. All conditions train the
same model, so that caches, addresses and allocations are the same for all. Each step is timed alone, by wall clock and
by the CPU time of the whole process, and divided by the median of the bare steps on both sides of its block: what the
machine does for longer than a block cancels out.

A condition says of each step what kind of step it was: one of many, one that was looked at closely, the one after. The
median of each kind resists disturbances; their mean, weighted by how often each kind occurs, does not hide what is
rare. The interval is that of a bootstrap over blocks (95 %). A control of steps that are bare too goes through the same
blocks and the same sums: its distance from zero, with its interval, is what this machine resolves today.
"""

from __future__ import annotations

import random
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

RESAMPLES = 400
FEW = 8
"""Steps of one kind below which their mean is taken: a median of so few would hide the rest."""


class Step(NamedTuple):
    """One step: nanoseconds by the wall clock, nanoseconds of CPU time of the process, and what kind it was."""

    wall: int
    cpu: int
    kind: Hashable = ""


@dataclass
class Block:
    """Steps of one condition, and the bare steps before and after them."""

    steps: list[Step]
    before: list[Step]
    after: list[Step] = field(default_factory=list)


class Condition:
    """A way to train. This one is bare; others say what is done around a block, and what kind each step was."""

    def __init__(self, name: str, step: Callable[[], object]) -> None:
        self.name = name
        self.step = step

    def enter(self) -> None:
        """A block of this condition begins."""

    def leave(self) -> None:
        """The block is over."""

    def before(self) -> None:
        """A step of this condition begins; not timed."""

    def kind(self) -> Hashable:
        """What kind of step the last one was; not timed."""
        return ""


class Interval(NamedTuple):
    """An estimate and where it lies with a probability of 95 %."""

    value: float
    low: float
    high: float

    def plus(self, other: float) -> Interval:
        return Interval(self.value + other, self.low + other, self.high + other)

    def __str__(self) -> str:
        return f"{self.value:+.2%} [{self.low:+.2%} {self.high:+.2%}]"


class Blocks:
    """Runs cycles, and keeps what they took."""

    def __init__(self, bare: Condition, others: Sequence[Condition], length: int, skip: int, seed: int = 0) -> None:
        """`skip` are the first steps of each block that do not count: caches are cold behind a change."""
        self._bare = bare
        self._others = list(others)
        self._length = length
        self._skip = skip
        self._order = random.Random(seed)
        self.found: dict[str, list[Block]] = {other.name: [] for other in others}

    def cycle(self) -> None:
        """One block of each condition, in random order, with bare ones around each."""
        before = self._run(self._bare)
        for other in self._order.sample(self._others, len(self._others)):
            steps = self._run(other)
            self._bare.step()
            after = self._run(self._bare)
            self.found[other.name].append(Block(steps, before, after))
            before = after

    def _run(self, condition: Condition) -> list[Step]:
        step, steps = condition.step, []
        condition.enter()
        for number in range(self._length):
            condition.before()
            cpu = time.process_time_ns()
            wall = time.perf_counter_ns()
            step()
            wall = time.perf_counter_ns() - wall
            cpu = time.process_time_ns() - cpu
            kind = condition.kind()
            if number >= self._skip:
                steps.append(Step(wall, cpu, kind))
        condition.leave()
        return steps

    @property
    def bare_seconds(self) -> float:
        """Median CPU time of a bare step: what it takes by the clock while nobody else wants the core."""
        blocks = next(iter(self.found.values()))
        return statistics.median(step.cpu for block in blocks for step in block.after) / 1e9


def overhead(blocks: Sequence[Block], clock: str, shares: Mapping[Hashable, float] | None = None) -> Interval:
    """What the steps of these blocks took above the bare ones, as a share of a bare step; `clock` is `wall` or `cpu`.

    `shares` says how often each kind of step occurs where the blocks do not show it.
    """
    references = np.array(
        [statistics.median(getattr(s, clock) for s in [*block.before, *block.after]) for block in blocks]
    )
    kinds: dict[Hashable, list[tuple[int, float]]] = defaultdict(list)
    for index, block in enumerate(blocks):
        for step in block.steps:
            kinds[step.kind].append((index, getattr(step, clock) / references[index] - 1.0))
    numbers = {kind: np.array([index for index, _ in found]) for kind, found in kinds.items()}
    ratios = {kind: np.array([ratio for _, ratio in found]) for kind, found in kinds.items()}

    def estimate(times: np.ndarray) -> float:
        total = weights = 0.0
        for kind, found in ratios.items():
            drawn = np.repeat(found, times[numbers[kind]])
            if not len(drawn):
                continue
            weight = len(drawn) if shares is None else shares.get(kind, 0.0)
            centre = np.mean(drawn) if len(drawn) < FEW else np.median(drawn)
            total, weights = total + weight * float(centre), weights + weight
        return total / weights if weights else float("nan")

    n = len(blocks)
    draws = np.random.default_rng(0)
    resampled = [estimate(np.bincount(draws.integers(0, n, n), minlength=n)) for _ in range(RESAMPLES)]
    low, high = np.nanquantile(resampled, (0.025, 0.975))
    return Interval(estimate(np.ones(n, dtype=int)), float(low), float(high))


def process_seconds(pid: int) -> float:
    """CPU time of a process of this user, all its threads, to the nanosecond; 0 once it is gone."""
    # Linux numbers the CPU clock of any process so, see clock_getcpuclockid(3).
    try:
        return time.clock_gettime(~pid << 3 | 2)
    except OSError:
        return 0.0
