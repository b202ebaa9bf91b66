"""When a batch that was not learned by heart is a fault, and when it is left open."""

import math

import pytest

from tracker.rules import NotApplicable
from tracker.rules.preflight.overfit_one_batch import OverfitOneBatch
from tracker.rules.testing import judge

STUCK = OverfitOneBatch.faulty["facts"]["drill/overfit-one-batch"]


def found(**changed):
    return judge(OverfitOneBatch(), facts={"drill/overfit-one-batch": {**STUCK, **changed}})


def test_a_batch_that_is_known_is_no_finding():
    assert found(last=0.2, lowest=0.2) == []
    assert found(last=0.6, lowest=0.6, accuracy=1.0) == []


def test_what_a_model_of_single_tokens_can_reach_is_enough():
    assert found(last=1.9, lowest=1.9, by_token=1.85) == []


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"iterations": 60}, "more time"),
        ({"last": 1.5, "lowest": 1.5}, "rests"),
        ({"falls": 0.1, "trials": [{"rate": 10.0, "last": 2.28, "lowest": 2.28, "falls": 0.1}]}, "still falls"),
        ({"trials": []}, "inconclusive"),
        ({"trials": [{"rate": 10.0, "last": 0.4, "lowest": 0.4}]}, "10 times"),
        ({"parameters": 20}, "cannot know"),
        ({"optimizers": 2}, "no known floor"),
        ({"floor": None}, "no known floor"),
        ({"profile": "contrastive"}, "no known floor"),
        ({"rate_at_end": 1e-5}, "schedule"),
        ({"rate_begins": 1e-6}, "schedule"),
        ({"nonfinite_at": 20, "floor": None, "lowest": -40.0}, "no floor"),
    ],
)
def test_what_is_not_certain_is_left_open(changed, reason):
    with pytest.raises(NotApplicable, match=reason):
        found(**changed)


def test_a_lower_rate_that_learns_the_batch_is_the_reason():
    one = found(trials=[{"rate": 0.1, "last": 0.02, "lowest": 0.02}, {"rate": 10.0, "last": 2.3, "lowest": 2.28}])

    assert "0.1 times it, 0.0001" in one[0].advice[0]


def test_a_lower_rate_that_knows_the_batch_is_the_reason_though_the_loss_still_falls():
    slower = {"rate": 0.1, "last": 0.01, "lowest": 0.01}
    (one,) = found(last=1.6, lowest=1.5, falls=0.1, trials=[slower])

    assert one.advice[0].startswith("Learning rate too high: take 0.1 times it")
    with pytest.raises(NotApplicable, match="still falls"):
        found(last=1.6, lowest=1.5, falls=0.1, trials=[{**slower, "last": 0.7, "lowest": 0.7}])


def test_a_rate_is_tiny_when_ten_times_more_does_ten_times_more():
    one = found(
        first=2.3, last=2.299, lowest=2.299, movement=1e-4, trials=[{"rate": 10.0, "last": 2.29, "lowest": 2.29}]
    )

    assert one[0].advice[0].startswith("Learning rate too small")


SLOW = {"last": 2.2, "lowest": 2.2, "falls": 0.03, "trials": [{"rate": 100.0, "last": 0.4, "lowest": 0.4}]}


def test_a_rate_is_too_small_where_the_training_has_hardly_begun_and_a_larger_one_is_half_way():
    (one,) = found(**SLOW)

    assert "with 100 times the learning rate it fell to 0.4" in one.message
    assert one.advice[0].startswith("Learning rate too small: take 100 times it, 0.1,")


@pytest.mark.parametrize(
    "changed",
    [
        {"iterations": 200},
        {"last": 2.0},
        {"trials": [{"rate": 100.0, "last": 1.5, "lowest": 1.5}]},
        {"falls": 1e-5},
        {"rate_begins": 1e-6},
    ],
    ids=["little time", "on its way", "no better", "at rest", "warm-up"],
)
def test_a_slow_training_is_left_open_where_that_is_not_certain(changed):
    with pytest.raises(NotApplicable):
        found(**{**SLOW, **changed})


def test_probabilities_that_get_a_second_softmax_have_a_floor_of_their_own():
    one = found(squashed="softmax", n_classes=10, last=1.47, lowest=1.47, function="cross_entropy", accuracy=1.0)

    assert f"{math.log(math.e + 9) - 1:.4g}" in one[0].message


def test_weights_that_do_not_move_at_a_rate_of_zero_are_no_fault():
    still = {"first": 2.3, "last": 2.3, "lowest": 2.3, "highest": 2.3, "moved": 0}

    assert "0 steps" in found(**still, steps=0)[0].message
    with pytest.raises(NotApplicable, match="warms"):
        found(**still, rate_peak=0.0)


def test_a_loss_that_is_not_finite_at_once_is_a_finding():
    facts = {"drill/overfit-one-batch": {"iterations": 0, "nonfinite_at": 0, "first": None}}

    assert judge(OverfitOneBatch(), facts=facts)
