"""Curves of short runs: loss-not-decreasing, -diverging, -oscillating, -plateaued."""

import random

import pytest

from tracker.rules import NotApplicable
from tracker.rules.loss.loss_diverging import LossDiverging
from tracker.rules.loss.loss_not_decreasing import LossNotDecreasing
from tracker.rules.loss.loss_oscillating import LossOscillating
from tracker.rules.loss.loss_plateaued import LossPlateaued
from tracker.rules.testing import judge

REPLACED = {"signs": {"reloads": 9}}


def noisy(levels, deviation=0.03, seed=0):
    draw = random.Random(seed)
    return [level + deviation * draw.gauss(0, 1) for level in levels]


def over(losses, **more):
    """A run that has ended with these losses."""
    return {"loss": losses, "events": {"judge": {len(losses) - 1: {"phase": "run"}}}, **more}


def test_seventy_losses_are_enough_at_the_end_of_a_run_but_not_before():
    losses = noisy([2.3] * 70)

    assert judge(LossNotDecreasing(), **over(losses))
    with pytest.raises(NotApplicable, match="needed"):
        judge(LossNotDecreasing(), loss=losses)


@pytest.mark.parametrize("seed", range(5))
def test_a_short_run_that_learns_is_decreasing(seed):
    assert judge(LossNotDecreasing(), **over(noisy([2.3 * 0.98**i for i in range(70)], 0.1, seed))) == []


@pytest.mark.parametrize(("fall", "fires"), [(0.015, True), (0.05, False)])
def test_a_run_of_several_epochs_must_have_come_somewhere(fall, fires):
    losses = [2.3 * (1 - fall * i / 299) for i in range(300)]

    assert bool(judge(LossNotDecreasing(), **over(losses, epoch_len=100, profile="supervised"))) is fires
    assert judge(LossNotDecreasing(), **over(losses, epoch_len=100, profile="contrastive")) == []


def test_a_held_out_loss_that_falls_clears_a_training_loss_of_which_most_is_constant():
    case = over([50 - 0.3 * i / 299 for i in range(300)], epoch_len=60, profile="supervised")

    assert judge(LossNotDecreasing(), **case)
    assert judge(LossNotDecreasing(), **case, val_loss=[1.0, 0.8, 0.7, 0.65, 0.6]) == []


def test_a_loss_that_rose_is_not_decreasing_however_noisy():
    draw = random.Random(3)
    losses = [2.3] * 10 + [6.0 + 2.5 * draw.random() for _ in range(60)]

    assert judge(LossNotDecreasing(), **over(losses))


def test_four_epochs_are_enough_where_only_their_means_are_known():
    assert judge(LossNotDecreasing(), epoch_loss=[2.30, 2.31, 2.30, 2.30])
    assert judge(LossNotDecreasing(), epoch_loss=[2.30, 2.1, 1.9, 1.8]) == []


@pytest.mark.parametrize(("back_to", "fires"), [(0.9, False), (1.6, True)])
def test_a_loss_that_gives_back_half_of_its_gain_diverges(back_to, fires):
    losses = noisy([2.3 * 0.9**i for i in range(10)] + [0.9] * 60 + [back_to] * 60)

    assert bool(judge(LossDiverging(), **over(losses))) is fires
    assert judge(LossDiverging(), loss=losses) == []


def test_a_restart_of_the_learning_rate_may_cost_more():
    losses = noisy([2.3 * 0.9**i for i in range(10)] + [0.9] * 30 + [1.6] * 30)

    assert judge(LossDiverging(), **over(losses))
    assert judge(LossDiverging(), **over(losses), lr={"0": {0: 0.1, 12: 0.001, 40: 0.1}}) == []


def test_thirty_losses_are_enough_for_a_divergence_at_the_end_of_a_run():
    losses = noisy([2.3, 1.9, 1.4, *[1.2] * 12, *[9.0] * 12])

    assert judge(LossDiverging(), **over(losses))
    with pytest.raises(NotApplicable):
        judge(LossDiverging(), loss=losses)


