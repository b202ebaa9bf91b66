import random

import pytest

from tracker.rules import NotApplicable
from tracker.rules.generalization.no_better_than_baseline import NoBetterThanBaseline
from tracker.rules.generalization.overfitting import Overfitting
from tracker.rules.testing import judge

TEN = {"loss": {"function": "cross_entropy", "n_classes": 10, "reduction": "mean", "weighted": False}}
DOWN = [1.0 * 0.9**i for i in range(20)]


@pytest.mark.parametrize(("last", "fires"), [(0.5, False), (0.54, False), (0.56, True)])
def test_validation_must_be_a_tenth_above_its_best(last, fires):
    found = judge(Overfitting(), val_loss=[0.7, 0.6, *[0.5] * 6, last, last, last], epoch_loss=DOWN[:11])

    assert bool(found) is fires


def test_validation_that_rises_with_the_training_loss_is_not_overfitting():
    validation = [0.7, 0.6, *[0.5] * 6, 0.8, 0.9, 1.0]

    assert judge(Overfitting(), val_loss=validation, epoch_loss=[*DOWN[:8], 0.8, 0.9, 1.0]) == []
    assert judge(Overfitting(), val_loss=validation, epoch_loss=DOWN[:11])


def test_a_single_good_evaluation_does_not_make_the_rest_overfitting():
    assert judge(Overfitting(), val_loss=[1, 0.8, 0.3, 0.6, 0.7, 0.4, 0.6, 0.32], epoch_loss=DOWN[:8]) == []


def test_noisy_validation_alarms_on_few_of_many_runs():
    alarms = 0
    for seed in range(100):
        draw = random.Random(seed)
        alarms += bool(
            judge(Overfitting(), val_loss=[0.5 + 0.1 * draw.gauss(0, 1) for _ in range(20)], epoch_loss=DOWN)
        )

    assert alarms <= 2


@pytest.mark.parametrize(("accuracy", "fires"), [(0.9, False), (0.7, True)])
def test_while_the_accuracy_holds_a_moderate_rise_is_no_fault(accuracy, fires):
    found = judge(
        Overfitting(),
        val_loss=[0.7, 0.6, *[0.5] * 6, 0.7, 0.75, 0.8],
        epoch_loss=DOWN[:11],
        val_accuracy=[0.7, 0.8, *[0.9] * 6, accuracy, accuracy, accuracy],
    )

    assert bool(found) is fires


def test_a_loss_that_doubled_is_overfitting_although_the_accuracy_holds():
    assert judge(
        Overfitting(),
        val_loss=[0.7, 0.6, 0.5, 0.5, 0.5, 0.7, 0.9, 1.1, 1.3, 1.5],
        epoch_loss=DOWN[:10],
        val_accuracy=[0.7, 0.8, *[0.9] * 8],
    )


@pytest.mark.parametrize(("accuracy", "fires"), [(0.11, True), (0.16, False)])
def test_accuracy_must_beat_guessing_by_half(accuracy, fires):
    (*found,) = judge(NoBetterThanBaseline(), val_accuracy=[accuracy] * 5, facts=TEN)

    assert bool(found) is fires


def test_the_most_frequent_class_is_the_baseline_where_it_is_known():
    (finding,) = judge(NoBetterThanBaseline(), val_accuracy=[0.9] * 5, class_count={"a": [900] * 5, "b": [100] * 5})

    assert finding.message.endswith("always answering the most frequent class gives 0.9")


def test_with_class_weights_the_most_frequent_class_is_no_baseline():
    case = {"val_accuracy": [0.8] * 5, "class_count": {"a": [900] * 5, "b": [100] * 5}}

    assert judge(NoBetterThanBaseline(), **case)
    assert judge(NoBetterThanBaseline(), **case, facts={"class_weights": {"a": 1.0, "b": 9.0}}) == []


def test_percent_are_understood():
    assert judge(NoBetterThanBaseline(), metric={"val_acc": [11.0] * 5}, facts=TEN)
    assert judge(NoBetterThanBaseline(), metric={"val_acc": [61.0] * 5}, facts=TEN) == []


def test_a_slow_start_is_no_fault_while_the_validation_loss_falls():
    slow = {"val_accuracy": [0.1] * 5, "facts": TEN}

    assert judge(NoBetterThanBaseline(), **slow, val_loss=[2.30, 2.29, 2.28, 2.27, 2.26]) == []
    assert judge(NoBetterThanBaseline(), **slow, val_loss=[2.30, 2.31, 2.33, 2.36, 2.4])


@pytest.mark.parametrize(("loss", "fires"), [(2.303, True), (2.1, False)])
def test_without_an_accuracy_the_loss_is_compared_with_that_of_guessing(loss, fires):
    assert bool(judge(NoBetterThanBaseline(), epoch_loss=[loss] * 5, facts=TEN)) is fires


@pytest.mark.parametrize("facts", [{}, {"loss": {"function": "mse_loss"}}, {"loss": "odd"}])
def test_a_regression_has_no_baseline(facts):
    with pytest.raises(NotApplicable):
        judge(NoBetterThanBaseline(), epoch_loss=[1.0] * 5, facts=facts)


def test_a_loss_below_the_entropy_of_the_classes_beats_the_baseline_although_the_accuracy_does_not():
    rare = {"val_accuracy": [0.9] * 5, "class_count": {"a": [900] * 5, "b": [100] * 5}, "facts": TEN}

    assert judge(NoBetterThanBaseline(), **rare, val_loss=[0.2] * 5) == []
    assert judge(NoBetterThanBaseline(), **rare, val_loss=[0.325] * 5)
