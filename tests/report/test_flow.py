"""Gradient flow and update ratios: which rows, in which order and size, and what is said of them."""

import math
import re
from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from tracker.report.blocks import Plot
from tracker.report.drawing.figures import drawing
from tracker.report.drawing.heatmaps import ZERO, Grid, gridded, painted, stretch, thinned
from tracker.report.gathering.curves import Curve
from tracker.report.gathering.depth import in_depth
from tracker.report.gathering.gathered import Gathered
from tracker.report.gathering.sources import Source
from tracker.report.sections import flow
from tracker.rules.engine.records import Event, Fact, Json, Reading

STEPS = (0, 5, 10, 15, 20, 25)


def measured(
    gradients: Mapping[str, Sequence[float]], sizes: Mapping[str, list[int]] | None = None, signal: str = "grad_norm"
) -> Gathered:
    """A value for each of `STEPS`, of three epochs of ten steps."""
    gathered = Gathered()
    shapes: dict[str, Json] = {name: {"shape": list(shape)} for name, shape in (sizes or {}).items()}
    gathered.take(1, Fact("parameters", 0, shapes))
    for name, values in gradients.items():
        for step, value in zip(STEPS, values, strict=True):
            gathered.take(1, Reading(signal, name, step, value))
    for epoch in range(3):
        first, last = 10 * epoch, 10 * epoch + 9
        gathered.take(1, Reading("loss", "", last, 1.0))
        gathered.take(1, Event("epoch", last, {"first_step": first, "last_step": last}))
    return gathered


def plots(gathered: Gathered, **more: object) -> list[Plot]:
    """The plots of the section."""
    with drawing():
        found = flow.sections(Source("r", gathered=gathered, **more))  # type: ignore[arg-type]
    return [block for one in found for block in one.blocks if isinstance(block, Plot)]


def rows_of(plot: Plot) -> list[str]:
    """Names that stand in the picture, from top to bottom."""
    return re.findall(r">([\w.]+\.(?:weight|bias))<", plot.svg)


def test_gradients_are_drawn_for_each_element_weights_first_in_the_order_of_the_model() -> None:
    values = [4.0] * 6
    gathered = measured(
        {"b.weight": values, "a.weight": values, "a.bias": values, "": values},
        {"a.weight": [4, 4], "a.bias": [4], "b.weight": [2, 2]},
    )
    (plot,) = plots(gathered)

    assert rows_of(plot)[:3] == ["a.weight", "b.weight", "a.bias"]
    assert "Gradient per element" in plot.says
    assert "at the end between 1 (a.weight) and 2 (b.weight); the first layer's is 0.5 times the last" in plot.says


def test_norms_stay_norms_where_a_size_is_not_known_and_what_is_no_number_is_marked() -> None:
    gradients = {"a.weight": [4.0] * 6, "b.weight": [1.0, 2.0, 3.0, math.nan, math.nan, math.nan]}
    verdict = {"findings": [{"rule": "vanishing-gradient", "severity": "error", "first_step": 12}]}
    (plot,) = plots(measured(gradients, {"a.weight": [4, 4]}), verdict=verdict)

    assert plot.says.startswith("Gradient norm of 2 parameters: at last between 3 (b.weight) and 4 (a.weight)")
    assert "Crosses: 1 had values that were not finite, b.weight first, at step 15." in plot.says
    assert plot.says.endswith("Marked findings: 1 vanishing-gradient at step 12.")
    assert ">1 vanishing-gradient<" in plot.svg


@pytest.mark.parametrize(
    ("last", "words"),
    [
        ([0.0, 2.0], "between 0 (a) and 2 (b); 1 of 2 weights got exactly zero."),
        ([0.0, 0.0], ": at the end all 2 weights got exactly zero."),
        ([math.nan, math.nan], ": none was a number."),
        ([3.0, math.nan], "between 3 (a) and 3 (a); the first layer's is 1 times the last layer's."),
    ],
)
def test_the_least_and_the_greatest_gradient_are_said(last: list[float], words: str) -> None:
    grid = Grid(["a", "b"], np.array([0.0, 1.0]), np.array(last)[:, None], {})

    assert flow.extremes(grid, 2).endswith(words)


