"""Edges of the rules about which samples are seen: repeated, shared between sets, or drawn alike by workers."""

import pytest

from tracker.rules import NotApplicable
from tracker.rules.data.duplicate_samples import DuplicateSamples
from tracker.rules.data.duplicate_worker_randomness import DuplicateWorkerRandomness
from tracker.rules.data.evaluation_on_training_data import EvaluationOnTrainingData
from tracker.rules.data.repeated_batch import RepeatedBatch
from tracker.rules.data.split_leakage import SplitLeakage
from tracker.rules.testing import judge


def overlap(shared, samples=300, train=900, **more):
    return {
        "overlap": {
            "train_samples": train,
            "train_duplicates": 0,
            "val": {"samples": samples, "shared": shared},
            **more,
        }
    }


@pytest.mark.parametrize(("shared", "fires"), [(0, False), (7, False), (14, False), (16, True), (200, True)])
def test_more_than_a_twentieth_of_a_set_is_a_leak(shared, fires):
    assert bool(judge(SplitLeakage(), facts=overlap(shared))) is fires


def test_samples_of_few_values_are_equal_by_chance():
    with pytest.raises(NotApplicable, match="by chance"):
        judge(SplitLeakage(), facts=overlap(200, is_few=True))


@pytest.mark.parametrize(("doubles", "fires"), [(0, True), (400, False)])
def test_tokens_that_repeat_within_the_training_may_repeat_in_the_held_out_text(doubles, fires):
    facts = overlap(100, train_duplicates=doubles) | {"inputs": {"ids": {"shape": [8, 32], "dtype": "int64"}}}

    assert bool(judge(SplitLeakage(), facts=facts)) is fires


@pytest.mark.parametrize(("is_continuous", "fires"), [(True, True), (False, False)])
def test_measured_values_are_never_twice_there_by_chance(is_continuous, fires):
    facts = overlap(100, train_duplicates=400, is_continuous=is_continuous)

    assert bool(judge(SplitLeakage(), facts=facts)) is fires


def test_a_set_that_is_all_of_the_training_data_is_another_fault():
    facts = overlap(880, samples=900)

    assert judge(SplitLeakage(), facts=facts) == []
    assert judge(EvaluationOnTrainingData(), facts=facts)


def test_a_held_out_set_inside_the_training_data_is_a_leak_and_no_copy():
    facts = overlap(300, samples=300) | {"loaders": [{"split": "train", "dataset_length": 1000}]}

    assert judge(SplitLeakage(), facts=facts)
    assert judge(EvaluationOnTrainingData(), facts=facts | {"evaluation": {"sets": {"val": {}}}}) == []


@pytest.mark.parametrize(
    ("names", "fires"),
    [(["val_loader"], True), (["X_test"], True), (["xb", "Xte"], True), (["train_loader"], False), (["x"], False),
     (["latest_values"], False)],
)  # fmt: skip
def test_training_data_under_the_name_of_held_out_data_is_told(names, fires):
    found = judge(EvaluationOnTrainingData(), facts={"evaluation": {"sets": {"train": {"names": names}}}})

    assert bool(found) is fires


def test_training_data_may_be_evaluated_beside_held_out_data():
    sets = {"train": {"names": ["val_loader"]}, "val": {"samples": 100}}

    assert judge(EvaluationOnTrainingData(), facts={"evaluation": {"sets": sets}}) == []


OVER = {"judge": {9: {"phase": "run"}}}


@pytest.mark.parametrize(
    ("train", "others", "events", "subjects"),
    [
        ({"source": "loader", "results": ["val_loss", "val_acc"]}, [], OVER, ["val_loss"]),
        ({"source": "by hand", "results": ["val_loss"]}, [], OVER, []),  # the same variables may hold another set
        ({"source": "loader", "results": ["train_loss"]}, [], OVER, []),
        ({"source": "loader", "results": ["val_loss"]}, [], {}, []),  # a test may still come
        ({"source": "loader", "results": ["val_loss"]}, ["val"], OVER, []),
        ({"source": "loader", "results": ["loss"], "unused": ["test_loader"]}, [], OVER, ["test_loader"]),
        ({"source": "loader", "results": ["loss"], "unused": ["other"]}, [], OVER, []),
    ],
)
def test_a_score_that_is_called_held_out_and_is_not_is_told_at_the_end(train, others, events, subjects):
    loaders = [{"split": split} for split in ("train", *others)]
    facts = {"evaluation": {"sets": {"train": {"names": ["train_loader"], **train}}}, "loaders": loaders}

    assert [one.subject for one in judge(EvaluationOnTrainingData(), facts=facts, events=events)] == subjects


