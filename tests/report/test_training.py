"""The curves of a training: what a reader sees first, and what is said where something is missing or no number."""

import math
import re
from collections.abc import Iterator, Sequence

import pytest

from tracker.report.blocks import Block, Facts, Plot, Table, Text
from tracker.report.drawing.figures import drawing
from tracker.report.gathering.gathered import Gathered
from tracker.report.gathering.sources import Source
from tracker.report.sections import training
from tracker.report.training.loss_terms import term_plots
from tracker.report.training.metrics import arranged, metric_plots, topic_of, user_metrics
from tracker.report.training.speed import speed_blocks
from tracker.rules.engine.records import Event, Fact, Reading, Record

EPOCHS, LENGTH = 4, 10


def trained(*more: Record, held_out: bool = True) -> Gathered:
    """A loss that falls from 2 by half an epoch, and a held-out loss that rises at the end."""
    gathered = Gathered()
    for epoch in range(EPOCHS):
        for step in range(epoch * LENGTH, (epoch + 1) * LENGTH):
            gathered.take(1, Reading("loss", "", step, 2.0 / 2**epoch))
        gathered.take(1, Event("epoch", step, {"first_step": epoch * LENGTH, "last_step": step, "epoch": epoch}))
        if held_out:
            gathered.take(1, Reading("loss/val", "", step, (1.0, 0.7, 0.5, 0.9)[epoch]))
    gathered.take(1, Reading("lr", "0", 0, 0.1))
    for record in more:
        gathered.take(1, record)
    return gathered


@pytest.fixture(autouse=True)
def _style() -> Iterator[None]:
    with drawing():
        yield


def blocks(gathered: Gathered) -> Sequence[Block]:
    """What the section of this run is made of."""
    return [block for one in training.sections(Source("r", gathered=gathered)) for block in one.blocks]


def plot(gathered: Gathered, title: str) -> Plot:
    """The plot whose title begins so."""
    (one,) = (block for block in blocks(gathered) if isinstance(block, Plot) and block.title.startswith(title))
    return one


def test_training_and_held_out_loss_are_said_in_numbers_and_listed_by_epoch() -> None:
    (one,) = blocks(trained())

    assert isinstance(one, Plot)
    assert one.title == "Loss and learning rate"
    assert "Training loss (mean of each epoch) went from 2 to 0.25." in one.says
    assert "Held-out loss went from 1 to 0.9 (least 0.5); it was least at step 29." in one.says
    assert "Learning rate was 0.1." in one.says
    assert one.data is not None
    assert list(one.data.rows[2]) == ["3", "29", "0.5", "0.5"]
    assert re.findall(r">(training, mean of each epoch|held out)<", one.svg) == [
        "training, mean of each epoch", "held out",
    ]  # fmt: skip


def test_further_trainings_are_counted_and_marked_as_far_as_there_is_room() -> None:
    (one,) = blocks(trained(*(Event("training", step, {}) for step in (10, 11, 20, 30))))

    assert isinstance(one, Plot)
    assert "5 trainings, each of a model of its own, follow each other." in one.says
    assert re.findall(r">(training \d)<", one.svg) == ["training 2", "training 4", "training 5"]


def test_a_run_without_held_out_data_says_so() -> None:
    texts = [block for block in blocks(trained(held_out=False)) if isinstance(block, Text)]

    assert any("No loss on held-out data" in line for one in texts for line in one.lines)


def test_a_loss_that_is_no_number_any_more_is_marked_and_the_rest_is_not_drawn() -> None:
    gathered = Gathered()
    for step in range(300):
        gathered.take(1, Reading("loss", "", step, 10.0**step if step < 8 else math.nan))
    one = plot(gathered, "Loss")

    assert "Training loss was not finite first at step 8; drawn until step 18 of 299." in one.says
    assert "not finite from step 8" in one.svg


