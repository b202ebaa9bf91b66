"""Who owns what the loss reaches: parameters, modules, optimizers."""

import pytest

from tracker.rules import NotApplicable
from tracker.rules.setup.detached_loss import DetachedLoss
from tracker.rules.setup.optimizer_never_steps import OptimizerNeverSteps
from tracker.rules.setup.parameters_not_in_optimizer import ParametersNotInOptimizer
from tracker.rules.setup.stale_optimizer_parameters import StaleOptimizerParameters
from tracker.rules.setup.step_does_nothing import StepDoesNothing
from tracker.rules.setup.unreached_parameters import UnreachedParameters
from tracker.rules.setup.unregistered_modules import UnregisteredModules
from tracker.rules.testing import judge

RATES = {"lr": [1e-3] * 40}


def graph(**told):
    return {"reached": 6, "unowned": [], "n_unowned": 0, "unreached": [], "n_unreached": 0, "foreign": 0, **told}


def hidden(path, **more):
    return {"path": path, "class": "Linear", "parameters": 56, "trainable": True, "owned": False, **more}


def test_parameters_that_nobody_owns_are_named():
    (finding,) = judge(
        ParametersNotInOptimizer(), **RATES, facts={"graph": graph(unowned=["head.weight", "head.bias"], n_unowned=2)}
    )

    assert finding.subject == "head.weight"
    assert "2 of the 6 parameters" in finding.message


def test_when_only_an_image_is_optimized_the_model_is_a_given():
    with pytest.raises(NotApplicable, match="inputs"):
        judge(
            ParametersNotInOptimizer(),
            **RATES,
            facts={"graph": graph(reached=7, unowned=["a.weight"], n_unowned=6, foreign=1)},
        )


def test_a_learned_temperature_beside_a_forgotten_part_does_not_hide_it():
    facts = {"graph": graph(reached=7, unowned=["decoder.weight"], n_unowned=1, foreign=1)}

    assert judge(ParametersNotInOptimizer(), **RATES, facts=facts)


def test_what_a_plain_list_hides_is_told_by_another_rule():
    facts = {
        "graph": graph(unowned=["blocks[0].weight", "blocks[0].bias"], n_unowned=2),
        "model": {"": {"class": "Net", "unregistered": [hidden("blocks[0]")]}},
    }

    assert judge(ParametersNotInOptimizer(), **RATES, facts=facts) == []
    (finding,) = judge(UnregisteredModules(), **RATES, facts=facts)
    assert finding.subject == "blocks[0]"
    assert "56 elements" in finding.message


@pytest.mark.parametrize("change", [{"path": "teacher[0]"}, {"owned": True}])
def test_a_teacher_in_a_list_and_owned_parts_are_not_meant(change):
    facts = {
        "graph": graph(unowned=["head.weight"], n_unowned=1),
        "model": {"": {"class": "Net", "unregistered": [hidden("blocks[0]") | change]}},
    }

    assert judge(UnregisteredModules(), **RATES, facts=facts) == []


def test_an_optimizer_of_a_model_that_was_copied_is_stale_too():
    told = graph(unowned=["net.a.weight"], n_unowned=6, unreached=["a.weight"], n_unreached=6)

    (finding,) = judge(StaleOptimizerParameters(), **RATES, facts={"graph": told})

    assert finding.evidence["n_stale"] == 6


def test_a_model_with_an_unused_head_is_not_stale():
    told = graph(unreached=["head.weight"], n_unreached=2)

    assert judge(StaleOptimizerParameters(), **RATES, facts={"graph": told}) == []


def test_a_parameter_that_nothing_took_the_place_of_is_not_stale():
    told = graph(stale=["old.weight"], n_stale=1)

    assert judge(StaleOptimizerParameters(), **RATES, facts={"graph": told}) == []
    assert judge(StaleOptimizerParameters(), **RATES, facts={"graph": told | {"n_unowned": 1}})


def calls(**bare):
    return {name: {"at": at, "bare": is_bare, "graphed": True} for at, (name, is_bare) in enumerate(bare.items())}


@pytest.mark.parametrize(
    ("layers", "uncalled", "fires"),
    [
        (calls(a=True, b=True, c=False), [], True),  # b is given what a made, without its graph
        (calls(b=True, a=False, c=False), [], False),  # a is called last, and its result is not used
        (calls(a=True, b=False, c=False) | {"a": {"at": 0, "bare": True, "graphed": False}}, [], True),
        (calls(b=True, c=False), ["a"], False),
        ({}, [], False),
    ],
)
def test_a_cut_in_the_middle_is_told_from_an_output_that_nobody_uses(layers, uncalled, fires):
    facts = {
        "graph": graph(reached=2, unreached=["a.weight"], n_unreached=1, cut="part"),
        "parameters": {name: {"shape": [4, 4]} for name in ("a.weight", "b.weight", "c.weight")},
        "model": {"": {"calls": layers, "uncalled": uncalled}},
    }

    assert bool(judge(UnreachedParameters(), **RATES, facts=facts)) is fires