def repeated(samples, data=1000, looked=18, **more):
    return {
        "batch/looked_at": {"train": [looked - 8.0, 4.0, 4.0]},
        "batch_size": {"train": [32.0]},
        "facts": {"overlap": {"train_samples": samples}, "loaders": [{"split": "train", "dataset_length": data}]},
        **more,
    }


@pytest.mark.parametrize(("samples", "fires"), [(32, True), (64, False), (500, False)])
def test_batches_that_hold_one_batch_of_samples_are_one(samples, fires):
    assert bool(judge(RepeatedBatch(), **repeated(samples))) is fires


@pytest.mark.parametrize(("again", "fires"), [(2.0, False), (12.0, True)])
def test_samples_of_few_values_are_repeated_where_whole_batches_are(again, fires):
    case = repeated(8, **{"batch/repeated": {"train": [again, 0.0, 0.0]}})
    case["facts"]["overlap"]["is_few"] = True

    if fires:
        assert judge(RepeatedBatch(), **case)
    else:
        with pytest.raises(NotApplicable, match="by chance"):
            judge(RepeatedBatch(), **case)


@pytest.mark.parametrize("case", [repeated(32, data=32), repeated(32, looked=9)])
def test_all_of_the_data_and_one_look_are_no_repetition(case):
    with pytest.raises(NotApplicable):
        judge(RepeatedBatch(), **case)


def test_a_slice_by_hand_may_be_the_share_of_the_data_that_is_trained_on():
    case = repeated(32)
    for rows in (100, 1000):
        case["facts"] = {"overlap": {"train_samples": 32}, "batches": {"source": "by hand", "rows": rows}}
        if rows == 100:
            with pytest.raises(NotApplicable):
                judge(RepeatedBatch(), **case)
        else:
            assert judge(RepeatedBatch(), **case)


@pytest.mark.parametrize(
    ("means", "varied", "fires"), [([0.3] * 12, 0.4, True), ([0.3, 0.31] * 6, 0.4, False), ([0.3] * 12, 0.0, False)]
)
def test_a_model_that_is_given_one_batch_while_the_loader_gives_others_is_told(means, varied, fires):
    case = repeated(
        500,
        **{"input/mean": {"train/x": means}, "input/std": {"train/x": [1.0] * 12}},
        **{"input/low": {"train/x": [0.0] * 12}, "input/high": {"train/x": [2.0] * 12}},
        **{"input/varied": {"train/x": [varied] * 12}},
    )

    assert bool(judge(RepeatedBatch(), **case)) is fires


@pytest.mark.parametrize(("copies", "fires"), [(50, False), (400, True)])
def test_a_fifth_of_copies_is_remarked(copies, fires):
    facts = {"overlap": {"train_samples": 600, "train_duplicates": copies}}

    assert bool(judge(DuplicateSamples(), facts=facts)) is fires


@pytest.mark.parametrize(
    ("split", "generator", "fires"),
    [
        ("train", {"equal": True, "drawn": True}, True),
        ("train", {"equal": True, "drawn": False}, False),
        ("train", {"equal": False, "drawn": True, "same_each_pass": True}, True),
        ("train", {"equal": False, "drawn": True, "same_each_pass": None}, False),
    ],
)
def test_workers_that_draw_alike_are_told(split, generator, fires):
    facts = {"workers": [{"split": split, "seen": 2, "generators": {"numpy": generator}}]}

    assert [f.subject for f in judge(DuplicateWorkerRandomness(), facts=facts)] == (["numpy"] if fires else [])


def test_workers_of_held_out_data_are_not_judged():
    facts = {"workers": [{"split": "val", "seen": 2, "generators": {"numpy": {"equal": True, "drawn": True}}}]}

    with pytest.raises(NotApplicable):
        judge(DuplicateWorkerRandomness(), facts=facts)
