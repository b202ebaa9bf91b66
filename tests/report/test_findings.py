"""Every finding is told with what the rule saw, what to try, and when there is nothing to it."""

import math

import pytest

from tests.report.cases import source_of
from tracker.report.blocks import Group, Plot, Table, Text
from tracker.report.drawing.figures import drawing
from tracker.report.findings.evidence import panels_of
from tracker.report.findings.facts import rows_of_facts
from tracker.report.findings.stories import measured_of, rule_named, story_of
from tracker.report.gathering.found import found_in
from tracker.report.gathering.gathered import Gathered
from tracker.report.gathering.sources import Source
from tracker.report.page import report_page
from tracker.report.sections import findings
from tracker.rules.engine import Phase
from tracker.rules.engine.records import EPOCH, Event, Fact, Reading
from tracker.rules.engine.registry import builtin_rules

RULES = sorted(builtin_rules().rules.values(), key=lambda rule: rule.id())
ON_A_RUN = [rule for rule in RULES if rule.phases != (Phase.CROSS_RUN,)]


def told(source: Source) -> list[Group]:
    with drawing():
        (section,) = findings.sections(source)
    return [block for block in section.blocks if isinstance(block, Group)]


def of_kind(group: Group, kind: type) -> list:
    return [block for block in group.blocks if isinstance(block, kind)]


def words_of(group: Group) -> str:
    parts = [group.title, group.badge]
    for block in group.blocks:
        parts += [block.label, *block.lines] if isinstance(block, Text) else []
        parts += [words_of(block)] if isinstance(block, Group) else []
        parts += [str(cell) for row in block.rows for cell in row] if isinstance(block, Table) else []
    return " ".join(parts)


@pytest.mark.parametrize("rule", ON_A_RUN, ids=lambda rule: rule.id())
def test_there_is_something_to_see_of_the_fault_of_each_rule(rule):
    source = source_of(rule.faulty, [rule])
    found = found_in(source.verdict["findings"])[0]

    panels = panels_of(found, rule, source.gathered.outcomes[rule.id()]["thresholds"], source.gathered)
    rows = rows_of_facts(found, rule, source.gathered.facts)

    of_facts_alone = not rule.needs and not rule.needs_facts
    assert rows or of_facts_alone or any(panel.lines or panel.columns for panel in panels)
    assert story_of(rule).under("When it is wrong")


def test_a_plot_has_the_rules_series_the_level_that_was_in_force_and_the_step():
    rule = rule_named("huge-gradient")
    source = source_of(rule.faulty, [rule])
    source.gathered.outcomes["huge-gradient"]["thresholds"]["max_norm"] = 12_345.0

    (group,) = told(source)
    (plot,) = of_kind(group, Plot)
    step = source.verdict["findings"][0]["first_step"]

    assert plot.title.startswith("Gradient norm")
    assert "max norm 1.234e+04" in plot.says.replace("1.235", "1.234")
    assert f"Found at step {step}." in plot.says
    assert "max norm" in plot.svg
    assert f"found, step {step}" in plot.svg


def test_a_finding_says_what_to_try_when_it_is_harmless_and_how_far_to_trust_it():
    rule = rule_named("loss-diverging")
    words = words_of(told(source_of(rule.faulty, [rule]))[0])

    assert "headline · warning · loss" in words
    assert "What to try, the likeliest first Go back to the best checkpoint" in words
    assert "When it is harmless." in words
    assert measured_of("loss-diverging") in words
    assert "best step" in words


def test_the_layer_at_fault_stands_out_of_the_others():
    rule = rule_named("vanishing-gradient")
    source = source_of(rule.faulty, [rule])
    found = found_in(source.verdict["findings"])[0]

    norms = panels_of(found, rule, {}, source.gathered)[0]

    assert [line.subject for line in norms.subjects] == list(found.subjects)
    assert norms.others
    assert all(line.label not in found.subjects for line in norms.others)


def test_a_loss_that_ends_early_is_not_a_dot_at_the_edge():
    readings = [Reading("loss", "", step, 2.0 * 10.0**step if step < 6 else math.nan) for step in range(400)]
    gathered = Gathered()
    for reading in readings:
        gathered.take(1.0, reading)
    verdict = {"suspicious": "true", "findings": [{"rule": "nonfinite-loss", "first_step": 6, "severity": "fatal"}]}

    (plot,) = of_kind(told(Source("r", verdict=verdict, gathered=gathered))[0], Plot)

    assert "not finite from step 6" in plot.says
    assert "found: not finite from here, step 6" in plot.svg
    assert "step (the first 7 of 399)" in plot.svg


