"""Edges of the rules on the logs of fine-tunings."""

import math

import pytest

from tracker.rules import NotApplicable
from tracker.rules.generalization.nonfinite_held_out_loss import NonfiniteHeldOutLoss
from tracker.rules.generalization.overfitted_fine_tuning import OverfittedFineTuning
from tracker.rules.gradients.absent_gradient import AbsentGradient
from tracker.rules.gradients.huge_gradient import HugeGradient
from tracker.rules.loss.diverged_fine_tuning import DivergedFineTuning
from tracker.rules.loss.stuck_at_guessing import StuckAtGuessing
from tracker.rules.loss.vanished_loss import VanishedLoss
from tracker.rules.testing import judge


@pytest.mark.parametrize(
    ("losses", "fires"),
    [
        ([2.0, 1.8, 1.7, 0.0, 0.0, 0.0], True),
        ([2.0, 1.8, 1.7, 0.0, 0.0], False),  # two zeros may be chance
        ([2.0, 1.8, 1.7, 0.0, 0.0, 0.0, 1.6], False),  # it came back
        ([2.0, 0.5, 0.1, 0.01, 0.001, 0.0, 0.0, 0.0, 0.0], False),  # step by step
        ([2.0, 1.8, -1.7, 0.0, 0.0, 0.0], True),
    ],
)
def test_a_loss_vanishes_at_once_and_for_good(losses, fires):
    assert bool(judge(VanishedLoss(), profile="fine-tune", loss=losses)) is fires


def test_a_loss_that_was_always_zero_did_not_vanish():
    with pytest.raises(NotApplicable, match="nothing that it fell from"):
        judge(VanishedLoss(), profile="fine-tune", loss=[0.0] * 20)


def flat(level, scatter=0.004, n=60):
    return [level * (1 + scatter * ((7 * i) % 5 - 2) / 2) for i in range(n)]


@pytest.mark.parametrize(
    ("losses", "fires"),
    [
        (flat(math.log(2)), True),
        (flat(math.log(3)), True),
        (flat(math.log(4)), True),
        (flat(0.8), False),
        (flat(2.05), False),  # ln 8 is near, and nothing says that there are 8
        (flat(math.log(2), scatter=0.2), False),
        (flat(math.log(32000)), True),
        ([loss * 0.998**i for i, loss in enumerate(flat(math.log(2)))], False),
    ],
)
def test_a_loss_rests_at_that_of_guessing(losses, fires):
    assert bool(judge(StuckAtGuessing(), profile="fine-tune", loss=losses)) is fires


@pytest.mark.parametrize(("level", "fires"), [(0.4, True), (1.05, False)])
def test_a_loss_falls_back_to_that_of_guessing(level, fires):
    losses = [1.1 - (1.1 - level) * i / 30 for i in range(30)] + flat(math.log(3), n=60)

    found = judge(StuckAtGuessing(), profile="fine-tune", loss=losses[:-1] if fires else losses[:50] + [0.9] * 40)

    assert bool(found) is fires


@pytest.mark.parametrize(("accuracy", "fires"), [(0.125, True), (0.13, True), (0.4, False), (0.9, False)])
def test_the_accuracy_tells_how_many_classes_there_are(accuracy, fires):
    found = judge(StuckAtGuessing(), profile="fine-tune", loss=flat(math.log(8)), val_accuracy=[accuracy] * 3)

    assert bool(found) is fires


def test_preferences_begin_at_the_loss_of_guessing():
    with pytest.raises(NotApplicable, match="by construction"):
        judge(
            StuckAtGuessing(),
            facts={"profile": "fine-tune", "history": {"preferences": True}},
            loss=flat(math.log(2)),
        )


@pytest.mark.parametrize(("zeros", "fires"), [(20, True), (19, True), (18, False), (3, False)])
def test_nearly_every_gradient_must_be_zero(zeros, fires):
    norms = [0.0] * zeros + [1.0] * (20 - zeros)

    assert bool(judge(AbsentGradient(), grad_norm={"": norms}, loss=[1.9] * 20)) is fires


def test_a_loss_of_zero_has_no_gradient():
    with pytest.raises(NotApplicable, match="nothing to learn"):
        judge(AbsentGradient(), grad_norm={"": [0.0] * 20}, loss=[0.0] * 20)


@pytest.mark.parametrize(
    ("held_out", "accuracy", "fires"),
    [
        ([0.40, 0.45, 0.85], [0.8, 0.8, 0.8], True),
        ([0.40, 0.45, 0.75], [0.8, 0.8, 0.8], False),  # it grows sure of itself
        ([0.40, 0.45, 0.65], [0.8, 0.8, 0.75], True),
        ([0.40, 0.45, 0.55], None, False),
        ([0.40, 0.45, 0.65], None, True),
        ([0.90, 0.45, 0.40], None, False),
    ],
)
def test_three_evaluations_tell_a_loss_that_is_a_multiple_of_its_best(held_out, accuracy, fires):
    more = {} if accuracy is None else {"val_accuracy": accuracy}
    losses = [0.6 * 0.95**i for i in range(60)]

    found = judge(OverfittedFineTuning(), profile="fine-tune", epoch_len=20, loss=losses, val_loss=held_out, **more)

    assert bool(found) is fires


def test_a_training_loss_that_rests_is_no_learning_by_heart():
    losses = [0.6] * 60

    assert judge(OverfittedFineTuning(), profile="fine-tune", epoch_len=20, loss=losses, val_loss=[0.4, 0.6, 0.9]) == []


@pytest.mark.parametrize(
    ("norms", "fires"), [([2e4] * 20, True), ([2e4] * 9 + [5.0] * 11, False), ([900.0] * 20, False)]
)
def test_norms_are_huge_to_the_end(norms, fires):
    assert bool(judge(HugeGradient(), profile="fine-tune", grad_norm={"": norms})) is fires


@pytest.mark.parametrize(
    ("losses", "fires"),
    [
        ([2, 2.1, 3, 5, 8, 9, 9, 9], True),
        ([2, 2.1, 3, 5, 8, 9, 9, 2.0], False),
        ([2, 2.1, 2.2, 2.3, 2.4, 2.5, 2.6, 2.7], False),
        ([0, 0, 1, 2, 3, 4, 5, 6], False),
    ],
)
def test_a_short_log_that_only_grows_has_diverged(losses, fires):
    assert bool(judge(DivergedFineTuning(), profile="fine-tune", loss=losses)) is fires


@pytest.mark.parametrize(
    ("held_out", "fires"),
    [
        ([0.9, math.nan, math.nan], True),
        ([math.nan, 0.9, 0.8], False),
        ([math.nan, 0.9, math.nan], False),
        ([0.9, 0.8, math.inf], False),
    ],
)
def test_a_held_out_loss_must_be_lost_for_good(held_out, fires):
    assert bool(judge(NonfiniteHeldOutLoss(), epochs=3, loss=[1.0, 0.9, 0.8], val_loss=held_out)) is fires


def test_a_training_loss_that_is_not_finite_is_the_fault_itself():
    with pytest.raises(NotApplicable, match="no finite training loss"):
        judge(NonfiniteHeldOutLoss(), epochs=3, loss=[1.0, math.nan, 0.8], val_loss=[math.nan] * 3)
