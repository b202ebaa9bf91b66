"""Findings over time: merged, resolved, found again, waited for, suppressed; and rules that crash."""

import json
import math

import numpy as np
import pytest

from tracker.rules import Engine, Finding, Phase, Rule, Settings, Severity, Status, Trace
from tracker.rules.engine.records import EPOCH, Event, Reading
from tracker.rules.engine.signals import GRAD_NORM, LOSS


class QuietLayer(Rule):
    """Fires for each layer whose last gradient norm is below the bar."""

    phases = (Phase.STEP, Phase.EPOCH, Phase.RUN)
    needs = (GRAD_NORM,)
    bar: float = 0.1

    def check(self, trace):
        for layer, norms in trace.by_subject(GRAD_NORM).items():
            if norms[-1] < self.bar:
                yield Finding(f"norm {norms[-1]}", ["Look."], layer, {"norm": norms[-1], "bar": self.bar})


class Fatal(QuietLayer):
    """The same, and fatal."""

    severity = Severity.FATAL


class AtTheEnd(QuietLayer):
    """The same, asked once."""

    phases = (Phase.RUN,)


class Broken(Rule):
    """Divides by a loss of zero."""

    needs = (LOSS,)

    def check(self, trace):
        1 / trace.series(LOSS)[-1]
        yield from ()


class World:
    """A training of which every epoch is one step, judged at its end."""

    def __init__(self, *rules, **table):
        self.trace, self.engine = Trace(), Engine(rules, Settings.model_validate(table))
        self.step = -1

    def epoch(self, phase=Phase.EPOCH, **norms):
        self.step += 1
        for layer, norm in norms.items():
            self.trace.feed(Reading(GRAD_NORM.name, layer, self.step, norm))
        self.trace.feed(Event(EPOCH, self.step, {"epoch": self.step, "first_step": self.step, "last_step": self.step}))
        return self.engine.judge(phase, self.trace)

    def verdict(self):
        return self.engine.verdict(self.trace)


def test_a_finding_that_stays_is_one_record_with_first_and_last_step_and_a_count():
    world = World(QuietLayer())
    for norm in (1.0, 0.01, 0.02, 0.03):
        world.epoch(stem=norm, head=1.0)

    (record,) = world.engine.findings

    assert (record.rule, record.subject) == ("quiet-layer", "stem")
    assert (record.first_step, record.last_step, record.first_epoch, record.last_epoch) == (1, 3, 1, 3)
    assert (record.count, record.epochs, record.resolved_at) == (3, 3, None)
    assert record.message == "norm 0.03"
    assert record.evidence["norm"] == 0.03


def test_a_finding_that_is_not_repeated_is_resolved_at_that_step():
    world = World(QuietLayer())
    for norm in (0.01, 1.0, 1.0):
        world.epoch(stem=norm)

    (record,) = world.engine.findings

    assert (record.resolved_at, record.last_step, record.count) == (1, 0, 1)


def test_a_finding_that_comes_back_keeps_its_first_step_and_is_open_again():
    world = World(QuietLayer())
    for norm in (0.01, 1.0, 0.02):
        world.epoch(stem=norm)

    (record,) = world.engine.findings

    assert (record.first_step, record.last_step, record.count, record.resolved_at) == (0, 2, 2, None)


def test_each_subject_is_resolved_by_itself():
    world = World(QuietLayer())
    world.epoch(stem=0.01, head=0.01)
    world.epoch(stem=1.0, head=0.01)

    assert {record.subject: record.resolved_at for record in world.engine.findings} == {"stem": 1, "head": None}


def test_a_rule_that_cannot_look_resolves_nothing():
    world = World(QuietLayer())
    world.epoch(stem=0.01)
    (skipped,) = world.epoch(stem=math.nan)

    assert skipped.status is Status.SKIPPED
    assert world.engine.findings[0].resolved_at is None


