"""A run may train one model after another: each training is judged for itself."""

from collections.abc import Iterator

from tracker.rules import Engine, Finding, Phase, Rule, Settings, Severity, Status, Trace
from tracker.rules.engine.records import EPOCH, TRAINING, Event, Reading
from tracker.rules.engine.signals import LOSS, LR


class HighLoss(Rule):
    """Fires while the latest loss is above ten."""

    needs = (LOSS,)
    severity = Severity.WARNING
    waits_for_warmup = False

    def check(self, trace: Trace) -> Iterator[Finding]:
        if trace.series(LOSS)[-1] > 10:
            yield Finding(subject="", message="high", advice=("lower it",), evidence={})


def epoch(engine: Engine, trace: Trace, number: int, loss: float) -> Status:
    """Feeds one epoch of one step and judges it."""
    trace.feed(Reading(LOSS.name, "", number, loss))
    trace.feed(Event(EPOCH, number, {"epoch": number, "first_step": number, "last_step": number}))
    return engine.judge(Phase.EPOCH, trace)[0].status


def test_a_new_training_begins_with_an_empty_trace():
    trace = Trace()
    for step in range(20):
        trace.feed(Reading(LOSS.name, "", step, 1.0))
        trace.feed(Reading(LR.name, "0", step, 0.1))
    assert trace.is_armed
    trace.feed(Event(TRAINING, 20, {"number": 1}))

    assert trace.training == 1
    assert len(trace.series(LOSS)) == 0
    trace.feed(Reading(LR.name, "0", 20, 0.1))
    assert not trace.is_armed
    trace.feed(Reading(LOSS.name, "", 20, 3.0))
    assert list(trace.series(LOSS)) == [3.0]


def test_a_finding_that_stands_at_the_end_of_a_training_is_not_resolved_by_the_next_one():
    engine, trace = Engine([HighLoss()], Settings()), Trace()
    assert epoch(engine, trace, 0, 50.0) is Status.FIRED
    trace.feed(Event(TRAINING, 1, {"number": 1}))
    for number in range(1, 12):
        assert epoch(engine, trace, number, 1.0) is Status.CLEAR
    record = engine.findings[0]

    assert len(engine.findings) == 1
    assert (record.first_step, record.resolved_at) == (0, None)
    assert engine.verdict(trace).suspicious == "true"


def test_without_another_training_it_is_resolved():
    engine, trace = Engine([HighLoss()], Settings()), Trace()
    epoch(engine, trace, 0, 50.0)
    for number in range(1, 12):
        epoch(engine, trace, number, 1.0)

    assert engine.findings[0].resolved_at == 1
    assert engine.verdict(trace).suspicious != "true"