@pytest.mark.parametrize(
    ("addend", "layers", "fires"),
    [
        ({"value": 1.1, "varies": True}, calls(b=True, a=False), True),
        ({"value": 1.1, "varies": False}, calls(b=True, a=False), False),
        ({"value": 1.1, "varies": True}, calls(b=True), False),
        ({}, calls(b=True, a=False), False),
    ],
)
def test_an_output_that_nobody_uses_is_a_fault_where_a_computed_number_is_added_to_the_loss(addend, layers, fires):
    facts = {
        "graph": graph(reached=2, unreached=["a.weight"], n_unreached=1, cut="part"),
        "parameters": {"a.weight": {"shape": [4, 4]}, "b.weight": {"shape": [8, 8]}},
        "model": {"": {"calls": layers, "uncalled": []}},
        "addend": addend,
    }

    assert bool(judge(UnreachedParameters(), **RATES, facts=facts)) is fires


def test_most_of_the_model_unreached_counts_wherever_the_cut_is():
    facts = {
        "graph": graph(reached=2, unreached=["a.weight"], n_unreached=1, cut="part"),
        "parameters": {"a.weight": {"shape": [40, 40]}, "b.weight": {"shape": [4, 4]}},
        "model": {"": {"calls": calls(a=True, b=False), "uncalled": []}},
    }

    (finding,) = judge(UnreachedParameters(), **RATES, facts=facts)

    assert "99%" in finding.message


@pytest.mark.parametrize(
    ("kind", "words"), [("leaf", "requires_grad=True"), ("no_grad", "switched off"), ("detached", "cut off by")]
)
def test_a_detached_loss_says_why(kind, words):
    events = {"loss_detached": {0: {"kind": kind, "raises": kind != "leaf"}}}

    (finding,) = judge(DetachedLoss(), events=events)

    assert words in finding.message


@pytest.mark.parametrize(("cut", "reached", "fires"), [(None, 6, False), ("part", 4, False), ("all", 0, True)])
def test_outputs_that_were_made_leaves_are_told_by_what_the_loss_reaches(cut, reached, fires):
    facts = {"graph": graph(reached=reached, cut=cut)}

    assert bool(judge(DetachedLoss(), loss=[1.0] * 40, facts=facts)) is fires


def test_without_any_backward_nothing_is_said_of_the_loss():
    with pytest.raises(NotApplicable):
        judge(DetachedLoss(), facts={"loss": {}})


@pytest.mark.parametrize(
    ("weights", "ratios", "rate", "fires"),
    [
        ({"start": "a", "end": "a", "step": 30}, [0.0] * 30, 0.1, True),
        ({"start": "a", "end": "b", "step": 30}, [0.0] * 30, 0.1, False),
        ({"start": "a", "end": "a", "step": 30}, [1e-9] * 30, 0.1, False),
        ({"start": None, "end": "a", "step": 30}, [0.0] * 30, 0.1, False),
        (None, [0.0] * 30, 0.1, True),
    ],
)
def test_steps_that_change_nothing_are_told_by_digest_or_by_update(weights, ratios, rate, fires):
    facts = {"optimizer": [{"class": "SGD"}], "weights": weights}

    found = judge(StepDoesNothing(), update_ratio={"a.weight": ratios}, lr={"0": [rate]}, facts=facts)

    assert bool(found) is fires


def test_a_rate_of_zero_is_not_a_step_that_does_nothing():
    with pytest.raises(NotApplicable, match="learning rate"):
        judge(
            StepDoesNothing(),
            update_ratio={"a.weight": [0.0] * 30},
            lr={"0": [0.0]},
            facts={"optimizer": [{"class": "SGD"}]},
        )


def test_one_of_two_optimizers_that_never_steps_is_told():
    told = graph(unstepped=[{"class": "Adam", "parameters": 4}])

    (finding,) = judge(OptimizerNeverSteps(), loss=[1.0] * 60, facts={"graph": told})

    assert "Adam" in finding.message
    assert finding.evidence["n_parameters"] == 4


@pytest.mark.parametrize("more", [{"unseen": {"steps": "compiled"}}, {"graph": {"reached": 6}}])
def test_steps_out_of_sight_are_not_missed(more):
    told = {"graph": graph(unstepped=[{"class": "Adam", "parameters": 4}])} | more

    with pytest.raises(NotApplicable):
        judge(OptimizerNeverSteps(), loss=[1.0] * 60, facts=told)
