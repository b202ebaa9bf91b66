"""Which of the changes that help is named."""

import pytest

from tracker.rules import NotApplicable
from tracker.rules.preflight.curable_failure import CurableFailure
from tracker.rules.testing import judge


def found(floor=0.0, **ends):
    """`ends`: the loss each variant came to, from 2.3; None for one that was not finite."""
    variants = [
        {"variant": name, "first": 2.3, "last": end, "lowest": end if end is not None else 2.3, "iterations": 80}
        | ({"nonfinite_at": 80} if end is None else {})
        for name, end in ends.items()
    ]
    return judge(CurableFailure(), facts={"drill/ablation": {"floor": floor, "variants": variants}})


def named(**ends):
    return [one.message.partition(":")[0] for one in found(**ends)]


def test_the_specific_change_goes_before_a_learning_rate_that_is_hardly_better():
    ends = {"as it is": 2.2, "learning rate x0.1": 0.01, "gradients cleared at every step": 0.02}

    assert named(**ends) == ["gradients cleared at every step"]


def test_the_learning_rate_nearest_to_the_own_one_is_named():
    ends = {"as it is": None, "learning rate x0.01": 0.02, "learning rate x0.1": 0.05}

    assert named(**ends) == ["learning rate x0.1"]


@pytest.mark.parametrize(("end", "names"), [(1.0, 1), (1.3, 0)])
def test_a_change_helps_when_half_of_what_was_left_is_gone(end, names):
    assert len(named(**{"as it is": 2.01, "weights drawn anew": end})) == names


def test_a_change_helps_when_nothing_moves_without_it():
    assert named(**{"as it is": 2.299, "weights drawn anew": 1.9}) == ["weights drawn anew"]


def test_a_training_that_is_in_order_as_it_is_needs_no_change():
    assert named(**{"as it is": 0.1, "learning rate x10": 0.001}) == []


def test_losses_below_zero_without_a_floor_are_not_compared():
    with pytest.raises(NotApplicable, match="below 0"):
        found(None, **{"as it is": -3.0, "learning rate x10": -5.0})


def test_a_change_that_makes_another_loss_of_it_is_no_cure():
    assert named(**{"as it is": 2.2, "without the last softmax": -155.0}) == []