def test_metrics_of_the_user_stand_for_what_was_not_measured():
    gathered = Gathered()
    for step in range(20):
        gathered.take(1.0, Reading("metric", "val/loss", step, 1.0 + abs(step - 5)))
        gathered.take(1.0, Reading("metric", "train_loss", step, 2.0 / (step + 1)))
    found = found_in([{"rule": "overfitting", "first_step": 19, "evidence": {"best": 1.0, "val_loss": 15.0}}])[0]

    (panel,) = panels_of(found, rule_named("overfitting"), {}, gathered)

    assert [line.subject for line in panel.lines] == ["val/loss", "train_loss"]
    assert {bar.label: bar.value for bar in panel.bars} == {"best": 1.0, "val loss": 15.0}


def test_what_follows_is_folded_under_its_cause_and_what_went_away_is_marked():
    follower = {"rule": "overtraining", "message": "no better since", "first_step": 3, "resolved_at": 9}
    head = {"rule": "overfitting", "message": "rose", "first_step": 2, "consequences": [follower]}
    verdict = {"suspicious": "true", "findings": [head], "suppressed": [{"rule": "loss-spike", "suppressed": "known"}]}
    (section,) = findings.sections(Source("r", verdict=verdict))
    cause, silent = section.blocks
    (folded,) = [block for block in cause.blocks if isinstance(block, Group) and "Follows" in block.title]

    assert folded.folded
    assert folded.title == "Follows from it: overtraining"
    assert [(one.title, one.folded) for one in folded.blocks] == [("▲ overtraining: no better since", True)]
    assert "gone by the end" in words_of(folded)
    assert "at step 9 it was gone" in words_of(folded)
    assert "known" in words_of(silent)
    assert section.note == "1 found, 1 that follow from them, 1 not reported"


def test_a_finding_of_a_run_that_goes_on_stands_so_far():
    verdict = {"suspicious": "true", "findings": [{"rule": "overfitting", "message": "rose", "first_step": 2}]}

    (group,) = told(Source("r", status="RUNNING", verdict=verdict))

    assert "From step 2; it stands so far." in words_of(group)


def test_no_more_plots_than_the_page_has_room_for():
    rule = rule_named("loss-spike")
    source = source_of(rule.faulty, [rule])
    one = source.verdict["findings"][0]
    source.verdict = {**source.verdict, "findings": [one] * 20}

    groups = told(source)

    assert len(groups) == 20
    assert sum(len(of_kind(group, Plot)) for group in groups) == findings.MOST_PLOTS


def test_a_rule_that_is_not_there_any_more_is_told_without_its_story():
    verdict = {"suspicious": "true", "findings": [{"rule": "of-a-lost-plugin", "message": "seen", "advice": "look"}]}

    (group,) = told(Source("r", verdict=verdict))

    assert rule_named("of-a-lost-plugin") is None
    assert rule_named("../engine/rule") is None
    assert "seen" in words_of(group)
    assert "look" in words_of(group)


HOSTILE = "</script><script>alert(1)</script>$x^2$ 😀 \x00" + "long " * 2000


@pytest.mark.parametrize(
    "finding",
    [
        {"rule": HOSTILE, "message": HOSTILE, "advice": [HOSTILE], "subject": HOSTILE, "subjects": [HOSTILE, 3, None]},
        {"rule": "loss-spike", "evidence": {"loss": math.nan, HOSTILE: 1e400, "level": "x"}, "first_step": "soon"},
        {"rule": "loss-spike", "first_step": -5, "last_step": 10**15, "first_epoch": 1e300, "resolved_at": math.inf},
        {"rule": "dead-units", "subject": HOSTILE, "consequences": {"a": 1}, "advice": {"a": "b"}, "evidence": [1]},
        {"rule": 7, "severity": ["fatal"], "message": {"a": 1}, "suppressed": {"b": 2}, "count": "many"},
    ],
)
def test_a_hostile_finding_loses_nothing_of_the_page(finding):
    gathered = Gathered()
    for step in range(30):
        gathered.take(1.0, Reading("loss", "", step, 1.0 if step != 20 else 50.0))
        gathered.take(1.0, Reading("output/dead", HOSTILE, step, 1.0))
        gathered.take(1.0, Reading("output/dead", "", step, math.inf))
    gathered.take(1.0, Event(EPOCH, 29, {"epoch": HOSTILE, "last_step": "x"}))
    gathered.take(1.0, Fact("overlap", 0, [HOSTILE, {HOSTILE: {"a": [HOSTILE]}}]))
    gathered.take(1.0, Event("outcome", 29, {"rule": "loss-spike", "thresholds": [HOSTILE], "findings": HOSTILE}))
    fine = {"rule": "split-leakage", "message": "it is still told", "first_step": 3}
    source = Source("r", verdict={"suspicious": "true", "findings": [finding, None, "x", fine]}, gathered=gathered)

    page = report_page(source)

    assert "it is still told" in page
    assert "<script>alert" not in page
    assert "This part could not be drawn" not in page
