"""Edges of the rules about labels: their order, their weights, and whether they belong to the inputs."""

import pytest

from tracker.rules import NotApplicable
from tracker.rules.data.class_imbalance_corrected_twice import ClassImbalanceCorrectedTwice
from tracker.rules.data.class_imbalance_unweighted import ClassImbalanceUnweighted
from tracker.rules.data.class_weights_inverted import ClassWeightsInverted
from tracker.rules.data.constant_labels import ConstantLabels
from tracker.rules.data.padding_dominates import PaddingDominates
from tracker.rules.data.target_scale import TargetScale
from tracker.rules.data.unlearnable_labels import UnlearnableLabels
from tracker.rules.data.unshuffled_training_data import UnshuffledTrainingData
from tracker.rules.testing import judge

CE = {"function": "cross_entropy", "n_classes": 10, "targets_shape": [32]}


def order(runs, counts=(50, 50, 50), **facts):
    return {
        "labels/runs": {"train": runs},
        "class_count": {str(n): [float(count)] for n, count in enumerate(counts)},
        "batch_size": {"train": [32.0]},
        "facts": {"loss": CE, **facts},
    }


@pytest.mark.parametrize(
    ("runs", "fires"),
    [
        ([0.3, 0.4, 0.2, 0.3] * 3, False),
        ([1.0, 1.0, 0.97, 1.0] * 3, True),
        ([0.93, 0.9, 0.97, 0.9] * 3, True),
        ([0.95] * 12, False),  # class by class on purpose, in the same pattern each time
        ([1.0] * 12, True),
    ],
)
def test_runs_of_one_label_far_above_chance_are_an_order(runs, fires):
    assert bool(judge(UnshuffledTrainingData(), **order(runs))) is fires


def test_batches_of_one_class_each_are_an_order_although_one_class_is_most_of_what_was_seen():
    assert judge(UnshuffledTrainingData(), **order([1.0] * 11 + [0.97], counts=(600, 150)))


@pytest.mark.parametrize(
    "case",
    [
        order([1.0] * 12, counts=(990, 10)),
        order([1.0] * 12, counts=(900,)),
        order([1.0] * 12, loss={**CE, "targets_shape": [960]}),
        order([1.0, 0.98] * 6, batches={"source": "by hand", "rows": 32}),
        order([1.0, 0.98] * 6, loaders=[{"split": "train", "length": 1}]),
        order([1.0] * 12, loss={"function": "binary_cross_entropy", "targets_shape": [32]}, model={"G": {}, "D": {}}),
    ],
)
def test_an_order_that_cannot_matter_is_not_judged(case):
    with pytest.raises(NotApplicable):
        judge(UnshuffledTrainingData(), **case)


@pytest.mark.parametrize(
    ("counts", "weights", "fires"),
    [
        ((900, 100), {"0": 0.5, "1": 5.0}, False),
        ((900, 100), {"0": 5.0, "1": 0.5}, True),
        ((900, 100), {"0": 1.0, "1": 1.0}, False),
        ((110, 100), {"0": 5.0, "1": 0.5}, False),
        ((600, 300, 100), {"0": 3.0, "1": 1.0, "2": 0.5}, True),
    ],
)
def test_weights_that_grow_with_the_counts_are_inverted(counts, weights, fires):
    case = {"class_count": {str(n): [float(count)] for n, count in enumerate(counts)}}

    assert bool(judge(ClassWeightsInverted(), **case, facts={"class_weights": weights})) is fires


@pytest.mark.parametrize(("weight", "fires"), [(9.0, False), (0.11, True)])
def test_a_pos_weight_stands_against_one(weight, fires):
    facts = {"class_weights": {"0": weight}, "loss": {"function": "binary_cross_entropy_with_logits"}}

    found = judge(ClassWeightsInverted(), class_count={"0": [900.0], "1": [100.0]}, facts=facts)

    assert bool(found) is fires


@pytest.mark.parametrize(("weight", "fires"), [(9.0, False), (0.11, True)])
def test_a_pos_weight_of_masks_or_of_many_questions_is_about_all_their_answers(weight, fires):
    name = "binary_cross_entropy_with_logits"
    answers = [{"function": name, "values": [0.0, 1.0], "counts": [9000, 1000]}]
    facts = {"class_weights": {"0": weight}, "loss": {"function": name}, "targets": answers}

    assert bool(judge(ClassWeightsInverted(), facts=facts)) is fires
    # Counts of questions say which is answered yes more often, not how often that is.
    questions = {"0": [100.0], "1": [300.0], "2": [600.0]}
    assert bool(judge(ClassWeightsInverted(), class_count=questions, facts=facts)) is fires