def test_a_rule_that_knows_when_it_began_sets_the_first_step():
    class KnowsWhen(QuietLayer):
        """Says that it began at step 0."""

        def check(self, trace):
            yield Finding("1", "Look.", "stem", step=0)

    world = World(KnowsWhen())
    world.epoch(stem=1.0)
    world.step = 40
    world.epoch(stem=1.0)

    assert world.engine.findings[0].first_step == 0


def test_a_judgement_between_epoch_ends_belongs_to_the_epoch_that_is_running():
    world = World(QuietLayer())
    world.epoch(stem=1.0)
    world.trace.feed(Reading(GRAD_NORM.name, "stem", 1, 0.01))
    world.engine.judge(Phase.STEP, world.trace)

    assert world.engine.findings[0].first_epoch == 1


def test_patience_reports_only_what_is_found_several_times_in_a_row():
    world = World(QuietLayer(), rules={"patience": 3})
    reports = [world.epoch(stem=norm)[0] for norm in (0.01, 0.01, 1.0, 0.01, 0.01, 0.01)]

    assert [report.status.value for report in reports] == ["skipped", "skipped", "clear", "skipped", "skipped", "fired"]
    assert reports[0].reason == "found, but not yet in 3 judgements in a row (patience)"
    assert [(one.first_step, one.count) for one in world.engine.findings] == [(3, 3)]


def test_the_judgement_at_the_end_is_no_second_opinion_on_the_last_epoch():
    world = World(QuietLayer(), rules={"patience": 2})
    world.epoch(stem=0.01)
    (at_end,) = world.engine.judge(Phase.RUN, world.trace)

    assert at_end.status is Status.SKIPPED
    assert world.engine.findings == []


def test_patience_holds_back_neither_what_is_fatal_nor_what_is_asked_once():
    world = World(Fatal(), AtTheEnd(), rules={"patience": 5})
    (fatal,) = world.epoch(stem=0.01)
    at_end = world.engine.judge(Phase.RUN, world.trace)

    assert fatal.status is Status.FIRED
    assert [one.status for one in at_end] == [Status.FIRED, Status.FIRED]


@pytest.mark.parametrize(
    ("suppress", "left"),
    [
        ({"rule": "quiet-layer", "reason": "known"}, []),
        ({"rule": "ALL", "reason": "known"}, []),
        ({"rule": QuietLayer.family(), "reason": "known"}, []),
        ({"rule": "quiet-layer", "subject": "encoder", "reason": "known"}, ["head"]),
        ({"rule": "quiet-layer", "subject": "encoder.*", "reason": "known"}, ["head"]),
        ({"rule": "quiet-layer", "subject": "enc", "reason": "known"}, ["encoder.0", "head"]),
        ({"rule": "broken", "reason": "known"}, ["encoder.0", "head"]),
    ],
)
def test_findings_are_suppressed_by_rule_family_and_module_name(suppress, left):
    world = World(QuietLayer(), suppress=[suppress])
    (outcome,) = world.epoch(**{"encoder.0": 0.01, "head": 0.01})

    assert [finding.subject for finding in outcome.findings] == left
    assert [record.subject for record in world.engine.findings] == left
    assert len(world.verdict().suppressed) == 2 - len(left)
    assert all(record.suppressed == "known" for record in world.verdict().suppressed)
    assert outcome.status is (Status.FIRED if left else Status.SKIPPED)


def test_a_suppressed_finding_does_not_make_a_run_suspicious():
    world = World(QuietLayer(), suppress=[{"rule": "quiet-layer", "reason": "warm start"}])
    (outcome,) = world.epoch(stem=0.01)

    assert outcome.reason == "suppressed: warm start"
    assert world.verdict().suspicious == "unknown"


def test_a_crash_is_an_outcome_with_type_message_and_place():
    trace = Trace()
    trace.feed(Reading(LOSS.name, "", 0, 0.0))
    (crashed,) = Engine([Broken()]).judge(Phase.EPOCH, trace)

    assert crashed.status is Status.CRASHED
    assert crashed.reason.startswith("ZeroDivisionError: ")
    line = Broken.check.__code__.co_firstlineno + 1
    assert crashed.reason.endswith(f"(test_runner.py:{line})")


