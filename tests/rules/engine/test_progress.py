"""How far a training came, as the rules about symptoms ask."""

import math
import random

import pytest

from tracker.rules import NotApplicable
from tracker.rules.engine.layers import in_order, matrices
from tracker.rules.engine.progress import is_over, progress_of, scatter, settled_progress
from tracker.rules.testing import trace_of

TEN = {"loss": {"function": "cross_entropy", "n_classes": 10}}
OVER = {"judge": {99: {"phase": "run"}}}


def progress(**case):
    found = progress_of(trace_of(case))
    assert found is not None
    return found


def noisy(levels, deviation, seed=0):
    draw = random.Random(seed)
    return [level + deviation * draw.gauss(0, 1) for level in levels]


def test_the_levels_are_those_of_the_first_losses_and_of_the_last_fifth():
    found = progress(loss=[2.0] * 20 + [1.0] * 60 + [0.5] * 20)

    assert (found.initial, found.now, found.best) == (2.0, 0.5, 0.5)
    assert found.share == 0.75


def test_a_start_far_above_guessing_does_not_count_as_something_to_learn():
    found = progress(loss=[30.0] * 5 + [2.3] * 95, facts=TEN)

    assert found.guess == pytest.approx(math.log(10))
    assert not found.has_learned(0.05)
    assert progress(loss=[30.0] * 5 + [2.3] * 95).has_learned(0.05)


def test_a_fall_within_its_noise_is_none():
    wide = progress(loss=noisy([1.0] * 60 + [0.9] * 40, 0.5))
    narrow = progress(loss=noisy([1.0] * 60 + [0.9] * 40, 0.01))

    assert not wide.has_learned(0.05)
    assert narrow.has_learned(0.05)


@pytest.mark.parametrize(
    "more",
    [
        {"facts": {**TEN}, "loss": [0.3] * 100},
        {"facts": {"signs": {"pretrained": True}}, "loss": [2.3] * 100},
        {"accuracy/val": [0.95], "loss": [2.3] * 100},
        {"accuracy/val": [95.0], "loss": [2.3] * 100},
    ],
)
def test_a_model_that_knew_its_task_has_no_need_to_learn_but_may_not_get_worse(more):
    assert progress(**more).has_learned(0.5)
    assert not progress(**{**more, "loss": [*more["loss"][:50], *[9.0] * 50]}).has_learned(0.5)


def test_a_negative_loss_that_goes_down_has_learned():
    assert progress(loss=[-1.0 - 0.05 * i for i in range(100)]).has_learned(0.3)


@pytest.mark.parametrize("losses", [[1.0] * 5, [1.0] * 50 + [math.nan]])
def test_nothing_is_said_of_few_losses_or_of_some_that_are_not_finite(losses):
    assert progress_of(trace_of({"loss": losses})) is None


def test_a_held_out_loss_shows_what_single_losses_hide():
    hidden = {"loss": noisy([1.0] * 200, 0.6), "epoch_len": 40}

    assert not progress(**hidden).has_learned(0.05)
    assert progress(**hidden, val_loss=[1.0, 0.95, 0.9, 0.88, 0.87]).has_learned(0.05)
    assert not progress(**hidden, val_loss=[1.0, 0.95, 1.02, 0.88, 1.01]).has_learned(0.05)


def test_the_means_of_epochs_count_beyond_their_own_scatter():
    falling = noisy([1.0 - 0.002 * i for i in range(200)], 0.3)
    standing = noisy([1.0] * 200, 0.3)

    assert progress(loss=falling, epoch_len=40).later_fall > 0.05
    assert progress(loss=standing, epoch_len=40).later_fall == 0


def test_losses_of_epochs_do_where_there_are_no_others():
    assert progress(epoch_loss=[2.0, 1.5, 1.2, 1.0]).share == pytest.approx(0.45)


def test_a_training_is_settled_at_its_end_or_after_many_steps():
    assert not is_over(trace_of({"loss": [1.0] * 100}))
    with pytest.raises(NotApplicable, match="take off"):
        settled_progress(trace_of({"loss": [1.0] * 100}))

    assert settled_progress(trace_of({"loss": [1.0] * 100, "events": OVER})).n == 100
    assert settled_progress(trace_of({"loss": [1.0] * 600})).n == 600


def test_the_scatter_does_not_count_a_trend():
    assert scatter([float(i) for i in range(50)]) == 0
    assert scatter(noisy([0.1 * i for i in range(4000)], 0.5)) == pytest.approx(0.5, rel=0.1)
    assert scatter([1.0]) == 0


def test_layers_are_in_the_order_in_which_the_model_has_them():
    trace = trace_of({"loss": [1.0], "facts": {"model": {"": {"layers": {"stem": {}, "fc10": {}, "fc2": {}}}}}})

    assert in_order(trace, ["fc2.relu()", "fc10.weight", "other", "stem#2"]) == [
        "stem#2", "fc10.weight", "fc2.relu()", "other",
    ]  # fmt: skip
    assert in_order(trace_of({"loss": [1.0]}), ["10.weight", "2.weight", "0.weight"]) == [
        "0.weight", "2.weight", "10.weight",
    ]  # fmt: skip


def test_matrices_are_trained_parameters_of_two_dimensions_that_are_no_embeddings():
    shapes = {"w": [4, 3], "conv": [8, 2, 3, 3], "b": [8], "token_emb.weight": [99, 8], "odd": "shape"}
    facts = {"parameters": {name: {"shape": shape, "trainable": True} for name, shape in shapes.items()}}
    facts["parameters"]["frozen"] = {"shape": [2, 2], "trainable": False}

    assert matrices(trace_of({"loss": [1.0], "facts": facts})) == {"w": 12, "conv": 144}
    assert matrices(trace_of({"loss": [1.0], "facts": {"parameters": [1, 2]}})) == {}
