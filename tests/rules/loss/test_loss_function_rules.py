"""Rules about the function of the loss and its terms, at their edges."""

from __future__ import annotations

import contextlib
import math

import pytest

from tracker.rules import FindingRecord, NotApplicable, Severity
from tracker.rules.engine.causes import explained, fold
from tracker.rules.loss.double_softmax import DoubleSoftmax
from tracker.rules.loss.final_layer_nonlinearity import FinalLayerNonlinearity
from tracker.rules.loss.loss_reduction_sum import LossReductionSum
from tracker.rules.loss.loss_terms_unbalanced import LossTermsUnbalanced
from tracker.rules.loss.negative_loss import NegativeLoss
from tracker.rules.loss.nonfinite_loss import NonfiniteLoss
from tracker.rules.loss.output_size_mismatch import OutputSizeMismatch
from tracker.rules.loss.probability_loss_on_logits import ProbabilityLossOnLogits
from tracker.rules.loss.regularisation_dominates import RegularisationDominates
from tracker.rules.loss.softmax_wrong_dimension import SoftmaxWrongDimension
from tracker.rules.loss.target_contract import TargetContract
from tracker.rules.loss.wrong_loss_for_targets import WrongLossForTargets
from tracker.rules.testing import judge
from tracker.rules.weights.update_ratio import UpdateRatio


def tail(loss, *ops, layer="head.weight"):
    return {"graph": {"tails": [{"loss": loss, "ops": list(ops), "layer": layer}]}}


# -- double-softmax ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("loss", "ops"),
    [
        ("cross_entropy", ["softmax"]),
        ("cross_entropy", ["div", "softmax"]),
        ("cross_entropy", ["sigmoid"]),
        ("binary_cross_entropy_with_logits", ["sigmoid"]),
    ],
)
def test_a_squashing_ahead_of_a_loss_of_scores_is_found(loss, ops):
    (finding,) = judge(DoubleSoftmax(), facts=tail(loss, *ops))

    assert finding.subject == "head"
    assert loss in finding.message


@pytest.mark.parametrize(
    ("loss", "ops"),
    [
        ("cross_entropy", []),
        ("cross_entropy", ["log_softmax"]),
        ("cross_entropy", ["log", "softmax"]),
        ("cross_entropy", ["log", "add", "softmax"]),
        ("cross_entropy", ["relu"]),
        ("binary_cross_entropy_with_logits", ["logit", "sigmoid"]),
    ],
)
def test_what_is_undone_again_or_no_squashing_is_none(loss, ops):
    assert judge(DoubleSoftmax(), facts=tail(loss, *ops)) == []


def test_a_squared_error_of_probabilities_is_not_judged_as_double():
    with pytest.raises(NotApplicable):
        judge(DoubleSoftmax(), facts=tail("mse_loss", "softmax"))


# -- probability-loss-on-logits ------------------------------------------------------------------------------------


def loss_fact(function, **more):
    return {"loss": {"function": function, **more}}


def test_nll_of_probabilities_says_what_it_was_given():
    facts = loss_fact("nll_loss", logarithms=False) | tail("nll_loss", "softmax")
    (finding,) = judge(ProbabilityLossOnLogits(), facts=facts)

    assert "softmax" in finding.message


@pytest.mark.parametrize(
    ("row_high", "high", "is_found"), [(1.0, -0.1, False), (40.0, 3.5, True), (1.001, 1e-7, False)]
)
def test_unrecognised_logarithms_are_judged_by_their_numbers(row_high, high, is_found):
    targets = [{"function": "cross_entropy", "outputs_high": high, "outputs_low": -9.0, "output_row_high": row_high}]
    facts = loss_fact("cross_entropy") | {"targets": targets}

    assert bool(judge(ProbabilityLossOnLogits(), facts=facts)) is is_found


def test_a_logarithm_of_what_are_no_probabilities_is_found_by_its_sums():
    targets = [{"function": "cross_entropy", "outputs_high": 2.0, "outputs_low": -3.0, "output_row_high": 19.0}]
    facts = loss_fact("cross_entropy", logarithms=True) | {"targets": targets}

    assert judge(ProbabilityLossOnLogits(), facts=facts)


