"""Edges of the rules about inputs: what is not finite, off scale, constant, or prepared in two ways."""

import math

import pytest

from tracker.rules import NotApplicable
from tracker.rules.data.constant_input import ConstantInput
from tracker.rules.data.nonfinite_input import NonfiniteInput
from tracker.rules.data.train_eval_preprocessing_mismatch import TrainEvalPreprocessingMismatch
from tracker.rules.data.unnormalised_input import UnnormalisedInput
from tracker.rules.testing import judge

NAN = math.nan


def layers(*classes):
    return {"model": {"": {"layers": {f"layer{n}": {"class": name} for n, name in enumerate(classes)}}}}


def inputs(mean, std, **more):
    return {"input/mean": {"train/x": [mean] * 5}, "input/std": {"train/x": [std] * 5}, **more}


@pytest.mark.parametrize(
    ("counts", "losses", "fires"),
    [
        ([0, 0, 2, 0], [1, 1, NAN, NAN], True),
        ([0, 0, 2, 0], [1, 1, 1, 1], False),  # masked by the model
        ([0, 0, *[2] * 20], [1, *[NAN] * 21], False),  # made by a model that has diverged
        ([0, 0, 0, 2, 0, 0], [1, NAN, NAN, NAN, NAN, NAN], True),  # looked at later, in some batches
    ],
)
def test_inputs_are_at_fault_when_they_broke_before_the_loss_did(counts, losses, fires):
    found = judge(NonfiniteInput(), **{"input/nonfinite": {"train/x": counts}}, loss=losses)

    assert [finding.subject for finding in found] == (["train/x"] if fires else [])


@pytest.mark.parametrize(
    ("mean", "std", "fires"),
    [
        (0, 1, False),
        (0.45, 0.25, False),
        (6, 5, False),
        (33, 78, True),
        (100, 1, True),
        (0, 0.05, False),
        (0, 1e-3, True),
    ],
)
def test_inputs_tens_of_times_too_large_or_hundreds_too_small_are_told(mean, std, fires):
    found = judge(UnnormalisedInput(), **inputs(mean, std), facts=layers("Linear", "ReLU", "Linear"))

    assert bool(found) is fires


@pytest.mark.parametrize(
    ("varied", "classes", "losses", "fires"),
    [
        (0.0016, ["Conv2d", "ReLU", "Linear"], [1.39, 1.38] * 100, True),  # divided by 255 twice, and shifted
        (0.0016, ["Conv2d", "ReLU", "Linear"], [1.39 * 0.99**n for n in range(200)], False),
        (0.0016, ["BatchNorm2d", "Conv2d", "ReLU"], [1.39, 1.38] * 100, False),
        (0.1, ["Conv2d", "ReLU", "Linear"], [1.39, 1.38] * 100, False),
        (0.0, ["Conv2d", "ReLU", "Linear"], [1.39, 1.38] * 100, False),  # all the same: another rule's
    ],
)
def test_samples_that_hardly_differ_beside_their_level_are_told_where_nothing_is_learned(
    varied, classes, losses, fires
):
    case = inputs(-0.998, 0.002, **{"input/varied": {"train/x": [varied] * 5}}, loss=losses)
    found = judge(UnnormalisedInput(), **case, facts=layers(*classes), events={"judge": {199: {"phase": "run"}}})

    assert [("differ by 0.0016 only" in one.message) for one in found] == [True] * fires


@pytest.mark.parametrize(
    "classes",
    [["BatchNorm1d", "Linear"], ["LayerNorm", "Linear"], ["Embedding", "Linear"], ["Conv2d", "BatchNorm2d", "ReLU"]],
)
def test_a_model_that_normalises_first_may_be_given_anything(classes):
    assert judge(UnnormalisedInput(), **inputs(33, 78), facts=layers(*classes)) == []


@pytest.mark.parametrize(("scale", "fires"), [(40.0, True), (0.3, False)])
def test_a_model_that_rescales_first_shows_it_in_its_first_output(scale, fires):
    found = judge(
        UnnormalisedInput(), **inputs(33, 78), **{"output/rms": {"layer0": [scale] * 5}}, facts=layers("Linear")
    )

    assert bool(found) is fires


def test_the_largest_input_is_judged_and_not_a_time_step_beside_it():
    facts = layers("Linear") | {
        "inputs": {"x": {"shape": [8, 64], "dtype": "float32"}, "t": {"shape": [8, 1], "dtype": "float32"}}
    }
    case = {
        "input/mean": {"train/x": [0.0] * 5, "train/t": [500.0] * 5},
        "input/std": {"train/x": [1.0] * 5, "train/t": [300.0] * 5},
    }

    assert judge(UnnormalisedInput(), **case, facts=facts) == []


def test_scales_are_not_judged_beside_token_ids():
    facts = layers("Linear") | {"inputs": {"ids": {"shape": [8, 64], "dtype": "int64"}}}

    with pytest.raises(NotApplicable, match="whole numbers"):
        judge(UnnormalisedInput(), **inputs(33, 78), facts=facts)


