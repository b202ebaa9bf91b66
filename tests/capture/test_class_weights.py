"""Class weights are found in every form and written as one table."""

import json
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import WeightedRandomSampler

from tracker.capture.class_weights import from_given, from_loss_module, from_sampler, from_tensor

torch.set_num_threads(1)


@pytest.mark.parametrize(
    "given",
    [
        [0.5, 2.0, 1.0],
        (0.5, 2.0, 1.0),
        {"a": 0.5, "b": 2.0, "c": 1.0},
        np.array([0.5, 2.0, 1.0], dtype=np.float32),
        torch.tensor([0.5, 2.0, 1.0], requires_grad=True),
        {"a": torch.tensor(0.5), "b": np.float64(2), "c": 1},
    ],
)
def test_weights_of_every_form_give_the_same_digest_and_numbers(given):
    weights = from_given(given, ["a", "b", "c"])

    assert weights.weights == (0.5, 2.0, 1.0)
    assert weights.digest == from_given([0.5, 2.0, 1.0], ["a", "b", "c"]).digest


def test_a_digest_changes_with_one_bit_of_one_weight():
    one = from_given([1.0, 2.0])
    other = from_given([1.0, math.nextafter(2.0, 3)])

    assert one.digest != other.digest


@pytest.mark.parametrize(
    ("given", "classes", "says"),
    [
        ([1.0, 2.0], ["a"], "2 weights for 1 classes"),
        ([], None, "empty"),
        ([[1.0, 2.0]], None, "nested"),
        (["heavy"], None, "'heavy'"),
        ({"a": 1.0}, ["b"], "same names"),
    ],
)
def test_wrong_weights_are_refused_with_what_was_seen(given, classes, says):
    with pytest.raises(ValueError, match=says):
        from_given(given, classes)


def test_counts_give_shares_and_their_product_with_the_weight():
    table = from_given([1.0, 3.0], ["cat", "dog"]).with_counts({"cat": 75, "dog": 25}).table()

    assert [row["share"] for row in table["classes"]] == [0.75, 0.25]
    assert [row["weight_x_share"] for row in table["classes"]] == [0.75, 0.75]


def test_twenty_classes_are_parameters_and_twenty_one_are_a_digest():
    few, many = from_given([1.0] * 20), from_given([1.0] * 21)

    assert len(few.params) == 21
    assert few.params["class_weight/3"] == "1.0"
    assert set(many.params) == {"class_weight/digest"}


def test_the_table_is_strict_json_even_with_nan_and_infinite_weights():
    table = from_given([float("nan"), float("inf"), -1.0]).table()

    assert [row["weight"] for row in json.loads(json.dumps(table, allow_nan=False))["classes"]] == ["nan", "inf", -1.0]


def test_a_loss_modules_weights_are_found():
    weight, positive = torch.tensor([1.0, 4.0]), torch.tensor([3.0])

    found = from_loss_module(nn.CrossEntropyLoss(weight=weight)) + from_loss_module(
        nn.BCEWithLogitsLoss(pos_weight=positive)
    )

    assert [(w.source, w.weights) for w in found] == [
        ("CrossEntropyLoss.weight", (1.0, 4.0)),
        ("BCEWithLogitsLoss.pos_weight", (3.0,)),
    ]


def test_a_focal_alpha_is_found_and_a_layers_weight_is_not():
    class FocalLoss(nn.Module):
        def __init__(self):
            super().__init__()
            self.alpha = [0.25, 0.75]

    assert [w.weights for w in from_loss_module(FocalLoss())] == [(0.25, 0.75)]
    assert from_loss_module(nn.Linear(1, 3)) == []
    assert from_loss_module(nn.CrossEntropyLoss()) == []
    assert from_loss_module(object()) == []


def test_tensors_that_are_no_class_weights_are_none():
    assert from_tensor(None) is None
    assert from_tensor(torch.ones(4, 3)) is None
    assert from_tensor(torch.ones(0)) is None
    assert from_tensor(torch.ones(3, device="meta")) is None
    assert from_tensor(torch.tensor(2.0)).weights == (2.0,)
    assert from_tensor(torch.ones(1, 3)).weights == (1.0, 1.0, 1.0)


def test_a_sampler_is_aggregated_by_label():
    labels = torch.tensor([0] * 8 + [1] * 2)
    sampler = WeightedRandomSampler([0.125] * 8 + [0.5] * 2, num_samples=10)

    found = from_sampler(sampler, labels)

    assert found.classes == ("0", "1")
    assert found.weights == (0.125, 0.5)
    assert found.counts == (8, 2)


def test_a_sampler_without_labels_is_grouped_by_its_distinct_weights():
    found = from_sampler(WeightedRandomSampler([0.1] * 8 + [0.4] * 2, num_samples=10))

    assert found.classes == ("weight 0.1", "weight 0.4")
    assert found.counts == (8, 2)
    assert "labels unknown" in found.source


def test_a_sampler_of_continuous_weights_or_without_weights_is_none():
    many = WeightedRandomSampler(torch.rand(2000, generator=torch.Generator().manual_seed(0)), num_samples=10)

    assert from_sampler(many) is None
    assert from_sampler(object()) is None
