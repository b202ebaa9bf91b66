"""Cases made of lists become the records of a training."""

import math

import pytest

from tracker.rules.cases import records_of, trace_of
from tracker.rules.engine.records import EPOCH, Event, Fact, Reading
from tracker.rules.engine.signals import EPOCH_LOSS, GRAD_NORM, LOSS, METRIC, VAL_LOSS


def epochs(case):
    return [record.step for record in records_of(case) if isinstance(record, Event) and record.name == EPOCH]


def test_value_i_of_a_list_belongs_to_step_i():
    trace = trace_of({"loss": [3.0, 2.0, 1.0], "grad_norm": {"stem": [0.1, 0.2]}})

    assert (trace.series(LOSS).steps, trace.series(LOSS).values) == ([0, 1, 2], [3.0, 2.0, 1.0])
    assert trace.series(GRAD_NORM, "stem").values == [0.1, 0.2]


@pytest.mark.parametrize(
    "norms",
    [{"stem": [None, 0.5, None, 0.7]}, {"stem": {1: 0.5, 3: 0.7}}, {("stem", 1): 0.5, ("stem", 3): 0.7}],
)
def test_readings_at_chosen_steps_have_three_spellings(norms):
    series = trace_of({"grad_norm": norms}).series(GRAD_NORM, "stem")

    assert (series.steps, series.values) == ([1, 3], [0.5, 0.7])


def test_epochs_follow_from_the_lengths_of_the_lists():
    assert epochs({"loss": [1.0] * 20, "val_loss": [1.0] * 4}) == [4, 9, 14, 19]
    assert epochs({"loss": [1.0] * 5, "val_loss": [1.0] * 2}) == [2, 5]
    assert epochs({"val_loss": [1.0] * 3}) == [0, 1, 2]
    assert epochs({"loss": [1.0] * 3}) == [0, 1, 2]


def test_epochs_may_be_given_by_length_number_or_one_by_one():
    assert epochs({"loss": [1.0] * 10, "epoch_len": 4}) == [3, 7, 9]
    assert epochs({"loss": [1.0] * 10, "epochs": 2}) == [4, 9]
    assert epochs({"loss": [1.0] * 10, "epochs": [1, 9]}) == [0, 9]


def test_what_is_measured_once_an_epoch_is_read_at_its_end_and_before_it_is_closed():
    records = list(records_of({"loss": [1.0] * 4, "val_loss": [0.5, 0.4], "metric": {"f1": [0.1, 0.2]}}))
    names = [getattr(record, "signal", getattr(record, "name", None)) for record in records]

    assert names == [
        "loss",
        "loss",
        VAL_LOSS.name,
        METRIC.name,
        EPOCH,
        "loss",
        "loss",
        VAL_LOSS.name,
        METRIC.name,
        EPOCH,
    ]
    assert [record.step for record in records] == [0, 1, 1, 1, 1, 2, 3, 3, 3, 3]


def test_the_trace_derives_the_loss_of_an_epoch():
    assert trace_of({"loss": [1.0, 3.0, 5.0, 7.0], "epoch_len": 2}).series(EPOCH_LOSS).values == [2.0, 6.0]
    with pytest.raises(ValueError, match="gives both 'loss' and 'loss/epoch'"):
        trace_of({"loss": [1.0], "epoch_loss": [1.0]})


def test_facts_profile_events_arrays_and_peers_are_known():
    case = {
        "facts": {"optimizer": "SGD"},
        "profile": "gan",
        "events": {"clip": [2], "skip": {1: {"why": "inf"}}},
        "arrays": {"histogram": {"stem": [1, 2]}},
        "peers": {"ab12": {"loss": [math.inf]}},
    }
    trace = trace_of(case)

    assert dict(trace.facts) == {"optimizer": "SGD", "profile": "gan"}
    assert [event.step for event in trace.events("clip")] == [2]
    assert trace.events("skip")[0].data == {"why": "inf"}
    assert trace.peers["ab12"].nonfinite(LOSS) == ("", 0)
    assert next(record for record in records_of(case) if isinstance(record, Fact)) == Fact("optimizer", 0, "SGD")


def test_a_misspelt_signal_is_an_error_and_a_signal_of_ones_own_is_not():
    with pytest.raises(ValueError, match="names 'los', which is no known signal"):
        trace_of({"los": [1.0]})
    assert next(iter(records_of({"acme/entropy": [1.0]}))) == Reading("acme/entropy", "", 0, 1.0)
