"""What a report shows of held-out samples: pictures, answers over the evaluations, the worst, the first filters."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tracker.report.blocks import Block, Code, Group, Plot, Section, Table, Text, Tile, Tiles
from tracker.report.drawing.figures import drawing
from tracker.report.drawing.pictures import stored_pixels
from tracker.report.gathering.gathered import Gathered
from tracker.report.gathering.sources import Source
from tracker.report.page import report_page
from tracker.report.samples.held_out import entry_of
from tracker.report.samples.tiles import Drawer, aligned, curves_of, share_right
from tracker.report.sections import samples
from tracker.rules.engine.records import Event, Fact, Json, Reading

PIXELS = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4


def entry(name: str, target: Json, predicted: Json, sure: float | None = 0.9, loss: float = 0.5) -> dict[str, Json]:
    """An entry of the fact `predictions`."""
    told: dict[str, Json] = {"id": name, "target": target, "predicted": predicted, "loss": loss}
    return {**told, "top": [[predicted, sure], [target, 0.05]]} if sure is not None else told


def image(name: str, pixels: np.ndarray[Any, Any] = PIXELS) -> Fact:
    """The fact `sample` of a picture."""
    given: dict[str, Json] = {
        "height": pixels.shape[0],
        "width": pixels.shape[1],
        "channels": 1,
        "pixels": base64.b64encode(pixels.tobytes()).decode(),
        "low": 0.0,
        "high": 1.0,
        "scale": 1,
    }
    return Fact("sample", 9, {"id": name, "split": "val", "kind": "image", "shape": [1, 8, 8], "input": given})


def sample(name: str, kind: str, given: dict[str, Json]) -> Fact:
    """The fact `sample` of anything else."""
    return Fact("sample", 9, {"id": name, "split": "val", "kind": kind, "shape": [4], "input": given})


def gathered(
    facts: Sequence[Fact], evaluations: Sequence[tuple[list[dict[str, Json]], list[dict[str, Json]]]]
) -> Gathered:
    """A run with the fixed and the worst samples of each evaluation, an epoch of 10 steps apart."""
    found = Gathered()
    found.take(1, Reading("loss", "", 0, 1.0))
    for fact in facts:
        found.take(1, fact)
    for epoch, (fixed, worst) in enumerate(evaluations):
        step = 10 * epoch + 9
        found.take(1, Event("epoch", step, {"epoch": epoch, "last_step": step}))
        told: dict[str, Json] = {"split": "val", "fixed": list(fixed), "worst": list(worst)}
        found.take(1, Fact("predictions", step, told))
    return found


def section(found: Gathered, **more: Any) -> Section:
    """The section of samples of a run."""
    with drawing():
        (one,) = samples.sections(Source("r", gathered=found, **more))
    return one


def group(one: Section, title: str) -> Group:
    return next(block for block in one.blocks if isinstance(block, Group) and title in block.title)


def of_kind(blocks: Sequence[Block], kind: type[Any]) -> list[Any]:
    """The blocks of one kind, those within groups among them."""
    inner = [block for one in blocks if isinstance(one, Group) for block in one.blocks]
    return [block for block in (*blocks, *inner) if isinstance(block, kind)]


def tiles(one: Section) -> list[Tile]:
    return [tile for block in of_kind(one.blocks, Tiles) for tile in block.tiles]


def words(one: Section) -> str:
    return "\n".join(line for text in of_kind(one.blocks, Text) for line in text.lines)


def test_a_picture_is_shown_as_it_is_with_what_was_said_of_it() -> None:
    (tile,) = tiles(section(gathered([image("a")], [([entry("a", 3, 8)], [])])))

    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(tile.png))))
    assert (shown == PIXELS).all()
    assert tile.alt == "picture 1x8x8: ✗ said 8 (0.90), is 3"
    assert tile.lines[0] == "✗ said 8 (0.90), is 3"
    assert tile.tone == "bad"


@pytest.mark.parametrize(
    ("said", "trail", "history"),
    [
        ([8, 8, 3, 3], "8 8 3 3", "right since epoch 3"),
        ([3, 3, 3, 3], "3 3 3 3", "right each time"),
        ([8, 8, 8, 5], "8 8 8 5", "never right in 4 evaluations"),
        ([3, 3, 8, 8], "3 3 8 8", "right in 2 of 4, not now"),
    ],
)
def test_a_tile_tells_how_the_answer_went(said: list[int], trail: str, history: str) -> None:
    (tile,) = tiles(section(gathered([image("a")], [([entry("a", 3, one)], []) for one in said])))

    assert tile.lines[1:] == (trail, history)


def test_a_long_history_is_told_by_some_of_its_answers_first_and_last_among_them() -> None:
    said = [7] * 20 + [3] * 20
    (tile,) = tiles(section(gathered([image("a")], [([entry("a", 3, one)], []) for one in said])))

    assert tile.lines[1:] == ("7 7 7 7 7 7 3 3 3 3 3 3", "right since epoch 21")


def test_classes_are_called_by_their_names() -> None:
    found = gathered([image("a")], [([entry("a", 0, one)], []) for one in (1, 1, 0)])
    found.take(1, Fact("class_weights", 0, {"wren": 1.0, "sparrow": 2.0}))

    (tile,) = tiles(section(found))

    assert tile.lines == ("✓ wren (0.90)", "sparrow → wren", "right since epoch 3")


def test_it_is_said_how_many_are_right_and_the_wrong_ones_come_first() -> None:
    facts = [image(name) for name in "abc"]
    first = [entry("a", 1, 1), entry("b", 2, 1), entry("c", 3, 1)]
    last = [entry("a", 1, 1), entry("b", 2, 2), entry("c", 3, 1)]
    one = section(gathered(facts, [(first, []), (last, [])]))

    assert (
        "3 samples, 2 evaluations, the last one epoch 2: 2 of 3 are right now, 1 were at first; never right: 1."
    ) in words(one)
    assert [tile.lines[0] for tile in tiles(one)] == ["✗ said 1 (0.90), is 3", "✓ 1 (0.90)", "✓ 2 (0.90)"]


def test_samples_that_do_not_come_again_are_said_to_be_missing() -> None:
    some = gathered([image("a"), image("b")], [([entry("a", 1, 1), entry("b", 1, 1)], []), ([entry("a", 1, 1)], [])])
    none = gathered([image("a")], [([entry("a", 1, 1)], []), ([], [entry("c", 1, 2)])])

    assert "One sample that was chosen at first did not come" in words(section(some))
    assert len(tiles(section(some))) == 1
    assert "One sample that was chosen at first did not come" in words(section(none))


def test_what_stays_among_the_worst_is_named_and_a_doubtful_label_with_care() -> None:
    worst = [entry("a", 1, 7, 0.99, 5.0), entry("b", 2, 3, 0.5, 3.0)]
    one = section(gathered([image("a"), image("b")], [([], worst)] * 6))

    shown = group(one, "The worst mistakes of the last evaluation")
    lines = [tile.lines for tile in of_kind([shown], Tiles)[0].tiles]
    assert lines[0] == ("✗ said 7 (0.99), is 1", "loss 5", "among the worst 3 of 3 times")
    assert "whether the label or the model is wrong" in words(one)
    assert "one labelled 1 is called 7 each time." in words(one)
    assert "labelled 2" not in words(one)


def test_largest_losses_that_are_right_are_no_mistakes() -> None:
    one = section(gathered([image("a")], [([], [entry("a", 1, 1, 0.6)])]))

    assert group(one, "The largest losses of the last evaluation")


def test_a_series_is_a_small_curve() -> None:
    found = gathered(
        [sample("a", "series", {"values": [[0.0, None, 2.0], [1.0, 1.0, 1.0]]})], [([entry("a", 0, 0)], [])]
    )
    (tile,) = tiles(section(found))

    assert tile.curves == ("0.0,38.0 100.0,2.0", "0.0,20.0 50.0,20.0 100.0,20.0")


@pytest.mark.parametrize(
    ("kind", "given", "shown"),
    [
        ("text", {"text": "a <b>fine</b>\nfilm"}, "a <b>fine</b> film"),
        ("tokens", {"tokens": [5, 6, 7, 0, 0, 0, 0, 0]}, "5 6 7 0 … (8)"),
        ("numbers", {"values": [0.5, None, 1e9], "name": "x"}, "0.5 – 1e+09"),
        ("numbers", {"values": "no"}, "not readable"),
        ("else", {}, "not readable"),
    ],
)
def test_what_is_no_picture_is_a_row(kind: str, given: dict[str, Json], shown: str) -> None:
    evaluations = [([entry("a", 1, 0, 0.8)], []), ([entry("a", 1, 1, 0.7)], [])]
    (table,) = of_kind(section(gathered([sample("a", kind, given)], evaluations)).blocks, Table)

    assert table.rows == [(shown, "1", "✓ 1 (0.70)", "0 1; right since epoch 2", "0.5")]


def test_sequences_stand_below_each_other_with_marks_where_they_differ() -> None:
    told = entry("a", [4, 5, -100, 12], [4, 9, 9, 12], None)
    found = gathered([sample("a", "tokens", {"tokens": [3, 4, 5, 6]})], [([told], []), ([told], [])])
    one = section(found)

    (code,) = of_kind(one.blocks, Code)
    assert code.text == (
        "input: 3 4 5 6\n"
        "true        4  5  – 12\n"
        "predicted   4  9  9 12\n"
        "               ^\n"
        "right 67 67 %"
    )  # fmt: skip
    assert "66.7 % of the positions are right." in words(one)


def test_numbers_are_drawn_against_the_truth_with_their_error() -> None:
    names = "abcd"
    facts = [sample(name, "numbers", {"values": [1.0]}) for name in names]
    first = [entry(name, [float(n)], [0.0], None) for n, name in enumerate(names)]
    last = [entry(name, [float(n)], [n + 0.5], None) for n, name in enumerate(names)]
    found = gathered(facts, [(first, []), (last, [])])
    for step, error in ((9, 2.0), (19, 0.5)):
        found.take(1, Reading("error", "val", step, error))
        found.take(1, Reading("targets/std", "val", step, 1.118))
    one = section(found)

    (plot,) = of_kind(one.blocks, Plot)
    assert plot.says == (
        "The 4 values of the samples that are followed are off by 0.5 (root mean square); the error on held-out data "
        "goes from 2 to 0.5; always answering the mean would be off by 1.118."
    )
    (table,) = of_kind(one.blocks, Table)
    assert table.folded
    assert table.rows[1][1:3] == ("1", "1.5")


def filters(step: int, values: np.ndarray[Any, Any]) -> Fact:
    """The fact `filters` of numbers between -1 and 1."""
    pixels = np.round((values + 1) * 127.5).astype(np.uint8)
    n, height, width, channels = values.shape
    return Fact("filters", step, {
        "parameter": "conv1.weight", "layer": "conv1", "count": 2 * n, "kept": n, "height": height, "width": width,
        "channels": channels, "pixels": base64.b64encode(pixels.tobytes()).decode(), "low": -1.0, "high": 1.0,
    })  # fmt: skip


def test_the_first_filters_are_shown_at_first_and_at_the_end() -> None:
    before = np.full((4, 3, 3, 1), 0.5)
    before[:, 0] = -0.5
    one = section(gathered([filters(0, before), filters(9, before), filters(19, 2 * before)], []))

    (block,) = of_kind([group(one, "Filters of the first layer")], Tiles)
    first, last = (np.asarray(Image.open(io.BytesIO(base64.b64decode(tile.png)))) for tile in block.tiles)
    assert "4 of 8 filters of conv1, 3 x 3: blue below zero, red above. They changed by 1" in block.caption
    assert [tile.lines[0] for tile in block.tiles] == ["first, step 0", "last, step 19"]
    assert first[0, 0, 2] > first[0, 0, 0], "below zero is blue"
    assert last[-1, -1, 0] > last[-1, -1, 2], "above zero is red"
    assert first[-1, -1, 2] > last[-1, -1, 2], "and paler, the smaller it is"


def test_filters_that_stay_are_said_to_have_hardly_learned() -> None:
    values = np.full((1, 2, 2, 3), 0.5)
    one = section(gathered([filters(0, values), filters(9, values)], []))

    (block,) = of_kind(one.blocks, Tiles)
    assert "hardly learned" in block.caption


def test_a_map_of_what_mattered_stands_beside_its_picture() -> None:
    found = gathered([image("a"), sample("b", "numbers", {"values": [1.0, 2.0, 3.0, 4.0]})],
                     [([entry("a", 1, 1), entry("b", 1, 1)], [])])  # fmt: skip
    bytes_ = base64.b64encode(PIXELS.tobytes()).decode()
    found.take(1, Fact("saliency", 9, {"id": "a", "height": 8, "width": 8, "pixels": bytes_}))
    found.take(1, Fact("saliency", 9, {"id": "b", "values": [0.1, -0.9, 0.0, 0.5]}))
    one = section(found)

    (tile,) = tiles(one)
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(tile.overlay))))
    assert shown[-1, -1].sum() > shown[0, 0].sum()
    assert "second picture mattered most" in words(one)
    assert "mattered most: number 2, 4, 1" in of_kind(one.blocks, Table)[0].rows[0][0]


def test_pictures_stop_where_the_page_would_become_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Drawer, "MOST_LETTERS", 300)
    facts = [image(name) for name in "abc"]
    one = section(gathered(facts, [([entry(name, 1, 1) for name in "abc"], [])]))

    assert [bool(tile.png) for tile in tiles(one)] == [True, False, False]
    assert [tile.text for tile in tiles(one)] == ["", "not shown", "not shown"]
    assert "2 pictures are not shown: the page would become too large." in words(one)


@pytest.mark.parametrize(
    ("source", "note"),
    [
        ({}, "No evaluation of held-out data was seen, so there are no samples to look at."),
        ({"status": "RUNNING"}, "No evaluation of held-out data was yet seen, so there are no samples to look at."),
        (
            {"captured": {"run.json": {"settings": {"report": {"samples": 0}}}}},
            "No samples were kept: samples = 0 in [tool.tracker.report].",
        ),
    ],
)
def test_why_there_are_no_samples_is_said(source: dict[str, Any], note: str) -> None:
    assert section(gathered([], []), **source).note == note


def test_a_reason_of_the_run_itself_is_what_is_said() -> None:
    found = gathered([Fact("unseen", 0, {"evaluation": "Held-out data is not judged: its targets are not found."})], [])

    assert section(found).note == "Held-out data is not judged: its targets are not found."


def test_a_run_of_plain_mlflow_has_no_such_section() -> None:
    assert samples.sections(Source("r", gathered=gathered([], []), is_ours=False)) == []


HOSTILE: list[Json] = [
    None,
    [],
    "x",
    {"id": 3},
    {"id": "h1", "target": {"a": 1}, "predicted": "</script>", "top": "no", "loss": "big"},
    {"id": "h2", "target": [None, "x", 1], "predicted": [1, 2], "top": [[1], [None, 2], 3]},
    {"id": "h3", "target": [1, 2], "predicted": [], "loss": None},
    {"id": "h4", "target": True, "predicted": 10**30, "top": [[math.nan, math.inf]]},
    {"id": "<img src=x onerror=alert(1)>", "target": 1, "predicted": 2, "top": [[2, 0.9]]},
]


def test_hostile_samples_spoil_nothing() -> None:
    good = entry("a", 3, 8)
    found = gathered([image("a")], [([*HOSTILE, good], [*HOSTILE, good]), ([*HOSTILE, good], [*HOSTILE])])  # type: ignore[list-item]
    markup = "<img src=x onerror=alert(1)>"
    for kind in ("image", "text", "tokens", "series", "numbers", markup):
        for given in (
            {
                "pixels": "!!",
                "height": 8,
                "width": 8,
                "channels": 1,
                "text": markup * 9999,
                "tokens": [[]],
                "values": 3,
            },
            {"pixels": "AA==", "height": -1, "width": 10**9, "channels": True, "tokens": {}, "values": [[], [None], 4]},
        ):
            name = f"h{len(found.samples) % 5}"
            found.take(1, Fact("sample", 0, {"id": name, "kind": kind, "shape": markup, "input": given}))
            found.take(1, Fact("saliency", 0, {"id": name, "values": [markup], "pixels": markup}))
            found.take(1, Fact("filters", 0, {**given, "kept": 3, "layer": markup}))
    found.take(1, Fact("sample", 0, {"id": markup, "kind": "text", "input": {"text": markup}}))
    found.take(1, Fact("predictions", 5, {"split": markup, "fixed": {"a": 1}, "worst": 7}))

    one = section(found)

    page = report_page(Source("r", name=markup, gathered=found))
    assert [tile for tile in tiles(one) if tile.png]
    assert markup not in page
    assert "could not be drawn" not in page[page.index('id="samples"') :].split("</section>")[0]


def test_entries_are_read_as_they_are() -> None:
    label, values, sequence = (
        entry_of({"id": "a", **told})
        for told in (
            {"target": 3, "predicted": 8, "top": [[8, 0.9], [3, 0.1]], "loss": 2.5},
            {"target": [0.5, None], "predicted": [1.0, 2.0], "loss": None},
            {"target": [1, 2, 3, -100], "predicted": [1, 2, 4, 9]},
        )
    )

    assert label is not None
    assert values is not None
    assert sequence is not None
    assert (label.is_right, label.sureness, label.probability_of(3), label.loss) == (False, 0.9, 0.1, 2.5)
    assert (values.is_right, values.is_of_classes) == (None, False)
    assert (sequence.is_right, share_right(sequence)) == (False, 2 / 3)
    assert aligned(sequence, width=2) == (
        "true       1 2\npredicted  1 2\ntrue       3 –\npredicted  4 9\n           ^"
    )
    assert curves_of([["x"], 3]) == ()


def test_a_real_training_has_its_samples_mistakes_maps_and_filters(trained_source: Source) -> None:
    with drawing():
        (one,) = samples.sections(trained_source)

    fixed = of_kind([group(one, "The same held-out samples at each evaluation")], Tiles)[0].tiles
    worst = of_kind(one.blocks, Tiles)[1].tiles
    assert len(fixed) == 6
    assert all(tile.png and len(tile.lines) == 3 for tile in fixed)
    assert sum(bool(tile.overlay) for tile in fixed) == 2
    assert "6 samples, 4 evaluations, the last one epoch 4: " in words(one)
    assert worst
    assert "4 filters of 0, 3 x 3" in of_kind([group(one, "Filters of the first layer")], Tiles)[0].caption


@pytest.mark.parametrize("given", ["AAAA!AAAA", "AAAA", "AAAAAAAA" * 200_000, "é", 7, None])
def test_pixels_of_another_form_are_none(given: object) -> None:
    assert stored_pixels("AAAAAAAA", 2, 3, 1) is not None
    assert stored_pixels(given, 2, 3, 1) is None
