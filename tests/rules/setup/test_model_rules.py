"""Rules about the model and what it begins with, at their edges."""

from __future__ import annotations

import pytest

from tracker.rules import NotApplicable
from tracker.rules.setup.batchnorm_tiny_batch import BatchnormTinyBatch
from tracker.rules.setup.capacity_mismatch import CapacityMismatch
from tracker.rules.setup.dropout_before_batchnorm import DropoutBeforeBatchnorm
from tracker.rules.setup.dropout_too_high import DropoutTooHigh
from tracker.rules.setup.initialisation_scale import InitialisationScale
from tracker.rules.setup.missing_nonlinearity import MissingNonlinearity
from tracker.rules.setup.symmetric_initialisation import SymmetricInitialisation
from tracker.rules.testing import judge


def layers(**classes):
    """The fact `model` of layers by name, each a class or a table."""
    tables = {name: one if isinstance(one, dict) else {"class": one} for name, one in classes.items()}
    return {"model": {"": {"layers": tables}}}


# -- missing-nonlinearity ------------------------------------------------------------------------------------------


def pair(first, second, widths, kind="linear"):
    return {"first": f"{first}.weight", "second": f"{second}.weight", "kind": kind, "widths": widths}


@pytest.mark.parametrize(
    ("n_layers", "pairs", "is_found"),
    [
        (2, [pair("a", "b", [8, 32, 4])], True),
        (3, [pair("a", "b", [8, 32, 32]), pair("b", "c", [32, 32, 4])], True),
        (3, [pair("b", "c", [32, 16, 4])], False),
        (2, [pair("a", "b", [8, 3, 8])], False),
        (4, [pair("a", "b", [64, 8, 64]), pair("c", "d", [64, 8, 64])], False),
        (2, [pair("b", "a", [1, 8, 16], "convolution")], False),
        (2, [pair("a", "b", [1, 8, 16], "convolution")], True),
        (2, [], False),
    ],
)
def test_a_stack_without_activations_is_told_from_a_projection(n_layers, pairs, is_found):
    facts = layers(**dict.fromkeys("abcd"[:n_layers], "Linear")) | {"graph": {"linear_pairs": pairs}}

    assert bool(judge(MissingNonlinearity(), facts=facts)) is is_found


@pytest.mark.parametrize(
    ("second", "fires"), [("head.weight", True), ("rnn.weight_ih_l0", False), ("attention.in_proj_weight", False)]
)
def test_a_projection_ahead_of_a_recurrent_layer_or_attention_is_usual(second, fires):
    one = {"first": "embed.weight", "second": second, "kind": "linear", "widths": [8, 16, 16]}
    facts = layers(embed="Linear", head="Linear") | {"graph": {"linear_pairs": [one]}}

    assert bool(judge(MissingNonlinearity(), facts=facts)) is fires


def test_queries_keys_and_values_of_one_layer_are_one_connection():
    pairs = [pair("embed", name, [8, 16, 16]) for name in ("query", "key", "value")]
    facts = layers(embed="Linear", query="Linear", key="Linear", value="Linear", head="Linear")

    assert judge(MissingNonlinearity(), facts=facts | {"graph": {"linear_pairs": pairs}}) == []


@pytest.mark.parametrize(("n", "fires"), [(2, True), (6, False)])
def test_layers_that_only_the_graph_knows_count(n, fires):
    graph = {"linear_pairs": [pair("a", "b", [8, 16, 16])], "linear": n}

    assert bool(judge(MissingNonlinearity(), facts=layers(b="Linear") | {"graph": graph})) is fires


def test_a_single_layer_has_no_connection_to_judge():
    with pytest.raises(NotApplicable):
        judge(MissingNonlinearity(), facts=layers(a="Linear") | {"graph": {"linear_pairs": []}})


# -- symmetric-initialisation --------------------------------------------------------------------------------------


