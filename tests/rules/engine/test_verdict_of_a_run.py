"""What makes a run suspicious, what makes it fine, and when nothing can be said."""

import json

import pytest

from tracker.rules import Engine, Finding, Phase, Rule, Settings, Severity, Trace
from tracker.rules.engine.finding import Level
from tracker.rules.engine.records import EPOCH, Event, Reading
from tracker.rules.engine.signals import GRAD_NORM, LOSS
from tracker.rules.engine.verdict import LASTING


class LossAboveBar(Rule):
    """Warns of a loss above one."""

    needs = (LOSS,)

    def check(self, trace):
        if trace.series(LOSS)[-1] > 1.0:
            yield Finding(f"loss {trace.series(LOSS)[-1]}; expected 1", "Lower it.", evidence={"loss": 2.0})


class Remark(LossAboveBar):
    """The same, as a remark."""

    severity = Severity.INFO


class Grave(LossAboveBar):
    """The same, as an error."""

    severity = Severity.ERROR


class WantsGrads(LossAboveBar):
    """Needs what nobody measures."""

    needs = (GRAD_NORM,)


class Breaks(LossAboveBar):
    """Crashes."""

    def check(self, trace):
        raise RuntimeError("broken")


def verdict(losses, *rules, minimum=(), **table):
    trace = Trace()
    settings = Settings.model_validate({**table, "rules": {"minimum": minimum, **table.get("rules", {})}})
    engine = Engine(rules, settings)
    for step, loss in enumerate(losses):
        trace.feed(Reading(LOSS.name, "", step, loss))
        trace.feed(Event(EPOCH, step, {"epoch": step, "first_step": step, "last_step": step}))
        engine.judge(Phase.EPOCH, trace)
    engine.judge(Phase.RUN, trace)
    return engine.verdict(trace)


def test_a_warning_that_stands_at_the_end_makes_a_run_suspicious():
    said = verdict([0.5] * 9 + [2.0], LossAboveBar())

    assert said.suspicious == "true"
    assert said.why == "loss-above-bar (warning) from step 9 and stands at the end"


def test_a_warning_that_went_away_early_does_not():
    assert verdict([2.0] * 3 + [0.5] * 7, LossAboveBar()).suspicious == "false"


def test_a_warning_that_lasted_for_more_than_a_third_of_the_epochs_does():
    said = verdict([2.0] * 4 + [0.5] * 6, LossAboveBar())

    assert LASTING == 1 / 3
    assert said.suspicious == "true"
    assert said.why == "loss-above-bar (warning) from step 0 until step 4, in 4 of 10 judged epochs"


class Explains(LossAboveBar):
    """The same, as the cause of the others."""

    level = Level.LOGIC
    explains = ("loss-above-bar", "grave")


def test_the_headline_is_what_decided_and_not_what_it_explains():
    assert verdict([2.0] * 5, Grave(), LossAboveBar(), Explains()).why.startswith("explains (warning) from step 0")


def test_a_headline_that_does_not_count_itself_is_named_with_what_does():
    said = verdict([2.0] + [0.5] * 9, Grave(), Explains())

    assert said.findings[0].rule == "explains"
    assert said.why == "explains, which explains grave (error) from step 0 until step 1, in 1 of 10 judged epochs"


def test_an_error_makes_a_run_suspicious_although_it_went_away():
    assert verdict([2.0] + [0.5] * 9, Grave()).suspicious == "true"


def test_a_remark_never_does():
    said = verdict([2.0] * 10, Remark())

    assert said.suspicious == "false"
    assert said.fired == ("remark",)


def test_a_resolved_finding_stays_in_the_list_with_its_step():
    (finding,) = verdict([2.0] + [0.5] * 9, LossAboveBar()).findings

    assert finding.resolved_at == 1


def test_a_run_is_unsuspicious_only_when_the_minimum_came_out_clear():
    healthy = [0.5] * 5

    assert verdict(healthy, LossAboveBar(), minimum=["loss-above-bar"]).suspicious == "false"
    assert verdict(healthy, LossAboveBar(), WantsGrads(), minimum=[["wants-grads", "grave"]]).suspicious == "unknown"
    assert verdict(healthy, LossAboveBar(), minimum=[["wants-grads", "loss-above-bar"]]).suspicious == "false"
    assert verdict(healthy, LossAboveBar(), minimum=["loss-above-bar", "wants-grads"]).suspicious == "unknown"


