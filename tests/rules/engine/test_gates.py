"""Every reason why a rule is not asked, each in words a user understands."""

import math

import pytest

from tracker.rules import Engine, Finding, NotApplicable, Phase, Rule, Settings, Severity, Status, Trace
from tracker.rules.engine.gates import is_trained_already, why_incomparable
from tracker.rules.engine.signals import GRAD_NORM, LOSS, LR
from tracker.rules.testing import trace_of


class LossAboveBar(Rule):
    """Fires when the last loss is above the bar."""

    phases = (Phase.EPOCH,)
    needs = (LOSS,)
    needs_facts = ("optimizer",)
    history = 3
    bar: float = 10.0

    def check(self, trace):
        if trace.series(LOSS)[-1] > self.bar:
            yield Finding(f"loss {trace.series(LOSS)[-1]}", "Lower it.")


class OnlyOnGrads(LossAboveBar):
    """Cannot tell without gradients."""

    def check(self, trace):
        if not trace.count(GRAD_NORM):
            raise NotApplicable("the model has a single layer")
        yield from ()


class StillTried(LossAboveBar):
    """Not yet on by default."""

    status = "preview"


class AlwaysAsked(LossAboveBar):
    """Judges non-finite losses, during warm-up too."""

    finite = False
    waits_for_warmup = False
    severity = Severity.FATAL


WHOLE = {"loss": [1.0, 2.0, 3.0], "facts": {"optimizer": "SGD"}}


def outcome(rule, case, settings=None, phase=Phase.EPOCH):
    (found,) = Engine([rule], settings).judge(phase, trace_of(case))
    return found


def test_a_rule_with_everything_it_needs_is_asked():
    assert outcome(LossAboveBar(), WHOLE).status is Status.CLEAR
    assert outcome(LossAboveBar(bar=1.0), WHOLE).status is Status.FIRED


def test_a_rule_of_another_phase_is_not_asked_and_has_no_outcome():
    assert Engine([LossAboveBar()]).judge(Phase.STEP, trace_of(WHOLE)) == []


@pytest.mark.parametrize(
    ("rule", "changes", "reason"),
    [
        (LossAboveBar(), {"loss": []}, "'loss' was not observed"),
        (LossAboveBar(), {"loss": [1.0, 2.0]}, "'loss' has 2 of the 3 points needed"),
        (LossAboveBar(), {"facts": {}}, "the fact 'optimizer' is not known"),
        (LossAboveBar(), {"facts": {"optimizer": None}}, "the fact 'optimizer' is not known"),
        (LossAboveBar(), {"loss": [1.0, math.nan, 3.0]}, "'loss' is not finite at step 1"),
        (LossAboveBar(), {"loss": [1.0, 2.0, math.inf]}, "'loss' is not finite at step 2"),
        (LossAboveBar(), {"lr": [0.1, 0.2, 0.3]}, "the learning rate is still warming up"),
        (LossAboveBar(), {"profile": "gan"}, "not meant for the task profile 'gan', only for fine-tune"),
        (OnlyOnGrads(), {}, "the model has a single layer"),
    ],
)
def test_a_failing_gate_skips_the_rule_and_says_why(rule, changes, reason):
    skipped = outcome(rule, {**WHOLE, **changes})

    assert skipped.status is Status.SKIPPED
    assert skipped.reason.startswith(reason)
    assert skipped.findings == ()


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ({"select": ["gradients"]}, "off: not in 'select'"),
        ({"ignore": ["loss-above-bar"]}, "off: in 'ignore'"),
        ({"ignore": ["ALL"]}, "off: 'ignore' has ALL"),
        ({"ignore": [LossAboveBar.family()]}, f"off: its family '{LossAboveBar.family()}' is in 'ignore'"),
    ],
)
def test_a_rule_that_is_off_is_skipped_and_says_which_setting_did_it(table, reason):
    skipped = outcome(LossAboveBar(), WHOLE, Settings(rules=table))

    assert (skipped.status, skipped.reason) == (Status.SKIPPED, reason)


def test_naming_a_rule_wins_over_ignoring_its_family():
    table = {"select": ["ALL", "loss-above-bar"], "ignore": [LossAboveBar.family()]}

    assert outcome(LossAboveBar(), WHOLE, Settings(rules=table)).status is Status.CLEAR


def test_a_preview_rule_is_off_until_it_is_named_or_previews_are_on():
    assert "preview" in outcome(StillTried(), WHOLE).reason
    assert outcome(StillTried(), WHOLE, Settings(rules={"preview": True})).status is Status.CLEAR
    assert outcome(StillTried(), WHOLE, Settings(rules={"select": ["still-tried"]})).status is Status.CLEAR


