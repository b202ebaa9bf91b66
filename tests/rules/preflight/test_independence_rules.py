"""Edges of the rules about what an output depends on."""

import pytest

from tracker.rules import NotApplicable
from tracker.rules.preflight.batch_mixing import BatchMixing
from tracker.rules.preflight.input_without_effect import InputWithoutEffect
from tracker.rules.preflight.inputs_do_not_matter import InputsDoNotMatter
from tracker.rules.preflight.output_ignores_inputs import OutputIgnoresInputs
from tracker.rules.preflight.predicts_what_it_sees import PredictsWhatItSees
from tracker.rules.preflight.sees_the_future import SeesTheFuture
from tracker.rules.testing import judge

MIXED = BatchMixing.faulty["facts"]["drill/batch-mixing"]
AHEAD = SeesTheFuture.faulty["facts"]["drill/causality"]
BLIND = InputsDoNotMatter.faulty["facts"]["drill/inputs-matter"]


def told(drill, fact, **other):
    return {"facts": {f"drill/{drill}": {**fact, **other}}}


def test_rounding_and_steps_chosen_for_a_batch_are_no_mixing():
    assert judge(BatchMixing(), **told("batch-mixing", MIXED, mixed=0.019)) == []
    assert judge(BatchMixing(), **told("batch-mixing", MIXED, mixed=0.3, noise=0.004)) == []


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"function": ""}, "a target of its own"),
        ({"per_sample": False}, "a target of its own"),
        ({"resizes": False}, "nodes of a graph"),
        ({"recurrent": True, "kind": "LSTM", "batch_first": False, "given": [32, 1, 16]}, "one sequence"),
        ({"recurrent": True, "kind": "GRU", "batch_first": False, "given": [32, 16]}, "one sequence"),
        ({"kind": "BatchNorm1d"}, "no statistics of its own"),
        ({"paired_by": "aten.mm.default"}, "all with all"),
        ({"gradients": 0}, "no gradient flows"),
        ({"reach": "later"}, "steps of a sequence"),
        ({"reach": "near"}, "steps of a sequence"),
    ],
)
def test_mixing_that_may_be_meant_is_not_judged(other, why):
    with pytest.raises(NotApplicable, match=why):
        judge(BatchMixing(), **told("batch-mixing", MIXED, **other))


@pytest.mark.parametrize("kind", ["LSTM", "MultiheadAttention"])
def test_a_layer_for_sequences_that_reads_along_samples_is_told_whatever_else(kind):
    layer = {"kind": kind, "recurrent": kind == "LSTM", "batch_first": False, "given": [32, 24, 8], "layer": "middle"}
    (found,) = judge(BatchMixing(), **told("batch-mixing", MIXED, **layer, reach="later", paired_by="aten.bmm.default"))

    assert found.subject == "middle"
    assert "batch_first" in found.advice[0]


@pytest.mark.parametrize(("ahead", "noise", "fires"), [(0.009, 0.0, False), (0.011, 0.0, True), (0.011, 0.001, False)])
def test_a_look_ahead_counts_beyond_rounding_and_noise(ahead, noise, fires):
    assert bool(judge(SeesTheFuture(), **told("causality", AHEAD, ahead=ahead, noise=noise))) is fires


def test_a_summary_of_the_sequence_is_no_look_ahead():
    with pytest.raises(NotApplicable, match="summary"):
        judge(SeesTheFuture(), **told("causality", AHEAD, by_summary=True))


def test_the_same_tokens_as_targets_are_for_those_who_look_back_and_see_them():
    assert len(judge(PredictsWhatItSees(), **told("causality", AHEAD, shift=0, ahead=0.0, itself=0.5))) == 1
    assert judge(PredictsWhatItSees(), **told("causality", AHEAD, shift=0, ahead=0.0, itself=0.0)) == []
    with pytest.raises(NotApplicable, match="both ways"):
        judge(PredictsWhatItSees(), **told("causality", AHEAD, shift=0, ahead=0.5, itself=0.5))


def test_weights_that_start_at_zero_are_no_constant_output():
    assert judge(OutputIgnoresInputs(), **told("inputs-reach", {"effect": 0.0, "started": 0.2})) == []
    assert len(judge(OutputIgnoresInputs(), **told("inputs-reach", {"effect": 0.0, "started": 0.0}))) == 1


def test_a_choice_that_gradients_pass_is_no_constant_output():
    with pytest.raises(NotApplicable, match="a choice"):
        judge(OutputIgnoresInputs(), **told("inputs-reach", {"effect": 6e-8, "by_gradient": 0.2}))
    assert len(judge(OutputIgnoresInputs(), **told("inputs-reach", {"effect": 0.0, "by_gradient": 1e-6}))) == 1


def test_many_features_without_effect_are_cut_short():
    fact = {"effect": 0.5, "inputs": [], "main": "x", "features": 30, "dead": list(range(20))}
    (found,) = judge(InputWithoutEffect(), **told("inputs-reach", fact))

    assert found.message.startswith("20 of 30 features of x")
    assert "7, ..." in found.message


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"effect_after": 0.01}, "do follow the inputs"),
        ({"effect_after": None}, "do follow the inputs"),
        ({"effect_before": 0.0, "real_first": 2.1}, "nothing was trained"),
    ],
)
def test_a_model_that_is_only_slow_is_not_judged(other, why):
    with pytest.raises(NotApplicable, match=why):
        judge(InputsDoNotMatter(), **told("inputs-matter", BLIND, **other))