def test_unknown_says_what_could_not_be_judged():
    said = verdict([0.5] * 5, LossAboveBar(), WantsGrads(), minimum=["wants-grads"])

    assert (
        said.why
        == "too little could be judged: wants-grads did not come out clear (wants-grads: 'grad_norm' was not observed)"
    )


@pytest.mark.parametrize("rule", [Breaks, WantsGrads])
def test_a_rule_that_crashed_or_never_looked_is_not_clear(rule):
    said = verdict([0.5] * 5, rule(), minimum=[rule.id()])

    assert said.suspicious == "unknown"
    assert said.clear == []


def test_a_rule_that_was_clear_before_it_crashed_is_not_clear():
    class BreaksLate(LossAboveBar):
        """Crashes at a loss of zero."""

        def check(self, trace):
            1 / trace.series(LOSS)[-1]
            yield from ()

    said = verdict([0.5, 0.5, 0.0], BreaksLate(), minimum=["breaks-late"])

    assert said.suspicious == "unknown"
    assert "ZeroDivisionError" in said.why


def test_a_run_nobody_judged_is_unknown_and_every_rule_says_that_it_was_never_asked():
    said = Engine([LossAboveBar()]).verdict(Trace())

    assert said.suspicious == "unknown"
    assert said.skipped[0]["reason"] == "never asked: it judges in the phases epoch, run, none of which came"


def test_a_rule_is_listed_once_as_what_it_came_to():
    said = verdict([2.0] * 3, LossAboveBar(), WantsGrads(), Breaks(), Remark(), rules={"ignore": ["remark"]})

    assert said.fired == ("loss-above-bar",)
    assert list(said.clear) == []
    assert said.crashed == [{"rule": "breaks", "reason": said.crashed[0]["reason"]}]
    assert list(said.skipped) == [
        {"rule": "remark", "reason": "off: in 'ignore'"},
        {"rule": "wants-grads", "reason": "'grad_norm' was not observed"},
    ]


def test_several_subjects_of_one_rule_are_one_finding_that_names_them_all():
    class PerLayer(LossAboveBar):
        """One finding per layer."""

        def check(self, trace):
            for layer in ("stem", "body") if len(trace.series(LOSS)) > 1 else ("stem",):
                yield Finding("1", "Look.", layer)

    said = verdict([2.0] * 4, PerLayer())

    assert [(one.subject, one.subjects, one.first_step, one.count) for one in said.findings] == [
        ("stem", ("stem", "body"), 0, 5)
    ]


def test_consequences_are_folded_and_still_counted_as_fired():
    class Cause(LossAboveBar):
        """Explains the error."""

        explains = ("grave", "wants-grads")

    said = verdict([2.0] * 4, Grave(), Cause())
    (headline,) = said.findings

    assert (headline.rule, headline.explains) == ("cause", ("grave",))
    assert said.fired == ("cause", "grave")
    assert said.worst is Severity.ERROR
    assert said.suspicious == "true"


def test_the_machine_form_has_the_documented_keys_and_is_json():
    form = verdict([2.0] * 3, LossAboveBar(), WantsGrads()).as_json()

    assert json.loads(json.dumps(form, allow_nan=False)) == form
    assert form["schema"] == 1
    assert form["suspicious"] == "true"
    assert form["skipped"] == [{"rule": "wants-grads", "reason": "'grad_norm' was not observed"}]
    assert form["crashed"] == []
    finding = form["findings"][0]
    assert (
        finding
        | {
            "rule": "loss-above-bar",
            "severity": "warning",
            "subject": "",
            "message": "loss 2.0; expected 1",
            "advice": ["Lower it."],
            "explains": [],
            "first_step": 0,
            "last_step": 2,
            "count": 4,
            "evidence": {"loss": 2.0},
        }
        == finding
    )
