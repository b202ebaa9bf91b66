"""A stored run, judged again, and a run that nobody judged, judged for the first time."""

import random

import pytest

from tracker.rules import Engine, Event, Finding, Phase, Reading, Rule, Settings, Trace, replay, with_judgements
from tracker.rules.engine.records import END, EPOCH, JUDGE, OUTCOME, VERDICT
from tracker.rules.engine.signals import EPOCH_LOSS, LOSS, METRIC, VAL_ACCURACY, VAL_LOSS


class LossJumps(Rule):
    """Fires when the last loss is twice the one before."""

    phases = (Phase.STEP, Phase.EPOCH, Phase.RUN)
    needs = (LOSS,)
    history = 2

    def check(self, trace):
        before, last = trace.series(LOSS).last(2)
        if last > 2 * before:
            yield Finding(f"loss {last}; before {before}", "Look.", evidence={"loss": last})


def live_run(seed):
    """Records of a noisy training with judgements, as a journal holds them, and the verdict it came to."""
    draw = random.Random(seed)
    trace, engine, records = Trace(), Engine([LossJumps()]), []

    def put(record):
        records.append(record)
        trace.feed(record)

    for step in range(60):
        put(Reading(LOSS.name, "", step, draw.random()))
        if step % 7 == 0:
            put(Event(JUDGE, step, {"phase": "step"}))
            for outcome in engine.judge(Phase.STEP, trace):
                records.append(Event(OUTCOME, step, outcome.as_json()))
        if step % 20 == 19:
            put(Event(EPOCH, step, {"epoch": step // 20, "first_step": step - 19, "last_step": step}))
            put(Event(JUDGE, step, {"phase": "epoch"}))
            engine.judge(Phase.EPOCH, trace)
    put(Event(END, 59, {"status": "FINISHED"}))
    put(Event(JUDGE, 59, {"phase": "run"}))
    engine.judge(Phase.RUN, trace)
    records.append(Event(VERDICT, 59, engine.verdict(trace).as_json()))
    return records, engine.verdict(trace).as_json()


@pytest.mark.parametrize("seed", [0, 1, 3, 4])
def test_a_replay_comes_to_the_verdict_of_the_live_run(seed):
    records, said_live = live_run(seed)
    trace, engine = replay(records, Settings(), [LossJumps()])

    assert said_live["findings"]
    assert engine.verdict(trace).as_json() == said_live


def test_a_replay_passes_over_what_was_said_live():
    records, _ = live_run(0)
    trace, _ = replay(records, rules=[LossJumps()])

    assert trace.events(OUTCOME) == trace.events(VERDICT) == []
    assert len(trace.events(JUDGE)) == 9 + 3 + 1


def test_a_replay_without_rules_asks_all_there_are():
    _, engine = replay([])

    assert {"nonfinite-loss", "overfitting"} <= {rule.id() for rule in engine.rules}


def test_records_with_judgements_are_passed_on_as_they_are():
    records, _ = live_run(1)

    assert list(with_judgements(records)) == records


def metrics(**series):
    """Plain metric histories: all points of one metric, then all of the next, as a store gives them."""
    return [Reading(METRIC.name, key, step, value) for key, points in series.items() for step, value in points.items()]


def shape(records):
    """What was put in: epochs and judgements, in order."""
    return [
        (record.name, record.step, record.data.get("phase", record.data.get("epoch")))
        for record in records
        if isinstance(record, Event)
    ]


def test_an_epoch_ends_at_every_validation_loss():
    records = metrics(train_loss={0: 1.0, 1: 0.9, 2: 0.8, 3: 0.7}, val_loss={1: 1.0, 3: 0.8}, val_acc={0: 0.1, 3: 0.5})

    assert shape(with_judgements(records)) == [
        (EPOCH, 1, 0),
        (JUDGE, 1, "epoch"),
        (EPOCH, 3, 1),
        (JUDGE, 3, "epoch"),
        (JUDGE, 3, "run"),
    ]


def test_all_readings_of_an_epoch_come_before_its_end_and_in_order_of_steps():
    records = list(with_judgements(metrics(val_loss={1: 1.0, 3: 0.8}, f1={0: 0.0, 1: 0.1, 3: 0.3, 4: 0.4})))
    steps = [record.step for record in records]

    assert steps == sorted(steps)
    assert [
        r.step for r in records[: records.index(Event(JUDGE, 3, {"phase": "epoch"}))] if isinstance(r, Reading)
    ] == [
        0,
        1,
        1,
        3,
        3,
    ]


@pytest.mark.parametrize(
    ("series", "epochs"),
    [
        ({"val_acc": {5: 0.1, 10: 0.2}, "train_loss": {1: 1.0, 2: 1.0, 3: 1.0}}, [5, 10]),
        ({"train_loss": {1: 1.0, 2: 1.0, 3: 1.0}}, [1, 2, 3]),
        ({"train_acc": {2: 0.5, 4: 0.6}}, [2, 4]),
        ({"f1": {1: 0.1, 2: 0.2}}, []),
    ],
)
def test_without_a_validation_loss_the_next_best_signal_tells_epochs(series, epochs):
    told = [
        record.step
        for record in with_judgements(metrics(**series))
        if isinstance(record, Event) and record.name == EPOCH
    ]

    assert told == epochs


def test_a_loss_at_every_step_makes_an_epoch_of_every_hundred():
    records = [Reading(LOSS.name, "", step, 1.0) for step in range(250)]
    told = [record.step for record in with_judgements(records) if isinstance(record, Event) and record.name == EPOCH]

    assert told == [99, 199, 249]


def test_a_training_loss_much_denser_than_the_epochs_is_the_loss_of_steps():
    records = metrics(loss={step: float(step) for step in range(40)}, val_loss={19: 1.0, 39: 1.0})
    trace, _ = replay(with_judgements(records), rules=[])

    assert len(trace.series(LOSS)) == 40
    assert trace.series(EPOCH_LOSS).values == [9.5, 29.5]
    assert trace.series(VAL_LOSS).values == [1.0, 1.0]


def test_a_training_loss_once_an_epoch_stays_the_loss_of_epochs():
    trace, _ = replay(with_judgements(metrics(loss={0: 2.0, 1: 1.0}, val_acc={0: 0.5, 1: 0.6})), rules=[])

    assert trace.series(LOSS).values == []
    assert trace.series(EPOCH_LOSS).values == [2.0, 1.0]
    assert trace.series(VAL_ACCURACY).steps == [0, 1]


def test_known_epochs_are_kept_and_the_end_of_the_run_comes_before_its_judgement():
    records = [
        Reading(LOSS.name, "", 0, 1.0),
        Event(EPOCH, 0, {"epoch": 0}),
        Event(END, 0, {"status": "FAILED"}),
    ]

    assert [record.name for record in with_judgements(records) if isinstance(record, Event)] == [
        EPOCH,
        JUDGE,
        END,
        JUDGE,
    ]


def test_an_empty_history_is_judged_once_and_comes_out_unknown():
    records = list(with_judgements([]))
    trace, engine = replay(records)

    assert shape(records) == [(JUDGE, 0, "run")]
    assert engine.verdict(trace).suspicious == "unknown"
