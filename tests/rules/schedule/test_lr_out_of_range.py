import math

import pytest

from tracker.rules import NotApplicable
from tracker.rules.schedule.lr_out_of_range import LrOutOfRange
from tracker.rules.testing import judge

FLAT, FALLING = [2.3] * 60, [2.3 * 0.97**i for i in range(60)]


def facts(name, rate):
    return {"optimizer": [{"class": name, "groups": [{"lr": rate, "weight_decay": 0}]}]}


@pytest.mark.parametrize(
    ("name", "rate", "losses", "fires"),
    [
        ("AdamW", 1e-2, FLAT, False),
        ("AdamW", 3e-2, FLAT, True),
        ("AdamW", 3e-2, FALLING, False),
        ("AdamW", 3.0, FALLING, True),
        ("SGD", 0.5, FLAT, False),
        ("SGD", 5.0, FLAT, True),
        ("SGD", 5.0, FALLING, False),
        ("Adam", 1e-9, FLAT, True),
        ("Adam", 1e-5, FLAT, False),
    ],
)
def test_a_rate_is_out_of_range_when_the_loss_shows_it_or_it_is_absurd(name, rate, losses, fires):
    assert bool(judge(LrOutOfRange(), loss=losses, facts=facts(name, rate))) is fires


def test_a_lost_loss_shows_it_at_once():
    (finding,) = judge(LrOutOfRange(), loss=[2.3, 80.0, math.nan], facts=facts("SGD", 10.0))

    assert "no longer finite" in finding.message


def test_the_peak_of_a_schedule_counts_not_its_end():
    assert judge(LrOutOfRange(), loss=FLAT, facts=facts("Adam", 1e-3), lr={"0": [1e-3, 1e-4, 0.0]}) == []


@pytest.mark.parametrize(
    "fact",
    [
        [{"class": "Prodigy", "groups": [{"lr": 1.0}]}],
        [{"class": "Adam", "groups": [{"lr": 1.0}]}, {"class": "Adam", "groups": [{"lr": 1.0}]}],
        [{"class": "Adam", "groups": [{"lr": 3.0}]}, {"class": "Prodigy", "groups": [{"lr": 1.0}]}],
        [{"class": "Adam", "groups": "odd"}],
        "Adam",
    ],
)
def test_optimizers_of_another_kind_or_form_are_not_judged(fact):
    with pytest.raises(NotApplicable):
        judge(LrOutOfRange(), loss=FLAT, facts={"optimizer": fact})


def test_it_explains_what_a_wrong_rate_does():
    assert {"nonfinite-loss", "loss-diverging", "update-ratio", "exploding-gradient"} <= set(LrOutOfRange.explains)
