"""Dead and saturated units: the worst layers first, and those without any in a line."""

from tracker.report.blocks import Plot, Section, Text
from tracker.report.drawing.figures import drawing
from tracker.report.gathering.gathered import Gathered
from tracker.report.gathering.sources import Source
from tracker.report.sections import units
from tracker.rules.engine.records import Reading


def section(signal: str, shares: dict[str, tuple[float, ...]]) -> Section:
    """The section of a run with these shares, ten steps apart."""
    gathered = Gathered()
    for layer, values in shares.items():
        for place, share in enumerate(values):
            gathered.take(1, Reading(signal, layer, 10 * place, share))
    with drawing():
        (one,) = units.sections(Source("r", gathered=gathered))
    return one


def test_dead_units_are_told_with_the_worst_layer_first() -> None:
    shares = {"a.relu()": (0.0, 0.1, 0.2), "b.relu()": (0.5, 0.8, 0.9), "c.relu()": (0.0, 0.0, 0.001)}
    (plot,) = section("output/dead", shares).blocks

    assert isinstance(plot, Plot)
    assert plot.title.startswith("Dead units")
    assert "at the end most in b.relu() (90.0%); in 1 of 3 layers more than half." in plot.says
    assert "Layers that are not drawn: 1, at most 0.1% at any time." in plot.says
    assert plot.data is not None
    assert [list(row) for row in plot.data.rows][:2] == [
        ["b.relu()", "50.0%", "90.0%", "90.0%"],
        ["a.relu()", "0.0%", "20.0%", "20.0%"],
    ]
    assert plot.svg.index(">b.relu()<") < plot.svg.index(">a.relu()<")
    assert ">90%<" in plot.svg


def test_layers_without_any_are_a_line_and_no_picture() -> None:
    (text,) = section("output/saturated", {"a": (0.0, 0.0), "b": (0.001, 0.0)}).blocks

    assert isinstance(text, Text)
    assert text.lines == ("Saturated units: at most 0.1% at any time in all 2 layers looked at.",)


def test_a_run_whose_outputs_were_not_looked_at_has_no_section() -> None:
    assert units.sections(Source("r")) == []
