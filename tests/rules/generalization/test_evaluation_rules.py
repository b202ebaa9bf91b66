"""Edges of the rules about held-out data: collapse, classes that fail, modes that differ, scores that cannot be."""

import pytest

from tracker.rules import NotApplicable
from tracker.rules.generalization.collapsed_predictions import CollapsedPredictions
from tracker.rules.generalization.metric_inconsistent import MetricInconsistent
from tracker.rules.generalization.no_better_than_baseline import NoBetterThanBaseline
from tracker.rules.generalization.per_class_failure import PerClassFailure
from tracker.rules.generalization.suspiciously_good import SuspiciouslyGood
from tracker.rules.generalization.train_eval_gap import TrainEvalGap
from tracker.rules.generalization.validation_better_than_training import ValidationBetterThanTraining
from tracker.rules.testing import judge, outcome_of


def predicted(counts, first=1.0, second=0.0, share=0.5, n=4):
    return {
        "recall": {"val/0": [first] * n, "val/1": [second] * n},
        "arrays": {"predictions": {"val": counts}},
        "facts": {"loss": {"function": "cross_entropy", "n_classes": 2}},
        "class_count": {"0": [1000 * share] * n, "1": [1000 - 1000 * share] * n},
    }


@pytest.mark.parametrize(
    ("case", "fires"),
    [
        (predicted([199, 1]), True),
        (predicted([190, 10], second=0.1), False),
        (predicted([200, 0], share=0.9), False),
        (predicted([200, 0]) | {"accuracy/val": [0.95] * 4}, False),
        (predicted([200, 0]) | {"recall": {"val/0": [0.5, 0.5, 0.5, 1.0], "val/1": [0.5, 0.5, 0.5, 0.0]}}, False),
    ],
)
def test_one_answer_for_everything_is_a_collapse_unless_it_is_right(case, fires):
    assert bool(judge(CollapsedPredictions(), **case)) is fires


@pytest.mark.parametrize("case", [predicted([20, 0]), predicted([200, 0], n=2)])
def test_few_predictions_and_few_evaluations_are_not_judged(case):
    with pytest.raises(NotApplicable):
        judge(CollapsedPredictions(), **case)


def classes(last, others=0.9, labels=200.0, **more):
    return {
        "recall": {**{f"val/{n}": [others] * 12 for n in range(3)}, "val/3": [0.2] * 9 + last},
        "class_count": {**{str(n): [200.0] * 12 for n in range(3)}, "3": [labels] * 12},
        "facts": {"loss": {"function": "cross_entropy", "n_classes": 4}},
        **more,
    }


@pytest.mark.parametrize(
    ("case", "fires"),
    [
        (classes([0.0, 0.0, 0.0]), True),
        (classes([0.1, 0.0, 0.0]), False),
        (classes([0.0, 0.0, 0.0], others=0.4), False),
        (classes([0.0, 0.0, 0.0], labels=10.0), False),
    ],
)
def test_a_class_that_is_never_recognised_fails_where_the_others_do_not(case, fires):
    assert [finding.subject for finding in judge(PerClassFailure(), **case)] == (["3"] if fires else [])


def test_while_the_loss_falls_fast_a_class_may_be_learned_last():
    with pytest.raises(NotApplicable, match="falling fast"):
        judge(PerClassFailure(), **classes([0.0] * 3), val_loss=[2.0 * 0.9**n for n in range(12)])


def test_while_the_held_out_loss_is_at_its_best_a_class_may_still_come():
    with pytest.raises(NotApplicable, match="still falling"):
        judge(PerClassFailure(), **classes([0.0] * 3), val_loss=[1.0 - 0.02 * n for n in range(12)])


def split_by_class(share_known=0.0, recall=0.95, absent=0.0, counts=200.0, accuracy=None, at_end=True):
    """Held-out data with a class 3 that training has none of; of the other classes, `share_known` of it."""
    known = {f"val/{n}": [recall] * 8 for n in range(3)} if share_known else {}
    return {
        "recall": {**known, "val/3": [absent] * 8},
        "class_count": {str(n): [counts] * 8 for n in range(3)},
        "accuracy/val": [share_known * recall if accuracy is None else accuracy] * 8,
        "facts": {"loss": {"function": "cross_entropy", "n_classes": 4}},
        "events": {"judge": {7: {"phase": "run" if at_end else "epoch"}}},
    }