def test_a_loss_of_which_nothing_was_a_number_is_drawn_as_that() -> None:
    gathered = Gathered()
    for step in range(5):
        gathered.take(1, Reading("loss", "", step, math.inf))

    assert "Training loss was not finite first at step 0" in plot(gathered, "Loss").says


def test_metrics_of_training_and_held_out_data_share_a_panel_and_single_values_are_listed() -> None:
    logged = [
        Reading("metric", key, step, step / scale)
        for step in range(5)
        for key, scale in (("val/f1", 5), ("train_f1", 4), ("_bleu", 2))
    ]
    one, rest = metric_plots(Source("r", gathered=trained(*logged, Reading("metric", "final", 39, 0.75))))

    assert isinstance(one, Plot)
    assert one.says.startswith("train_f1 went from 0 to 1; val/f1 went from 0 to 0.8; _bleu went from 0 to 2.")
    assert [text for text in ("f1", "_bleu") if f">{text}<" in one.svg] == ["f1", "_bleu"]
    assert isinstance(rest, Table)
    assert [row[:2] for row in rest.rows] == [["final", "0.75"]]


def test_more_metrics_than_panels_are_in_a_table() -> None:
    logged = [Reading("metric", f"m{n}", step, float(step)) for n in range(20) for step in range(2)]
    gathered = trained(*logged, *(Reading("metric", "val_m19", step, 1.0) for step in range(2)))
    panels, rest = arranged(user_metrics(gathered))

    assert [list(panel) for panel in panels] == [["m19", "val_m19"], *([f"m{n}"] for n in range(11))]
    assert list(rest) == [f"m{n}" for n in range(11, 19)]


def test_topics_of_metrics_are_what_is_left_without_the_split() -> None:
    assert [topic_of(key) for key in ("Val/F1", "f1.train", "test-top5 err", "val")] == ["f1", "f1", "top5 err", "val"]


def test_of_a_run_that_plain_mlflow_code_logged_the_metrics_stand_for_what_they_mean() -> None:
    gathered = Gathered()
    for step in range(6):
        for key, value in (("train_loss", 2.0 - step / 5), ("val_loss", 2.0), ("val_acc", step / 5), ("lr", 0.1)):
            gathered.take(1, Reading("metric", key, step, value))
    (one,) = blocks(gathered)

    assert isinstance(one, Plot)
    assert one.title == "Loss, accuracy and learning rate"
    assert "Training loss (running mean) went from 2 to 1." in one.says
    assert "Metric val_loss stayed 2. Metric val_acc went from 0 to 1." in one.says


def test_terms_of_a_loss_are_told_by_their_share() -> None:
    terms = [Reading("loss/term", name, step, value) for step in range(3) for name, value in (("a", 3.0), ("b", -1.0))]
    (one,) = term_plots(Source("r", gathered=trained(*terms)))

    assert isinstance(one, Plot)
    assert "a is 3 (75%), b is -1 (25%)" in one.says
    assert term_plots(Source("r", gathered=trained(*terms[::2]))) == []


def test_speed_waiting_and_memory_stand_side_by_side() -> None:
    more = [
        Reading(signal, subject, step, value)
        for step in (9, 19)
        for signal, subject, value in (
            ("step_seconds", "", 0.004), ("wait/data", "", 0.25), ("memory", "process", 3.0 * (1 << 20)),
        )
    ]  # fmt: skip
    (one,) = speed_blocks(Source("r", gathered=trained(*more)))
    (facts,) = speed_blocks(Source("r", gathered=trained(*more[:3])))

    assert isinstance(one, Plot)
    assert one.says == (
        "Time of a step, at the end: 4 ms. Time spent waiting for data, at the end: 25 %. Memory, at the end: 3 MiB."
    )
    assert isinstance(facts, Facts)
    assert facts.items[0] == ("Time of a step: mean", "4 ms")


def test_nothing_measured_gives_no_section() -> None:
    gathered = Gathered()
    gathered.take(1, Fact("model", 0, {}))

    assert training.sections(Source("r", gathered=gathered)) == []
