"""What a report shows of classes: recall, mistakes, collapse, counts and weights, in words and in pictures."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from tracker.report.blocks import Block, Group, Plot, Section, Table, Text
from tracker.report.classes.confusions import confusion_of
from tracker.report.classes.facts import relation, weighed
from tracker.report.classes.names import names_of_classes
from tracker.report.drawing.figures import drawing
from tracker.report.gathering.gathered import Gathered
from tracker.report.gathering.sources import Source
from tracker.report.sections import classes
from tracker.rules.engine.records import Array, Event, Fact, Json, Reading

EXAMPLE = ((30, 10, 0), (0, 40, 0), (5, 5, 10))
"""Rows are true classes: 40 + 40 + 20 answers, 80 of them right."""
WORSE = ((40, 0, 0), (40, 0, 0), (20, 0, 0))


def gathered(
    matrices: Sequence[Sequence[Sequence[int]]], split: str = "val", counts: Sequence[int] = (), n_classes: int = 3
) -> Gathered:
    """A run with an evaluation for each matrix, an epoch of 10 steps apart."""
    found = Gathered()
    found.take(1, Fact("loss", 0, {"function": "cross_entropy", "n_classes": n_classes}))
    found.take(1, Reading("loss", "", 0, 1.0))
    for epoch, matrix in enumerate(matrices):
        add(found, np.array(matrix), 10 * epoch + 9, split)
        found.take(1, Event("epoch", 10 * epoch + 9, {"epoch": epoch, "last_step": 10 * epoch + 9}))
    for label, n in enumerate(counts):
        found.take(1, Reading("class_count", str(label), 9, n))
    return found


def add(found: Gathered, matrix: np.ndarray[Any, Any], step: int, split: str) -> None:
    """What the probes write of one evaluation."""
    for label, row in enumerate(matrix):
        if row.sum():
            found.take(1, Reading("recall", f"{split}/{label}", step, row[label] / row.sum()))
    found.take(1, Array("predictions", split, step, tuple(map(float, matrix.sum(0)))))
    if len(matrix) <= 30:
        found.take(1, Array("confusion", split, step, tuple(map(float, matrix.ravel()))))


def section(found: Gathered, **more: Any) -> Section:
    """The section of classes of a run."""
    with drawing():
        (one,) = classes.sections(Source("r", gathered=found, **more))
    return one


def plots(one: Section) -> dict[str, Plot]:
    return {block.title: block for block in one.blocks if isinstance(block, Plot)}


def words(blocks: Sequence[Block]) -> str:
    """All text of some blocks."""
    found = []
    for block in blocks:
        if isinstance(block, Group):
            found += [block.title, words(block.blocks)]
        elif isinstance(block, Text):
            found += list(block.lines)
        elif isinstance(block, Plot):
            found += [block.title, block.says]
    return "\n".join(found)


def numbers(svg: str) -> list[str]:
    """The texts of a picture."""
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg)


def test_the_matrix_of_the_last_evaluation_has_its_counts_and_says_what_is_right() -> None:
    found = plots(section(gathered([EXAMPLE])))["Confusion at the end, held-out data"]

    assert found.says == (
        "Of 100 answers at step 9, 80 (80 %) are right; the commonest mistake: 0 taken for 1: 10 times, 25 % of all 0."
    )
    assert sorted(numbers(found.svg)).count("10") == 2, "the mistake and the right answers of class 2"
    assert {"30", "40", "5", "predicted", "true"} <= set(numbers(found.svg))


def test_an_earlier_evaluation_is_shown_beside_the_last_where_it_was_better() -> None:
    shown = plots(section(gathered([EXAMPLE, WORSE])))
    as_good = plots(section(gathered([EXAMPLE, EXAMPLE])))

    assert shown["Confusion when it was best, held-out data"].says.startswith("Of 100 answers at step 9, 80")
    assert "40 (40 %) are right, where always answering 0 would be in 40 %" in (
        shown["Confusion at the end, held-out data"].says
    )
    assert [title for title in as_good if title.startswith("Confusion")] == ["Confusion at the end, held-out data"]


def test_the_training_stands_beside_held_out_data_where_it_knows_more() -> None:
    found = gathered([EXAMPLE])
    add(found, np.diag([40, 40, 20]), 9, "train")

    one = section(found)

    assert "100 (100 %) are right" in plots(one)["Confusion at the end, training batches"].says
    assert "Much higher in training than held out: 2 1.00 against 0.50, 0 1.00 against 0.75." in words(one.blocks)


def test_the_commonest_mistakes_come_first() -> None:
    said = words(section(gathered([EXAMPLE])).blocks)

    assert "0 taken for 1: 10 times, 25 % of all 0\n2 taken for 0: 5 times, 25 % of all 2\n2 taken for 1" in said


def test_a_collapse_is_told_before_anything_else() -> None:
    first = section(gathered([EXAMPLE, WORSE])).blocks[0]

    assert isinstance(first, Text)
    assert first.tone == "bad"
    assert first.lines == (
        [
            "One answer only: 100 % of the predictions are class 0, which is 40 % of the samples.",
            "Never predicted, 2 of the 3 classes that are there: 1, 2.",
        ]
    )


def test_one_answer_is_no_collapse_where_almost_all_samples_have_it() -> None:
    found = section(gathered([((950, 0), (45, 5))], n_classes=2))

    assert not isinstance(found.blocks[0], Text)


def test_recall_over_the_evaluations_names_the_worst_and_what_was_forgotten() -> None:
    found = plots(section(gathered([EXAMPLE, WORSE])))[
        "Recall of each class over the evaluations, held-out data \
(share, 0 to 1)"
    ]

    assert found.says.startswith("Recall at the end, mean over 3 classes: 0.33; lowest: 1 0.00, 2 0.00, 0 1.00.")
    assert "Never recognised at the end: 1, 2." in found.says
    assert "Was at least twice as high before: 1, 2." in found.says


def test_many_classes_become_a_heat_map_of_the_worst_and_words() -> None:
    found = gathered([], n_classes=60)
    for step in (9, 19):
        add(found, np.diag(np.arange(1, 61)) + np.eye(60, k=1, dtype=int) * 7, step, "val")
    found.take(1, Array("confusion/pairs", "val", 19, (3.0, 4.0, 7.0, 8.0, 9.0, 2.0, 5.0)))

    one = section(found)

    assert "Recall of the 30 worst of 60 classes, held-out data (share, 0 to 1)" in plots(one)
    assert "3 taken for 4: 7 times\n8 taken for 9: 2 times" in words(one.blocks)
    assert not any(title.startswith("Confusion") for title in plots(one))


def test_without_held_out_data_it_is_of_the_training_and_says_so() -> None:
    one = section(gathered([EXAMPLE], split="train"))

    assert one.note == "No evaluation of held-out data was seen: this is of training batches."
    assert "Confusion at the end, training batches" in plots(one)


def test_further_sets_have_a_line_each() -> None:
    found = gathered([EXAMPLE])
    add(found, np.array(WORSE), 9, "val2")

    assert "Held-out data 'val2': Of 100 answers at step 9, 40 (40 %)" in words(section(found).blocks)


def test_questions_are_answered_each_for_itself() -> None:
    found = gathered([])
    found.take(1, Fact("loss", 0, {"function": "binary_cross_entropy_with_logits"}))
    for label, recall in enumerate((0.9, 0.2, 0.5)):
        found.take(1, Reading("recall", f"val/{label}", 9, recall))
    found.take(1, Array("predictions", "val", 9, (50.0, 4.0, 0.0)))

    one = section(found)

    assert "recall is the share of the yes that were found" in one.note
    assert "lowest: 1 0.20, 2 0.50, 0 0.90" in words(one.blocks)
    assert (
        "Answered with yes most often: 0"
        in plots(one)["How often each question is answered with yes (share, in %)"].says
    )
    assert "Never predicted" not in words(one.blocks)


def test_columns_of_masks_are_no_classes() -> None:
    found = gathered([EXAMPLE])
    found.take(1, Fact("loss", 0, {"function": "binary_cross_entropy", "outputs_shape": [8, 1, 24, 24]}))

    assert classes.sections(Source("r", gathered=found)) == []


@pytest.mark.parametrize(
    ("counts", "weights", "words", "tone"),
    [
        ((900, 90, 9), (1.0, 10.0, 100.0), "each weight is about one over the count", ""),
        ((900, 100, 4), (1.0, 3.0, 15.0), "each weight is about one over the square root of the count", ""),
        ((900, 90, 9), (9.0, 0.9, 0.09), "each weight grows with the count: frequent classes count even more", "warn"),
        ((900, 90, 9), (5.0, 2.0, 1.0), "weights are larger for frequent classes", "warn"),
        ((900, 90, 9), (1.0, 1.0, 1.0), "all weights are about the same: the imbalance stays as it is", ""),
        ((100, 101, 99), (1.0, 5.0, 1.0), "about equally frequent, yet the weights differ by a factor of 5", ""),
    ],
)
def test_weights_are_told_against_counts(
    counts: Sequence[float], weights: Sequence[float], words: str, tone: str
) -> None:
    both = {str(n): pair for n, pair in enumerate(zip(counts, weights, strict=True))}

    said, how = relation(both)

    assert words in said
    assert how == tone


def test_weights_by_name_stand_in_the_order_of_the_labels() -> None:
    found = gathered([EXAMPLE], counts=(400, 200, 100))
    found.take(1, Fact("class_weights", 0, {"cat": 1.0, "dog": 2.0, "horse": 4.0}))
    one = section(found)

    (table,) = [block for block in one.blocks if isinstance(block, Table)]

    assert weighed({"0": 400, "1": 200}, {"cat": 1.0, "dog": 2.0}) == {"0": (400, 1.0), "1": (200, 2.0)}
    assert plots(one)["Weights of the classes in the loss (both axes logarithmic)"].says == (
        "Weights against counts: each weight is about one over the count."
    )
    assert "cat taken for dog: 10 times, 25 % of all cat" in words(one.blocks)
    assert table.headers == ("class", "labels in training", "weight", "samples", "predicted", "recall", "precision")
    assert table.rows[0] == ("horse", "100", "4", "20", "10", "0.500", "1.000")


def test_precision_is_not_told_of_what_is_never_predicted() -> None:
    (table,) = [block for block in section(gathered([WORSE])).blocks if isinstance(block, Table)]

    assert [row[-1] for row in table.rows] == ["–", "–", "0.400"]


def test_a_run_without_classes_has_no_such_section() -> None:
    found = Gathered()
    found.take(1, Reading("loss", "", 0, 1.0))

    assert classes.sections(Source("r", gathered=found)) == []


def test_more_classes_than_are_counted_are_said_to_be_so() -> None:
    one = section(gathered([], counts=(10, 20, 30), n_classes=1000))

    assert one.note == "Recall and mistakes are counted for up to 100 classes; the loss has 1000."


@pytest.mark.parametrize(
    "values",
    [(), (1.0,), (1.0, 2.0, 3.0), (math.nan, 1.0, 1.0, 1.0), (-1.0, 1.0, 1.0, 1.0), (0.0,) * 4, (1.0,) * 101**2],
)
def test_what_is_no_matrix_is_none(values: Sequence[float]) -> None:
    assert confusion_of(values, 0) is None


HOSTILE: dict[str, Json] = {
    "class_weights": {"<script>alert(1)</script>": 1.0, "$x^2$" * 2000: "many", "\x00\ud800": None, "🐙": math.inf},
    "class_counts": [1, 2],
    "loss": [1, "x", {"function": None, "n_classes": "ten"}],
}


def test_hostile_names_and_forms_spoil_nothing() -> None:
    found = gathered([EXAMPLE], counts=(4, 5, 6))
    found.take(1, Reading("recall", "val/</svg><script>", 9, 0.5))
    found.take(1, Reading("recall", "val", 9, 0.5))
    found.take(1, Array("confusion", "train", 9, (1.0, 2.0)))
    found.take(1, Array("confusion/pairs", "val", 9, (math.nan, 1.0, 2.0, 5.0)))
    for name, value in HOSTILE.items():
        found.take(1, Fact(name, 0, value))
    captured = {"class_weights.json": {"classes": [3, {"class": ["x"], "weight": {}}]}, "class_counts.json": "no"}

    one = section(found, captured=captured)

    svgs = "".join(plot.svg for plot in plots(one).values())
    assert "Of 100 answers" in words(one.blocks)
    assert "<script" not in svgs
    assert "</svg><" not in svgs.replace("</svg><svg", "")


def test_classes_are_called_by_their_numbers_where_they_have_no_names() -> None:
    names = names_of_classes(Source("r", gathered=gathered([EXAMPLE])))

    assert [names(7), names("7"), names(7.0), names("dog")] == ["7", "7", "7", "dog"]
    assert names("x" * 100) == "x" * 11 + "…" + "x" * 12


def test_a_real_training_has_its_classes(trained_source: Source) -> None:
    with drawing():
        (one,) = classes.sections(trained_source)

    (table,) = [block for block in one.blocks if isinstance(block, Table)]
    assert plots(one)["Confusion at the end, held-out data"].says.startswith("Of 24 answers at step 23, ")
    assert "mean over 3 classes" in words(one.blocks)
    assert [row[0] for row in sorted(table.rows)] == ["0", "1", "2"]
    assert {"labels in training", "recall in training", "samples", "predicted", "recall", "precision"} < {
        *table.headers
    }