@pytest.mark.parametrize(
    ("ops", "is_found"),
    [([], True), (["clamp"], True), (["sigmoid"], False), (["clamp", "sigmoid"], False), (["softmax"], False)],
)
def test_a_binary_loss_needs_a_sigmoid_ahead_of_it(ops, is_found):
    facts = loss_fact("binary_cross_entropy") | tail("binary_cross_entropy", *ops)

    assert bool(judge(ProbabilityLossOnLogits(), facts=facts)) is is_found


def test_a_binary_loss_whose_last_layer_is_out_of_sight_is_not_accused():
    facts = loss_fact("binary_cross_entropy") | tail("binary_cross_entropy", layer=None)

    assert judge(ProbabilityLossOnLogits(), facts=facts) == []


@pytest.mark.parametrize(("ops", "is_found"), [(["softmax"], True), (["log_softmax"], False)])
def test_kl_div_takes_logarithms(ops, is_found):
    facts = loss_fact("kl_div") | tail("kl_div", *ops)

    assert bool(judge(ProbabilityLossOnLogits(), facts=facts)) is is_found


# -- target-contract -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outputs", "targets", "result", "is_found"),
    [
        ([32, 1], [32], [32, 32], True),
        ([32], [32, 1], [32, 32], True),
        ([32, 1], None, [32, 32], True),
        ([32, 5], [32, 1], [32, 5], False),
        ([32, 1], [], [32, 1], False),
        ([32, 1], [1], [32, 1], False),
        ([32, 8], None, [32, 32, 8], False),
    ],
)
def test_only_as_many_targets_as_outputs_are_compared_each_with_each(outputs, targets, result, is_found):
    one = {"function": "mse_loss", "outputs": outputs, "targets": targets, "result": result}

    assert bool(judge(TargetContract(), facts=loss_fact("mse_loss") | {"graph": {"broadcast": [one]}})) is is_found


@pytest.mark.parametrize(
    ("values", "is_found"),
    [([0.0, 1.0, 2.0, 3.0], True), ([0.5, 1.0, 2.0, 3.0], False), ([0.0, 1.0], False), (None, False)],
)
def test_class_numbers_repeated_for_each_output_are_found(values, is_found):
    one = {"function": "mse_loss", "outputs": [32, 4], "targets": [32, 1], "result": [32, 4]}
    facts = loss_fact("mse_loss") | {
        "graph": {"broadcast": [one]},
        "targets": [{"function": "mse_loss", "values": values}],
    }

    assert bool(judge(TargetContract(), facts=facts)) is is_found


@pytest.mark.parametrize(
    ("low", "high", "is_found"), [(0, 1, False), (-1, 1, True), (0, 2, True), (0.7, 1.2, False), (0, 255, True)]
)
def test_binary_targets_lie_between_0_and_1(low, high, is_found):
    name = "binary_cross_entropy_with_logits"
    facts = loss_fact(name) | {"targets": [{"function": name, "low": low, "high": high}]}

    assert bool(judge(TargetContract(), facts=facts)) is is_found


@pytest.mark.parametrize(
    ("low", "high", "whole", "is_found"),
    [(0.99, 1.0, False, False), (0.4, 1.9, False, True), (1.0, 3.0, True, False)],
)
def test_soft_targets_add_up_to_1(low, high, whole, is_found):
    seen = {"function": "cross_entropy", "row_low": low, "row_high": high, "whole": whole}
    facts = loss_fact("cross_entropy", soft_targets=True) | {"targets": [seen]}

    assert bool(judge(TargetContract(), facts=facts)) is is_found


@pytest.mark.parametrize(
    ("label", "shape", "is_found"), [(2, [32], True), (None, [32], False), (0, [32, 20], False), (0, [640], False)]
)
def test_an_ignored_class_is_told_from_padding(label, shape, is_found):
    seen = {"function": "cross_entropy", "ignored": label, "n_ignored": 90, "samples": 300, "targets": shape}
    facts = loss_fact("cross_entropy", n_classes=4) | {"targets": [seen]}

    assert bool(judge(TargetContract(), facts=facts, batch_size={"train": [32.0]})) is is_found


# -- wrong-loss-for-targets ----------------------------------------------------------------------------------------


def numbers(values, **more):
    seen = {"function": "mse_loss", "whole": True, "values": values, "samples": 500, "outputs": [32, 1], **more}
    return loss_fact("mse_loss") | {"targets": [seen]}