@pytest.mark.parametrize(
    ("counts", "weights", "fires"),
    [((500, 480), {"0": 0.5, "1": 5.0}, True), ((850, 150), {"0": 0.5, "1": 5.0}, False),
     ((500, 480), {"0": 1.0, "1": 1.2}, False)],
)  # fmt: skip
def test_a_class_that_is_drawn_evenly_and_weighted_is_corrected_twice(counts, weights, fires):
    facts = {"class_weights": weights, "sampler_weights": {"n": 1000, "distinct": 2}}
    case = {"class_count": {str(n): [float(count)] for n, count in enumerate(counts)}}

    assert bool(judge(ClassImbalanceCorrectedTwice(), **case, facts=facts)) is fires


@pytest.mark.parametrize(
    ("counts", "weights", "fires"),
    [((500, 480), {"0": 0.5, "1": 5.0}, True), ((500, 480), {"0": 1.0, "1": 3.1}, True),
     ((500, 480), {"0": 1.0, "1": 2.9}, False), ((850, 150), {"0": 0.6, "1": 3.4}, False),
     ((600, 390), {"0": 1.0, "1": 9.0}, False), ((40, 40), {"0": 1.0, "1": 9.0}, False),
     ((300, 310, 290), {"0": 1.0, "1": 1.0, "2": 4.0}, True), ((900, 290, 310), {"0": 1.0, "1": 3.1, "2": 3.0}, False),
     ((500, 480, 510), {"0": 0.0, "1": 1.0, "2": 1.0}, False)],
)  # fmt: skip
def test_classes_that_are_seen_evenly_need_no_weights(counts, weights, fires):
    case = {"class_count": {str(n): [float(count)] for n, count in enumerate(counts)}}

    try:
        found = judge(ClassImbalanceCorrectedTwice(), **case, facts={"class_weights": weights, "loss": CE})
    except NotApplicable:
        found = []

    assert bool(found) is fires


BINARY = "binary_cross_entropy_with_logits"


@pytest.mark.parametrize(
    ("given", "weights", "fires"),
    [([9000, 8800], {"0": 14.8}, True), ([9000, 600], {"0": 14.8}, False), ([9000, 8800], {"0": 2.0}, False),
     ([9000, 8800], {"0": 14.8, "1": 3.0, "2": 7.0}, False)],
)  # fmt: skip
def test_a_weight_of_the_answer_yes_is_judged_by_all_answers_and_one_for_each_question_is_not(given, weights, fires):
    facts = {
        "class_weights": weights,
        "loss": {"function": BINARY, "n_classes": 2},
        "targets": [{"function": BINARY, "values": [0.0, 1.0], "counts": given, "steps": 30}],
    }

    try:
        found = judge(ClassImbalanceCorrectedTwice(), class_count={"0": [500.0], "1": [490.0]}, facts=facts)
    except NotApplicable:
        found = []

    assert bool(found) is fires


@pytest.mark.parametrize(("recall", "fires"), [(0.1, True), (0.4, False)])
def test_rare_classes_that_are_recognised_need_no_weights(recall, fires):
    case = {
        "class_count": {"0": [300.0, 600.0, 900.0], "1": [10.0, 20.0, 30.0]},
        "recall": {"val/0": [1.0] * 3, "val/1": [recall] * 3},
    }

    assert bool(judge(ClassImbalanceUnweighted(), **case)) is fires


def test_a_right_answer_that_is_always_the_first_is_made_on_the_spot():
    with pytest.raises(NotApplicable):
        judge(ConstantLabels(), class_count={"0": [900.0]}, facts={"loss": CE})


@pytest.mark.parametrize(("low", "high", "fires"), [(3.0, 3.0, True), (0.0, 3.0, False)])
def test_targets_of_a_regression_may_be_constant_too(low, high, fires):
    facts = {
        "loss": {"function": "mse_loss"},
        "targets": [{"function": "mse_loss", "low": low, "high": high, "steps": 20}],
        "evaluation": {"target": "batch 1"},
    }

    assert bool(judge(ConstantLabels(), facts=facts, loss=[1.0] * 4, epochs=2)) is fires


def test_one_class_in_the_first_epoch_may_be_where_sorted_data_begins():
    with pytest.raises(NotApplicable, match="two epochs"):
        judge(ConstantLabels(), class_count={"0": [900.0]}, facts={"loss": CE, "evaluation": {"target": "batch 1"}})


def prices(error, mean=250e3, std=80e3, **more):
    facts = {"loss": {"function": "mse_loss"}, "targets": [{"function": "mse_loss", "mean": mean, "std": std}]}
    return {"error": {"train": [error] * 3}, "loss": [1e9] * 400, "facts": facts, **more}


