"""What kind of training a run is taken for, and what it is not taken for."""

import math
from typing import get_args

import pytest

from tracker.rules import Trace
from tracker.rules.engine.profiles import EVERY, infer, is_past_guessing
from tracker.rules.engine.records import Fact, Reading
from tracker.rules.engine.settings import Profile
from tracker.rules.testing import trace_of


def loss(function, **more):
    return {"function": function, "reduction": "mean", "terms": 1, "scaled": False, **more}


def targets(function, values, *, whole):
    return [{"function": function, "whole": whole, "values": values, "n_ignored": 0}]


def profile(losses=(), **facts):
    return infer(trace_of({"facts": facts, "loss": list(losses) or [1.0]})).name


CLASSES = loss("cross_entropy", n_classes=10, outputs_shape=[32, 10], targets_shape=[32])
ERROR = loss("mse_loss", n_classes=None, outputs_shape=[32, 1], targets_shape=[32, 1])
QUANTITIES = targets("mse_loss", None, whole=False)


def test_the_profiles_here_are_those_of_the_settings():
    assert frozenset(get_args(Profile)) == EVERY


def test_nothing_known_is_unknown():
    assert infer(Trace()).name == "unknown"
    assert profile(loss={"function": "unknown", "ops": ["mean", "sub"]}) == "unknown"


def test_what_the_run_says_of_itself_stands():
    assert profile(profile="diffusion", loss=CLASSES) == "diffusion"


@pytest.mark.parametrize("crossed", [True, None])
def test_optimizers_in_turn_are_a_gan(crossed):
    assert profile(profile="gan", signs={"crossed": crossed}) == "gan"


def test_two_models_that_are_trained_side_by_side_are_no_gan():
    assert profile(profile="gan", signs={"crossed": False}, loss=[CLASSES, CLASSES]) == "supervised"


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"loss": CLASSES}, "supervised"),
        ({"loss": [CLASSES, ERROR]}, "supervised"),
        ({"loss": loss("binary_cross_entropy_with_logits")}, "supervised"),
        ({"loss": ERROR, "targets": QUANTITIES}, "regression"),
        ({"loss": loss("smooth_l1_loss")}, "regression"),
        ({"loss": loss("triplet_margin_loss")}, "contrastive"),
        ({"loss": CLASSES, "signs": {"targets": "place"}}, "contrastive"),
        ({"loss": ERROR, "targets": QUANTITIES, "signs": {"targets": "noise"}}, "diffusion"),
        ({"loss": ERROR, "targets": QUANTITIES, "signs": {"targets": "input"}}, "autoencoder"),
        ({"loss": ERROR, "targets": QUANTITIES, "signs": {"targets": "like input"}}, "autoencoder"),
        ({"loss": ERROR, "evaluation": {"target": "pass 0/0"}}, "autoencoder"),
    ],
)
def test_losses_and_targets_tell_what_is_learned(facts, expected):
    assert profile(**facts) == expected


@pytest.mark.parametrize(("layer", "expected"), [(None, "contrastive"), ("head.weight", "supervised")])
def test_similarities_whose_first_is_the_target_are_contrastive_and_constant_labels_are_not(layer, expected):
    graph = {"tails": [{"loss": "cross_entropy", "ops": ["div", "cat"], "layer": layer}]}

    assert profile(loss=CLASSES, targets=targets("cross_entropy", [0.0], whole=True), graph=graph) == expected


def test_class_labels_in_a_squared_error_are_not_taken_for_quantities():
    assert profile(loss=ERROR, targets=targets("mse_loss", [0.0, 1.0, 2.0], whole=True)) == "unknown"


def test_masks_that_go_with_their_images_are_labels():
    binary = loss("binary_cross_entropy_with_logits")
    masks = targets("binary_cross_entropy_with_logits", [0.0, 1.0], whole=True)

    assert profile(loss=binary, targets=masks, signs={"targets": "like input"}) == "supervised"


def test_log_probabilities_of_what_was_drawn_are_reinforcement_learning():
    drawn = {"samples": 40, "scored": 40}

    assert profile(loss={"function": "unknown", "ops": ["sum"]}, signs=drawn) == "rl"
    assert profile(loss=[ERROR], loss_terms=[{"name": "pg", "function": "unknown"}], signs=drawn) == "rl"


def test_a_known_loss_beside_distributions_is_not():
    assert profile(loss=CLASSES, signs={"samples": 40, "scored": 40}) == "supervised"
    assert profile(loss={"function": "unknown", "ops": ["sum"]}, signs={"samples": 0, "scored": 40}) == "unknown"