def test_one_input_that_varies_is_enough():
    case = {"input/varied": {"train/x": [0.4] * 6, "train/mask": [0.0] * 6}}

    assert judge(ConstantInput(), **case) == []


def test_a_batch_of_one_sample_has_no_spread():
    with pytest.raises(NotApplicable, match="one sample"):
        judge(ConstantInput(), **{"input/varied": {"train/x": [0.0] * 6}, "batch_size": {"train": [1.0]}})


@pytest.mark.parametrize(("equal", "fires"), [(5, False), (400, True)])
def test_all_samples_of_a_training_being_one_is_told(equal, fires):
    facts = {"overlap": {"train_samples": 1, "train_duplicates": equal}}

    found = judge(ConstantInput(), facts=facts, **{"input/varied": {"train/x": [0.3] * 6}})

    assert bool(found) is fires


def asked(ids=(0, 1), forms=2, rows=48, looks=8, positions=False, table="emb.weight"):
    return {"table": table, "rows": rows, "looks": looks, "ids": list(ids), "forms": forms, "positions": positions}


POSITIONS = asked(range(5), 3, 64, positions=True, table="pos.weight")
SEGMENTS = asked((0,), 1, 2, table="segment.weight")


@pytest.mark.parametrize(
    ("lookups", "dtype", "fires"),
    [
        ([asked()], "int64", True),
        ([asked((1,), 1)], "int64", True),
        ([asked((0, 1, 2, 3), 2), POSITIONS, SEGMENTS], "int64", True),
        ([asked(forms=3)], "int64", False),  # zeros and ones in any order
        ([asked(rows=3)], "int64", False),
        ([asked(looks=4)], "int64", False),
        ([asked(range(5), 2)], "int64", False),
        ([asked()], "float32", False),  # one column beside numbers
        ([asked(), asked((0, 1), 2, 5, table="other.weight")], "int64", False),  # columns of few levels
        ([asked(), asked(range(5), 3, 900, table="other.weight")], "int64", False),
        ([POSITIONS], "int64", False),
    ],
)
def test_a_vocabulary_of_which_one_word_is_used_is_a_constant_input(lookups, dtype, fires):
    facts = {"graph": {"lookups": lookups}, "inputs": {"x": {"shape": [8, 5], "dtype": dtype}}}

    try:
        found = judge(ConstantInput(), facts=facts)
    except NotApplicable:
        found = []

    assert [one.subject for one in found] == (["emb.weight"] if fires else [])


def both(mean, std, val_mean, val_std, **more):
    return {
        "input/mean": {"train/x": [mean] * 5, "val/x": [val_mean] * 3},
        "input/std": {"train/x": [std] * 5, "val/x": [val_std] * 3},
        "input/low": {"train/x": [mean - 2 * std] * 5, "val/x": [val_mean - 2 * val_std] * 3},
        "input/high": {"train/x": [mean + 2 * std] * 5, "val/x": [val_mean + 2 * val_std] * 3},
        **more,
    }


@pytest.mark.parametrize(
    ("theirs", "fires"), [((0.02, 1.05), False), ((0.1, 0.6), False), ((0.3, 0.37), True), ((33, 78), True)]
)
def test_spreads_that_differ_by_a_factor_of_two_are_two_preparations(theirs, fires):
    labels = {"loss": {"function": "cross_entropy"}}
    found = judge(TrainEvalPreprocessingMismatch(), **both(0, 1, *theirs), facts=labels)

    assert [finding.subject for finding in found] == (["x"] if fires else [])


def test_a_series_may_change_its_scale_by_more():
    assert judge(TrainEvalPreprocessingMismatch(), **both(0, 1, 0.3, 0.37)) == []
    assert judge(TrainEvalPreprocessingMismatch(), **both(0, 1, 33, 78))


@pytest.mark.parametrize(("loss", "fires"), [(0.5, False), (3.0, True)])
def test_means_apart_count_when_the_held_out_loss_suffers(loss, fires):
    found = judge(TrainEvalPreprocessingMismatch(), **both(0, 1, 3.6, 1.1), epoch_loss=[0.5] * 3, val_loss=[loss] * 3)

    assert bool(found) is fires


def test_held_out_batches_of_mostly_padding_have_the_same_range():
    case = both(0, 1, 0.1, 0.4)
    case["input/low"]["val/x"], case["input/high"]["val/x"] = [-2.0] * 3, [2.0] * 3

    assert judge(TrainEvalPreprocessingMismatch(), **case, facts={"loss": {"function": "cross_entropy"}}) == []


def answers(new=0.5, held_out=0.72, accuracy=0.5, **facts):
    """Two classes in 60 steps a pass: the training is learned within the first, and held-out data is not."""
    return {
        "loss": [0.69] * 20 + [new] * 160,
        "loss/val": [held_out, held_out + 0.2, held_out + 0.5],
        "accuracy/val": [accuracy] * 3,
        "class_count": {"0": [500.0] * 3, "1": [500.0] * 3},
        "facts": {
            "loss": {"function": "cross_entropy", "reduction": "mean", "n_classes": 2, "outputs_shape": [10, 2]},
            "loaders": [{"split": "train", "length": 60}],
            **facts,
        },
    }


