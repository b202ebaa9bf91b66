import math

import pytest

from tracker.rules import NotApplicable
from tracker.rules.gradients.exploding_gradient import ExplodingGradient
from tracker.rules.gradients.gradient_spike import GradientSpike
from tracker.rules.gradients.nonfinite_gradient import NonfiniteGradient
from tracker.rules.gradients.vanishing_gradient import VanishingGradient
from tracker.rules.gradients.zero_gradient_layer import ZeroGradientLayer
from tracker.rules.testing import judge

NAN = math.nan


def test_a_gradient_lost_before_the_loss_is_named_with_its_parameter():
    (finding,) = judge(
        NonfiniteGradient(),
        loss=[2.0, 1.9, NAN],
        grad_norm={"": [1.0, NAN, NAN], "stem": [1.0, NAN, NAN], "head": [1.0] * 3},
    )

    assert "step 1 in stem" in finding.message


@pytest.mark.parametrize("losses", [[2.0, NAN, NAN], [NAN, NAN, NAN]])
def test_a_gradient_that_follows_a_lost_loss_is_left_to_the_loss(losses):
    with pytest.raises(NotApplicable, match="first"):
        judge(NonfiniteGradient(), loss=losses, grad_norm=[1.0, NAN, NAN])


def test_the_gradient_explains_the_loss_that_it_ruined():
    assert "nonfinite-loss" in NonfiniteGradient.explains


@pytest.mark.parametrize(("growth", "fires"), [(50.0, False), (200.0, True)])
def test_a_gradient_explodes_at_a_hundred_times_its_start(growth, fires):
    found = judge(ExplodingGradient(), grad_norm=[1.0] * 40 + [growth] * 40, loss=[2.0] * 40 + [3.0] * 40)

    assert bool(found) is fires


def test_few_norms_are_enough_to_see_an_explosion():
    assert judge(ExplodingGradient(), grad_norm=[1.0] * 10 + [1e3] * 5, loss=[2.0] * 20 + [9.0] * 30)


def test_a_gradient_that_grows_while_the_loss_falls_is_healthy():
    leaving_a_plateau = {"grad_norm": [1e-5] * 40 + [1.0] * 40, "loss": [2.3] * 40 + [1.0] * 40}

    assert judge(ExplodingGradient(), **leaving_a_plateau) == []


def layers(first_gradient, first_update, last_update=1e-3):
    return {
        "loss": [2.3 - 0.02 * i for i in range(30)],
        "grad_norm": {"a": [first_gradient] * 30, "b": [0.1] * 30, "c": [1.0] * 30},
        "update_ratio": {"a": [first_update] * 30, "b": [1e-3] * 30, "c": [last_update] * 30},
    }


@pytest.mark.parametrize(("gradient", "update", "fires"), [(1e-6, 1e-8, True), (1e-2, 1e-8, False), (0.0, 0.0, True)])
def test_a_layer_is_starved_when_its_gradient_and_its_update_are_small(gradient, update, fires):
    found = judge(VanishingGradient(), **layers(gradient, update))

    assert [finding.subject for finding in found] == (["a"] if fires else [])


def test_biases_and_embeddings_are_not_called_starved():
    shapes = {"a": [8], "b": [8, 8], "c": [8, 8], "d": [8, 8], "emb": [99, 8]}
    case = layers(1e-6, 1e-8)
    for rows in (case["grad_norm"], case["update_ratio"]):
        rows["d"], rows["emb"] = rows["b"], rows["a"]
    facts = {"parameters": {name: {"shape": shape, "trainable": True} for name, shape in shapes.items()}}

    assert judge(VanishingGradient(), **case, facts=facts) == []


OVER = {"judge": {29: {"phase": "run"}}}


def test_the_end_of_a_schedule_starves_nobody():
    case = layers(1e-6, 1e-8, last_update=1e-7)
    case["update_ratio"]["b"] = [1e-7] * 30

    assert judge(VanishingGradient(), **case, events=OVER) == []