def test_the_first_epoch_of_a_noisy_run_does_not_diverge():
    alarms = sum(bool(judge(LossDiverging(), **over(noisy([0.2] * 30, 0.05, seed)))) for seed in range(100))

    assert alarms == 0


@pytest.mark.parametrize("rule", [LossNotDecreasing(), LossDiverging()])
def test_losses_that_do_not_measure_the_same_thing_are_not_judged(rule):
    with pytest.raises(NotApplicable, match="replaced"):
        judge(rule, **over([2.3] * 300, facts=REPLACED))


def epochs(means, deviation=0.02, n=20, seed=0):
    return {"loss": noisy([mean for mean in means for _ in range(n)], deviation, seed), "epoch_len": n}


@pytest.mark.parametrize(
    ("means", "fires"),
    [
        ([2.3, 1.6, 1.0, 1.6, 1.0, 1.6, 1.0, 1.6, 1.0, 1.6], True),
        ([2.3, 1.6, 1.2, 1.1, 1.0, 1.05, 1.0, 1.06, 1.0, 1.05], False),
        ([2.3, 1.8, 1.4, 1.0, 0.7, 0.5, 0.35, 0.25, 0.2, 0.15], False),
        ([2.3, 1.6, 1.0, 1.6, 1.0, 1.5, 0.5, 0.45, 0.4, 0.38, 0.36, 0.35], False),
    ],
)
def test_epochs_oscillate_when_most_of_the_later_ones_swing(means, fires):
    assert bool(judge(LossOscillating(), **epochs(means))) is fires


def test_the_scatter_of_small_batches_is_no_oscillation():
    alarms = sum(bool(judge(LossOscillating(), **epochs([2.3] + [1.0] * 11, 0.4, 5, seed))) for seed in range(30))

    assert alarms == 0


def test_a_schedule_that_swings_may_make_the_loss_swing():
    case = epochs([2.3, 1.6, 1.0, 1.6, 1.0, 1.6, 1.0, 1.6, 1.0, 1.6])
    with pytest.raises(NotApplicable, match="swings"):
        judge(LossOscillating(), **case, lr={"0": {0: 0.1, 100: 0.01, 120: 0.1, 140: 0.01}})

    assert judge(LossOscillating(), **case, lr={"0": {0: 0.1, 20: 0.2}})


def test_a_loss_that_stands_at_a_high_rate_has_plateaued_and_one_whose_rate_decayed_is_not_judged():
    standing = noisy([2.3 * max(0.5, 0.97**i) for i in range(300)])

    assert judge(LossPlateaued(), loss=standing, lr={"0": [0.1]})
    assert judge(LossPlateaued(), loss=[2.3 * 0.99**i for i in range(300)], lr={"0": [0.1]}) == []
    with pytest.raises(NotApplicable, match="decayed"):
        judge(LossPlateaued(), loss=standing, lr={"0": {0: 0.1, 100: 0.001}})


@pytest.mark.parametrize(("top", "fires"), [(0.9, False), (3.0, True)])
def test_a_short_run_must_end_at_twice_its_first_level_to_diverge(top, fires):
    losses = [0.78, 0.75, 0.7, 0.65, 0.62, 0.6, 0.57, 0.55, *[0.5] * 16, *[top] * 10]

    assert bool(judge(LossDiverging(), **over(losses))) is fires


def test_losses_of_several_kinds_are_no_one_curve():
    kinds = [{"function": "binary_cross_entropy"}, {"function": "triplet_margin_loss"}]
    losses = [2.3 * 0.95**i for i in range(60)] + [0.1 * 1.1**i for i in range(60)]
    with pytest.raises(NotApplicable, match="several kinds"):
        judge(LossDiverging(), loss=losses, facts={"loss": kinds})


def test_a_loss_that_begins_below_zero_has_no_scale():
    losses = noisy([-0.4 + 0.0002 * i for i in range(450)], 0.02, 0)

    with pytest.raises(NotApplicable, match="no scale"):
        judge(LossNotDecreasing(), **over(losses))