@pytest.mark.parametrize(
    ("values", "more", "is_found"),
    [
        ([0.0, 1.0, 2.0, 3.0], {"labels": True, "counts": [250, 130, 120, 100]}, True),
        ([0.0, 1.0, 2.0, 3.0], {"labels": False, "counts": [250, 130, 120, 100]}, False),
        ([0.0, 1.0, 2.0, 3.0], {"labels": True, "counts": [30, 130, 120, 30]}, False),
        ([0.0, 1.0, 2.0, 3.0], {"labels": True}, False),
        ([0.0, 1.0, 2.0, 3.0], {"counts": [120, 130, 120, 130]}, True),
        ([0.0, 1.0, 2.0, 3.0], {"counts": [300, 130, 50, 20]}, False),
        ([1.0, 2.0, 3.0, 4.0, 5.0], {"counts": [100] * 5}, False),
        ([0.0, 1.0], {"labels": True, "counts": [100, 100]}, False),
        ([0.0, 4.0, 9.0], {"labels": True, "counts": [100] * 3}, False),
        ([0.0, 1.0, 2.0], {"labels": True, "counts": [100] * 3, "outputs": [32, 3]}, False),
        ([0.0, 1.0, 2.0], {"labels": True, "counts": [100] * 3, "samples": 20}, False),
    ],
)
def test_class_numbers_under_a_distance_are_told_from_amounts(values, more, is_found):
    assert bool(judge(WrongLossForTargets(), facts=numbers(values, **more))) is is_found


def test_several_labels_at_once_are_no_case_for_cross_entropy():
    seen = {"function": "cross_entropy", "whole": True, "values": [0.0, 1.0], "row_low": 0.0, "row_high": 3.0}
    (finding,) = judge(WrongLossForTargets(), facts=loss_fact("cross_entropy") | {"targets": [seen]})

    assert "3 labels" in finding.message


@pytest.mark.parametrize(("power", "is_found"), [(2.0, True), (0.5, True), (None, False), ("2", False)])
def test_a_focal_loss_on_the_wrong_term_is_found_though_its_function_is_unknown(power, is_found):
    facts = {"loss": {"function": "unknown"}, "graph": {"upended": power}}
    if is_found:
        assert f"by p ** {power:g}," in judge(WrongLossForTargets(), facts=facts)[0].message
    else:
        with pytest.raises(NotApplicable):
            judge(WrongLossForTargets(), facts=facts)


def test_one_hot_targets_of_cross_entropy_are_fine():
    seen = {"function": "cross_entropy", "whole": True, "values": [0.0, 1.0], "row_low": 1.0, "row_high": 1.0}

    assert judge(WrongLossForTargets(), facts=loss_fact("cross_entropy") | {"targets": [seen]}) == []


# -- softmax-wrong-dimension ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "dim", "tail_", "summed", "is_found"),
    [
        ([32, 10], 0, True, None, True),
        ([32, 10], 1, True, None, False),
        ([32, 32], 0, True, None, False),
        ([20, 10], 0, True, None, False),
        ([32, 1], 1, True, None, True),
        ([32, 1], 1, False, None, False),
        ([32, 4, 7, 7], 3, False, 3, False),
        ([32, 4, 7, 7], 1, False, 3, True),
        ([32, 7, 7], 1, False, None, False),
        ([32, 7, 7], 0, False, None, True),
    ],
)
def test_the_dimension_of_a_softmax_is_that_of_the_choices(shape, dim, tail_, summed, is_found):
    one = {"op": "softmax", "shape": shape, "dim": dim, "tail": tail_, "summed": summed, "batch": 32}

    assert bool(judge(SoftmaxWrongDimension(), facts={"graph": {"softmaxes": [one]}})) is is_found


