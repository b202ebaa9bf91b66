"""The bounded past: what is kept, what metrics mean, and when rules are armed."""

import math

import pytest

from tracker.rules import Trace
from tracker.rules.engine.records import EPOCH, Array, Event, Fact, Reading
from tracker.rules.engine.signals import (
    EPOCH_LOSS,
    GRAD_NORM,
    LOSS,
    METRIC,
    METRIC_IN_MLFLOW,
    VAL_ACCURACY,
    VAL_LOSS,
)
from tracker.rules.engine.trace import HEAD, TAIL


def fed(*records):
    trace = Trace()
    for record in records:
        trace.feed(record)
    return trace


def metric(key, step, value, signal=METRIC):
    return Reading(signal.name, key, step, value)


def test_the_middle_of_a_long_series_is_dropped_and_still_counted():
    n = HEAD + TAIL + 100
    trace = fed(*(Reading(LOSS.name, "", step, float(step)) for step in range(n)))
    series = trace.series(LOSS)

    assert series.count == trace.count(LOSS) == n
    assert len(series) == HEAD + TAIL
    assert series.steps[HEAD - 1 : HEAD + 1] == [HEAD - 1, HEAD + 100]
    assert series[-1] == n - 1


def test_a_slice_of_a_series_is_a_series_with_its_steps():
    trace = fed(*(Reading(LOSS.name, "", step, step / 2) for step in range(5)))

    assert trace.series(LOSS).last(2).steps == [3, 4]
    assert trace.series(LOSS)[1:3].values == [0.5, 1.0]
    assert trace.series(LOSS).first(1).median == 0.0


def test_a_value_that_is_not_finite_is_noticed_while_it_is_kept():
    records = [Reading(LOSS.name, "", step, 1.0) for step in range(HEAD + TAIL + 50)]
    bad = HEAD + 20
    records[bad] = Reading(LOSS.name, "", bad, math.inf)

    assert fed(*records[:HEAD]).nonfinite(LOSS) is None
    assert fed(*records[: bad + 1]).nonfinite(LOSS) == ("", bad)
    assert fed(*records).nonfinite(LOSS) is None
    assert fed(Reading(LOSS.name, "", 0, math.nan), *records).nonfinite(LOSS) == ("", 0)


def test_the_whole_model_is_no_subject():
    trace = fed(Reading(GRAD_NORM.name, "", 0, 1.0), Reading(GRAD_NORM.name, "stem", 0, 2.0))

    assert list(trace.by_subject(GRAD_NORM)) == ["stem"]
    assert trace.by_subject(GRAD_NORM, min_points=2) == {}


def test_an_epoch_has_the_mean_of_its_losses():
    trace = fed(
        Reading(LOSS.name, "", 0, 1.0),
        Reading(LOSS.name, "", 1, 3.0),
        Event(EPOCH, 1, {"epoch": 0, "first_step": 0, "last_step": 1}),
        Event(EPOCH, 1, {"epoch": 1, "first_step": 2, "last_step": 1}),
    )

    assert trace.series(EPOCH_LOSS).values == [2.0]
    assert trace.epoch == 1


@pytest.mark.parametrize("signal", [METRIC, METRIC_IN_MLFLOW])
def test_a_metric_is_also_the_signal_its_key_means(signal):
    trace = fed(metric("val_loss", 3, 0.5, signal), metric("f1", 3, 0.9, signal))

    assert trace.series(VAL_LOSS).values == [0.5]
    assert trace.series(METRIC, "f1").values == [0.9]


def test_two_metrics_of_one_meaning_are_not_mixed():
    trace = fed(
        *(metric(key, step, value) for step in range(2) for key, value in (("val_loss", 1.0), ("test_loss", 9.0)))
    )

    assert trace.series(VAL_LOSS).values == [1.0, 1.0]


def test_a_metric_that_says_it_is_held_out_is_taken_before_one_that_does_not():
    trace = fed(
        *(metric(key, step, value) for step in range(2) for key, value in (("accuracy", 0.9), ("val_accuracy", 0.5)))
    )

    assert trace.series(VAL_ACCURACY).values == [0.5, 0.5]


def test_what_is_measured_takes_the_place_of_what_was_logged():
    trace = fed(
        metric("grad_norm", 0, 1.0),
        metric("train_loss", 0, 7.0),
        Reading(GRAD_NORM.name, "", 1, 5.0),
        metric("grad_norm", 1, 1.0),
        Reading(LOSS.name, "", 1, 2.0),
        Event(EPOCH, 1, {"epoch": 0, "first_step": 0, "last_step": 1}),
        metric("train_loss", 1, 7.0),
    )

    assert trace.series(GRAD_NORM).values == [5.0]
    assert trace.series(EPOCH_LOSS).values == [2.0]


def test_facts_arrays_and_events_are_the_latest():
    trace = fed(
        Fact("profile", 0, "gan"),
        Fact("profile", 5, "rl"),
        Array("histogram", "stem", 1, (1.0, 2.0)),
        Array("histogram", "stem", 2, (3.0,)),
        Event("clip", 4),
    )

    assert trace.facts["profile"] == "rl"
    assert trace.array(GRAD_NORM) is None
    assert [event.step for event in trace.events("clip")] == [4]
    assert trace.step == 5
    with pytest.raises(TypeError):
        trace.facts["profile"] = "supervised"