@pytest.mark.parametrize(
    ("case", "fires"),
    [
        (split_by_class(), True),
        (split_by_class(0.7), True),
        (split_by_class(0.7, recall=0.0), False),  # the classes have other numbers there, perhaps
        (split_by_class(0.7, absent=0.2), False),
        (split_by_class(0.99), False),  # a rare class, one that just was not counted
        (split_by_class(counts=20.0), False),
        (split_by_class(at_end=False), False),  # tasks one after another: its turn may come
    ],
)
def test_a_class_of_the_held_out_data_that_training_never_has_fails(case, fires):
    assert [finding.subject for finding in outcome_of(PerClassFailure(), **case).findings] == (["3"] if fires else [])


def modes(held_out, training, layers="norms", **more):
    return {"loss/val": held_out, "loss/epoch": training, "facts": {"model": {"": {layers: 2}}}, **more}


@pytest.mark.parametrize(
    ("case", "fires"),
    [
        (modes([5.0, 9.0, 8.0, 6.0], [1.2, 0.3, 0.1, 0.05]), True),
        (modes([1.3, 0.9, 1.0, 1.2], [1.2, 0.6, 0.3, 0.1]), False),  # overfitting comes later
        (modes([5.0, 0.6, 0.5, 0.4], [1.2, 0.6, 0.5, 0.4]), False),  # running statistics that settle
        (modes([5.0, 9.0, 8.0, 6.0], [1.2, 0.3, 0.1, 0.05], val_accuracy=[0.9] * 4, train_accuracy=[1.0] * 4), False),
    ],
)  # fmt: skip
def test_modes_that_are_apart_from_the_start_are_no_overfitting(case, fires):
    assert bool(judge(TrainEvalGap(), **case)) is fires


def test_without_layers_that_change_there_are_no_two_modes():
    with pytest.raises(NotApplicable):
        judge(TrainEvalGap(), **modes([5.0] * 4, [0.1] * 4, layers="other"))


@pytest.mark.parametrize(
    ("target", "change", "losses", "fires"),
    [
        ("pass 0/0", "same", [0.05, 0.01], True),
        ("pass 0/0", "shift", [0.05, 0.01], False),
        ("frame y", "same", [0.05, 0.01], False),
        ("pass 0/0", "same", [2.0, 1.0], False),
    ],
)
def test_labels_that_are_the_input_make_a_loss_of_nothing(target, change, losses, fires):
    facts = {
        "evaluation": {"target": target, "change": change},
        "loss": {"function": "cross_entropy", "n_classes": 60},
    }

    assert bool(judge(SuspiciouslyGood(), val_loss=losses, facts=facts)) is fires


@pytest.mark.parametrize(("held_out", "fires"), [(0.2, True), (0.35, False)])
def test_a_held_out_loss_below_half_is_remarked(held_out, fires):
    found = judge(ValidationBetterThanTraining(), val_loss=[held_out] * 4, epoch_loss=[0.5] * 4)

    assert bool(found) is fires


def test_dropout_explains_a_lower_held_out_loss():
    with pytest.raises(NotApplicable, match="dropout"):
        judge(
            ValidationBetterThanTraining(),
            val_loss=[0.1] * 4,
            epoch_loss=[0.5] * 4,
            facts={"model": {"": {"dropout": 1}}},
        )


@pytest.mark.parametrize(
    ("key", "values", "fires"),
    [
        ("val_acc", [0.5, 0.9, 1.0], False),
        ("val_acc", [50.0, 90.0, 100.0], False),
        ("val_acc", [0.5, 0.9, 107.0], True),
        ("trainAccuracy", [-0.2, 0.1, 0.3], True),
        ("n_correct_acc_total", [450.0, 470.0], None),
        ("val_loss", [-1.0, 200.0], None),
    ],
)
def test_a_share_lies_between_nothing_and_all(key, values, fires):
    if fires is None:
        with pytest.raises(NotApplicable):
            judge(MetricInconsistent(), metric={key: values})
        return

    assert [f.subject for f in judge(MetricInconsistent(), metric={key: values})] == ([key] if fires else [])


@pytest.mark.parametrize(
    ("key", "theirs", "fires"),
    [("val_acc", 0.05, True), ("val_acc", 95.5, False), ("val_acc", 0.91, False), ("val_balanced_acc", 0.3, False)],
)
def test_an_accuracy_is_compared_with_that_of_the_same_outputs(key, theirs, fires):
    case = {
        "metric": {key: [theirs] * 4},
        "accuracy/val": [0.95] * 4,
        "facts": {"evaluation": {"verified": True, "sets": {"val": {"partial": False}}}},
    }

    assert bool(judge(MetricInconsistent(), **case)) is fires