@pytest.mark.parametrize(
    ("shape", "dim", "batch", "expected"),
    [
        ([16, 12, 6], 1, 192, 2.0),  # over the words of a sentence
        ([16, 12, 6], 0, 192, 2.0),
        ([16, 12, 6], 2, 192, None),
        ([16, 12, 12], 1, 192, None),  # the last two may have changed places
        ([16, 6, 12], 1, 192, None),  # classes ahead of the words: they have
        ([192, 6], 1, 192, None),
        ([16, 12, 6], 1, None, None),
    ],
)
def test_a_loss_in_rows_looks_for_the_classes_in_the_last_dimension(shape, dim, batch, expected):
    one = {"op": "log_softmax", "shape": shape, "dim": dim, "tail": True, "summed": None, "batch": batch}

    found = judge(SoftmaxWrongDimension(), facts={"graph": {"softmaxes": [one]}})
    inside = judge(SoftmaxWrongDimension(), facts={"graph": {"softmaxes": [one | {"tail": False}]}})

    assert [finding.evidence["expected_dim"] for finding in found] == ([expected] if expected is not None else [])
    assert inside == []


# -- final-layer-nonlinearity --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("op", "low", "high", "is_found"),
    [
        ("relu", -3.0, 3.0, True),
        ("relu", -0.1, 9.0, False),
        ("sigmoid", 0.0, 1.0, False),
        ("sigmoid", 0.0, 50.0, True),
        ("tanh", -1.0, 1.0, False),
        ("tanh", -4.0, 4.0, True),
        ("leaky_relu", -4.0, 4.0, False),
    ],
)
def test_targets_beyond_an_activation_are_found(op, low, high, is_found):
    targets = [{"function": "mse_loss", "low": low, "high": high, "std": (high - low) / 4, "mean": 0.0}]

    assert bool(judge(FinalLayerNonlinearity(), facts=tail("mse_loss", op) | {"targets": targets})) is is_found


@pytest.mark.parametrize(
    ("ops", "is_found"), [(["relu"], True), (["tanh"], True), (["mul", "tanh"], False), ([], False)]
)
def test_scores_that_are_clipped_are_found(ops, is_found):
    assert bool(judge(FinalLayerNonlinearity(), facts=tail("cross_entropy", *ops))) is is_found


def test_a_regression_whose_targets_are_unknown_is_not_judged():
    with pytest.raises(NotApplicable):
        judge(FinalLayerNonlinearity(), facts=tail("mse_loss", "relu"))


# -- negative-loss -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind",
    [
        {"function": "gaussian_nll_loss", "terms": 1},
        {"function": "unknown", "ops": ["neg", "mean"]},
        {"function": "cross_entropy", "terms": 3},
    ],
)
def test_a_loss_that_may_be_negative_is_not_judged(kind):
    with pytest.raises(NotApplicable):
        judge(NegativeLoss(), loss=[-1.0] * 30, facts={"loss": kind})


def test_a_mean_of_differences_is_found_once_it_falls_below_zero():
    kind = {"function": "unknown", "ops": ["mean", "sub"]}
    falling = [1.0 - 0.2 * i for i in range(40)]

    assert judge(NegativeLoss(), loss=falling, facts={"loss": kind})
    assert judge(NegativeLoss(), loss=[1.0 - 0.01 * i for i in range(40)], facts={"loss": kind}) == []


def test_a_single_loss_below_zero_is_no_turned_sign():
    losses = [0.5, 0.4, -1e-9, 0.3, 0.2, 0.1]

    assert judge(NegativeLoss(), loss=losses, facts={"loss": {"function": "mse_loss", "terms": 1}}) == []


def test_a_binary_loss_of_targets_beyond_its_range_is_left_to_the_targets():
    name = "binary_cross_entropy_with_logits"
    facts = {"loss": {"function": name, "terms": 1}, "targets": [{"function": name, "low": -1.0, "high": 1.0}]}
    with pytest.raises(NotApplicable):
        judge(NegativeLoss(), loss=[-1.0] * 10, facts=facts)


# -- terms ---------------------------------------------------------------------------------------------------------

TERMS = {"loss_terms": [{"name": "ce", "function": "cross_entropy"}, {"name": "pen", "function": "l2_penalty"}]}


@pytest.mark.parametrize(
    ("data", "penalty", "is_found"),
    [
        ([2.3] * 20, [30.0 * 0.8**i for i in range(20)], True),
        ([2.3] * 20, [0.1] * 20, False),
        ([2.3 * 0.9**i for i in range(20)], [30.0 * 0.8**i for i in range(20)], False),
    ],
)
def test_a_penalty_dominates_only_where_the_data_is_not_learned(data, penalty, is_found):
    assert (
        bool(judge(RegularisationDominates(), facts=TERMS, **{"loss/term": {"ce": data, "pen": penalty}})) is is_found
    )


