"""Edges of the rules on a training that stands still."""

import pytest

from tracker.rules import NotApplicable, Severity
from tracker.rules.system.long_pause import LongPause
from tracker.rules.system.stalled_run import StalledRun
from tracker.rules.testing import judge


def stalls(*given, epochs=30):
    """Silences behind steps 10, 20 ...: (seconds, whether it went on)."""
    events = {
        10 * number: {
            "seconds": seconds, "step_seconds": 0.05, "longest": 2.0, "went_on": went_on, "where": "loader",
            "since": "2026-01-01 10:00:00 UTC",
        }
        for number, (seconds, went_on) in enumerate(given, 1)
    }  # fmt: skip
    return {"step_seconds": [0.05] * epochs, "events": {"stalled": events}}


@pytest.mark.parametrize(
    ("case", "stalled", "paused"),
    [
        (stalls((600.0, False)), True, False),
        (stalls((600.0, True)), False, True),
        (stalls((600.0, True), (900.0, False)), True, True),
        (stalls((119.0, False)), False, False),
        (stalls((119.0, True)), False, False),
        (stalls(), False, False),
        (stalls((None, False)), False, False),
    ],
)
def test_whether_it_went_on_decides(case, stalled, paused):
    assert (bool(judge(StalledRun(), **case)), bool(judge(LongPause(), **case))) == (stalled, paused)


def test_it_says_where_since_when_and_how_many_times_longer():
    [finding] = judge(StalledRun(), **stalls((600.0, False)))

    assert finding.step == 10
    assert finding.message == (
        "nothing for 600 s behind step 10 since 2026-01-01 10:00:00 UTC, waiting for the loader; a step took 0.05 s "
        "before (median), which is 12,000 times less"
    )


def test_of_several_pauses_the_longest_is_named():
    [finding] = judge(LongPause(), **stalls((600.0, True), (900.0, True), (300.0, True)))

    assert finding.message.startswith("nothing for 900 s behind step 20 from")
    assert finding.evidence["n_pauses"] == 3


def test_a_pause_is_information_and_a_hang_is_not():
    assert (LongPause.severity, StalledRun.severity) == (Severity.INFO, Severity.WARNING)


@pytest.mark.parametrize("rule", [StalledRun(), LongPause()])
def test_without_a_timed_step_nothing_is_known(rule):
    with pytest.raises(NotApplicable, match="no step was timed"):
        judge(rule, loss=[1.0])


def test_a_hang_in_the_first_epoch_is_named():
    found = judge(StalledRun(), loss=[1.0] * 3, events={"stalled": {2: {"seconds": 300, "went_on": False}}})

    assert found[0].message == "nothing for 300 s behind step 2; no step had been timed before"
