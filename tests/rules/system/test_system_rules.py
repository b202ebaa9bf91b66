"""Edges of the rules on time and memory."""

import pytest

from tracker.rules import NotApplicable, Severity
from tracker.rules.system.input_bound import InputBound
from tracker.rules.system.memory_growth import MIB, MemoryGrowth
from tracker.rules.system.retained_graphs import RetainedGraphs
from tracker.rules.system.step_time_outliers import StepTimeOutliers
from tracker.rules.system.tracker_overhead import TrackerOverhead
from tracker.rules.testing import judge


def test_what_says_nothing_about_health_is_information():
    assert {InputBound.severity, StepTimeOutliers.severity, TrackerOverhead.severity} == {Severity.INFO}


def test_the_first_epoch_may_wait_for_its_data():
    assert judge(InputBound(), wait_data=[0.95, 0.1, 0.2]) == []
    assert "72% of the training time" in judge(InputBound(), wait_data=[0.1, 0.7, 0.74])[0].message


def memory(levels):
    return {"memory": {"process": [level * MIB for level in levels]}}


@pytest.mark.parametrize(
    ("levels", "fires"),
    [
        ([500 + 100 * i for i in range(16)], True),
        ([50 + 10 * i for i in range(16)], False),  # it doubles, by little
        ([1500 + 50 * i for i in range(16)], False),  # it grows, and does not double
        ([500] * 4 + [2000] * 12, False),  # a cache that is filled once
        ([500, 900, 1500, 2000, 2400, 2450, 2450, 2450, 2450, 2450], False),
        ([500 + 100 * i for i in range(15)] + [600], False),  # it was given back
    ],
)
def test_memory_has_to_grow_to_the_end_and_by_much(levels, fires):
    assert bool(judge(MemoryGrowth(), **memory(levels))) is fires


def test_a_few_readings_tell_nothing_of_memory():
    with pytest.raises(NotApplicable, match="7 readings of the memory; 8 are needed"):
        judge(MemoryGrowth(), **memory([500 * 2**i for i in range(7)]))


def test_memory_on_a_gpu_is_told_apart():
    (finding,) = judge(MemoryGrowth(), memory={"cuda": [MIB * (500 + 200 * i) for i in range(12)]})

    assert finding.subject == "cuda"
    assert "on the GPU" in finding.message


@pytest.mark.parametrize(("held", "fires"), [(50, True), (46, True), (44, False), (1, False)])
def test_nearly_all_graphs_must_be_there(held, fires):
    found = judge(RetainedGraphs(), **{"graphs/held": {"": [held]}, "graphs/marked": {"": [50]}})

    assert bool(found) is fires


def test_a_few_marked_graphs_tell_nothing():
    with pytest.raises(NotApplicable):
        judge(RetainedGraphs(), **{"graphs/held": {"": [9]}, "graphs/marked": {"": [9]}})


def test_one_slow_step_in_one_epoch_is_chance():
    assert judge(StepTimeOutliers(), step_seconds=[0.01] * 4, step_seconds_longest={"": [0.02, 5.0, 0.02, 0.02]}) == []


def test_the_cost_of_observing_a_short_run_is_not_judged():
    with pytest.raises(NotApplicable, match="judged from 120 s on"):
        judge(TrackerOverhead(), overhead=[0.6, 0.6], step_seconds=[0.1, 0.1], epoch_len=100)


def test_graphs_of_evaluations_are_told_apart_from_those_of_steps():
    (finding,) = judge(
        RetainedGraphs(),
        **{"graphs/held": {"": [0], "evaluation": [40]}, "graphs/marked": {"": [50], "evaluation": [40]}},
    )

    assert finding.subject == "evaluation"
    assert "no_grad" in finding.advice[0]
