"""Weights that grow without end, and random layers that are frozen."""

import pytest

from tracker.rules import NotApplicable
from tracker.rules.testing import judge
from tracker.rules.weights.frozen_random_layers import FrozenRandomLayers
from tracker.rules.weights.weight_divergence import WeightDivergence

FLAT = [2.3 + 0.01 * (i % 3) for i in range(60)]
FALLING = [2.3 * 0.97**i for i in range(60)]
OVER = {"judge": {59: {"phase": "run"}}}


@pytest.mark.parametrize(("loss", "growth", "fires"), [(FLAT, 20.0, True), (FLAT, 5.0, False), (FALLING, 20.0, False)])
def test_weights_diverge_when_they_grow_tenfold_and_the_loss_does_not_profit(loss, growth, fires):
    rows = {"a.weight": [1.0] * 10 + [growth] * 10, "b.weight": [1.0] * 20}

    assert bool(judge(WeightDivergence(), loss=loss, weight_norm=rows)) is fires


def test_one_of_three_matrices_that_grows_is_not_most_of_them_nor_is_a_bias():
    rows = {"a.weight": [1.0] * 10 + [50.0] * 10, "b.weight": [1.0] * 20, "c.weight": [1.0] * 20}

    assert judge(WeightDivergence(), loss=FLAT, weight_norm=rows) == []
    assert judge(WeightDivergence(), loss=FLAT, weight_norm={"a.weight": [1.0] * 20, "a.bias": rows["a.weight"]}) == []


def test_a_matrix_that_starts_at_zero_has_no_size_to_compare_with():
    with pytest.raises(NotApplicable):
        judge(WeightDivergence(), loss=FLAT, weight_norm={"b.weight": [0.0] + [1.0] * 19})


def model(parameters=1000, trainable=300, frozen=("body",)):
    return {"model": {"": {"parameters": parameters, "trainable": trainable, "frozen": list(frozen)}}}


@pytest.mark.parametrize(
    ("loss", "facts", "fires"),
    [
        (FLAT, model(), True),
        (FLAT, model(trainable=600), False),
        (FLAT, model(trainable=1000, frozen=()), False),
        (FALLING, model(), False),
    ],
)
def test_a_frozen_body_counts_when_it_is_most_of_the_model_and_of_no_use(loss, facts, fires):
    found = judge(FrozenRandomLayers(), loss=loss, facts=facts, events=OVER)

    assert [finding.subject for finding in found] == (["body"] if fires else [])


def test_the_first_steps_of_a_body_that_came_from_elsewhere_say_nothing():
    with pytest.raises(NotApplicable, match="60 are needed"):
        judge(FrozenRandomLayers(), loss=FLAT[:40], facts=model(), events=OVER)


def test_a_frozen_table_of_vectors_is_not_counted():
    facts = model(frozen=("words",))
    facts["model"][""]["layers"] = {"words": {"class": "Embedding"}}

    assert judge(FrozenRandomLayers(), loss=FLAT, facts=facts, events=OVER) == []
    assert judge(FrozenRandomLayers(), loss=FLAT, facts=model(frozen=("words",)), events=OVER)


SLOWLY = [2.3 * 0.99**i for i in range(60)]


@pytest.mark.parametrize(
    ("loss", "is_random", "fires"), [(SLOWLY, True, True), (SLOWLY, False, False), (FALLING, True, False)]
)
def test_a_frozen_table_of_random_vectors_counts_whatever_its_share(loss, is_random, fires):
    facts = model(trainable=600, frozen=("words",))
    facts["model"][""]["layers"] = {"words": {"class": "Embedding", "random": is_random}}
    found = judge(FrozenRandomLayers(), loss=loss, facts=facts, events=OVER)

    assert [finding.subject for finding in found] == (["words"] if fires else [])


@pytest.mark.parametrize("signs", [{"pretrained": True}, {"reloads": 1}])
def test_weights_that_were_loaded_are_not_random(signs):
    with pytest.raises(NotApplicable, match="loaded"):
        judge(FrozenRandomLayers(), loss=FLAT, facts={**model(), "signs": signs}, events=OVER)


def test_norm_layers_whose_scales_differ_have_been_trained_elsewhere():
    facts = model()
    facts["model"][""]["layers"] = {"body.norm": {"class": "LayerNorm", "trained_before": True}}
    with pytest.raises(NotApplicable, match="trained before"):
        judge(FrozenRandomLayers(), loss=FLAT, facts=facts, events=OVER)


@pytest.mark.parametrize(
    ("n_drawn", "loss", "fires"), [(3, SLOWLY, True), (2, SLOWLY, False), (3, FALLING, False), (3, FLAT, True)]
)
def test_layers_that_are_frozen_as_constructed_are_random_whatever_was_loaded(n_drawn, loss, fires):
    facts = model() | {"signs": {"pretrained": True, "reloads": 1}}
    facts["model"][""]["layers"] = {f"body.{n}": {"class": "Linear", "drawn": n < n_drawn} for n in range(4)}
    case = {"loss": loss, "facts": facts, "events": OVER}
    if n_drawn < 3:
        with pytest.raises(NotApplicable, match="loaded"):
            judge(FrozenRandomLayers(), **case)
        return

    assert [finding.subject for finding in judge(FrozenRandomLayers(), **case)] == (["body"] if fires else [])


def test_a_frozen_teacher_beside_the_model_is_not_judged():
    facts = {"model": {**model()["model"], "Teacher": {"parameters": 9, "trainable": 0, "frozen": ["a"]}}}
    with pytest.raises(NotApplicable, match="teacher"):
        judge(FrozenRandomLayers(), loss=FLAT, facts=facts, events=OVER)
