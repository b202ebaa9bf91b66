"""Lines over steps: on which scale they stand, what is drawn of them, and what their layers are called."""

import numpy as np
import pytest

from tracker.report.drawing.lines import (
    running_mean,
    said_of_curve,
    scale_of,
    short_names,
    short_step,
    shortened,
    trend,
    worth_seeing,
)
from tracker.report.gathering.curves import Curve


def curve(values: list[float]) -> Curve:
    """One value a step."""
    found = Curve()
    found.add(range(len(values)), values)
    return found


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        ([2.0 * 0.8**step for step in range(40)], "log"),
        ([1.0] * 30 + [5e4] + [1.0] * 30, "log"),
        ([2.0, 1.5, 1.2, 1.1, 1.0], "linear"),
        ([0.001, 0.9, 0.95, 0.97, 0.98], "linear"),
        ([0.0, 0.0, 0.0, 0.0, 100.0, 1.0, 0.5], "linear"),
        ([-1.0, -2.0, 1.0, 2.0], "linear"),
        ([-1.0, 1.0, 1.0, 1e6], "symlog"),
        ([], "linear"),
    ],
)
def test_a_scale_is_logarithmic_where_most_values_lie_far_below_the_greatest(values: list[float], scale: str) -> None:
    assert scale_of([np.array(values)]) == scale


def test_a_long_name_keeps_its_ends_in_one_line() -> None:
    assert shortened("a\nb\x00") == "a b\ufffd"
    assert shortened("encoder.layers.11.attention.weight", 15) == "encoder….weight"
    assert len(shortened("x" * 10_000)) == 30


def test_names_lose_what_all_share_only_where_one_is_long() -> None:
    long = [f"backbone.stages.{n}.a_convolution_with_a_name.weight" for n in range(3)]

    assert short_names(long) == ["stages.0", "stages.1", "stages.2"]
    assert short_names(["net.0.weight", "net.1.weight"]) == ["net.0.weight", "net.1.weight"]
    assert short_names(["a" * 40, "a" * 40]) == [f"{'a' * 14}…{'a' * 15}"] * 2
    assert short_names([]) == []


def test_the_mean_of_an_epoch_stands_in_its_middle() -> None:
    steps, means, what = trend(curve([4.0] * 10 + [2.0] * 10 + [1.0] * 10), [(0, 9), (10, 19), (20, 29)])

    assert (steps.tolist(), means.tolist(), what) == ([4.5, 14.5, 24.5], [4.0, 2.0, 1.0], "mean of each epoch")


def test_without_epochs_a_running_mean_is_read_first() -> None:
    noisy = [float(step % 2) for step in range(200)]
    _, means, what = trend(curve(noisy), [])

    assert what == "running mean"
    assert 0.3 < means[20:-20].min() <= means[20:-20].max() < 0.7
    assert running_mean(np.array([3.0, 5.0])).tolist() == [3.0, 5.0]


def test_of_a_run_that_soon_had_no_numbers_only_the_beginning_is_drawn() -> None:
    broken = curve([1.0, 5.0, float("inf"), *[float("nan")] * 500])

    assert worth_seeing([broken], 502) == 11
    assert worth_seeing([curve([1.0] * 3)], 502) == 502
    assert worth_seeing([curve([1.0] * 400 + [float("nan")] * 100)], 499) == 499


def test_a_sentence_says_where_a_curve_began_and_ended_and_what_lay_beyond() -> None:
    assert said_of_curve("loss", curve([2.0, 9.0, 1.0])) == "loss went from 2 to 1 (most 9)"
    assert said_of_curve("loss", curve([2.0, 2.0])) == "loss stayed 2"
    assert said_of_curve("loss", curve([2.0])) == "loss was 2"
    assert said_of_curve("loss", curve([2.0, 1.0, float("nan")])).endswith("not finite first at step 2")


def test_steps_are_short_words() -> None:
    assert [short_step(step) for step in (0, 400, 9_999, 20_000, 1_500_000)] == ["0", "400", "9999", "20k", "1.5M"]
