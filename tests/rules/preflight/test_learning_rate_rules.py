"""What is said of a learning rate and of a batch size, given what drills measured: edges, and where nothing is said."""

import pytest

from tracker.rules import NotApplicable
from tracker.rules.preflight.batch_below_noise_scale import BatchBelowNoiseScale
from tracker.rules.preflight.learning_rate_beyond_divergence import LearningRateBeyondDivergence
from tracker.rules.preflight.learning_rate_far_below_range import LearningRateFarBelowRange
from tracker.rules.testing import judge

RANGE = {"steepest": 0.05, "breaks_at": 0.5, "own": 1.0, "peak": 1.0, "own_steps": 20, "own_first": 2.3,
         "own_later": 2.31, "own_last": 2.31, "own_finite": True}  # fmt: skip


def _range(**told):
    return {"facts": {"drill/learning-rate-range": {**RANGE, **told}}}


@pytest.mark.parametrize(
    ("told", "fires"),
    [
        ({}, True),
        ({"own": 0.49}, False),  # not beyond the break of the sweep
        ({"own_later": 2.1}, False),  # it lowers the loss of the batch, whatever the sweep shows
        ({"own_later": -5.0}, False),
        ({"steepest": 0.4}, False),  # little above where the loss falls fastest
        ({"breaks_at": None}, False),
        ({"breaks_at": None, "own_later": 24.0}, True),  # ten times the first loss says enough alone
        ({"own": 0.3, "own_later": 4.7}, True),  # near the break, and the loss has doubled
        ({"own": 0.3, "own_later": 4.5}, False),
        ({"own": 0.24, "own_later": 4.7}, False),
        ({"own": 0.3, "own_later": 4.7, "steepest": 0.1}, False),
        ({"own_finite": False, "own_later": None, "own_steps": 3}, True),
    ],
)
def test_a_rate_beyond_the_break_fires_where_its_own_steps_do_not_help(told, fires):
    assert bool(judge(LearningRateBeyondDivergence(), **_range(**told))) is fires


@pytest.mark.parametrize(
    ("told", "fires"),
    [
        ({"peak": 1e-8, "own_last": 2.2999999}, True),
        ({"peak": 1e-4, "own_last": 2.2999999}, False),  # within three decades
        ({"peak": 1e-8, "own_last": 2.29}, False),  # fast enough, whatever the sweep shows
        ({"peak": 1e-8, "own_last": 2.32, "own_noise": 0.05}, False),  # dropout hides whether it falls
        ({"peak": 1e-8, "own_last": 2.32}, True),
    ],
)
def test_a_rate_far_below_the_range_fires_where_its_own_steps_do_next_to_nothing(told, fires):
    assert bool(judge(LearningRateFarBelowRange(), **_range(**told))) is fires


def test_nothing_is_said_of_small_rates_in_fine_tuning_or_where_no_rate_helps():
    with pytest.raises(NotApplicable, match="fine-tune"):
        judge(LearningRateFarBelowRange(), profile="fine-tune", **_range(peak=1e-8))
    with pytest.raises(NotApplicable, match="no learning rate at which the loss falls"):
        judge(LearningRateFarBelowRange(), **_range(steepest=None))


def test_a_warm_up_from_zero_is_not_judged_by_a_rate_it_does_not_have():
    with pytest.raises(NotApplicable, match="a warm-up"):
        judge(LearningRateBeyondDivergence(), **_range(own=None))


@pytest.mark.parametrize(("scale", "fires"), [(159.0, False), (161.0, True)])
def test_a_batch_ten_times_below_the_noise_scale_is_noted(scale, fires):
    facts = {"drill/noise-scale": {"batch": 16, "scale": scale}}

    assert bool(judge(BatchBelowNoiseScale(), facts=facts)) is fires
