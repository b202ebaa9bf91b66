"""Where the rules about data stop: what may look like a fault and is none."""

import pytest

from tracker.rules import NotApplicable, Status
from tracker.rules.preflight.duplicates_across_splits import DuplicatesAcrossSplits
from tracker.rules.preflight.image_layout import ImageLayout
from tracker.rules.preflight.label_imbalance import LabelImbalance
from tracker.rules.preflight.label_out_of_range import LabelOutOfRange
from tracker.rules.preflight.nonfinite_feature import NonfiniteFeature
from tracker.rules.preflight.sorted_labels import SortedLabels
from tracker.rules.preflight.unscaled_feature import UnscaledFeature
from tracker.rules.testing import judge, outcome_of


def told(**fact):
    return {"facts": {"drill/data-at-the-door": fact}}


@pytest.mark.parametrize(("rms", "fires"), [(19.0, False), (21.0, True), (0.006, False), (0.004, True)])
def test_values_are_unscaled_beyond_an_order_of_magnitude(rms, fires):
    first = [{"name": "flat", "class": "Flatten"}, {"name": "fc", "class": "Linear", "input": {"rms": rms}}]

    assert bool(judge(UnscaledFeature(), **told(first=first))) is fires


def test_values_are_not_judged_where_the_first_layer_is_normalised():
    first = [{"name": "fc", "class": "Linear", "input": {"rms": 90.0}}, {"name": "bn", "class": "BatchNorm1d"}]

    assert judge(UnscaledFeature(), **told(first=first)) == []


@pytest.mark.parametrize(("split", "fires"), [("test", True), ("val2", True), ("replay", False)])
def test_shared_samples_count_only_under_the_name_of_a_held_out_set(split, fires):
    overlap = {"train_samples": 500, "train_duplicates": 0, split: {"samples": 500, "shared": 500}}

    assert (outcome_of(DuplicatesAcrossSplits(), **told(overlap=overlap)).status is Status.FIRED) is fires


def test_as_many_copies_within_the_training_make_shared_ones_a_chance():
    overlap = {"train_samples": 800, "train_duplicates": 200, "val": {"samples": 300, "shared": 60}}

    assert judge(DuplicatesAcrossSplits(), **told(overlap=overlap)) == []
    assert judge(DuplicatesAcrossSplits(), **told(overlap={**overlap, "is_continuous": True}))


def test_samples_of_few_values_are_equal_by_chance():
    overlap = {"train_samples": 800, "is_few": True, "val": {"samples": 300, "shared": 60}}

    with pytest.raises(NotApplicable, match="by chance"):
        judge(DuplicatesAcrossSplits(), **told(overlap=overlap))


@pytest.mark.parametrize(("same_order", "fires"), [(True, True), (False, False), (None, False)])
def test_batches_of_one_class_count_only_where_two_passes_have_one_order(same_order, fires):
    order = {"same_order": same_order, "runs": 1.0, "chance": 0.1, "labels": 4096, "batches": 64, "pure": 64}

    assert bool(judge(SortedLabels(), **told(order=order))) is fires


def test_labels_that_the_loop_counts_anew_are_not_judged():
    labels = {
        "function": "cross_entropy",
        "n_classes": 3,
        "low": 0,
        "high": 2,
        "outside": 0,
        "counts": {"0": 9, "2": 9},
    }
    splits = {"train": {"counts": {"1": 99, "2": 99, "3": 99}}}

    assert judge(LabelOutOfRange(), **told(labels=labels, splits=splits, batch_size=18)) == []


def test_bad_samples_that_a_batch_should_have_held_are_cleaned_on_their_way():
    fact = {
        "given": {"0": {"nonfinite": 0}}, "batch_size": 50, "splits": {"train": {"samples": 1000}},
        "nonfinite": {"rows": 300, "output_finite": False},
    }  # fmt: skip

    assert judge(NonfiniteFeature(), **told(**fact)) == []
    assert judge(NonfiniteFeature(), **told(**{**fact, "nonfinite": {"rows": 30, "output_finite": False}}))


def test_weights_of_the_loss_make_up_for_rare_classes():
    splits = {"train": {"counts": {"0": 980, "1": 20}}}

    assert judge(LabelImbalance(), **told(splits=splits))
    assert judge(LabelImbalance(), **told(splits=splits, labels={"weighted": True})) == []


def test_features_with_a_last_axis_of_one_are_judged_only_as_the_model_is_given_them():
    first = [{"name": "conv", "class": "Conv2d", "input": {"shape": [32, 64, 64, 1]}}]

    assert judge(ImageLayout(), **told(first=first, given={"0": {"shape": [32, 4096]}})) == []
