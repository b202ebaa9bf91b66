"""The first part of the page says the verdict, the numbers and how to do it again; the last ones what is missing."""

import math

from tests.report.cases import source_of
from tracker.report.blocks import Banner, Code, Facts, Group, Plot, Table, Text
from tracker.report.findings.stories import rule_named
from tracker.report.gathering.gathered import Gathered
from tracker.report.gathering.sources import Source
from tracker.report.sections import cost, skipped, summary
from tracker.report.sections.summary import lasting
from tracker.report.training.numbers import rows_of_numbers, sign_of
from tracker.rules.engine.records import EPOCH, Event, Fact, Reading


def gathered_of(*records):
    gathered = Gathered()
    for record in records:
        gathered.take(1.0, record)
    return gathered


def blocks_of(source, kind, module=summary):
    (section,) = module.sections(source)
    return [block for block in section.blocks if isinstance(block, kind)]


def test_the_headline_stands_first_with_a_sign_that_is_no_colour():
    rule = rule_named("loss-diverging")
    source = source_of(rule.faulty, [rule])

    (banner,) = blocks_of(source, Banner)

    assert (banner.word, banner.symbol, banner.tone) == ("Suspicious: loss-diverging", "⚠", "bad")
    assert banner.lines[0].startswith("loss ")
    assert "warning since step" in banner.lines[1]
    assert banner.lines[2].startswith("First thing to try: Go back to the best checkpoint")


def test_a_run_that_goes_on_says_as_of_when():
    ends = [Event(EPOCH, step, {"epoch": place, "last_step": step}) for place, step in enumerate((9, 19))]
    gathered = gathered_of(Reading("loss", "", 24, 1.0), *ends)
    source = Source(
        "r", status="RUNNING", verdict={"suspicious": "false", "why": "3 came out clear"}, gathered=gathered
    )
    (section,) = summary.sections(source)

    assert "as of epoch 2 (step 24)" in section.note
    assert section.blocks[0].word == "Not suspicious so far"
    assert section.blocks[0].symbol == "✓"


def test_a_run_of_other_code_has_its_metrics_and_a_way_on():
    gathered = gathered_of(*[Reading("metric", "val_acc", step, 0.5 + step / 10) for step in range(3)])
    source = Source("abc", is_ours=False, gathered=gathered)
    (banner,), (numbers,) = blocks_of(source, Banner), blocks_of(source, Table)

    assert banner.word == "Not judged"
    assert "tracker check abc" in banner.lines[0]
    assert numbers.rows == [("val_acc", "0.5", "0.7", "2", "0.7")]
    assert not blocks_of(source, Code)


def test_the_grade_says_what_it_means_and_what_is_missing():
    gaps = [
        {"what": "a small thing", "fix": "", "blocking": False},
        {"what": "no code", "fix": "add", "blocking": True},
    ]
    source = Source("abc", proof={"grade": "R1", "scope": None, "gaps": gaps})
    grade, missing = blocks_of(source, Text)

    assert grade.tone == "warn"
    assert grade.lines[0].startswith("R1. ")
    assert missing.lines == ["no code. add.", "a small thing."]
    assert [code.text for code in blocks_of(source, Code)] == ["tracker reproduce abc"]


def test_what_cannot_be_done_again_has_no_command_for_it():
    assert not blocks_of(Source("abc", proof={"grade": "R0"}), Code)


def test_a_run_that_failed_says_how_and_where():
    source = Source(
        "abc", status="KILLED", how="lost: no word from it", gathered=gathered_of(Reading("loss", "", 7, 1.0))
    )

    (banner,) = blocks_of(source, Banner)

    assert (banner.word, banner.symbol, banner.tone) == ("Killed; not judged", "✖", "bad")
    assert banner.lines[0] == "Ended at step 7: lost: no word from it."


def test_the_best_of_a_metric_is_where_its_name_says_it_is():
    gathered = gathered_of(
        *[Reading("metric", "test/f1", step, value) for step, value in enumerate((0.1, 0.9, 0.4))],
        *[Reading("metric", "dice-loss", step, value) for step, value in enumerate((0.7, 0.2, 0.3))],
        *[Reading("metric", "temperature", step, value) for step, value in enumerate((3.0, 9.0, 1.0))],
        *[Reading("loss/val", "", step, value) for step, value in enumerate((0.5, math.nan))],
    )

    assert rows_of_numbers(gathered) == [
        ("held-out loss", "0.5", "0.5", "0", "not finite from step 1"),
        ("test/f1", "0.1", "0.9", "1", "0.4"),
        ("dice-loss", "0.7", "0.2", "1", "0.3"),
        ("temperature", "3", "", "", "1"),
    ]
    assert [sign_of(key) for key in ("confidence", "val_rmse", "AUC")] == [0, -1, 1]