def counted(gains, per_batch=None, measured=(0.95,) * 4, split="val", targets=(32,), sums=None):
    """What the rule says of counters in passes over a set, whose accuracy was measured."""
    found = judge(
        MetricInconsistent(),
        **{
            "score/sample": {f"{split}/{name}": values for name, values in gains.items()},
            "score/batch": {f"{split}/{name}": values for name, values in (per_batch or {}).items()},
            "score/sum": {f"{split}/{name}": values for name, values in (sums or {}).items()},
            "accuracy/train" if split == "train" else "accuracy/val": list(measured),
            "batch_size": {"train": [32.0]},
        },
        facts={
            "evaluation": {"verified": True, "sets": {"val": {"partial": False}}},
            "loss": {"function": "cross_entropy", "targets_shape": list(targets)},
        },
    )
    return [finding.subject for finding in found]


@pytest.mark.parametrize(
    ("gains", "expected"),
    [
        ({"correct": [0.1, 0.08, 0.12, 0.1]}, ["val/correct"]),
        ({"correct": [0.95, 0.95, 0.95, 0.95]}, []),
        ({"correct": [0.1, 0.08, 0.9, 0.1]}, []),  # one that agrees is enough
        ({"correct": [0.76] * 4}, []),
        ({"correct": [0.74] * 4}, ["val/correct"]),
        ({"correct": [1.0] * 4}, []),  # hits within one grade, say
        ({"correct": [12.5] * 4}, ["val/correct"]),
        ({"correct": [0.1] * 4, "hits": [0.95] * 4}, []),  # the one that is meant is there
        ({"best_correct": [0.1] * 4}, None),
    ],
)
def test_what_is_counted_must_not_be_far_below_what_was_measured(gains, expected):
    if expected is None:
        with pytest.raises(NotApplicable):
            counted(gains)
        return

    assert counted(gains) == expected


@pytest.mark.parametrize(("mean", "fires"), [(0.95, False), (95.0, False), (0.5, True), (50.0, True)])
def test_a_sum_may_be_one_of_shares_or_of_percent(mean, fires):
    assert bool(counted({}, {"accs": [mean] * 4})) is fires


@pytest.mark.parametrize(("total", "fires"), [(0.95, False), (95.0, False), (0.4, True), (2.0, True)])
def test_each_batch_may_add_its_share_of_all_samples(total, fires):
    assert bool(counted({}, {"acc": [total / 4] * 4}, sums={"acc": [total] * 4})) is fires


def test_what_is_accumulated_may_be_the_loss():
    case = {
        "score/batch": {"val/acc": [0.31] * 4},
        "accuracy/val": [0.9] * 4,
        "val_loss": [0.3] * 4,
        "facts": {"evaluation": {"verified": True, "sets": {"val": {}}}},
    }

    with pytest.raises(NotApplicable):
        judge(MetricInconsistent(), **case)


@pytest.mark.parametrize(("share", "targets", "fires"), [(0.7, (32,), False), (0.6, (32,), True), (0.6, (32, 9), None)])
def test_in_training_what_is_counted_is_compared_with_the_batches_that_were_looked_at(share, targets, fires):
    if fires is None:
        with pytest.raises(NotApplicable):
            counted({"correct": [share] * 4}, split="train", targets=targets)
        return

    assert counted({"correct": [share] * 4}, split="train", targets=targets) == (["train/correct"] if fires else [])


@pytest.mark.parametrize(
    ("values", "train", "fires"),
    [
        ([0.5, 0.51, 0.52, 0.5], 0.9, True),
        ([50.0, 51.0, 52.0, 50.0], 0.9, True),
        ([0.5, 0.51, 0.52, 0.5], 0.75, False),  # it may be that of the training
        ([0.5, 0.5, 0.5, 0.5], 0.9, False),  # it may be left from another model
        ([0.5, 0.51, 0.65, 0.5], 0.9, False),
        ([0.99, 1.0, 0.99, 1.0], 0.5, False),
    ],
)
def test_an_accuracy_of_nobody_knows_what_is_far_below_all_that_were_measured(values, train, fires):
    found = judge(
        MetricInconsistent(),
        **{"score": {"acc": values}, "accuracy/val": [0.95] * 4, "accuracy/train": [train] * 4},
        facts={
            "evaluation": {"verified": True, "sets": {"val": {"partial": False, "source": "loader"}}},
            "loss": {"function": "cross_entropy", "targets_shape": [32]},
        },
    )

    assert bool(found) is fires


@pytest.mark.parametrize(
    ("ratios", "fires"), [([1.02, 1.01, 1.03, 1.05], True), ([1.02, 0.97, 1.01, 1.02], False), ([0.4] * 4, False)]
)
def test_a_regression_is_compared_with_the_spread_of_its_targets(ratios, fires):
    found = judge(
        NoBetterThanBaseline(),
        **{"error": {"val": [2.0 * ratio for ratio in ratios]}, "targets/std": {"val": [2.0] * 4}},
        facts={"loss": {"function": "mse_loss"}},
    )

    assert bool(found) is fires