def test_values_picked_by_the_actions_of_the_model_are_reinforcement_learning():
    facts = {"loss": ERROR, "targets": QUANTITIES}

    assert profile(**facts, signs={"picked": True, "acting": 0.9}) == "rl"
    assert profile(**facts, signs={"picked": True, "acting": 0.1}) == "regression"
    assert profile(**facts, signs={"picked": False, "acting": 0.9}) == "regression"
    assert profile(loss=CLASSES, signs={"picked": True, "acting": 0.9}) == "supervised"


def test_rewards_that_weigh_log_probabilities_are_reinforcement_learning():
    assert profile(loss={"function": "unknown", "ops": ["neg", "mean", "mul"]}, signs={"credit": True}) == "rl"


@pytest.mark.parametrize(("trained", "expected"), [(40, "fine-tune"), (60, "supervised"), (0, "supervised")])
def test_a_model_that_is_mostly_frozen_is_fine_tuned(trained, expected):
    assert profile(loss=CLASSES, model={"": {"parameters": 100, "trainable": trained}}) == expected


def test_weights_of_before_make_it_a_fine_tuning():
    assert profile(loss=CLASSES, signs={"pretrained": True}) == "fine-tune"


def test_first_losses_far_below_guessing_make_it_a_fine_tuning():
    assert profile([0.3, 0.4, 0.35, 0.3], loss=CLASSES) == "fine-tune"
    assert profile([2.2, 1.1, 0.35, 0.3], loss=CLASSES) == "supervised"


@pytest.mark.parametrize(
    "changes",
    [
        {"loss": CLASSES | {"scaled": True}},
        {"loss": CLASSES | {"terms": 2}},
        {"loss": CLASSES | {"weighted": True}},
        {"loss": [CLASSES]},
        {"targets": targets("cross_entropy", [3.0], whole=True)},
        {"loss": loss("binary_cross_entropy_with_logits")},
    ],
)
def test_a_loss_that_is_small_for_another_reason_says_nothing_of_the_model(changes):
    case = {"facts": {"loss": CLASSES} | changes, "loss": [0.1, 0.1, 0.1, 0.1]}

    assert not is_past_guessing(trace_of(case))


def test_a_loss_that_is_not_finite_says_nothing_of_the_model():
    assert not is_past_guessing(trace_of({"facts": {"loss": CLASSES}, "loss": [math.nan, 0.1, 0.1]}))


def test_a_trace_that_has_grown_is_looked_at_again():
    trace = trace_of({"facts": {"loss": CLASSES}, "loss": [0.1]})
    before = infer(trace)
    trace.feed(Fact("signs", 0, {"pretrained": True}))
    with_signs = infer(trace)
    trace.feed(Fact("signs", 0, {"pretrained": False}))
    without = infer(trace)
    for step in range(1, 5):
        trace.feed(Reading("loss", "", step, 0.1))

    assert (before.name, with_signs.name, without.name) == ("supervised", "fine-tune", "supervised")
    assert infer(trace).name == "fine-tune"


def tokens(classes, vocabulary, rows):
    layers = {"embed": {"class": "Embedding", "parameters": vocabulary * 8, "output": [4, 16, 8]}}
    return {
        "loss": loss("cross_entropy", n_classes=classes, targets_shape=[rows]),
        "model": {"": {"parameters": 900, "trainable": 900, "layers": layers}},
    }


@pytest.mark.parametrize("rows", [64, 60])
def test_a_target_for_every_token_of_as_many_classes_is_a_language_model(rows):
    assert profile(**tokens(50, 50, rows)) == "language-model"


@pytest.mark.parametrize(("classes", "vocabulary", "rows"), [(9, 50, 64), (50, 50, 4), (4, 4, 64)])
def test_tags_of_words_and_classes_of_texts_are_no_language_model(classes, vocabulary, rows):
    assert profile(**tokens(classes, vocabulary, rows)) == "supervised"


HOSTILE = [None, 0, "", [], {}, [None], {"a": None}, "text", [[]], True]


@pytest.mark.parametrize("name", ["signs", "loss", "loss_terms", "graph", "evaluation", "targets", "model", "profile"])
@pytest.mark.parametrize("value", HOSTILE, ids=str)
def test_facts_of_any_form_are_survived(name, value):
    facts = {**tokens(50, 50, 64), "signs": {"targets": "input", "scored": 3, "samples": 3}, name: value}

    assert infer(trace_of({"facts": facts, "loss": [1.0]}))


def test_the_profiles_there_are_are_those_that_settings_take():
    assert set(get_args(Profile)) == EVERY
