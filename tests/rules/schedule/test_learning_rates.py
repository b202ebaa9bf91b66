import math

import pytest

from tracker.rules import Level, NotApplicable
from tracker.rules.schedule.learning_rate_too_high import LearningRateTooHigh
from tracker.rules.schedule.learning_rate_too_low import LearningRateTooLow
from tracker.rules.schedule.learning_rate_zero import LearningRateZero
from tracker.rules.testing import judge

FLAT, FALLING = [2.3] * 60, [2.3 * 0.97**i for i in range(60)]
RISING = [2.3 + 0.05 * i for i in range(60)]
AT_THE_END = {"judge": {59: {"phase": "run"}}}


def optimizer(name, rate, **group):
    return {"optimizer": [{"class": name, "groups": [{"lr": rate, "weight_decay": 0} | group]}]}


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
        ("Adam", 0.1, [2.0, 2.0, 2.0, 2.0, 2.0] + [30.0] * 15 + [1.7] * 40, True),
        ("Adam", 0.1, [2.0, 2.0, 2.0, 2.0, 2.0] + [30.0] * 15 + [0.2] * 40, False),
        ("Adam", 0.1, [2.0] * 40 + [0.0, 0.0, 0.0, 90.0] * 5, True),  # right most of the time, and far off else
    ],
)
def test_a_rate_is_too_high_when_the_loss_shows_it_or_it_is_absurd(name, rate, losses, fires):
    found = judge(LearningRateTooHigh(), loss=losses, facts=optimizer(name, rate), events=AT_THE_END)

    assert bool(found) is fires


@pytest.mark.parametrize(("momentum", "fires"), [(0.0, False), (0.9, True), (0.5, False)])
def test_momentum_adds_up_to_a_higher_rate(momentum, fires):
    facts = optimizer("SGD", 0.5, momentum=momentum)

    assert bool(judge(LearningRateTooHigh(), loss=FLAT, facts=facts, events=AT_THE_END)) is fires


def test_a_training_that_goes_on_may_still_come_down():
    with pytest.raises(NotApplicable, match="may still come down"):
        judge(LearningRateTooHigh(), loss=FLAT, facts=optimizer("Adam", 0.1))


def test_a_lost_loss_shows_it_at_once():
    (finding,) = judge(LearningRateTooHigh(), loss=[2.3, 80.0, math.nan], facts=optimizer("SGD", 10.0))

    assert "no longer finite" in finding.message


@pytest.mark.parametrize(
    ("losses", "update", "more", "fires"),
    [
        (RISING, 0.3, {}, True),
        (RISING, 1e-3, {}, False),
        (FLAT, 0.3, {}, False),  # weights of a small norm, and nothing to learn
        (FLAT, 1e-3, {}, False),
        (FALLING, 0.3, {}, False),
        ([2.3] * 20 + [50.0, 4e4, math.inf], 0.3, {}, True),
        ([2.3] * 22 + [math.nan], 0.3, {}, False),  # all of a sudden: of another origin
        (RISING, 0.3, {"loss": {"function": "mse_loss", "reduction": "sum"}}, False),
    ],
)
def test_within_the_bar_updates_and_loss_have_to_show_it(losses, update, more, fires):
    found = judge(
        LearningRateTooHigh(),
        loss=losses,
        update_ratio={"a.weight": [update] * 20},
        facts=optimizer("SGD", 0.1) | more,
        events=AT_THE_END,
    )

    assert bool(found) is fires


@pytest.mark.parametrize(
    ("rate", "first", "jump", "fires"),
    [(0.1, 1.3, 30.0, True), (0.1, 1.3, 3.0, False), (0.1, 0.3, 30.0, False), (0.02, 1.3, 30.0, False)],
)
def test_initial_weights_that_are_overwritten_show_a_rate_far_out_of_range(rate, first, jump, fires):
    found = judge(
        LearningRateTooHigh(),
        loss=[2.0, jump] + FALLING[20:] + [0.1] * 20,
        update_ratio={"a.weight": [first] + [0.01] * 40},
        facts=optimizer("Adam", rate),
        events={"judge": {61: {"phase": "run"}}},
    )

    assert bool(found) is fires


def test_inputs_of_a_large_scale_are_blamed_before_a_usual_rate():
    updates = {"a.weight": [0.3] * 20}
    case = {"loss": RISING, "update_ratio": updates, "facts": optimizer("SGD", 0.1), "events": AT_THE_END}

    assert judge(LearningRateTooHigh(), **case)
    assert judge(LearningRateTooHigh(), **case, input_std={"train/x": {0: 120.0}}) == []


