import pytest

from tracker.rules import NotApplicable
from tracker.rules.testing import judge
from tracker.rules.weights.update_ratio import UpdateRatio


def rows(*levels):
    return {"update_ratio": {f"layer{n}.weight": [level] * 120 for n, level in enumerate(levels)}}


@pytest.mark.parametrize(
    ("levels", "fires"),
    [
        ((1e-3, 1e-3), False),
        ((0.09, 0.09), False),
        ((0.11, 0.2), True),
        ((0.2,), False),
        ((0.2, 1e-3, 1e-3), False),
        ((2e-4, 2e-4), False),
        ((5e-7, 5e-7), True),
        ((5e-7, 1e-3, 1e-3), False),
    ],
)
def test_half_of_the_matrices_must_be_beyond_a_bar(levels, fires):
    assert bool(judge(UpdateRatio(), **rows(*levels))) is fires


def test_long_steps_are_no_fault_while_the_loss_has_halved():
    assert judge(UpdateRatio(), **rows(0.2, 0.2), loss=[2.0 * 0.95**i for i in range(120)]) == []
    assert judge(UpdateRatio(), **rows(0.2, 0.2), loss=[2.0] * 120)


@pytest.mark.parametrize(("level", "loss", "fires"), [(5e-5, 2.3, True), (5e-5, 1.9, False), (2e-4, 2.3, False)])
def test_slow_steps_are_a_fault_when_nothing_was_learned(level, loss, fires):
    case = {**rows(level, level), "loss": [2.3] * 5 + [loss] * 115, "events": {"judge": {119: {"phase": "run"}}}}

    assert bool(judge(UpdateRatio(), **case)) is fires


@pytest.mark.parametrize(("n", "fires"), [(120, True), (60, False)])
def test_ten_samples_of_a_hundred_steps_are_enough(n, fires):
    rates = {name: {n * i // 12: 0.5 for i in range(12)} for name in ("a.weight", "b.weight")}

    assert bool(judge(UpdateRatio(), update_ratio=rates, loss=[2.0] * n)) is fires


def test_the_tail_of_a_schedule_is_not_judged():
    with pytest.raises(NotApplicable, match="tail"):
        judge(UpdateRatio(), **rows(1e-8, 1e-8), lr={"0": {0: 0.1, 15: 0.005}})


@pytest.mark.parametrize(("rate", "fires"), [(0.0, False), (1e-3, True)])
def test_what_rests_at_a_rate_of_zero_is_not_judged(rate, fires):
    found = judge(UpdateRatio(), **rows(0.0, 0.0, 1e-3), lr={"0": [rate], "1": [1e-3]})

    assert bool(found) is fires


def test_fine_tuning_with_tiny_steps_is_not_judged():
    with pytest.raises(NotApplicable):
        judge(UpdateRatio(), **rows(5e-7, 5e-7), profile="fine-tune")


def test_biases_norms_and_embeddings_are_not_judged():
    with pytest.raises(NotApplicable):
        judge(UpdateRatio(), update_ratio={name: [0.5] * 30 for name in ("a.bias", "norm1.weight", "embed.weight")})


def test_the_advice_brings_the_ratio_to_a_thousandth():
    (finding,) = judge(UpdateRatio(), **rows(1e-7, 1e-7))

    assert finding.advice[0] == "Raise the learning rate by a factor of about 1e+04."