@pytest.mark.parametrize(
    ("case", "fires"),
    [
        (prices(260e3), True),
        (prices(30e3), False),
        (prices(3.0, mean=0.0, std=1.0), False),
        (prices(90.0, 152, 77), True),
        (prices(4.5, -2029, 6.3), True),
        (prices(2.5, -2029, 6.3), False),
        (prices(4.5, -200, 6.3), False),
    ],
)
def test_large_targets_are_told_when_they_are_out_of_reach(case, fires):
    assert bool(judge(TargetScale(), **case)) is fires


def test_early_on_large_targets_may_still_be_reached():
    with pytest.raises(NotApplicable, match="judged from step"):
        judge(TargetScale(), **prices(260e3) | {"loss": [1e9] * 100})


def test_a_loss_that_breaks_on_large_targets_is_told_at_once():
    assert judge(TargetScale(), **prices(260e3) | {"loss": [1e9, float("inf"), float("nan")]})


@pytest.mark.parametrize(
    ("share", "recall", "fires"),
    [(0.6, 0.2, True), (0.6, 0.8, False), (0.9, 0.8, True), (0.9, 0.97, False), (0.3, 0.2, False)],
)  # fmt: skip
def test_filler_dominates_where_the_other_labels_are_not_learned(share, recall, fires):
    found = judge(
        PaddingDominates(),
        **{"labels/padding": {"train": [share] * 6}},
        recall={"val/0": [1.0] * 6, "val/1": [recall] * 6},
        class_count={"0": [900.0] * 6, "1": [100.0] * 6},
    )

    assert bool(found) is fires


@pytest.mark.parametrize(("by", "word"), [("attention", "key_padding_mask"), ("product", "multiply")])
def test_a_mask_that_keeps_the_filler_alone_is_found_before_anything_is_learned(by, word):
    graph = {"upside_down": {"by": by, "filler": 0, "kept": 0.34}}
    (finding,) = judge(PaddingDominates(), facts={"graph": graph})

    assert "34%" in finding.message
    assert word in finding.advice[0]
    with pytest.raises(NotApplicable, match="not observed"):
        judge(PaddingDominates(), facts={"graph": graph | {"upside_down": None}})


def final_state(padding, accuracy, **facts):
    return {
        "accuracy/val": [accuracy] * 4,
        "class_count": {"0": [500.0] * 4, "1": [500.0] * 4},
        "loss/epoch": [0.7] * 4,
        "events": {"epoch": {n: {"epoch": n} for n in range(4)}},
        "facts": {
            "loss": {"function": "cross_entropy"},
            "final_states": [{"layer": "gru", "class": "GRU", "used": "last output", "padding": padding}],
            **facts,
        },
    }


@pytest.mark.parametrize(
    ("padding", "accuracy", "fires"), [(0.7, 0.52, True), (0.7, 0.9, False), (0.3, 0.52, False), (0.9, 0.7, True)]
)
def test_a_final_state_behind_the_filler_counts_where_the_task_is_not_learned(padding, accuracy, fires):
    found = judge(PaddingDominates(), **final_state(padding, accuracy))

    assert [finding.subject for finding in found] == ["gru"] * fires


@pytest.mark.parametrize("accuracy", [[], [0.52, 0.52, float("nan"), 0.52]])
def test_a_final_state_behind_the_filler_says_nothing_where_nothing_is_known_of_the_task(accuracy):
    with pytest.raises(NotApplicable, match="whether the task is learned is not known"):
        judge(PaddingDominates(), **(final_state(0.7, 0.5) | {"accuracy/val": accuracy}))


@pytest.mark.parametrize(("error", "fires"), [(1.0, True), (0.5, False)])
def test_a_final_state_behind_the_filler_spoils_a_regression(error, fires):
    case = final_state(0.7, 0.5) | {"error": {"train": [error] * 4}, "targets/std": {"train": [1.0] * 4}}
    case["facts"]["loss"] = {"function": "mse_loss"}

    assert bool(judge(PaddingDominates(), **case)) is fires


# -- labels that cannot be learned -------------------------------------------------------------------------------------

TWO_LAYERS = {"": {"layers": {"a": {"class": "Linear", "parameters": 9}, "b": {"class": "Linear", "parameters": 9}}}}
FLAT = [2.31] * 100 + [2.30] * 100 + [2.28] * 100 + [2.2] * 100


def guessing(**changed):
    case = {
        "loss": FLAT,
        "loss/val": [2.31, 2.32, 2.33, 2.36],
        "accuracy/val": [0.1, 0.09, 0.11, 0.1],
        "update_ratio": {"fc": [1e-3] * 400},
        "class_count": {str(label): [4000.0] * 400 for label in range(10)},
        "facts": {"loss": CE, "model": TWO_LAYERS},
    }
    return case | changed


