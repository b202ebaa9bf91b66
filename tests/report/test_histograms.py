"""Histograms over time: what rows of counts say, onto which scale they come, and which layers are drawn."""

import math

import numpy as np
import pytest
import torch

from tracker.probes.bins import binned
from tracker.report.blocks import Plot, Text
from tracker.report.drawing.distributions import Histogram, Scale, cells, held_until, histogram_of, round_between
from tracker.report.drawing.figures import drawing
from tracker.report.gathering.gathered import Gathered
from tracker.report.gathering.sources import Source
from tracker.report.sections import flow, histograms, training
from tracker.rules.engine.records import Array, Reading


def spread(width: float, bins: int = 32) -> tuple[float, ...]:
    """As stored: values spread evenly from -width to width."""
    return (-width, width, *[10.0] * bins)


def parsed(row: tuple[float, ...]) -> Histogram:
    """The histogram of a good row."""
    found = histogram_of(row)
    assert found is not None
    return found


def test_what_the_probe_stores_gives_the_quantiles_of_the_values() -> None:
    values = torch.linspace(-3, 5, 4001) ** 3
    row = binned(values)
    assert row is not None
    found = parsed(tuple(row))

    for share in (0.05, 0.5, 0.95):
        assert found.quantile(share) == pytest.approx(values.quantile(share).item(), abs=(125 + 27) / 32)
    assert found.below(np.array([-27.0, 125.0])).tolist() == [0.0, 1.0]


def test_values_that_are_all_the_same_lie_there() -> None:
    row = binned(torch.full((7,), 2.5))
    assert row is not None
    found = parsed(tuple(row))

    assert [found.quantile(share) for share in (0.0, 0.5, 1.0)] == [2.5, 2.5, 2.5]
    assert found.below(np.array([2.4, 2.5, 2.6])).tolist() == [0.0, 0.0, 1.0]
    assert cells([found], Scale([found])).max() == 1.0


@pytest.mark.parametrize(
    "row",
    [
        (),
        (1.0, 2.0),
        (2.0, 1.0, 5.0),
        (0.0, 1.0, 0.0),
        (0.0, 1.0, -1.0, 3.0),
        (0.0, math.nan, 3.0),
        (-1e308, 1e308, 1.0),
    ],
)
def test_a_row_of_another_form_is_none(row: tuple[float, ...]) -> None:
    assert histogram_of(row) is None


def test_cells_hold_the_same_share_whatever_the_range_of_the_moment() -> None:
    moments = [parsed(spread(1.0)), parsed(spread(2.0))]
    filled = cells(moments, Scale(moments))

    assert (filled[:, 1] > 0.9).all()
    assert filled[[0, -1], 0].tolist() == [0.0, 0.0]
    assert (filled[:, 0] > 0.9).sum() == len(filled) // 2


def test_values_that_are_all_at_the_end_of_the_scale_are_shown_there() -> None:
    moments = [parsed(spread(0.5)), parsed((1.0, 1.0, *[0.0] * 31, 9.0))]

    assert cells(moments, Scale(moments))[:, 1].tolist() == [0.0] * 31 + [1.0]


def test_a_scale_is_bent_where_one_moment_is_far_wider() -> None:
    even, far = Scale([parsed(spread(1.0))] * 3), Scale([*[parsed(spread(1e-4))] * 3, parsed(spread(10.0))])

    assert even.bend is None
    assert far.bend is not None
    assert far.value(far.place(np.array([-3.0, 1e-5]))) == pytest.approx([-3.0, 1e-5])
    assert far.ticks()[1][0] == "0"
    inner = far.place(np.array([1e-4]))[0] / far.high
    assert inner > 0.1


def test_ticks_are_a_few_round_values_within() -> None:
    assert round_between(-0.31, 0.34, most=4) == [-0.2, 0.0, 0.2]
    assert round_between(0.0, 450.0, most=3) == [0.0, 200.0, 400.0]
    assert round_between(1.0, 1.0, most=3) == [1.0]


def test_the_latest_moment_is_shown_until_the_next() -> None:
    assert held_until([10, 20, 50], np.array([0.0, 10.0, 19.0, 20.0, 90.0])).tolist() == [0, 0, 0, 1, 2]


def test_layers_of_findings_are_drawn_then_some_through_the_depth_and_vectors_last() -> None:
    names = [f"l{n}.{kind}" for n in range(30) for kind in ("weight", "bias")]
    vectors = {name for name in names if name.endswith("bias")}
    drawn = histograms.chosen(names, {"l17"}, vectors)

    assert len(drawn) == 12
    assert {"l17.weight", "l17.bias", "l0.weight", "l29.weight"} <= set(drawn)
    assert vectors & set(drawn) == {"l17.bias"}
    assert drawn == [name for name in names if name in set(drawn)]
    assert histograms.chosen(["a.weight", "a.bias"], (), {"a.bias"}) == ["a.weight", "a.bias"]


def test_the_section_tells_which_layer_changed_its_width_and_names_what_is_not_drawn() -> None:
    gathered = Gathered()
    for n in range(14):
        for step in (0, 50, 99):
            width = 1.0 + (step == 99) * 3.0 * (n == 3)
            gathered.take(1, Array("weight/histogram", f"l{n}.weight", step, spread(width)))
    gathered.take(1, Array("weight/histogram", "broken", 0, (1.0,)))
    gathered.take(1, Array("output/histogram", "act", 0, (0.0, 1.0, *[3.0] * 32)))
    gathered.take(1, Reading("loss", "", 99, 1.0))
    with drawing():
        (one,) = histograms.sections(
            Source("r", gathered=gathered, verdict={"findings": [{"rule": "x", "subject": "l3"}]})
        )
    weights, rest, outputs = one.blocks

    assert isinstance(weights, Plot)
    assert weights.says.startswith("Weights of 12 of 14 parameters at up to 3 moments.")
    assert "changed most in l3.weight: from 1.8 at step 0 to 7.2 at step 99 (4 times)" in weights.says
    assert weights.data is not None
    assert list(weights.data.rows[3]) == ["l3.weight", "99", "-4", "-3.6", "0", "3.6", "4", "3"]
    assert isinstance(rest, Text)
    assert rest.lines[0].startswith("Not drawn: l")
    assert isinstance(outputs, Plot)
    assert outputs.says.startswith("Outputs of 1 of 1 layers")
    assert histograms.sections(Source("r")) == []


def test_a_real_training_has_its_curves_maps_and_histograms(trained_source: Source) -> None:
    with drawing():
        (curves,) = training.sections(trained_source)
        (maps,) = flow.sections(trained_source)
        (one,) = histograms.sections(trained_source)
    shown = {
        block.title: block for section in (curves, maps, one) for block in section.blocks if isinstance(block, Plot)
    }

    assert {"Weights over the run", "Gradients over the run", "Outputs over the run"} <= set(shown)
    assert "Training loss (" in curves.blocks[0].says  # type: ignore[union-attr]
    assert "Gradient per element" in maps.blocks[0].says  # type: ignore[union-attr]
    gathered = trained_source.gathered
    names = set(gathered.facts["parameters"])  # type: ignore[arg-type]
    assert {row[0] for row in shown["Weights over the run"].data.rows} <= names  # type: ignore[union-attr]