def test_the_profile_of_the_settings_wins_over_the_one_of_the_run():
    case = {**WHOLE, "profile": "gan"}

    assert outcome(LossAboveBar(), case, Settings(profile="supervised")).status is Status.CLEAR
    assert outcome(LossAboveBar(), WHOLE, Settings(profile="rl")).status is Status.SKIPPED


def test_rules_that_ask_for_it_see_values_that_are_not_finite_and_do_not_wait_for_warm_up():
    case = {**WHOLE, "loss": [1.0, math.nan, 30.0], "lr": [0.1, 0.2, 0.3]}

    assert outcome(AlwaysAsked(), case).status is Status.FIRED


def test_a_rule_is_armed_again_when_the_rate_has_not_risen_for_ten_steps():
    rates = [0.1, 0.2, *[0.2] * 9]

    assert outcome(LossAboveBar(), {**WHOLE, "loss": [1.0] * 11, LR.name: {"0": rates}}).status is Status.SKIPPED
    assert outcome(LossAboveBar(), {**WHOLE, "loss": [1.0] * 12, LR.name: {"0": rates}}).status is Status.CLEAR


def test_one_layer_with_a_bad_value_is_named():
    class NeedsGrads(LossAboveBar):
        """Needs gradients."""

        needs = (GRAD_NORM,)

    case = {"grad_norm": {"stem": [1.0] * 3, "head": [1.0, math.nan, 1.0]}, "facts": {"optimizer": "SGD"}}

    assert outcome(NeedsGrads(), case).reason == "'grad_norm' of 'head' is not finite at step 1"


def test_no_data_at_all_is_skipped_and_never_clear():
    (found,) = Engine([LossAboveBar()]).judge(Phase.EPOCH, Trace())

    assert found.status is Status.SKIPPED


def test_the_engine_needs_what_its_rules_need_unless_they_are_off():
    class NeedsGrads(LossAboveBar):
        """Needs gradients."""

        needs = (GRAD_NORM, LOSS)

    assert Engine([LossAboveBar(), NeedsGrads()]).needs == {LOSS, GRAD_NORM}
    assert Engine([LossAboveBar(), NeedsGrads()], Settings(rules={"ignore": ["needs-grads"]})).needs == {LOSS}


def test_a_profile_is_inferred_and_the_reason_says_by_what():
    case = {**WHOLE, "facts": {"optimizer": "SGD", "loss": {"function": "triplet_margin_loss"}}}
    skipped = outcome(LossAboveBar(), case)

    assert skipped.status is Status.SKIPPED
    assert "'contrastive'" in skipped.reason
    assert "(the loss is triplet_margin_loss)" in skipped.reason


def test_a_model_that_was_loaded_or_begins_far_below_guessing_is_trained_already():
    untrained = {"facts": {"loss": CLASSIFIER}, "loss": [2.3, 2.2, 2.1]}

    assert not is_trained_already(trace_of(untrained))
    assert is_trained_already(trace_of({**untrained, "loss": [0.2, 0.2, 0.2]}))
    assert is_trained_already(trace_of({**untrained, "facts": {"signs": {"pretrained": True}}}))


CLASSIFIER = {"function": "cross_entropy", "reduction": "mean", "n_classes": 10, "terms": 1, "scaled": False}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"profile": "gan"}, "in the task profile 'gan' the loss says nothing of progress"),
        ({"facts": {"signs": {"reloads": 3}}}, "weights were replaced in the middle of the training, again and again"),
        ({"facts": {"signs": {"reloads": 2}}}, None),
        (
            {"facts": {"loss_terms": [{"name": "mse", "factor": 1.0}, {"name": "kl", "factor": None}]}},
            "the weight of the term 'kl' changes while it is trained",
        ),
        ({"facts": {"loss_terms": [{"name": "mse_loss", "factor": None, "count": 3}]}}, None),
        ({"loss": [0.5, -0.4] * 20}, "the loss takes both signs in turn"),
        ({"loss": [0.5, 0.3, 0.1, -0.4, -0.2, -0.1] * 8}, "the loss takes both signs in turn"),
        ({"loss": [*[1.0] * 30, 0.1, -0.1, 0.1, *[-1.0] * 30]}, None),
        ({"loss": [1.0 - 0.05 * n for n in range(40)]}, None),
        ({"loss": [0.5, -0.4] * 5}, None),
    ],
)
def test_losses_that_do_not_measure_the_same_thing_are_not_compared(changes, reason):
    assert why_incomparable(trace_of({"loss": [1.0, 0.9, 0.8], **changes})) == reason
