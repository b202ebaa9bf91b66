"""The page of a preflight: the table first, then what was found, then pictures of what was measured."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tests.report.pages import HOSTILE, Reader, finding
from tracker.report.blocks import Group, Plot
from tracker.report.drawing.figures import drawing
from tracker.report.gathering.sources import Source
from tracker.report.page import report_page
from tracker.report.sections import drilled, findings
from tracker.rules.engine.records import Fact, Reading

RANGE = {"steepest": 0.01, "breaks_at": 0.5, "own": 2.0, "peak": 2.0, "summary": "the loss falls fastest at 0.01"}
LAYERS = [{"name": f"stem.{place}", "rms": 2.0**-place, "gradient": 3.0**-place} for place in range(6)]


def _source(**facts: Any) -> Source:
    """A preflight of three drills, of which the second failed, with these facts in place of their own."""
    row = {"says": "three numbers", "findings": [], "seconds": 0.4, "status": "passed"}
    found = finding("learning-rate-beyond-divergence", message="the learning rate is 2", advice=["Try 0.01."])
    drills = [
        {**row, "drill": "overfit-one-batch", "title": "overfit one batch"},
        {
            **row,
            "drill": "learning-rate-range",
            "title": "learning-rate range",
            "status": "failed",
            "findings": [found],
        },
        {**row, "drill": "signal-propagation", "title": "signal through the depth"},
        {**row, "drill": "gradient-check", "title": "gradients by differences", "status": "skipped", "says": "no loss"},
    ]
    failure = {"title": "learning-rate range", "message": "the learning rate is 2", "advice": ["Try 0.01."]}
    source = Source("4b9f", name="preflight net", tags={"tracker.kind": "preflight"}, status="FINISHED")
    source.verdict = {"suspicious": "true", "findings": [found], "preflight": {"failed": 1, "failures": [failure]}}
    source.captured = {"preflight.json": {"drills": drills}}
    for step in range(60):
        for name, loss in (("", 2.3 * 0.9**step), ("/rate x0.1", 2.3 * 0.99**step)):
            source.gathered.take(0.0, Reading("drill/loss", f"overfit-one-batch{name}", step, loss))
        loss = 2.3 - step / 30 if step < 50 else 100.0 * step
        source.gathered.take(0.0, Reading("drill/loss", "learning-rate-range", step, loss))
        source.gathered.take(0.0, Reading("drill/lr", "learning-rate-range", step, 1e-7 * 1.35**step))
        source.gathered.take(0.0, Reading("drill/loss", "learning-rate-range/own", step, 2.3 + step))
    told = {
        "drill/overfit-one-batch": {"floor": 0.01, "guess": 2.303, "trials": [{"rate": 0.1}]},
        "drill/learning-rate-range": RANGE,
        "drill/signal-propagation": {"layers": LAYERS},
        **facts,
    }
    for fact, value in told.items():
        source.gathered.take(0.0, Fact(fact, 0, value))
    return source


def _plots(source: Source, of: Any = drilled) -> list[Plot]:
    with drawing():
        blocks = [block for section in of.sections(source) for block in section.blocks]
        inner = [part for block in blocks if isinstance(block, Group) for part in block.blocks]
        return [one for one in (*blocks, *inner) if isinstance(one, Plot)]


def test_the_table_comes_first_and_nothing_is_said_of_a_training() -> None:
    read = Reader(report_page(_source()))
    sections = [one["id"] for one in read.named("section")]
    cells = [text for tag, text in read.texts if tag in ("th", "td")]

    assert sections == ["drills", "findings", "drilled"]
    assert "1 drill failed: learning-rate range" in read.text
    assert "First thing to try: Try 0.01." in read.text
    assert (
        cells.index("overfit one batch") < cells.index("learning-rate range") < cells.index("signal through the depth")
    )
    assert {"✖ failed", "✓ passed", "– skipped", "no loss"} <= set(cells)
    assert "From step" not in read.text
    assert "could not be drawn" not in read.text


def test_the_sweep_is_drawn_over_rates_with_the_own_the_steepest_and_the_break() -> None:
    (plot,) = _plots(_source(), findings)

    assert "against the rate" in plot.title
    assert "falls fastest at 0.01; breaks at 0.5; your learning rate is 2" in plot.says
    assert "is not drawn" in plot.says  # what lies behind the break is thousands of times what matters
    assert all(f">{word}<" in plot.svg for word in ("falls fastest 0.01", "breaks 0.5", "yours 2"))
    assert "at your learning rate" in plot.svg


def test_what_was_measured_is_drawn_once_with_the_finding_where_there_is_one() -> None:
    source = _source()

    assert [one.title for one in _plots(source, findings)] == ["Learning-rate range: the loss against the rate"]
    assert source.gathered.last_step == 0  # the iterations of drills are no steps of the training
    assert [one.title for one in _plots(source)] == [
        "Overfit one batch: the loss",
        "Signal through the depth: scale through the depth",
    ]


def test_the_curve_of_one_batch_has_its_floor_and_its_variants() -> None:
    plot = next(one for one in _plots(_source()) if one.title.startswith("Overfit one batch"))

    assert "lowest possible: 0.01" in plot.says
    assert "by guessing: 2.303" in plot.says
    assert ">rate x0.1<" in plot.svg


def test_the_scale_through_the_depth_begins_with_the_first_layer() -> None:
    plot = next(one for one in _plots(_source()) if "through the depth" in one.title and "Layer by" in one.says)

    assert "outputs (root mean square) 1 at the first, 0.03125 at the last" in plot.says
    assert "gradient of the outputs 1 at the first" in plot.says
    assert plot.svg.index(">stem.0<") < plot.svg.index(">stem.5<")


def test_a_page_without_a_usable_table_says_so() -> None:
    source = _source()
    source.captured = {"preflight.json": {"drills": "gone"}}

    assert "not there, or not in a form of ours" in Reader(report_page(source)).text


BROKEN = (
    [None, {"floor": math.nan, "steepest": -1.0, "breaks_at": "x", "own": True}, {"layers": 3}],
    [[], "x", {"layers": [{"name": HOSTILE, "rms": math.inf}, {"rms": 0}, 7, {"rms": 1e-300, "gradient": 1}]}],
)


@pytest.mark.parametrize("values", BROKEN)
def test_facts_of_any_form_leave_the_rest_of_the_page(values: list[Any]) -> None:
    names = ("overfit-one-batch", "learning-rate-range", "signal-propagation")
    page = report_page(_source(**{f"drill/{one}": value for one, value in zip(names, values, strict=True)}))

    assert "could not be drawn" not in page
    assert "1 drill failed" in page