CLAMPED = {
    "loss": [2.30] * 10 + [2.26] * 50,
    "facts": {
        "loss": {"function": "cross_entropy"},
        "parameters": {name: {"shape": [8, 8], "trainable": True} for name in ("a.weight", "b.weight")},
        "initialisation": [{"name": name, "high": 0.125} for name in ("a.weight", "b.weight")],
        "bounds": [{"name": name, "bound": 0.01, "share": 0.5} for name in ("a.weight", "b.weight")],
    },
    "events": {"judge": {59: {"phase": "run"}}},
}


@pytest.mark.parametrize(
    ("more", "facts", "is_found"),
    [
        ({}, {}, True),
        ({"events": {}}, {}, False),  # it may still come down
        ({"loss": [2.3 * 0.97**i for i in range(60)]}, {}, False),
        ({}, {"loss": {"function": "unknown"}}, False),  # a critic
        ({}, {"bounds": CLAMPED["facts"]["bounds"][:1]}, False),  # one layer of several
        ({}, {"bounds": [one | {"share": 0.05} for one in CLAMPED["facts"]["bounds"]]}, False),
        ({}, {"bounds": [one | {"bound": 1.0} for one in CLAMPED["facts"]["bounds"]]}, False),  # of a binary network
        ({}, {"bounds": [{"name": "a.weight", "bound": 0.02, "share": 0.5}, CLAMPED["facts"]["bounds"][1]]}, False),
    ],
)
def test_narrow_bounds_of_all_weights_are_found_where_the_loss_stands(more, facts, is_found):
    case = CLAMPED | {"facts": CLAMPED["facts"] | facts} | more
    with contextlib.nullcontext() if is_found else pytest.raises(NotApplicable, match="no sum of terms"):
        assert judge(RegularisationDominates(), **case)


@pytest.mark.parametrize(
    ("divergence", "is_found"),
    [([5000.0 * 0.8**i for i in range(20)], True), ([1.0 + i for i in range(20)], False), ([5000.0] * 20, False)],
)
def test_a_divergence_that_is_pressed_to_nothing_is_found(divergence, is_found):
    told = {
        "loss_terms": [{"name": "rec", "function": "binary_cross_entropy"}, {"name": "kl", "function": "gaussian_kl"}]
    }
    terms = {"rec": [2800.0 * 0.97**i for i in range(20)], "kl": divergence}

    assert bool(judge(RegularisationDominates(), facts=told, **{"loss/term": terms})) is is_found


SQUASHED = [0.5 * 0.7**i for i in range(20)]


@pytest.mark.parametrize(
    ("data", "penalty", "is_found"),
    [
        ([0.18] * 10 + [0.08] * 10, SQUASHED, True),
        ([0.18] * 10 + [0.08] * 10, [0.5] * 10 + [0.1] * 10, False),  # sparse, and not gone
        ([0.18] * 10 + [0.08] * 10, [0.05 * one for one in SQUASHED], False),
        ([0.18] * 10 + [0.01] * 10, SQUASHED, False),  # learned all the same
    ],
)
def test_a_code_that_its_penalty_presses_to_nothing_is_found(data, penalty, is_found):
    told = {"loss_terms": [{"name": "mse", "function": "mse_loss"}, {"name": "l1", "function": "code_penalty"}]}
    found = []
    with contextlib.suppress(NotApplicable):  # there is no penalty on weights
        found = judge(RegularisationDominates(), facts=told, **{"loss/term": {"mse": data, "l1": penalty}})

    assert [finding.subject for finding in found] == (["l1"] if is_found else [])


def contract(expected="signs", steps=5, **counts):
    told = {"function": "soft_margin_loss", "expected": expected, "steps": steps, "given": "exp", **counts}
    return {"loss": {"function": "soft_margin_loss"}, "contracts": [told]}


@pytest.mark.parametrize(
    ("facts", "is_found"),
    [
        (contract(positive=70, negative=0, zero=90), True),
        (contract(positive=70, negative=90, zero=0), False),
        (contract(positive=70, negative=60, zero=30), False),  # ties
        (contract(positive=160, negative=0, zero=0), False),
        (contract(positive=70, negative=0, zero=90, steps=2), False),
        (contract("shares", positive=70, negative=90), True),
        (contract("shares", positive=70, negative=0), False),
        (contract("logarithms"), True),
    ],
)
def test_labels_of_another_convention_are_found(facts, is_found):
    assert bool(judge(TargetContract(), facts=facts)) is is_found


