"""The grade of a re-execution: what makes R2, R3, R4n and R5, and what a run's tags say afterwards."""

import json
import math
import struct
from dataclasses import replace

import pytest

from tracker.reproduce.verdict import (
    Comparison,
    Difference,
    Grade,
    Ledger,
    compare_streams,
    grade,
    ledger_of,
    standing_after,
    ulp_distance,
)
from tracker.rules.engine.records import END, EPOCH, Event, Fact, Reading

LOSS = "observed/loss"


def after(value, n=1):
    """The n-th double above a value."""
    return struct.unpack("<d", struct.pack("<q", struct.unpack("<q", struct.pack("<d", value))[0] + n))[0]


def single(value):
    """The nearest single-precision number."""
    return struct.unpack("<f", struct.pack("<f", value))[0]


def ledger(loss=(1.0, 0.5, 0.25), end="w1", start="w0", status="FINISHED", steps_an_epoch=None, **metrics):
    """A run of one epoch, or several, with a loss for each step and metrics logged once each at the end."""
    records = [Fact("weights", 0, {"start": start})]
    for step, value in enumerate(loss):
        records.append(Reading("loss", "", step, value))
        if steps_an_epoch and (step + 1) % steps_an_epoch == 0:
            records.append(Event(EPOCH, step, {"epoch": step // steps_an_epoch, "last_step": step}))
    records += [Reading("metric", key, len(loss), value) for key, value in metrics.items()]
    records += [Fact("weights", len(loss), {"start": start, "end": end}), Event(END, len(loss), {"status": status})]
    return ledger_of(records)


def test_two_runs_with_the_same_bits_and_weights_are_r5():
    result = grade(ledger(val=0.5), ledger(val=0.5))

    assert (result.grade, result.scope, result.n_metrics, result.n_points) == ("R5", "host", 2, 4)
    assert result.first_difference is None
    assert result.is_reproduced


def test_one_bit_in_one_number_is_no_longer_r5():
    result = grade(ledger(val=0.3), ledger(val=after(0.3)))

    assert result.grade == "R4n"
    assert result.first_difference.metric == "val"
    assert result.first_difference.ulps == 1


def test_other_final_weights_are_no_longer_r5_although_all_numbers_are_equal():
    result = grade(ledger(end="w1"), ledger(end="w2"))

    assert result.grade == "R4n"
    assert "final weights" in result.explanation


@pytest.mark.parametrize("missing", ["original", "re-run"])
def test_without_a_digest_of_the_weights_r5_is_not_claimed(missing):
    known, unknown = ledger(), Ledger(ledger().streams, status="FINISHED")
    pair = (unknown, known) if missing == "original" else (known, unknown)

    result = grade(*pair)

    assert result.grade == "R4n"
    assert f"the {missing} has no weights digest" in result.explanation


@pytest.mark.parametrize(
    ("other", "expected"), [(1.0 + 0.9e-5, "R4n"), (1.0 + 1.2e-5, "R3"), (math.nan, "R3"), (math.inf, "R3")]
)
def test_the_tolerance_separates_r4n_from_r3(other, expected):
    result = grade(ledger(val=1.0), ledger(val=other))

    assert result.grade == expected


def test_nan_is_equal_to_nan_and_an_infinity_to_itself():
    numbers = (math.nan, math.inf, -math.inf)

    assert grade(ledger(numbers), ledger(numbers)).grade == "R5"
    assert grade(ledger((math.inf,)), ledger((-math.inf,))).grade == "R3"


def test_the_sign_of_a_zero_is_a_bit():
    comparison = compare_streams({"x": [(0, 0.0)]}, {"x": [(0, -0.0)]})

    assert not comparison.is_bitwise
    assert comparison.is_within_tolerance


def test_another_status_falls_back_to_what_was_captured():
    result = grade(ledger(), ledger(status="FAILED"), captured="R1")

    assert result.grade == "R1"
    assert "FAILED" in result.explanation
    assert not result.is_reproduced


def test_a_killed_rerun_that_says_nothing_falls_back():
    assert grade(ledger(), Ledger(ledger().streams)).grade == "R2"
    assert grade(Ledger(ledger().streams), Ledger(ledger().streams)).grade == "R2"


def test_a_missing_metric_is_not_a_reexecution():
    result = grade(ledger(val=0.5), ledger())

    assert result.grade == "R2"
    assert "val was logged by the original only" in result.explanation


def test_another_number_of_steps_is_not_a_reexecution():
    result = grade(ledger((1.0, 0.5, 0.25)), ledger((1.0, 0.5)))

    assert result.grade == "R2"
    assert "2 points in the re-run; the original has 3" in result.explanation


def test_runs_without_numbers_prove_no_more_than_r3():
    assert grade(ledger(()), ledger(())).grade == "R3"


@pytest.mark.parametrize("key", ["system/gpu", "time", "samples/sec", "Throughput", "epoch_time", "train_runtime"])
def test_metrics_of_the_machine_are_not_compared(key):
    result = grade(ledger(**{key: 1.0}), ledger(**{key: 2.0}))

    assert result.grade == "R5"


def test_a_gradient_norm_that_was_measured_less_often_is_compared_at_common_steps_only():
    def with_norms(steps, value):
        records = [Reading("grad_norm", "", step, value) for step in steps]
        base = ledger()
        more = ledger_of(records)
        return Ledger({**base.streams, **more.streams}, weights=base.weights, status=base.status)

    equal = grade(with_norms([0, 1, 2, 3], 2.0), with_norms([0, 2], 2.0))
    unequal = grade(with_norms([0, 1, 2, 3], 2.0), with_norms([0, 2], 3.0))

    assert equal.grade == "R5"
    assert unequal.grade == "R3"
    assert unequal.first_difference.metric == "observed/grad_norm"


def test_several_values_at_one_step_are_compared_one_by_one():
    a = {"loss": [(0, 1.0), (0, 2.0), (1, 3.0)]}

    assert compare_streams(a, {"loss": [(0, 1.0), (0, 2.0), (1, 3.0)]}).is_bitwise
    assert compare_streams(a, {"loss": [(0, 1.0), (0, 2.5), (1, 3.0)]}).first_difference.b == 2.5
    assert compare_streams(a, {"loss": [(0, 1.0), (1, 3.0)]}).n_points == 2


def test_the_first_difference_is_the_one_said_first_and_not_the_one_with_the_smallest_step_number():
    def run(loss, val):
        # The user counts epochs: `val` has step 0 although it is said after ten optimizer steps.
        records = [Reading("loss", "", step, loss if step == 5 else 1.0) for step in range(10)]
        return ledger_of([*records, Reading("metric", "val", 0, val), Event(END, 10, {"status": "FINISHED"})])

    first = compare_streams(run(1.0, 0.5), run(2.0, 0.7)).first_difference

    assert (first.metric, first.step) == (LOSS, 5)


@pytest.mark.parametrize(
    ("changed", "where"), [(0, "first step"), (1, "first update"), (4, "epoch boundary"), (6, "drift")]
)
def test_where_two_runs_part_names_the_cause(changed, where):
    def run(value):
        return ledger([value if step >= changed else 1.0 for step in range(8)], steps_an_epoch=4)

    result = grade(run(1.0), run(1.5))

    assert result.cause.where == where
    assert result.first_difference.step == changed


def test_other_first_weights_are_an_initialisation_whatever_step_differs():
    result = grade(ledger(start="a"), ledger((1.0, 0.5, 0.3), start="b"))

    assert result.cause.where == "initialisation"


def test_an_equal_training_with_another_evaluation_is_an_evaluation():
    result = grade(ledger(val=0.5), ledger(val=0.6))

    assert result.cause.where == "evaluation"


def test_single_precision_numbers_are_counted_in_single_precision():
    assert ulp_distance(single(0.1), single(0.1 + 1e-8)) == 1
    assert ulp_distance(0.1, after(0.1, 3)) == 3
    assert ulp_distance(-0.0, 0.0) == 0
    assert ulp_distance(struct.unpack("<f", b"\1\0\0\0")[0], -struct.unpack("<f", b"\1\0\0\0")[0]) == 2
    assert ulp_distance(1.0, math.nan) is None
    assert ulp_distance(1.0, math.inf) is None


def test_the_relative_size_of_a_difference_of_huge_numbers_is_finite():
    assert Difference("x", 0, 1.7e308, -1.7e308).relative == 2.0
    assert Difference("x", 0, 0.0, 0.0).relative == 0.0


def test_a_grade_is_finite_json():
    result = grade(ledger((1.0, math.nan)), ledger((1.0, 2.0)))

    assert json.loads(json.dumps(result.as_json(), allow_nan=False))["first_difference"]["a"] == "nan"


def proved(level, scope="host"):
    return Grade(level, scope, 1, 10, None, "said so")


def test_a_first_proof_raises_the_grade():
    standing = standing_after(proved("R5"), "2026-01-02", "R2", "host", "true")

    assert (standing.grade, standing.scope, standing.reproducible) == ("R5", "host", "true")
    assert standing.last == "R5 host 2026-01-02"


def test_a_lower_proof_keeps_the_higher_grade_and_its_scope():
    standing = standing_after(proved("R4n", "other-host"), "2026-01-02", "R5", "host", "true")

    assert (standing.grade, standing.scope, standing.reproducible) == ("R5", "host", "true")
    assert standing.last == "R4n other-host 2026-01-02"


@pytest.mark.parametrize("level", ["R2", "R3"])
def test_a_failure_on_this_host_makes_the_run_not_reproducible_and_deletes_no_grade(level):
    standing = standing_after(proved(level), "2026-01-02", "R5", "host", "true")

    assert (standing.grade, standing.scope, standing.reproducible) == ("R5", "host", "false")
    assert standing.last.startswith("failed: ")


def test_a_failure_elsewhere_is_only_remembered():
    standing = standing_after(proved("R2", "other-host"), "2026-01-02", "R5", "host", "true")

    assert standing.reproducible == "true"
    assert standing.last.startswith("failed: R2 other-host")


def test_falling_short_of_a_proof_in_the_same_scope_is_a_failure():
    standing = standing_after(proved("R4n"), "2026-01-02", "R5", "host", "true")

    assert standing.reproducible == "false"


def test_an_empty_comparison_is_neither_bitwise_nor_within_tolerance():
    assert not Comparison().is_bitwise
    assert not Comparison().is_within_tolerance


@pytest.mark.parametrize("status", [None, "KILLED"])
def test_a_run_that_was_stopped_is_compared_up_to_there_and_keeps_its_standing(status):
    whole = ledger(loss=(1.0, 0.5, 0.25, 0.2))
    stopped = replace(ledger(loss=(1.0, 0.5)), status=status)

    result = grade(stopped, whole, captured="R2")
    standing = standing_after(result, "2026-01-01", "R2", "host", "true")

    assert (result.grade, result.is_prefix, result.is_reproduced) == ("R2", True, True)
    assert "up to there have the same bits" in result.explanation
    assert (standing.grade, standing.reproducible) == ("R2", "true")


def test_a_stopped_run_whose_numbers_differ_or_are_missing_did_not_come_out_again():
    stopped = replace(ledger(loss=(1.0, 0.5)), status=None)

    other, shorter = grade(stopped, ledger(loss=(1.0, 0.4, 0.3))), grade(stopped, ledger(loss=(1.0,)))

    assert not other.is_reproduced
    assert not shorter.is_reproduced
    assert standing_after(other, "2026-01-01", "R2", "host", "true").reproducible == "false"


def test_two_runs_that_ended_alike_and_said_no_number_prove_nothing_against_the_first():
    silent = Ledger({}, status="FINISHED")

    standing = standing_after(grade(silent, silent), "2026-01-01", "R2", "host", "true")

    assert (standing.grade, standing.reproducible) == ("R3", "true")
