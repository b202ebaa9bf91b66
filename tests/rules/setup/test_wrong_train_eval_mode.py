import pytest

from tracker.rules import NotApplicable
from tracker.rules.setup.wrong_train_eval_mode import WrongTrainEvalMode
from tracker.rules.testing import judge

NET = {"class": "Net", "dropout": 1, "norms": 1, "n_frozen": 0}


def mode(kind, training, active=None, model=""):
    return {"model": model, "kind": kind, "training": training, "dropout": int(training) if active is None else active}


def found(events, net=NET, facts=None, steps=100, **case):
    facts = {"model": {"": net}, **(facts or {})}
    return judge(WrongTrainEvalMode(), loss=[1.0] * steps, epoch_len=20, facts=facts, events={"mode": events}, **case)


def test_a_model_that_stays_in_evaluation_mode_is_told_since_when():
    (finding,) = found({0: mode("training", True), 20: mode("evaluation", False), 21: mode("training", False)})

    assert finding.step == 21
    assert "train()" in finding.advice[0]


def test_a_saliency_map_behind_the_last_step_is_no_training():
    assert found({0: mode("training", True), 99: mode("training", False)}) == []


def test_sampling_that_is_thin_leaves_time_to_see_that_training_went_on():
    events = {0: mode("training", True), 60: mode("training", False)}
    thin = {"mode": events, "sampling": {50: {"every": 40}}}

    assert judge(WrongTrainEvalMode(), loss=[1.0] * 100, facts={"model": {"": NET}}, events=thin) == []


@pytest.mark.parametrize("is_evaluated", [True, False])
def test_a_batch_norm_in_training_mode_for_ever_is_told_where_the_model_is_evaluated(is_evaluated):
    net = {"class": "Net", "dropout": 0, "norms": 0, "n_frozen": 0}
    facts = {"always_batch_norm": [{"class": "Norm", "line": 21, "call": "F.batch_norm(x, self.mean)"}]}
    events = {0: mode("training", True, active=0), **({20: mode("evaluation", False)} if is_evaluated else {})}
    if not is_evaluated:
        with pytest.raises(NotApplicable):
            found(events, net, facts)
        return

    assert [(one.subject, one.evidence["line"]) for one in found(events, net, facts)] == [("Norm", 21)]


@pytest.mark.parametrize(
    ("net", "facts", "fires"),
    [
        (NET, {}, True),
        (NET | {"n_frozen": 2}, {}, False),
        (NET, {"graph": {"reached": 7, "foreign": 1}}, False),
    ],
)
def test_evaluation_mode_from_the_first_step_on_is_told_unless_a_part_is_given(net, facts, fires):
    assert bool(found({0: mode("training", False)}, net, facts)) is fires


@pytest.mark.parametrize(
    ("again", "net", "fires"),
    [
        (mode("training", False, active=1), NET, True),
        (mode("training", True, active=1), NET, False),
        (mode("training", False, active=2), NET, False),
        (mode("training", False, active=1), NET | {"n_frozen": 1}, False),
    ],
)
def test_a_part_that_alone_is_put_back_leaves_the_rest_behind(again, net, fires):
    events = {0: mode("training", True, active=2), 20: mode("evaluation", False, active=0), 21: again}

    assert bool(found(events, net)) is fires
    assert found({0: mode("training", True, active=2), 21: again}, net) == []


def test_single_layers_in_evaluation_mode_are_meant_so():
    assert found({0: mode("training", True, active=1), 40: mode("training", True, active=0)}) == []


@pytest.mark.parametrize("step", [20, 99])
def test_evaluation_in_training_mode_is_told_where_an_epoch_or_the_run_ends(step):
    assert found({0: mode("training", True), step: mode("evaluation", True)})


def test_labels_drawn_from_the_model_at_each_step_are_part_of_the_training():
    events = {0: mode("training", True), 1: mode("evaluation", True)}

    assert found(events) == []
    assert found(events, facts={"evaluation": {"sets": {"val": {"samples": 9}}}})


def test_one_pass_in_evaluation_mode_shows_that_the_others_are_meant_so():
    assert found({0: mode("training", True), 20: mode("evaluation", True), 40: mode("evaluation", False)}) == []


def test_samples_of_one_prediction_are_monte_carlo_dropout():
    assert found({0: mode("training", True), 98: mode("evaluation", True), 99: mode("sampling", True)}) == []


def test_a_teacher_that_is_never_trained_is_not_judged():
    events = {0: mode("training", True), 20: mode("evaluation", True, model="teacher")}

    assert found(events) == []


def test_without_dropout_and_norms_the_mode_is_nothing_to_a_model():
    with pytest.raises(NotApplicable, match="no model"):
        found({0: mode("training", False)}, {"class": "Net", "dropout": 0, "norms": 0})
