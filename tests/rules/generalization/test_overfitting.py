"""Overfitting of short runs, of runs that keep their best model, and overtraining."""

import pytest

from tracker.rules import NotApplicable
from tracker.rules.generalization.overfitting import Overfitting
from tracker.rules.generalization.overtraining import Overtraining
from tracker.rules.testing import judge

DOWN = [2.0 * 0.7**i for i in range(12)]
RISING = [1.2, 0.8, 0.6, 0.62, 0.75, 0.85, 0.95, 1.05, 1.15, 1.25]


@pytest.mark.parametrize(
    ("validation", "fires"),
    [
        ([0.6, 1.0, 1.3], True),
        ([0.6, 0.7, 0.8], False),
        ([0.8, 0.6, 1.1, 1.2], True),
        ([0.8, 0.6, 0.55, 1.2], False),
        ([0.8, 0.7, 0.65, 0.66], False),
    ],
)
def test_few_evaluations_need_a_rise_by_half(validation, fires):
    assert bool(judge(Overfitting(), val_loss=validation, epoch_loss=DOWN[: len(validation)])) is fires


def test_a_rise_right_from_the_first_evaluation_counts_however_it_jumps():
    jumping = [0.6, 1.5, 1.1, 1.7, 1.4, 1.9]

    assert judge(Overfitting(), val_loss=jumping, epoch_loss=DOWN[:6])
    assert judge(Overfitting(), val_loss=[0.6, 1.5, 0.7, 1.7, 0.9, 1.9], epoch_loss=DOWN[:6]) == []


def test_what_moves_far_below_where_it_began_has_been_learned():
    tiny = [1.0, 0.1, 0.005, 0.004, 0.01, 0.012, 0.015, 0.02]

    assert judge(Overfitting(), val_loss=tiny, epoch_loss=DOWN[:8]) == []
    assert judge(Overfitting(), val_loss=[20 * v if n > 3 else v for n, v in enumerate(tiny)], epoch_loss=DOWN[:8])


def run(**kept):
    """Ten epochs of ten steps, validated at the end of each; the third is the best."""
    losses = [2.0 * 0.97**i for i in range(100)]
    return {"loss": losses, "val_loss": RISING, "epoch_len": 10, "facts": {"kept": kept} if kept else {}}


@pytest.mark.parametrize(
    ("kept", "fires"),
    [
        ({}, True),
        ({"saved": [9, 19, 29], "loaded": []}, False),
        ({"saved": [9, 19, 29, 39, 49, 59, 69, 79, 89, 99], "loaded": []}, True),
        ({"saved": [9, 19, 29], "loaded": [99]}, False),
        ({"saved": [9], "loaded": []}, True),
        ({"saved": "odd", "loaded": None}, True),
    ],
)
def test_a_run_that_keeps_or_restores_its_best_model_has_guarded_itself(kept, fires):
    assert bool(judge(Overfitting(), **run(**kept))) is fires


def test_a_long_rise_over_a_training_loss_of_nothing_counts_although_the_accuracy_holds():
    validation = [1.2, 0.8, 0.7, 0.72, 0.8, 0.85, 0.9, 0.92, 0.94, 0.95]
    accuracy = [0.5, 0.7, *[0.8] * 8]
    by_heart, not_so = [1.0 * 0.3**i for i in range(10)], [1.0 * 0.9**i for i in range(10)]

    assert judge(Overfitting(), val_loss=validation, epoch_loss=by_heart, val_accuracy=accuracy)
    assert judge(Overfitting(), val_loss=validation, epoch_loss=not_so, val_accuracy=accuracy) == []


def test_a_second_set_that_was_evaluated_more_often_is_no_help():
    few = {("", 9): 0.5, ("", 19): 0.6} | {("val2", n): 0.5 for n in range(20)}
    for rule in (Overfitting(), Overtraining()):
        with pytest.raises(NotApplicable, match="2 evaluations"):
            judge(rule, val_loss=few, loss=[1.0] * 20)


def test_overfitting_is_not_judged_in_reinforcement_learning():
    with pytest.raises(NotApplicable):
        judge(Overfitting(), val_loss=RISING, epoch_loss=DOWN[:10], profile="rl")


@pytest.mark.parametrize(("best_at", "fires"), [([0.8, 0.6, 1.1, 1.2], True), (9, False)])
def test_a_run_is_overtrained_when_more_than_half_of_it_brought_nothing(best_at, fires):
    losses = [0.5 if n == best_at else 0.8 for n in range(12)]

    assert bool(judge(Overtraining(), val_loss=losses)) is fires


@pytest.mark.parametrize(("n", "fires"), [(60, True), (15, False)])
def test_what_is_kept_of_the_first_tenth_guards_nothing(n, fires):
    rising = [1.2, 0.8, 0.6, 0.62, *[1.0] * (n - 4)]
    kept = {"kept": {"saved": [9, 19, 29], "loaded": []}}
    case = {"loss": [2.0 * 0.99**i for i in range(10 * n)], "val_loss": rising, "epoch_len": 10, "facts": kept}
    over = {"judge": {10 * n - 1: {"phase": "run"}}}

    assert bool(judge(Overfitting(), **case, events=over)) is fires
    assert judge(Overfitting(), **case) == []  # until the end it may still be put back