def test_the_peak_of_a_schedule_counts_not_its_end():
    rates = {"0": [1e-3, 1e-4, 0.0]}
    case = {"loss": FLAT, "facts": optimizer("Adam", 1e-3), "lr": rates, "events": AT_THE_END}

    assert judge(LearningRateTooHigh(), **case) == []
    assert judge(LearningRateTooLow(), **case, update_ratio={"a.weight": [1e-7] * 60}) == []


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
@pytest.mark.parametrize("rule", [LearningRateTooHigh, LearningRateTooLow])
def test_optimizers_of_another_kind_or_form_are_not_judged(rule, fact):
    with pytest.raises(NotApplicable):
        judge(rule(), loss=FLAT, facts={"optimizer": fact}, events=AT_THE_END)


def test_an_image_that_is_optimized_bears_other_rates():
    facts = optimizer("Adam", 0.1) | {"graph": {"reached": 7, "n_unowned": 6, "foreign": 1}}

    with pytest.raises(NotApplicable, match="inputs"):
        judge(LearningRateTooHigh(), loss=FLAT, facts=facts, events=AT_THE_END)


@pytest.mark.parametrize(
    ("name", "rate", "update", "losses", "fires"),
    [
        ("Adam", 1e-9, 1e-8, FLAT, True),
        ("Adam", 1e-5, 1e-4, FLAT, True),
        ("Adam", 1e-5, 1e-4, FALLING, False),
        ("Adam", 1e-5, 1e-2, FLAT, False),  # the weights got far: something else is wrong
        ("Adam", 1e-3, 1e-5, FLAT, False),
        ("SGD", 1e-4, 1e-5, FLAT, True),
        ("SGD", 1e-2, 1e-5, FLAT, False),  # gradients that vanish are not the rate's fault
        ("Adam", 1e-5, 1e-4, [2.3 + 0.1 * i for i in range(60)], False),
        ("Adadelta", 1e-3, 1e-5, FLAT, True),
        ("Adadelta", 1.0, 1e-5, FLAT, False),
        ("Adagrad", 1e-4, 1e-5, FLAT, True),
        ("Adagrad", 1e-2, 1e-5, FLAT, False),
    ],
)
def test_a_rate_is_too_low_when_neither_weights_nor_loss_get_anywhere(name, rate, update, losses, fires):
    found = judge(
        LearningRateTooLow(), loss=losses, update_ratio={"a.weight": [update] * 60}, facts=optimizer(name, rate)
    )

    assert bool(found) is fires


def test_fine_tuning_is_healthy_at_low_rates():
    with pytest.raises(NotApplicable, match="fine-tune"):
        judge(LearningRateTooLow(), loss=FLAT, facts=optimizer("Adam", 1e-6), profile="fine-tune")