@pytest.mark.parametrize(
    ("case", "fires"),
    [
        (answers(), True),
        (answers(held_out=0.66), False),  # something of it is right
        (answers(new=0.68), False),  # nothing is known of new samples: it may be memorised later
        (answers(new=0.3, accuracy=0.7), True),  # too sure of what is wrong throughout
        (answers(new=0.5, accuracy=0.7), False),
        (answers(new=0.6), False),  # little is learned
        (answers(new=0.3, held_out=0.69, accuracy=0.7), False),  # hardly wrong, and often right
        (answers() | {"loss": [0.69] * 60 + [0.3] * 120}, False),  # of what was seen before
    ],
)
def test_what_is_answered_when_new_in_training_and_never_when_held_out_is_prepared_otherwise(case, fires):
    found = judge(TrainEvalPreprocessingMismatch(), **case)

    assert [finding.evidence["new"] < 0.55 for finding in found] == [True] * fires


def test_memorising_begins_with_the_third_pass():
    case = answers()
    case["loss"] = [0.69] * 120 + [0.1] * 60

    assert judge(TrainEvalPreprocessingMismatch(), **case) == []


MEAN = answers()["facts"]["loss"]


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"facts": answers(model={"": {"norms": 1}})["facts"]}, "batch normalisation"),
        ({"labels/runs": {"train": [0.9] * 3}}, "runs"),
        ({"recall": {"val/2": [0.0] * 3}}, "classes that training never had"),
        ({"facts": answers(overlap={"train_samples": 90, "train_duplicates": 30})["facts"]}, "several times"),
        ({"facts": answers(loaders=[])["facts"]}, "how long a pass"),
        ({"loss/val": [0.8, 0.9]}, "2 held-out evaluations"),
        ({"loss/val": [0.8, float("nan"), 0.9]}, "held-out evaluations"),
        ({"facts": answers(loss=MEAN | {"weighted": True})["facts"]}, "weighted, smoothed"),
        ({"facts": answers(loss=MEAN | {"label_smoothing": 0.1})["facts"]}, "weighted, smoothed"),
        ({"facts": answers(loss=MEAN | {"reduction": "sum"})["facts"]}, "weighted, smoothed"),
        ({"facts": answers(loss=MEAN | {"scaled": True})["facts"]}, "weighted, smoothed"),
        ({"facts": answers(loss=MEAN | {"function": "mse_loss"})["facts"]}, "constant answer is not known"),
        ({"class_count": {"0": [500.0] * 3}}, "constant answer is not known"),
        ({"facts": answers(loaders=[{"split": "train", "length": 3}])["facts"]}, "3 losses of samples that were new"),
        ({"loss": [0.69] * 20 + [float("inf")] + [0.5] * 159}, "losses of samples that were new"),
    ],
)
def test_what_the_model_makes_of_held_out_data_is_not_always_a_sign(changed, reason):
    with pytest.raises(NotApplicable, match=reason):
        judge(TrainEvalPreprocessingMismatch(), **(answers() | changed))


@pytest.mark.parametrize(("rows", "fires"), [(600, True), (10, False)])
def test_of_batches_made_by_hand_the_rows_behind_them_tell_a_pass(rows, fires):
    case = answers(loaders=[], batches={"source": "by hand", "rows": rows})

    if fires:
        assert judge(TrainEvalPreprocessingMismatch(), **case)
    else:
        with pytest.raises(NotApplicable):
            judge(TrainEvalPreprocessingMismatch(), **case)


@pytest.mark.parametrize(
    ("kind", "op", "fires"), [("input", "addmm", True), ("input", "softmax", False), ("operation", "addmm", False)]
)
def test_a_batch_that_was_found_at_the_bottom_of_a_bad_loss_is_told(kind, op, fires):
    events = {"nonfinite_origin": {2: {"kind": kind, "op": op, "batch_indices": [7, 50]}}}

    found = judge(NonfiniteInput(), **{"input/nonfinite": {"train/x": [0] * 2}}, loss=[1, 1, NAN, NAN], events=events)

    assert ["samples [7, 50]" in finding.message for finding in found] == ([True] if fires else [])


@pytest.mark.parametrize(
    ("op", "data_finite", "counts", "fires"),
    [
        ("addmm", None, [0, 0], True),
        ("addmm", False, [0, 0], True),
        ("addmm", True, [0, 0], False),  # the model's own scaling divided by 0
        ("addmm", None, [0, 0, 0], False),  # the inputs of that very step were measured
        ("mseloss", None, [0, 0, 0], True),  # targets are no inputs
    ],
)
def test_what_a_model_makes_of_finite_data_is_not_the_datas_fault(op, data_finite, counts, fires):
    events = {"nonfinite_origin": {2: {"kind": "input", "op": op, "data_finite": data_finite}}}

    found = judge(NonfiniteInput(), **{"input/nonfinite": {"train/x": counts}}, loss=[1, 1, NAN, NAN], events=events)

    assert bool(found) is fires
