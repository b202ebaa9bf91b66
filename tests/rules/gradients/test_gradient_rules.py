import math

import pytest

from tracker.rules import NotApplicable
from tracker.rules.gradients.exploding_gradient import ExplodingGradient
from tracker.rules.gradients.nonfinite_gradient import NonfiniteGradient
from tracker.rules.gradients.vanishing_gradient import VanishingGradient
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


def test_a_gradient_that_grows_while_the_loss_falls_is_healthy():
    leaving_a_plateau = {"grad_norm": [1e-5] * 40 + [1.0] * 40, "loss": [2.3] * 40 + [1.0] * 40}

    assert judge(ExplodingGradient(), **leaving_a_plateau) == []


def layers(first_gradient, first_update, last_update=1e-3):
    return {
        "grad_norm": {"a": [first_gradient] * 30, "b": [0.1] * 30, "c": [1.0] * 30},
        "update_ratio": {"a": [first_update] * 30, "b": [1e-3] * 30, "c": [last_update] * 30},
    }


@pytest.mark.parametrize(
    ("gradient", "update", "fires"), [(1e-6, 1e-8, True), (1e-3, 1e-8, False), (1e-6, 1e-3, False), (0.0, 0.0, True)]
)
def test_a_layer_is_starved_when_its_gradient_and_its_update_are_small(gradient, update, fires):
    found = judge(VanishingGradient(), **layers(gradient, update))

    assert [finding.subject for finding in found] == (["a"] if fires else [])


def test_biases_and_embeddings_are_not_called_starved():
    shapes = {"a": [8], "b": [8, 8], "c": [8, 8], "d": [8, 8], "emb": [99, 8]}
    case = layers(1e-6, 1e-8)
    for rows in case.values():
        rows["d"], rows["emb"] = rows["b"], rows["a"]
    facts = {"parameters": {name: {"shape": shape, "trainable": True} for name, shape in shapes.items()}}

    assert judge(VanishingGradient(), **case, facts=facts) == []


def test_the_end_of_a_schedule_starves_nobody():
    case = layers(1e-6, 1e-8, last_update=1e-7)
    case["update_ratio"]["b"] = [1e-7] * 30

    assert judge(VanishingGradient(), **case) == []