def weight(name, shape=(32, 8), zero=False, constant=False, same_rows=False):
    return {
        "name": name, "shape": list(shape), "fan_in": shape[1], "std": 0.0 if constant else 0.1, "low": 0.0,
        "zero": zero, "constant": constant or zero, "same_rows": same_rows or constant or zero,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("weights", "is_found"),
    [
        ([weight("a", constant=True), weight("head")], True),
        ([weight("a", same_rows=True), weight("head")], True),
        ([weight("a"), weight("head", zero=True)], False),
        ([weight("a"), weight("head", constant=True)], False),
        ([weight("a", zero=True), weight("head", zero=True)], True),
        ([weight("a", zero=True), weight("head")], False),
        ([weight("a", zero=True), weight("b", zero=True), weight("head")], True),
        ([weight("down"), weight("up", zero=True), weight("head")], False),
        ([weight("a", shape=(1, 8), zero=True), weight("b", shape=(8, 1), zero=True)], True),
        ([weight("a", shape=(1, 8), constant=True), weight("b"), weight("head")], False),
        ([weight("a", shape=(8, 1), constant=True), weight("b"), weight("head")], False),
    ],
)
def test_units_that_begin_alike_are_told_from_branches_that_begin_at_zero(weights, is_found):
    facts = {"initialisation": weights, "graph": {"tails": [{"loss": "cross_entropy", "ops": [], "layer": "head"}]}}

    assert bool(judge(SymmetricInitialisation(), facts=facts)) is is_found


def test_an_adapter_without_a_known_end_is_not_accused():
    weights = [weight("down"), weight("up", zero=True)]
    facts = {"initialisation": weights, "graph": {"tails": [{"loss": "cross_entropy", "ops": [], "layer": "frozen"}]}}

    assert judge(SymmetricInitialisation(), facts=facts) == []


def test_an_embedding_may_begin_constant():
    facts = {"initialisation": [weight("emb.weight", constant=True), weight("a.weight"), weight("head.weight")]}
    facts |= layers(emb="Embedding", a="Linear", head="Linear")

    assert judge(SymmetricInitialisation(), facts=facts) == []


# -- initialisation-scale ------------------------------------------------------------------------------------------


def scaled(std, rms, loss="cross_entropy", **more):
    names = ["a", "b", "head"]
    facts = layers(**dict.fromkeys(names, "Linear"))
    facts["initialisation"] = [{"name": f"{name}.weight", "fan_in": 100, "std": std} for name in names]
    facts["graph"] = {"tails": [{"loss": loss, "ops": [], "layer": "head.weight"}]}
    facts |= more
    return {"facts": facts, "output_rms": {name: [rms] for name in names}}


def test_large_weights_are_found_where_the_first_outputs_are_large():
    (finding,) = judge(InitialisationScale(), **scaled(1.0, 60.0), loss=[30.0, 29.0])

    assert finding.evidence["gain"] == pytest.approx(10)


def test_large_weights_behind_norm_layers_do_no_harm():
    assert judge(InitialisationScale(), **scaled(1.0, 1.5), loss=[2.3, 2.2]) == []


@pytest.mark.parametrize("std", [0.058, 0.1, 0.14, 0.02])
def test_usual_scales_are_fine(std):
    assert judge(InitialisationScale(), **scaled(std, 2.0), loss=[2.3] * 40) == []


def test_large_outputs_are_right_for_large_targets():
    targets = {"targets": [{"function": "mse_loss", "std": 30.0, "mean": 50.0}]}

    assert judge(InitialisationScale(), **scaled(1.0, 60.0, "mse_loss", **targets), loss=[30.0]) == []


@pytest.mark.parametrize(
    ("variances", "losses", "is_found"),
    [
        ((1e-4, 1e-8, 1e-12), [2.3] * 40, True),
        ((1e-4, 1e-8, 1e-12), [2.3 * 0.98**i for i in range(40)], False),
        ((1e-4, 1e-4, 1e-5), [2.3] * 40, False),
    ],
)
def test_tiny_weights_are_found_where_nothing_arrives_and_the_loss_stands(variances, losses, is_found):
    case = scaled(1e-3, 0.1) | {"output_variance": dict(zip(["a", "b", "head"], ([v] for v in variances), strict=True))}

    assert bool(judge(InitialisationScale(), **case, loss=losses)) is is_found


def test_embeddings_are_no_layers_with_a_gain():
    case = scaled(1.0, 60.0)
    case["facts"] |= layers(a="Embedding", b="Embedding", head="Embedding")
    with pytest.raises(NotApplicable):
        judge(InitialisationScale(), **case)


# -- batchnorm-tiny-batch ------------------------------------------------------------------------------------------

NORM = {"class": "BatchNorm1d", "output": [2, 64]}