def test_a_model_that_trains_and_only_guesses_has_labels_that_do_not_fit():
    (finding,) = judge(UnlearnableLabels(), **guessing())

    assert "a constant answer has 2.303 and 0.1" in finding.message


@pytest.mark.parametrize(
    ("losses", "pace", "phase", "fires"),
    [
        ([2.31] * 400, 1e-3, "run", True),
        ([2.31] * 400, 1e-3, "epoch", False),
        ([2.31] * 400, 2e-5, "run", False),  # a rate that is too low
        ([2.31] * 300 + [2.2] * 100, 1e-3, "run", False),
        ([2.31] * 200, 1e-3, "run", False),
    ],
)
def test_labels_that_cannot_even_be_memorised_need_no_held_out_data(losses, pace, phase, fires):
    case = guessing(loss=losses, update_ratio={"fc": [pace] * 400}, **{"loss/val": [], "accuracy/val": []})
    case["events"] = {"judge": {len(losses) - 1: {"phase": phase}}}

    if fires:
        assert "a constant answer has 2.303" in judge(UnlearnableLabels(), **case)[0].message
    else:
        with pytest.raises(NotApplicable):
            judge(UnlearnableLabels(), **case)


@pytest.mark.parametrize(
    "changed",
    [
        {"loss/val": [2.31, 2.2, 2.1, 2.15]},
        {"accuracy/val": [0.1, 0.18, 0.19, 0.2]},
        {"loss": [2.0] * 100 + [1.0] * 300},  # the first epoch shows that there is something to learn
    ],
)
def test_a_weak_signal_is_a_signal(changed):
    assert judge(UnlearnableLabels(), **guessing(**changed)) == []


def test_guessing_with_some_units_left_is_blamed_on_the_labels_and_not_on_those_that_died():
    (finding,) = judge(UnlearnableLabels(), **guessing(**{"output/dead": {"relu": [0.3] * 50 + [0.6] * 350}}))

    assert "a constant answer has" in finding.message
    assert "dead-units" in UnlearnableLabels.explains


@pytest.mark.parametrize(
    "changed",
    [
        {"update_ratio": {"fc": [1e-8] * 400}},
        {"update_ratio": {"fc": [0.5] * 400}},
        {"output/dead": {"relu": [0.9] * 400}},
        {"input/varied": {"train/x": [0.0] * 400}},
        {"facts": {"loss": CE, "model": {"": {"layers": {"a": {"class": "Linear", "parameters": 9}}}}}},
    ],
)
def test_guessing_with_another_reason_is_not_blamed_on_the_labels(changed):
    with pytest.raises(NotApplicable):
        judge(UnlearnableLabels(), **guessing(**changed))


@pytest.mark.parametrize(("best", "fires"), [(1.001, True), (0.99, False)])
def test_a_regression_explains_nothing_when_its_error_is_the_spread_of_the_targets(best, fires):
    case = guessing(
        error={"val": [1.01, best, 1.02, 1.03], "train": [1.0, 0.99, 0.9, 0.8]},
        **{"targets/std": {"val": [1.0] * 4, "train": [1.0] * 4}},
        facts={"loss": {"function": "mse_loss"}, "model": TWO_LAYERS},
    )
    case.pop("class_count")

    assert bool(judge(UnlearnableLabels(), **case)) is fires


EVEN = {"low": -3.1, "high": 3.4, "mean": 0.1, "std": 1.0}


@pytest.mark.parametrize(
    ("targets", "held_out", "fires"),
    [
        (EVEN, [0.41, 0.42, 0.43, 0.46], True),
        (EVEN, [0.35, 0.36, 0.36, 0.36], False),  # the loss gains though the error does not
        (EVEN | {"high": 7.5}, [0.41, 0.42, 0.43, 0.46], None),  # far ones hide what is gained on the others
        (EVEN | {"low": -1.0}, [0.41, 0.42, 0.43, 0.46], None),
        ({}, [0.41, 0.42, 0.43, 0.46], None),
    ],
)
def test_a_robust_loss_of_even_targets_is_judged_as_a_square(targets, held_out, fires):
    case = guessing(
        error={"val": [1.01, 1.001, 1.02, 1.03], "train": [1.0, 0.99, 0.9, 0.8]},
        **{"targets/std": {"val": [1.0] * 4, "train": [1.0] * 4}, "loss/val": held_out},
        facts={
            "loss": {"function": "smooth_l1_loss"},
            "targets": [{"function": "smooth_l1_loss", **targets}],
            "model": TWO_LAYERS,
        },
        loss=[0.43] * 100 + [0.42] * 100 + [0.4] * 200,
    )
    case.pop("class_count")

    if fires is None:
        with pytest.raises(NotApplicable, match="best constant"):
            judge(UnlearnableLabels(), **case)
    else:
        assert bool(judge(UnlearnableLabels(), **case)) is fires
