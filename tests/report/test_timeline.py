"""What is marked along the steps: findings by number, epochs, times when the run stood still."""

from typing import Any

import pytest

from tracker.report.drawing.figures import BAD, FAINT, INK, WARN
from tracker.report.drawing.timeline import axis_words, epoch_spans, marks_of, said_of, whole
from tracker.report.gathering.gathered import Gathered
from tracker.report.gathering.sources import Source
from tracker.rules.engine.records import STALLED, TRAINING, Event, Reading


def source(findings: Any, last_step: int = 1000, *more: Event) -> Source:
    """A run of so many steps, with a verdict."""
    gathered = Gathered()
    gathered.take(1, Reading("loss", "", last_step, 1.0))
    for event in more:
        gathered.take(1, event)
    return Source("r", gathered=gathered, verdict={"findings": findings})


def found(rule: str, step: Any, severity: str = "warning") -> dict[str, Any]:
    """A finding of a verdict."""
    return {"rule": rule, "first_step": step, "severity": severity}


def test_findings_are_marked_by_their_place_in_the_verdict_and_neighbours_share_a_line() -> None:
    marks = marks_of(source([found("b", 700), found("a", 20, "error"), found("c", 710), found("d", 5, "info")]))

    assert [(mark.step, mark.text, mark.colour) for mark in marks] == [(20, "2 a", BAD), (700, "1, 3", WARN)]
    assert said_of(marks) == " Marked findings: 2 a at step 20, 1 b, 3 c at step 700."


def test_names_are_left_out_of_the_picture_where_lines_stand_close() -> None:
    marks = marks_of(source([found("a", 100), found("b", 200)]))

    assert [mark.text for mark in marks] == ["1", "2"]


def test_many_findings_at_one_step_are_counted() -> None:
    (mark,) = marks_of(source([found(f"r{n}", 3) for n in range(9)]))

    assert mark.text == "1, 2, 3, 4 +5"


def test_what_else_happened_is_marked_with_a_word() -> None:
    happened = (
        Event(STALLED, 40, {"seconds": 90.0}),
        Event(TRAINING, 500, {"number": 1}),
        Event("artifact", 300, {"path": "checkpoints/x.pt", "folder": "checkpoints"}),
        Event("artifact", 301, {"path": "plot.png", "folder": ""}),
    )
    marks = marks_of(source([], 1000, *happened))

    assert [(mark.step, mark.text) for mark in marks] == [(500, "training 2"), (40, "stood still"), (300, "kept")]
    assert {mark.colour for mark in marks} == {INK, FAINT}
    assert said_of(marks) == ""


@pytest.mark.parametrize("findings", [None, {"a": 1}, [3, None, {"rule": "x"}], [found("x", "soon")], "text"])
def test_findings_of_another_form_mark_nothing(findings: Any) -> None:
    assert marks_of(source(findings)) == []


def test_the_axis_says_how_long_an_epoch_is() -> None:
    gathered = Gathered()
    assert axis_words(gathered) == "step"
    for epoch in range(3):
        gathered.take(1, Event("epoch", 50 * epoch + 49, {"first_step": 50 * epoch, "last_step": 50 * epoch + 49}))

    assert axis_words(gathered) == "step (3 epochs of 50 steps)"
    gathered.take(1, Event("epoch", 400, {"first_step": 150, "last_step": 400}))
    assert axis_words(gathered) == "step (4 epochs; lines at their ends)"


def test_epochs_without_numbers_follow_on_each_other() -> None:
    gathered = Gathered()
    gathered.take(1, Event("epoch", 9, {"first_step": "x", "last_step": None}))
    gathered.take(1, Event("epoch", 19, {}))
    gathered.take(1, Event("epoch", 12, {}))

    assert epoch_spans(gathered) == [(0, 9), (10, 19)]
    assert [whole(one) for one in (True, "3", float("nan"), 2**60, 4.0)] == [None, None, None, None, 4]
