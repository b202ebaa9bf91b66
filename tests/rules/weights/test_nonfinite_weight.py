"""A weight that is lost by itself, and one that only follows."""

from __future__ import annotations

import math

import pytest

from tracker.rules import NotApplicable
from tracker.rules.gradients.nonfinite_gradient import NonfiniteGradient
from tracker.rules.testing import judge
from tracker.rules.weights.nonfinite_weight import NonfiniteWeight


def test_a_weight_that_is_lost_first_is_named_at_its_step():
    norms = {"a.weight": [1.0, 1.0, 1.0], "b.weight": [1.0, math.inf, math.nan]}
    (finding,) = judge(NonfiniteWeight(), weight_norm=norms, loss=[2.0, 1.9, math.nan])

    assert finding.subject == "b.weight"
    assert finding.evidence == {"step": 1, "n_weights": 1}


def test_a_weight_that_follows_a_lost_loss_is_left_to_it():
    with pytest.raises(NotApplicable):
        judge(NonfiniteWeight(), weight_norm={"a.weight": [1.0, 1.0, math.nan]}, loss=[2.0, math.nan, math.nan])


def test_a_weight_that_follows_a_lost_gradient_is_left_to_it():
    with pytest.raises(NotApplicable):
        judge(
            NonfiniteWeight(),
            weight_norm={"a.weight": [1.0, 1.0, math.nan]},
            grad_norm={"a.weight": [1.0, math.nan, math.nan]},
        )


def test_a_lost_gradient_says_which_parameters_still_have_one():
    norms = {"body.weight": [1.0, math.nan], "head.weight": [1.0, 0.5]}
    (finding,) = judge(NonfiniteGradient(), grad_norm=norms, loss=[2.0, 1.9])

    assert "1 parameters, head.weight among them, have a finite one" in finding.message


def test_a_gradient_that_all_have_lost_came_from_the_loss():
    norms = {"body.weight": [1.0, math.nan], "head.weight": [1.0, math.nan]}
    (finding,) = judge(NonfiniteGradient(), grad_norm=norms, loss=[2.0, 1.9])

    assert "between the last layer and the loss" in finding.message