@pytest.mark.parametrize(("gradient", "loss", "fires"), [(5e-4, 2.3, True), (5e-3, 2.3, False), (5e-4, 1.5, False)])
def test_where_nothing_was_learned_a_thousandth_is_starved_although_it_changes(gradient, loss, fires):
    case = {**layers(gradient, 1e-3), "loss": [2.3] * 5 + [loss] * 25}

    assert bool(judge(VanishingGradient(), **case, events=OVER)) is fires


def test_before_the_end_a_deep_network_may_still_take_off():
    case = {**layers(5e-4, 1e-3), "loss": [2.3] * 30}
    with pytest.raises(NotApplicable, match="take off"):
        judge(VanishingGradient(), **case)

    (finding,) = judge(VanishingGradient(), **case, events=OVER)
    assert finding.step == 0


def test_a_starved_layer_does_no_harm_while_the_loss_halves():
    case = {**layers(1e-6, 1e-8), "loss": [2.3 * 0.9**i for i in range(30)]}

    assert judge(VanishingGradient(), **case) == []


@pytest.mark.parametrize(("loss", "fires"), [(2.3, True), (1.2, False)])
def test_a_matrix_whose_gradient_is_always_zero_counts_when_little_is_learned(loss, fires):
    rows = {"fc1.weight": [0.0] * 30, "fc2.weight": [1.0] * 30, "fc2.bias": [0.0] * 30}
    found = judge(ZeroGradientLayer(), grad_norm=rows, loss=[2.3] * 5 + [loss] * 25, events=OVER)

    assert [finding.subject for finding in found] == (["fc1.weight"] if fires else [])


def test_a_branch_that_starts_at_zero_and_a_model_without_any_gradient_are_left_to_others():
    branch = {"fc1.weight": [0.0] * 3 + [0.1] * 27, "fc2.weight": [1.0] * 30}
    nothing = {"fc1.weight": [0.0] * 30, "fc2.weight": [0.0] * 30}

    assert judge(ZeroGradientLayer(), grad_norm=branch, loss=[2.3] * 30, events=OVER) == []
    assert judge(ZeroGradientLayer(), grad_norm=nothing, loss=[2.3] * 30, events=OVER) == []


@pytest.mark.parametrize(("spike", "fires"), [(15.0, False), (30.0, True)])
def test_a_gradient_spike_is_twenty_times_what_was_before_it(spike, fires):
    found = judge(GradientSpike(), grad_norm=[spike if i == 33 else 1.0 + 0.1 * (i % 3) for i in range(60)])

    assert [finding.step for finding in found] == ([33] if fires else [])


def test_a_gradient_that_stays_high_has_one_spike_at_most():
    (finding,) = judge(GradientSpike(), grad_norm=[1.0] * 30 + [50.0] * 30)

    assert finding.evidence["n_spikes"] == 1


def rested(asleep, end):
    """400 steps of a deep network whose first matrix is starved for the first `asleep`, while the loss stands."""
    falls = [2.3 + (end - 2.3) * (step - asleep) / (400 - asleep) for step in range(asleep, 400)]
    levels = {"a": [1e-6] * asleep + [0.5] * (400 - asleep), "b": [1e-2] * 400, "c": [1.0] * 400}
    return {
        "loss": [2.3] * asleep + falls,
        "grad_norm": levels,
        "update_ratio": {name: [1e-3] * 400 for name in levels},
        "events": {"judge": {399: {"phase": "run"}}},
    }


@pytest.mark.parametrize(
    ("asleep", "end", "fires"), [(150, 1.6, True), (150, 0.2, False), (50, 1.6, False), (70, 1.6, False)]
)
def test_a_matrix_that_woke_up_late_is_reported_where_the_run_did_not_come_far(asleep, end, fires):
    found = judge(VanishingGradient(), **rested(asleep, end))

    assert [one.subject for one in found] == (["a"] if fires else [])