def test_facts_of_any_form_leave_the_summary_standing():
    facts = [
        Fact("model", 0, {"": {"class": ["x"], "parameters": "many"}, "b": 3}),
        Fact("optimizer", 0, [{"groups": 1}]),
    ]
    hardware = {"hardware": {"gpus": [{"name": "H200"}, 3], "cpu": "x"}}
    source = Source("abc", started=math.nan, captured={"environment.json": hardware}, gathered=gathered_of(*facts))
    (shown,) = blocks_of(source, Facts)

    assert ("Machine", "2 × H200 (no memory of it was used)") in shown.items
    assert [lasting(seconds) for seconds in (4.2, 200, 7500)] == ["4.2 s", "3 min 20 s", "2 h 5 min"]


def test_what_was_not_judged_is_grouped_by_why_and_failures_stand_open():
    verdict = {
        "skipped": [
            {"rule": "a", "reason": "'output/dead' was not observed"},
            {"rule": "b", "reason": "the fact 'workers' is not known"},
            {"rule": "c", "reason": "off: ignored"},
            {"rule": "d", "reason": "4 readings of the memory; 8 are needed"},
            "no table",
        ],
        "crashed": [{"rule": "e", "reason": "ValueError: x (e.py:3)"}],
        "clear": ["z", "y"],
    }
    (section,) = skipped.sections(Source("r", verdict=verdict))
    groups = {block.title: block for block in section.blocks if isinstance(block, Group)}

    assert section.note == "2 clear, 4 did not judge, 1 failed"
    assert list(groups) == [
        "Failed (1)",
        "Nothing of the kind in this run (2)",
        "Switched off (1)",
        "Too short, or too little of it (1)",
        "Looked, and found nothing (2)",
    ]
    assert [group.folded for group in groups.values()] == [False, True, True, True, True]
    assert not skipped.sections(Source("r"))


def test_our_own_cost_is_said_in_words_with_what_was_looked_at_less():
    shares = {99: 0.04, 199: 0.02, 299: 0.01, 399: 0.008}
    source = Source(
        "r",
        gathered=gathered_of(
            *[Reading("overhead", "", step, share) for step, share in shares.items()],
            *[Reading("step_seconds", "", step, 0.5) for step in shares],
            Reading("loss", "", 399, 1.0),
            Event("sampling", 100, {"every": 20}),
            Event("sampling", 200, {"every": 40}),
            Event("fault", 150, {"part": "gradients", "reason": "RuntimeError: no"}),
            Event("dropped", 399, {"readings": 1234}),
        ),
    )
    texts = [line for block in blocks_of(source, Text, cost) for line in block.lines]
    (plot,) = blocks_of(source, Plot, cost)
    faults = [block for block in blocks_of(source, Table, cost) if block.caption == "Faults of ours"]

    assert texts[0] == "Observing took 0.8% of the training's 200 s, 1.6 s; at most 4.0% up to then."
    assert "from step 200 on at every 40th" in texts[1]
    assert "1,234 readings were lost" in texts[-1]
    assert "4.0% after the first epoch, 0.8% at the end" in plot.says
    assert faults[0].rows == [("gradients", "RuntimeError: no", 150)]


def test_a_share_of_a_second_is_not_told_as_a_cost():
    gathered = gathered_of(
        Reading("overhead", "", 9, 1.3), Reading("step_seconds", "", 9, 0.05), Reading("loss", "", 9, 1.0)
    )

    (first, *_) = blocks_of(Source("r", gathered=gathered), Text, cost)

    assert first.lines[0].startswith("The training took 0.5 s")
    assert "%" not in first.lines[0]


def test_a_real_training_is_summed_up_and_its_cost_said(trained_source):
    judged = trained_source.gathered.judged.outcomes
    (shown,), (numbers,) = blocks_of(trained_source, Facts), blocks_of(trained_source, Table)
    facts = dict(shown.items)
    texts = [line for block in blocks_of(trained_source, Text, cost) for line in block.lines]

    assert judged
    assert (facts["Epochs"], facts["Steps"]) == (4, "24")
    assert facts["Model"] == "Sequential, 475 parameters"
    assert facts["Optimizer"] == "SGD, rate 0.05"
    assert [row[0] for row in numbers.rows][:2] == ["training loss, epoch means", "held-out loss"]
    assert texts[0].startswith("The training took ")
    assert any("No part of the observing failed" in text for text in texts)