def test_of_many_parameters_the_vectors_are_left_out_and_the_page_stays_small() -> None:
    names = [f"layers.{n}.{kind}" for n in range(40) for kind in ("weight", "bias")]
    gathered = measured({name: [1.0 + place] * 6 for place, name in enumerate(names)})
    (plot,) = plots(gathered)

    assert "40 biases and scales are left out." in plot.says
    assert rows_of(plot)[0] == "layers.0.weight"
    assert not any(name.endswith("bias") for name in rows_of(plot))
    assert len(plot.svg) < 80_000
    assert plot.data is not None
    assert len(plot.data.rows) == 30


def test_updates_far_from_a_thousandth_are_counted_and_listed_first() -> None:
    ratios = {"slow.weight": [1e-6] * 6, "right.weight": [1e-3] * 6, "fast.weight": [0.05] * 6}
    (plot,) = plots(measured(ratios, signal="update_ratio"))

    assert "the middle one of 3 weights moves by 0.001; 1 below 1e-4, 1 above 1e-2." in plot.says
    assert plot.data is not None
    assert [row[0] for row in plot.data.rows] == ["slow.weight", "fast.weight", "right.weight"]


def test_nothing_measured_gives_no_section() -> None:
    assert flow.sections(Source("r")) == []


def test_a_value_holds_until_the_next_look_but_not_where_others_were_looked_at() -> None:
    one, other = Curve(), Curve()
    one.add([0, 20, 40, 60], [1.0, 2.0, 3.0, 4.0])
    other.add([0, 60], [5.0, 6.0])
    grid = gridded({"one": one, "other": other}, 79)

    assert grid.values[0].tolist() == [1.0, 2.0, 3.0, 4.0]
    assert np.nan_to_num(grid.values[1], nan=-1).tolist() == [5.0, -1.0, -1.0, 6.0]
    assert grid.last.tolist() == [4.0, 6.0]


def test_columns_between_two_looks_repeat_and_behind_the_last_one_are_empty() -> None:
    dense = Curve()
    dense.add([*range(10), 20, 30, 40], [float(n) for n in range(13)])
    grid = gridded({"a": dense}, 99)
    known = np.isfinite(grid.values[0])

    assert known[: int(41 / 100 * len(known))].all()
    assert not known[len(known) // 2 + 2 :].any()


def test_zero_has_a_colour_of_its_own_and_what_was_not_measured_has_none() -> None:
    colours = painted(np.array([[0.0, np.nan, 1e-3, 1.0]]), "viridis", -6, 0, logarithmic=True)[0]

    assert colours[0].tolist() == [round(255 * part) for part in ZERO]
    assert colours[1].tolist() == [0, 0, 0, 0]
    assert colours[3].tolist() == [253, 231, 37, 255]


def test_of_very_many_rows_the_extremes_and_those_with_findings_stay() -> None:
    values = np.ones((500, 2))
    values[123], values[321] = 1e-9, 1e9
    grid = Grid([f"l{n}" for n in range(500)], np.array([0.0, 1.0, 2.0]), values, {77: 3})
    some, words = thinned(grid, {"l77"}, most=50)

    assert 45 <= len(some.names) <= 50
    assert {"l0", "l77", "l123", "l321", "l499"} <= set(some.names)
    assert some.broken == {some.names.index("l77"): 3}
    assert words.startswith(f"{len(some.names)} of 500 are drawn, evenly through the depth; of the others")


@pytest.mark.parametrize(
    ("values", "ends"),
    [
        ([1e-6, 1.0], (-6.0, 0.0)),
        ([0.5, 1.0], (-2.0, 0.0)),
        ([0.0, math.nan], (-2.0, 0.0)),
        ([1e-30, 1.0], (-10.0, 0.0)),
    ],
)
def test_colours_span_two_to_ten_powers_of_ten(values: list[float], ends: tuple[float, float]) -> None:
    low, high = stretch(np.array(values), 2.0, 10.0)

    assert (round(low, 0), round(high, 0)) == ends


def test_layers_stand_in_the_order_of_the_model_and_unknown_ones_where_they_came() -> None:
    gathered = Gathered()
    layers = {"stem": {}, "body": {}, "head": {}}
    gathered.take(1, Fact("model", 0, {"net": {"layers": layers, "n_layers": 3}}))
    names = ["net.head.weight", "net.stem.weight", "net.stem.extra.x", "net.body.bias"]

    assert in_depth(gathered, names) == ["net.stem.weight", "net.stem.extra.x", "net.body.bias", "net.head.weight"]
    gathered.take(1, Fact("model", 0, {"net": {"layers": 3}, "x": None}))  # type: ignore[dict-item]
    assert in_depth(gathered, names) == names