@pytest.mark.parametrize(("sizes", "is_found"), [([1.0], True), ([2.0], True), ([3.0], False), ([32.0, 2.0], False)])
def test_one_or_two_samples_are_too_few_for_batch_statistics(sizes, is_found):
    assert bool(judge(BatchnormTinyBatch(), facts=layers(bn=NORM), batch_size={"train": sizes})) is is_found


def test_the_batch_size_of_the_loader_stands_against_a_last_batch():
    facts = layers(bn=NORM) | {"loaders": [{"split": "train", "batch_size": 64}]}

    assert judge(BatchnormTinyBatch(), facts=facts, batch_size={"train": [2.0]}) == []


def test_large_images_have_many_positions():
    image = {"class": "BatchNorm2d", "output": [2, 64, 128, 128]}

    assert judge(BatchnormTinyBatch(), facts=layers(bn=image), batch_size={"train": [2.0]}) == []


def test_frozen_norm_layers_are_not_harmed():
    mode = {"kind": "training", "training": True, "norms": 0, "dropout": 0}
    found = judge(BatchnormTinyBatch(), facts=layers(bn=NORM), batch_size={"train": [2.0]}, events={"mode": {0: mode}})

    assert found == []


# -- dropout, capacity ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("p", "is_found"), [(0.1, False), (0.5, False), (0.75, False), (0.8, True), (1.0, True)])
def test_a_dropout_that_leaves_little_over_is_found(p, is_found):
    assert bool(judge(DropoutTooHigh(), facts=layers(drop={"class": "Dropout", "p": p}))) is is_found


def test_a_dropout_function_is_judged_by_its_mask():
    (finding,) = judge(DropoutTooHigh(), facts={"graph": {"dropouts": [0.1, 0.9]}})

    assert finding.evidence["share"] == 0.9


@pytest.mark.parametrize(
    ("loss", "layer", "tails", "is_found"),
    [
        ("cross_entropy", "head.weight", 1, True),
        ("mse_loss", "head.weight", 1, True),
        ("mse_loss", "head.weight", 2, False),  # between features, maybe
        ("cross_entropy", "head.weight", 2, True),
        ("cross_entropy", None, 1, False),
        ("triplet_margin_loss", "head.weight", 1, False),
    ],
)
def test_a_dropout_of_the_answers_is_found_whatever_its_share(loss, layer, tails, is_found):
    tail = {"loss": loss, "ops": ["mul"], "layer": layer}
    graph = {"tails": [tail] * tails, "thrown_away": [{"loss": loss, "share": 0.1, "layer": layer}], "dropouts": [0.1]}
    found = judge(DropoutTooHigh(), facts={"graph": graph})

    assert [(finding.subject, finding.evidence["share"]) for finding in found] == [("head", 0.1)] * is_found


@pytest.mark.parametrize(("call", "is_found"), [({"dropped": 0.5}, True), ({"dropped": 0.1}, False), ({}, False)])
def test_a_norm_counts_that_was_given_what_a_large_dropout_left(call, is_found):
    facts = layers(a={"class": "Dropout", "p": 0.5}, b="BatchNorm1d")
    facts["model"][""]["calls"] = {"b": {"at": 1} | call}

    assert bool(judge(DropoutBeforeBatchnorm(), facts=facts)) is is_found


@pytest.mark.parametrize(("parameters", "is_found"), [(50_000, False), (20_000_000, True), (1, True)])
def test_parameters_are_compared_with_samples(parameters, is_found):
    facts = {"model": {"": {"trainable": parameters}}, "loaders": [{"split": "train", "dataset_length": 1500}]}

    assert bool(judge(CapacityMismatch(), facts=facts)) is is_found


@pytest.mark.parametrize(("std", "output", "is_found"), [(0.4, 50.0, True), (0.4, 1.0, False), (0.144, 50.0, False)])
def test_recurrent_weights_are_judged_by_what_a_time_step_multiplies(std, output, is_found):
    """A recurrent layer of 48 units, whose orthogonal weights have a standard deviation of 0.144."""
    case = scaled(0.058, output)
    case["facts"]["initialisation"] += [{"name": "rnn.weight_hh_l0", "fan_in": 48, "std": std}]

    assert bool(judge(InitialisationScale(), **case, loss=[30.0, 29.0])) is is_found