@pytest.mark.parametrize(
    ("function", "small", "is_found"),
    [
        ("cross_entropy", [2.3] * 20, True),
        ("cross_entropy", [2.3 * 0.9**i for i in range(20)], False),
        ("unknown", [2.3] * 20, False),
    ],
)
def test_a_task_that_is_drowned_is_told_from_a_small_term(function, small, is_found):
    told = {"loss_terms": [{"name": "a", "function": function}, {"name": "b", "function": "mse_loss"}]}
    terms = {"a": small, "b": [1e5 * 0.8**i for i in range(20)]}

    assert bool(judge(LossTermsUnbalanced(), facts=told, **{"loss/term": terms})) is is_found


@pytest.mark.parametrize(
    ("function", "level", "is_found"),
    [("mse_loss", 0.0, True), ("mse_loss", 1e-3, False), ("cross_entropy", 1e-3, True)],
)
def test_a_distance_that_grows_from_nothing_is_no_task_that_waits_to_be_learned(function, level, is_found):
    told = {"loss_terms": [{"name": "a", "function": function}, {"name": "b", "function": "cross_entropy"}]}
    terms = {"a": [5e-4 + level * i / 20 for i in range(20)], "b": [2.3] * 20}

    assert bool(judge(LossTermsUnbalanced(), facts=told, **{"loss/term": terms})) is is_found


# -- loss-reduction-sum --------------------------------------------------------------------------------------------

SUM = {"loss": {"function": "mse_loss", "reduction": "sum", "terms": 1}}
JUMPING = [100 * 0.97**i for i in range(60)] + [16.0, 16.0, 500.0, 16.0] * 10


@pytest.mark.parametrize(
    ("kind", "is_found"),
    [
        (SUM, True),
        ({"loss": SUM["loss"] | {"reduction": "mean"}}, False),
        ({"loss": SUM["loss"] | {"scaled": True}}, False),
        ({"loss": [SUM["loss"] | {"terms": 2}]}, False),
    ],
)
def test_only_a_bare_sum_is_blamed_for_a_loss_that_rises(kind, is_found):
    losses = [30.0 * 1.1**i for i in range(60)]
    kind = kind | {"optimizer": [{"class": "SGD", "groups": [{"lr": 1e-3}]}]}

    assert bool(judge(LossReductionSum(), loss=losses, batch_size={"train": [32.0]}, facts=kind)) is is_found


@pytest.mark.parametrize(
    ("optimizer", "lr", "is_found"), [("SGD", 0.05, True), ("SGD", 1e-4, False), ("Adam", 0.05, False)]
)
def test_a_loss_that_jumps_about_is_blamed_on_the_sum_with_long_plain_steps(optimizer, lr, is_found):
    facts = SUM | {"optimizer": [{"class": optimizer, "groups": [{"lr": lr, "momentum": 0.0}]}]}

    assert bool(judge(LossReductionSum(), loss=JUMPING, batch_size={"train": [32.0]}, facts=facts)) is is_found


@pytest.mark.parametrize(
    ("lr", "phase", "is_found"), [(0.05, "run", True), (1e-4, "run", False), (0.05, "epoch", False)]
)
def test_a_loss_that_stands_is_blamed_on_the_sum_at_the_end_of_a_training_with_long_steps(lr, phase, is_found):
    facts = SUM | {"optimizer": [{"class": "SGD", "groups": [{"lr": lr, "momentum": 0.0}]}]}
    case = {"loss": [30.0 - 0.01 * i for i in range(60)], "batch_size": {"train": [32.0]}, "facts": facts}

    assert bool(judge(LossReductionSum(), events={"judge": {59: {"phase": phase}}}, **case)) is is_found


@pytest.mark.parametrize(("phase", "is_found"), [("run", True), ("epoch", False)])
def test_a_small_rise_of_a_sum_is_waited_out(phase, is_found):
    facts = SUM | {"optimizer": [{"class": "SGD", "groups": [{"lr": 1e-4, "momentum": 0.0}]}]}
    case = {"loss": [30.0 + 0.15 * i for i in range(60)], "batch_size": {"train": [32.0]}, "facts": facts}

    assert bool(judge(LossReductionSum(), events={"judge": {59: {"phase": phase}}}, **case)) is is_found


