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


AT_THE_END = {"judge": {79: {"phase": "run"}}}


def stack(called, n, name="layers", widths=(8, 8)):
    """Facts of a model with a stack of linear layers, of which some are called, and a readout."""
    parameters = {f"{name}.{at}.weight": {"shape": [widths[1], widths[0]]} for at in range(n)}
    missing = [at for at in range(n) if at not in called]
    return {
        "graph": graph(
            reached=len(called) + 1,
            unreached=[f"{name}.{at}.weight" for at in missing],
            n_unreached=len(missing),
            cut="part",
        ),
        "parameters": parameters | {"readout.weight": {"shape": [3, 8]}},
        "model": {
            "": {
                "calls": {
                    f"{name}.{at}": {"at": at, "bare": False, "graphed": True} for at in called
                },
                "uncalled": [f"{name}.{at}" for at in missing],
            }
        },
    }  # fmt: skip


@pytest.mark.parametrize(
    ("told", "events", "fires"),
    [
        (stack([0], 4), AT_THE_END, True),
        (stack([0, 1], 4), AT_THE_END, True),
        (stack([0, 1, 2, 3], 4), AT_THE_END, False),
        (stack([0, 1, 2, 3, 4, 5, 6, 7], 9), AT_THE_END, False),  # a small share
        (stack([0, 2], 4), AT_THE_END, False),  # chosen, or left out by chance
        (stack([0], 4, widths=(8, 3)), AT_THE_END, False),  # none takes what the other gives: they stand side by side
        (stack([0], 4, name="experts"), AT_THE_END, False),
        (stack([0], 4), {}, False),  # they may come later in the run
        (stack([0], 4) | {"signs": {"pretrained": True}}, AT_THE_END, False),
    ],
)
def test_later_layers_of_a_stack_that_nothing_calls_are_missed(told, events, fires):
    found = judge(UnreachedParameters(), lr=[1e-3] * 80, facts=told, events=events)

    assert bool(found) is fires
    if fires:
        assert found[0].subject.startswith("layers.")


@pytest.mark.parametrize(
    ("change", "events", "fires"),
    [
        ({}, AT_THE_END, True),
        ({"ungraphed": []}, AT_THE_END, False),
        ({"unreached": ["head.weight"]}, AT_THE_END, False),
        ({}, {}, False),
    ],
)
def test_a_part_that_is_only_called_without_gradients_is_told_at_the_end(change, events, fires):
    told = graph(reached=2, unreached=["items.weight"], n_unreached=1, cut="part", ungraphed=["items"]) | change
    facts = {"graph": told, "parameters": {"items.weight": {"shape": [4, 4]}, "user.weight": {"shape": [9, 9]}}}

    assert bool(judge(UnreachedParameters(), lr=[1e-3] * 80, facts=facts, events=events)) is fires
