"""The table of a preflight: what it says at any width, and that nothing in it is obeyed or becomes markup."""

import pytest

from tests.report.pages import HOSTILE, Reader
from tracker.drilling.judged import FAILED, PASSED, SKIPPED_ROW, Row
from tracker.drilling.table import as_html, as_markdown, text
from tracker.report.console.characters import cells

LONG = "the loss went from 2.303 to 0.0004 in 80 steps on one batch of 32 samples, which is what it should do here"
FINDING = {
    "rule": "learning-rate-beyond-divergence",
    "severity": "warning",
    "subject": "group 1",
    "message": LONG,
    "advice": ["Try a learning rate of 0.06.", LONG],
}
ROWS = (
    Row("determinism", "two identical steps", PASSED, "losses 2.3 and 2.3"),
    Row("learning-rate-range", "learning-rate range", FAILED, LONG, (FINDING,)),
    Row("gradient-check", "gradients by differences", SKIPPED_ROW, "the loss is not known"),
)


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120])
def test_no_line_is_wider_than_asked_for_and_nothing_is_lost(width):
    lines = text(ROWS, width).splitlines()

    assert max(map(len, lines)) <= width
    assert " ".join(" ".join(lines).split()).count(LONG) == 3
    assert lines[-1] == "1 passed, 1 failed, 1 skipped"


def test_what_was_measured_stands_in_one_column_in_the_order_of_the_drills():
    lines = text(ROWS, 100).splitlines()
    heads = [line for line in lines if line.startswith(("passed", "FAILED", "skipped"))]
    starts = [line.index(said) for line, said in zip(heads, ("losses", "the loss went", "the loss is"), strict=True)]

    assert len(set(starts)) == 1
    assert lines[lines.index(heads[1]) + 1][: starts[0]].isspace()
    assert "  warning, learning-rate-beyond-divergence in group 1: the loss went" in "\n".join(lines)
    assert "           1. Try a learning rate of 0.06." in lines


def test_names_that_a_terminal_obeys_are_only_shown():
    told = {**FINDING, "subject": "\x1b[31mred\r\nFAILED  forged", "message": "層" * 90, "advice": ["x" * 300]}
    shown = text((Row("a", "\x1b]0;title\x07", FAILED, "a\nb\u202e", (told,)),), 80)

    assert not [char for char in shown if not char.isprintable() and char != "\n"]
    assert not [line for line in shown.splitlines() if line.startswith("FAILED  forged")]
    assert max(map(cells, shown.splitlines())) <= 80
    assert shown.count("層") == 90
    assert shown.count("x") == 300


def test_markdown_and_html_hold_no_markup_of_a_name():
    told = {**FINDING, "rule": HOSTILE, "subject": HOSTILE, "message": HOSTILE, "advice": [HOSTILE]}
    rows = (Row("a", HOSTILE, FAILED, HOSTILE, (told,)),)
    page, marked = Reader(as_html(rows)), as_markdown(rows)

    assert {tag for tag, _ in page.elements} == (
        {"table", "caption", "thead", "tbody", "tr", "th", "td", "b", "div", "ol", "li"}
    )
    assert not page.unclosed
    assert "<script" not in marked
    assert "<img" not in marked
    assert "`$x$" not in marked


def test_markdown_has_the_counts_the_rows_and_the_advice():
    marked = as_markdown(ROWS)

    assert marked.startswith("# Preflight: 1 passed, 1 failed, 1 skipped\n")
    assert "| **✗ FAILED** | learning-rate range |" in marked
    assert "- Try a learning rate of 0.06." in marked


def test_a_row_without_words_is_a_row():
    assert text((Row("a", "a drill", PASSED, ""),)).splitlines()[0] == "passed   a drill"