def test_a_fall_from_where_the_first_steps_threw_the_loss_is_none():
    facts = SUM | {"optimizer": [{"class": "SGD", "groups": [{"lr": 0.05, "momentum": 0.0}]}]}
    losses = [148.0, 233.0] + [505.0] * 8 + [148.0] * 50

    assert judge(
        LossReductionSum(),
        loss=losses,
        batch_size={"train": [64.0]},
        facts=facts,
        events={"judge": {59: {"phase": "run"}}},
    )


def test_a_sum_is_harmless_where_steps_do_not_depend_on_the_size_of_the_gradient():
    facts = SUM | {"optimizer": [{"class": "Adam", "groups": [{"lr": 1e-3}]}]}
    losses = [30.0 * 1.1**i for i in range(60)]

    assert judge(LossReductionSum(), loss=losses, batch_size={"train": [32.0]}, facts=facts) == []


def test_a_sum_over_one_sample_is_not_judged():
    with pytest.raises(NotApplicable):
        judge(LossReductionSum(), loss=[1.0 + i for i in range(60)], batch_size={"train": [1.0]}, facts=SUM)


# -- output-size-mismatch ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("outputs", "is_found"), [(4, False), (10, False), (12, True), (100, True)])
def test_a_few_outputs_too_many_are_common(outputs, is_found):
    counts = {str(label): {0: 500.0, 1: 1000.0} for label in range(4)}
    kind = {"function": "cross_entropy", "n_classes": outputs, "targets_shape": [32]}
    found = judge(
        OutputSizeMismatch(), class_count=counts, epochs=[1, 1], batch_size={"train": [32.0]}, facts={"loss": kind}
    )

    assert bool(found) is is_found


def test_labels_of_positions_are_a_vocabulary():
    counts = {str(label): {0: 500.0, 1: 1000.0} for label in range(4)}
    kind = {"function": "cross_entropy", "n_classes": 100, "targets_shape": [640]}
    with pytest.raises(NotApplicable):
        judge(
            OutputSizeMismatch(), class_count=counts, epochs=[1, 1], batch_size={"train": [32.0]}, facts={"loss": kind}
        )


# -- the origin of a loss that is not finite -----------------------------------------------------------------------


def test_a_lost_loss_names_operation_layer_and_samples():
    data = {"kind": "operation", "op": "log", "module": "head", "low": 0.0, "high": 1.0, "batch_indices": [3, 1, 4]}
    (finding,) = judge(NonfiniteLoss(), loss=[2.0, 1.9, math.nan], events={"nonfinite_origin": {2: data}})

    assert "first in log near head, given 0 to 1; batch of samples 3, 1, 4" in finding.message
    assert "log" in finding.advice[0]


def test_a_lost_loss_without_an_origin_names_the_first_module_seen():
    seen = {"module": "encoder.2", "class": "Linear", "input_finite": None, "model": ""}
    (finding,) = judge(NonfiniteLoss(), loss=[2.0, 1.9, math.nan], events={"nonfinite_output": {2: seen}})

    assert "encoder.2" in finding.message


def test_a_loss_that_was_lost_first_is_told_before_what_its_steps_came_to():
    explains = explained([NonfiniteLoss, UpdateRatio])
    lost = FindingRecord("nonfinite-loss", "", Severity.FATAL, "", (), {}, 0, 900, 0, 0)
    small = FindingRecord("update-ratio", "", Severity.WARNING, "", (), {}, 300, 900, 2, 5)
    levels = {"nonfinite-loss": NonfiniteLoss.level, "update-ratio": UpdateRatio.level}

    assert [one.rule for one in fold([small, lost], explains, levels=levels)] == ["nonfinite-loss"]


def test_the_origin_of_another_step_is_not_taken():
    data = {"kind": "operation", "op": "log", "module": "head", "batch_indices": None}
    (finding,) = judge(NonfiniteLoss(), loss=[2.0, math.nan, math.nan], events={"nonfinite_origin": {2: data}})

    assert "log near" not in finding.message