def test_a_crash_names_the_line_of_the_rule_and_not_of_what_it_called():
    class DeepCrash(Broken):
        """Crashes inside another module."""

        def check(self, trace):
            json.loads("{")
            yield from ()

    trace = Trace()
    trace.feed(Reading(LOSS.name, "", 0, 1.0))
    (crashed,) = Engine([DeepCrash()]).judge(Phase.EPOCH, trace)

    assert f"(test_runner.py:{DeepCrash.check.__code__.co_firstlineno + 1})" in crashed.reason


def test_one_crash_leaves_the_other_rules_alone_and_stands_in_the_verdict():
    world = World(Broken(), QuietLayer())
    world.trace.feed(Reading(LOSS.name, "", 0, 0.0))
    outcomes = world.epoch(stem=0.01)

    assert [outcome.status for outcome in outcomes] == [Status.CRASHED, Status.FIRED]
    assert [item["rule"] for item in world.verdict().crashed] == ["broken"]


def test_a_rule_that_gives_something_else_than_findings_crashes():
    class GivesText(QuietLayer):
        """Yields a string."""

        def check(self, trace):
            yield "too quiet"

    (crashed,) = World(GivesText()).epoch(stem=1.0)

    assert crashed.status is Status.CRASHED
    assert "check() gave a str; expected Finding objects" in crashed.reason


@pytest.mark.parametrize("finding", [Finding("1", "Look.", 3), Finding("1", None, "stem")])
def test_a_finding_of_the_wrong_types_crashes_its_rule_alone(finding):
    class WrongTypes(QuietLayer):
        """A subject that is no text, advice that is none."""

        def check(self, trace):
            yield finding

    outcomes = World(WrongTypes(), QuietLayer()).epoch(stem=0.01)

    assert [outcome.status for outcome in outcomes] == [Status.CRASHED, Status.FIRED]
    assert "expected a str as subject and lines of text as advice" in outcomes[0].reason


def test_a_rule_with_broken_needs_crashes_alone():
    class WrongNeeds(QuietLayer):
        """Names its signal instead of giving it."""

        needs = ("grad_norm",)

    outcomes = World(WrongNeeds(), QuietLayer()).epoch(stem=0.01)

    assert [outcome.status for outcome in outcomes] == [Status.CRASHED, Status.FIRED]


def test_a_sloppy_finding_is_tolerated_and_stays_json():
    class Sloppy(QuietLayer):
        """Neither a number in the message nor finite evidence."""

        def check(self, trace):
            yield Finding("bad", "Look.", "stem", {"nan": math.nan, "array": np.float32(2), "text": "x"})

    world = World(Sloppy())
    (outcome,) = world.epoch(stem=1.0)
    stored = json.loads(json.dumps(world.verdict().as_json(), allow_nan=False))

    assert outcome.status is Status.FIRED
    assert json.dumps(outcome.as_json(), allow_nan=False)
    assert stored["findings"][0]["evidence"] == {"nan": None, "array": 2.0, "text": "x"}


def test_of_two_findings_about_one_subject_the_first_counts():
    class SaysItTwice(QuietLayer):
        """Two findings about the same layer."""

        def check(self, trace):
            yield Finding("1", "Look.", "stem")
            yield Finding("2", "Look.", "stem")

    world = World(SaysItTwice())
    (outcome,) = world.epoch(stem=1.0)

    assert [finding.message for finding in outcome.findings] == ["1"]
    assert world.engine.findings[0].count == 1


def test_an_outcome_carries_version_thresholds_and_the_digest_of_the_settings():
    world = World(QuietLayer(bar=0.5))
    (outcome,) = world.epoch(stem=1.0)

    assert outcome.thresholds == {"bar": 0.5}
    assert outcome.version == 1
    assert outcome.settings_digest == Settings().digest()
    assert outcome.seconds > 0
