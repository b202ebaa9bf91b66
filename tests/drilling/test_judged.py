"""From facts to rows: what counts as passed, failed and skipped, and the plain steps ahead of the drills."""

from __future__ import annotations

from tracker.drilling.judged import FIRST_STEPS, judge
from tracker.drills.determinism import Determinism
from tracker.rules.cases import records_of
from tracker.rules.engine import Engine, Phase, Settings
from tracker.rules.engine.records import JUDGE, Event, Fact
from tracker.rules.engine.trace import Trace
from tracker.rules.preflight.nondeterministic_step import NondeterministicStep


def told(status="done", reason=""):
    return Fact("drills/determinism", 0, {"status": status, "reason": reason, "seconds": 0.1})


def fact(case):
    return [Fact(name, 0, value) for name, value in case["facts"].items()]


def test_a_drill_passes_fails_or_is_skipped_as_its_rules_say():
    passed = judge([*fact(NondeterministicStep.healthy), told()], [Determinism], Settings())
    failed = judge([*fact(NondeterministicStep.faulty), told()], [Determinism], Settings())
    skipped = judge([told("skipped", "no loss")], [Determinism], Settings())
    crashed = judge([told("crashed", "ValueError: 1")], [Determinism], Settings())
    unheard = judge([Fact("drill/determinism", 0, {"summary": "x"}), told()], [Determinism], Settings())

    assert [one.rows[0].status for one in (passed, failed, skipped, crashed)] == [
        "passed",
        "failed",
        "skipped",
        "skipped",
    ]
    assert [one.has_failed for one in (passed, failed, skipped)] == [False, True, False]
    assert failed.rows[0].findings[0]["rule"] == "nondeterministic-step"
    assert skipped.rows[0].says == "no loss"
    assert "ValueError" in crashed.rows[0].says
    assert unheard.rows[0].status == "skipped"


def test_the_plain_steps_have_a_row_of_their_own_with_what_the_rules_for_any_run_say():
    plain = [*records_of({"loss": [2.3, 2.2, float("nan")]}), Event(JUDGE, 2, {"phase": "run"})]
    found = judge([*plain, *fact(NondeterministicStep.healthy), told()], [Determinism], Settings())
    first, drill = found.rows

    assert (first.drill, first.status) == (FIRST_STEPS, "failed")
    assert "nonfinite-loss" in [one["rule"] for one in first.findings]
    assert drill.status == "passed"
    assert found.verdict["suspicious"] == "true"


def test_a_tracked_run_does_not_list_the_rules_of_drills():
    engine, trace = Engine([NondeterministicStep()]), Trace()
    engine.judge(Phase.RUN, trace)
    tracked = engine.verdict(trace).skipped
    engine.judge(Phase.PREFLIGHT, trace)
    drilled = engine.verdict(trace).skipped

    assert tracked == []
    assert [one["rule"] for one in drilled] == ["nondeterministic-step"]
