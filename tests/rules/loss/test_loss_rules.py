import math
import random

import pytest

from tracker.rules import NotApplicable
from tracker.rules.loss.initial_loss import InitialLoss
from tracker.rules.loss.loss_diverging import LossDiverging
from tracker.rules.loss.loss_not_decreasing import LossNotDecreasing
from tracker.rules.loss.loss_spike import LossSpike
from tracker.rules.loss.nonfinite_loss import NonfiniteLoss
from tracker.rules.testing import judge

CROSS_ENTROPY = {"loss": {"function": "cross_entropy", "n_classes": 10, "reduction": "mean"}}


def noisy(levels, share=0.1, seed=0):
    draw = random.Random(seed)
    return [level * (1 + share * draw.gauss(0, 1)) for level in levels]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_no_number_is_found_at_its_step(value):
    (finding,) = judge(NonfiniteLoss(), loss=[2.0, 1.9, 1.8, value])

    assert "at step 3" in finding.message
    assert finding.evidence["step"] == 3


def test_a_loss_that_is_finite_again_is_found_and_says_so():
    (finding,) = judge(NonfiniteLoss(), loss=[2.0, math.nan, 1.8, 1.7])

    assert "finite again from step 2" in finding.message


def test_a_loss_that_grew_before_it_was_lost_blames_the_learning_rate_first():
    (grew,) = judge(NonfiniteLoss(), loss=[2.0, 50.0, math.inf])
    (fell,) = judge(NonfiniteLoss(), loss=[2.0, 1.5, math.nan])

    assert "learning rate" in grew.advice[0]
    assert "batch" in fell.advice[0]


def test_an_epoch_loss_is_enough_to_find_that_it_is_no_number():
    (finding,) = judge(NonfiniteLoss(), epoch_loss=[1.0, 0.9, math.nan])

    assert finding.evidence["n_nonfinite"] == 1


def test_no_loss_at_all_is_not_called_finite():
    with pytest.raises(NotApplicable):
        judge(NonfiniteLoss(), grad_norm=[1.0, 1.0])


@pytest.mark.parametrize(("back_to", "fires"), [(0.2, False), (1.0, False), (1.6, True), (2.5, True)])
def test_a_loss_diverges_when_it_gives_back_half_of_the_initial_loss(back_to, fires):
    fallen = [2.3 * 0.96**i for i in range(100)]

    found = judge(LossDiverging(), loss=noisy([*fallen, *[back_to] * 40], 0.02))

    assert bool(found) is fires


def test_a_loss_that_exploded_within_five_steps_diverges():
    found = judge(LossDiverging(), loss=[2.3, 700.0, 9e4, *noisy([3e4] * 100, 0.2)])

    assert len(found) == 1


def test_a_tiny_loss_that_fluctuates_by_its_own_multiples_does_not_diverge():
    draw = random.Random(1)

    found = judge(
        LossDiverging(), loss=[2.3 * 0.9**i for i in range(80)] + [10 ** draw.uniform(-5, -3) for _ in range(80)]
    )

    assert found == []


def test_heavy_tailed_losses_of_single_samples_do_not_diverge():
    alarms = 0
    for seed in range(30):
        draw = random.Random(seed)
        alarms += len(judge(LossDiverging(), loss=[draw.gauss(0, 1) ** 2 for _ in range(300)]))

    assert alarms == 0


def test_a_flat_noisy_loss_is_not_decreasing():
    assert judge(LossNotDecreasing(), loss=noisy([2.3] * 300, 0.03, seed=2))


@pytest.mark.parametrize("seed", range(10))
def test_a_loss_that_falls_slowly_under_much_noise_is_decreasing(seed):
    falling = [2.3 * (1 - 0.2 * i / 400) for i in range(400)]

    assert judge(LossNotDecreasing(), loss=noisy(falling, 0.1, seed)) == []


def test_losses_too_noisy_to_tell_a_fall_of_a_twentieth_are_not_judged():
    with pytest.raises(NotApplicable, match="vary too much"):
        judge(LossNotDecreasing(), loss=noisy([1.0] * 300, 0.5, seed=5))


@pytest.mark.parametrize(("fall", "fires"), [(0.0003, True), (0.005, False), (0.02, False)])
def test_a_loss_without_noise_must_fall_by_more_than_a_thousandth(fall, fires):
    found = judge(LossNotDecreasing(), loss=[2.3 * (1 - fall * i / 299) for i in range(300)])

    assert bool(found) is fires


def test_a_loss_that_came_down_and_rests_is_decreasing():
    assert (
        judge(LossNotDecreasing(), loss=[2.3, 2.0, 1.5, 1.0, 0.8] * 2 + [0.3 + 0.01 * (i % 3) for i in range(300)])
        == []
    )


@pytest.mark.parametrize(
    "more",
    [
        {"accuracy/val": [0.97] * 10},
        {"metric": {"val_acc": [97.0] * 10}},
        {"facts": CROSS_ENTROPY},
    ],
)
def test_a_run_that_goes_on_from_a_trained_checkpoint_is_not_judged(more):
    with pytest.raises(NotApplicable):
        judge(LossNotDecreasing(), loss=noisy([0.1] * 300), **more)


@pytest.mark.parametrize("profile", ["gan", "rl", "fine-tune"])
def test_a_moving_target_is_not_asked_to_decrease(profile):
    with pytest.raises(NotApplicable):
        judge(LossNotDecreasing(), loss=[0.7] * 300, profile=profile)


def test_a_spike_at_the_end_of_an_epoch_is_left_out():
    losses = noisy([1.0] * 200, 0.05)
    losses[149] = 30.0

    assert judge(LossSpike(), loss=losses, epoch_len=50) == []
    assert len(judge(LossSpike(), loss=losses, epoch_len=40)) == 1


def test_a_loss_that_stays_up_is_no_spike():
    assert judge(LossSpike(), loss=[*noisy([1.0] * 150, 0.05), *noisy([20.0] * 100, 0.05)], epoch_len=50) == []


@pytest.mark.parametrize(("first", "fires"), [(2.3, False), (3.4, False), (3.6, True), (0.1, False)])
def test_a_first_loss_may_be_one_and_a_half_times_that_of_guessing(first, fires):
    assert bool(judge(InitialLoss(), loss=[first] * 5, facts=CROSS_ENTROPY)) is fires


def test_a_rate_that_spoils_the_second_loss_does_not_make_the_first_one_wrong():
    assert judge(InitialLoss(), loss=[2.3, 400.0, 900.0, 800.0, 700.0], facts=CROSS_ENTROPY) == []


@pytest.mark.parametrize(
    "loss",
    [
        {"function": "cross_entropy", "n_classes": 10, "reduction": "sum"},
        {"function": "mse_loss"},
        {"function": "binary_cross_entropy_with_logits", "weighted": True},
        {"function": "cross_entropy"},
        ["odd"],
        {},
    ],
)
def test_a_loss_whose_first_value_is_not_known_is_not_judged(loss):
    with pytest.raises(NotApplicable):
        judge(InitialLoss(), loss=[99.0] * 5, facts={"loss": loss})


@pytest.mark.parametrize(("deviation", "fires"), [(1.0, False), (0.01, True), (None, True)])
def test_a_squared_error_below_that_of_a_constant_has_not_diverged_from_its_first_value(deviation, fires):
    losses = [0.0003] * 5 + [0.004] * 195
    facts = {"targets": [{"function": "mse_loss", "std": deviation}]}

    assert bool(judge(LossDiverging(), loss=losses, facts=facts)) is fires