@pytest.mark.parametrize(
    ("rates", "fires"),
    [
        ([0.0] + [1e-3] * 99, False),  # a warm-up from zero
        ([1e-3] * 95 + [0.0] * 5, False),  # a decay to zero
        ([1e-3 * (i // 30) for i in range(100)], True),  # a whole number division
        ([1e-3 * max(0.0, 1 - i / 50) for i in range(100)], True),  # planned for half of the steps
        ([0.0] * 100, True),
        ([1e-3] * 60 + [0.0] * 8 + [5e-4] * 32, False),  # the last epoch of a cosine, and averaging behind it
        ([1e-3] * 40 + [0.0] * 20 + [1e-3] * 40, True),
    ],
)
def test_steps_with_a_rate_of_zero_are_counted(rates, fires):
    assert bool(judge(LearningRateZero(), lr={"0": rates}, loss=[1.0] * 100)) is fires


def test_a_group_that_waits_is_not_a_rate_of_zero():
    assert judge(LearningRateZero(), lr={"0": [0.0] * 100, "1": [1e-3] * 100}, loss=[1.0] * 100) == []


RESTING = {
    "lr": {"0": [1e-3] * 60, "1": [0.0]},
    "loss": FALLING,
    "grad_norm": {"head.weight": [1.0] * 60, "body.weight": [0.1] * 60},
    "update_ratio": {"head.weight": [1e-3] * 60, "body.weight": [0.0] * 60},
    "facts": {"parameters": {name: {"shape": [4, 4], "trainable": True} for name in ("head.weight", "body.weight")}},
    "events": AT_THE_END,
}


@pytest.mark.parametrize(
    ("more", "fires"),
    [
        ({}, True),
        ({"events": {}}, False),  # it may still be woken up
        ({"lr": {"0": [1e-3] * 60, "1": {0: 0.0, 30: 1e-3}}}, False),
        ({"grad_norm": {"head.weight": [1.0] * 60}}, False),  # frozen: no gradient is computed for it
        ({"update_ratio": {"head.weight": [1e-3] * 60, "body.weight": [1e-4] * 60}}, False),
        ({"facts": RESTING["facts"] | {"signs": {"pretrained": True}}}, False),
    ],
)
def test_a_group_whose_rate_is_zero_all_along_is_told_where_its_weights_are_new(more, fires):
    found = judge(LearningRateZero(), **RESTING | more)

    assert [one.subject for one in found] == (["body.weight"] if fires else [])


@pytest.mark.parametrize(("rate", "fires"), [(0.1, False), (0.2, False), (0.21, True)])
def test_a_rate_over_what_momentum_leaves_is_compared_without_the_error_of_rounding(rate, fires):
    facts = optimizer("SGD", rate, momentum=0.9)

    assert bool(judge(LearningRateTooHigh(), loss=FLAT, facts=facts, events=AT_THE_END)) is fires


@pytest.mark.parametrize(
    ("first", "losses", "fires"), [(1e-6, FLAT, False), (1e-3, FLAT, True), (0.0, FLAT, True), (1e-6, RISING, True)]
)
def test_a_loss_that_stands_is_not_blamed_on_the_rate_where_a_layer_began_without_a_gradient(first, losses, fires):
    names = ("a.weight", "b.weight", "c.weight")
    parameters = {"parameters": {name: {"shape": [4, 4]} for name in names}}
    norms = {name: [norm] * 60 for name, norm in zip(names, (first, 0.1, 1.0), strict=True)}
    case = {"loss": losses, "grad_norm": norms, "facts": optimizer("SGD", 2.0) | parameters, "events": AT_THE_END}

    assert bool(judge(LearningRateTooHigh(), **case)) is fires


def test_a_rate_that_is_too_high_explains_what_follows():
    assert {Level.DYNAMICS, Level.OUTCOME} <= set(LearningRateTooHigh.explains)


@pytest.mark.parametrize(
    ("rate", "dead", "end", "fires"),
    [(0.05, 0.9, 1.0, True), (0.05, 0.9, 0.1, False), (0.05, 0.3, 1.0, False), (5e-3, 0.9, 1.0, False)],
)
def test_a_rate_out_of_range_is_blamed_for_the_units_it_killed(rate, dead, end, fires):
    losses = [2.3 + (end - 2.3) * min(1.0, i / 30) for i in range(60)]
    case = {"loss": losses, "output/dead": {"relu": [0.05, *[dead] * 59]}}

    found = judge(LearningRateTooHigh(), **case, facts=optimizer("Adam", rate), events=AT_THE_END)

    assert bool(found) is fires


SLOW = [2.3 - 0.002 * i for i in range(60)]
WARMING = [1e-6 * (i + 1) for i in range(60)]


@pytest.mark.parametrize(
    ("rates", "losses", "events", "fires"),
    [
        (WARMING, FLAT, AT_THE_END, True),
        (WARMING, SLOW, AT_THE_END, True),
        (WARMING, FALLING, AT_THE_END, False),
        (WARMING, SLOW, {}, False),
        ([20 * rate for rate in WARMING], SLOW, AT_THE_END, False),  # it came to a usual rate
        ([1e-7 * 1.1**i for i in range(60)], SLOW, AT_THE_END, False),  # a range test
        ([4e-6 + rate for rate in WARMING], SLOW, AT_THE_END, False),  # one cycle, stopped early
        (WARMING[:30] + WARMING[30:0:-1], SLOW, AT_THE_END, False),
    ],
)
def test_a_warm_up_that_is_longer_than_the_run_is_told(rates, losses, events, fires):
    try:
        found = judge(LearningRateTooLow(), loss=losses, lr=rates, facts=optimizer("Adam", 0.0), events=events)
    except NotApplicable:
        found = []

    assert any("warm-up is longer" in one.message for one in found) is fires
