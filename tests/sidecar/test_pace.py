"""The sidecar rests in proportion to what it has used, and lets the training have the core first."""

from __future__ import annotations

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tracker.sidecar import pace
from tracker.sidecar.pace import Pace, step_back


class Clock:
    """Time as the test wants it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.used = 1000.0, 0.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        monkeypatch.setattr(time, "process_time", lambda: self.used)

    def work(self, pace: Pace, seconds: float, in_haste: bool = False) -> float:
        """Works for so long, and returns how long it rests then."""
        pace.begin()
        self.used += seconds
        self.now += seconds
        pace.end(in_haste)
        began = self.now
        while not pace.is_due:
            self.now += 0.125
        return self.now - began


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_work_stays_within_its_share_of_the_time(clock: Clock) -> None:
    pace_, began = Pace(), clock.now
    clock.work(pace_, 0.0)
    clock.now += pace.FIRST_SECONDS
    began, used = clock.now, clock.used
    for number in range(200):
        clock.work(pace_, 0.002 + 0.0003 * (number % 100))

    assert (clock.used - used) / (clock.now - began) < pace.SHARE


def test_work_begins_at_once_and_its_first_time_is_free(clock: Clock) -> None:
    fresh = Pace()

    assert fresh.is_due
    assert clock.work(fresh, 5.0) <= pace.SHORTEST + 0.125


def test_no_rest_is_longer_than_the_longest(clock: Clock) -> None:
    pace_ = Pace()
    clock.work(pace_, 0.0)
    clock.now += pace.FIRST_SECONDS

    assert pace.LONGEST <= clock.work(pace_, 10.0) <= pace.LONGEST + 0.125


def test_the_beginning_rests_less_and_so_does_who_has_a_lot_to_do(clock: Clock) -> None:
    pace_ = Pace()
    clock.work(pace_, 0.0)
    first = clock.work(pace_, 0.05)
    clock.now += pace.FIRST_SECONDS
    usual, in_haste = clock.work(pace_, 0.05), clock.work(pace_, 0.05, in_haste=True)

    assert first < usual / 5
    assert in_haste < usual / 5


@pytest.mark.skipif(sys.platform != "linux", reason="niceness is that of a whole process elsewhere")
def test_only_the_thread_that_steps_back_does_so() -> None:
    def apart() -> tuple[int, int]:
        step_back(3)
        step_back(1)  # never forward again
        return os.nice(0), os.sched_getscheduler(0)

    before = os.nice(0)
    with ThreadPoolExecutor(1) as pool:
        niceness, policy = pool.submit(apart).result()

    assert niceness == max(before, 3)
    assert policy == os.SCHED_BATCH
    assert os.nice(0) == before
    assert os.sched_getscheduler(0) == os.SCHED_OTHER
