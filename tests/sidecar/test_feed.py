"""What goes to MLflow of a stream of records."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from tracker.journal import Journal, JournalReader
from tracker.readings import Readings
from tracker.rules.engine.records import Event, Fact, Reading, Record
from tracker.sidecar.feed import FREE_POINTS, POINTS_A_SECOND, Emission, Feed, Param, Point, Tag


def _feed(records: list[Record], gap: float = 0.001) -> list[Emission]:
    feed, found = Feed(), []
    for number, record in enumerate(records):
        found += feed.take(1000 + gap * number, record)
    return [*found, *feed.finish()]


def _epoch(number: int, steps: int) -> Event:
    last = (number + 1) * steps - 1
    return Event("epoch", last, {"epoch": number, "first_step": number * steps, "last_step": last})


def _points(found: list[Emission], key: str) -> list[Point]:
    return [one for one in found if isinstance(one, Point) and one.key == key]


def test_every_metric_of_the_user_is_kept() -> None:
    found = _feed([Reading("metric", "acc", step, step / 1000) for step in range(5000)])

    assert len(_points(found, "acc")) == 5000


def test_an_observed_curve_has_about_a_hundred_points_an_epoch() -> None:
    steps = 20_000
    records: list[Record] = []
    for epoch in range(3):
        records += [Reading("loss", "", epoch * steps + step, 1.0) for step in range(steps)]
        records.append(_epoch(epoch, steps))
    counts = Counter(point.step // steps for point in _points(_feed(records, 1e-6), "loss"))

    assert all(40 <= count <= 100 for count in counts.values()), counts
    assert len(counts) == 3


def test_a_later_epoch_is_sampled_evenly() -> None:
    records: list[Record] = [Reading("loss", "", step, 1.0) for step in range(1000)] + [_epoch(0, 1000)]
    records += [Reading("loss", "", 1000 + step, 1.0) for step in range(1000)] + [_epoch(1, 1000)]
    steps = [point.step for point in _points(_feed(records, 1e-6), "loss") if point.step >= 1000]
    gaps = {after - before for before, after in pairwise(steps)}

    assert max(gaps) <= 11
    assert steps[0] == 1000
    assert steps[-1] == 1999


def test_an_epoch_adds_at_most_a_thousand_observed_points() -> None:
    records: list[Record] = []
    for step in range(3000):
        records += [Reading("loss", "", step, 1.0), Reading("grad_norm", "", step, 1.0)]
        records += [Reading("lr", str(group), step, step * 1e-3) for group in range(40)]
    records.append(_epoch(0, 3000))

    assert 300 < len(_feed(records, 1e-6)) <= 1000


def test_the_mean_loss_of_an_epoch_is_logged_at_its_last_step() -> None:
    found = _feed([Reading("loss", "", 0, 1.0), Reading("loss", "", 1, 2.0), _epoch(0, 2)])

    assert [(point.step, point.value) for point in _points(found, "train/loss")] == [(1, 1.5)]


def test_the_update_ratio_is_the_median_over_parameters() -> None:
    ratios = {"a": 1.0, "b": 9.0, "c": 2.0}
    records: list[Record] = [Reading("update_ratio", name, 0, value) for name, value in ratios.items()]
    records += [Reading("update_ratio", "a", 50, math.nan), Reading("update_ratio", "b", 50, 1.0)]
    found = [point.value for point in _points(_feed(records), "update_ratio")]

    assert found[0] == 2
    assert math.isnan(found[1])


def test_a_metric_of_the_user_keeps_its_name_and_ours_steps_aside() -> None:
    records: list[Record] = [Reading("loss", "", 0, 7.0), Reading("metric", "loss", 0, 1.0), _epoch(0, 1)]
    found = _feed(records)

    assert [point.value for point in _points(found, "loss")] == [1.0]
    assert [point.value for point in _points(found, "tracker/loss")] == [7.0]


def test_a_metric_that_is_in_mlflow_already_is_left_out() -> None:
    found = _feed([Reading("metric/mlflow", "val_loss", 0, 1.0)])

    assert found == []


def test_a_parameter_keeps_its_first_value() -> None:
    found = _feed([Fact("params", 0, {"a": "1"}), Fact("params", 1, {"a": "2", "b": "3"})])

    assert found == [Param("a", "1"), Param("b", "3")]


def test_tags_are_passed_on() -> None:
    assert _feed([Event("tag", 0, {"stage": "two"})]) == [Tag("stage", "two")]


def test_the_same_records_give_the_same_points() -> None:
    records: list[Record] = [Reading("loss", "", step, 1 / (1 + step)) for step in range(500)] + [_epoch(0, 500)]

    assert _feed(records) == _feed(records)


def test_observed_points_are_seen_before_a_long_first_epoch_has_ended() -> None:
    found = _feed([Reading("loss", "", step, 1.0) for step in range(100)], gap=1.0)

    assert _points(found, "loss")[0].time == 1_000_000


@pytest.mark.parametrize("hold", [0.0, 0.2, 60.0])
def test_readings_in_columns_give_the_same_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hold: float) -> None:
    monkeypatch.setattr("tracker.sidecar.feed.HOLD_SECONDS", hold)
    journal = Journal(tmp_path / "j")
    names = ["loss", "grad_norm", "update_ratio", "lr", "step_seconds", "metric", "overhead", "unknown", "loss/val"]
    for step in range(2000):
        if step % 10 == 0:
            journal.clock(1000 + step / 1000)
        journal.reading(names[step % 9], "" if step % 4 else "w", step, 1.0 + step % 5)
        if step % 300 == 299:
            journal.event("epoch", step, {"epoch": step // 300, "last_step": step})
    journal.close()
    single, columns = Feed(), Feed()
    expected = [one for time, record in JournalReader(tmp_path / "j").read() for one in single.take(time, record)]
    found: list[Emission] = []
    for stretch in JournalReader(tmp_path / "j").read_columns():
        found += columns.take_readings(stretch) if isinstance(stretch, Readings) else columns.take(*stretch)

    assert found == expected
    assert [*columns.finish()] == [*single.finish()]
    assert len(found) > 300


def _short_epochs(count: int, steps: int = 2) -> list[Record]:
    records: list[Record] = []
    for epoch in range(count):
        records += [Reading("loss", "", epoch * steps + step, 1.0 + epoch) for step in range(steps)]
        records += [Reading("loss/val", "", (epoch + 1) * steps - 1, 2.0 + epoch), _epoch(epoch, steps)]
    return records


def test_epochs_that_are_very_short_add_no_more_points_than_a_store_takes_in_passing() -> None:
    records = _short_epochs(20_000)
    found = _feed(records, 0.001)
    seconds = len(records) * 0.001

    assert len(found) <= FREE_POINTS + POINTS_A_SECOND * seconds + 100
    assert len(found) > FREE_POINTS


def test_the_last_of_many_short_epochs_is_shown() -> None:
    found = _feed(_short_epochs(20_000), 0.001)

    for key, value in (("train/loss", 20_000.0), ("val/loss", 20_001.0), ("loss", 20_000.0), ("epoch", 19_999.0)):
        assert _points(found, key)[-1].step == 39_999
        assert _points(found, key)[-1].value == value


def test_a_value_that_few_epochs_have_is_not_lost_among_short_epochs() -> None:
    records = []
    for record in _short_epochs(20_000):
        if not (isinstance(record, Reading) and record.signal == "loss/val" and record.step % 2000 != 1999):
            records.append(record)
    found = _feed(records, 0.001)

    assert len(_points(found, "val/loss")) == 20


def test_the_first_epochs_are_all_shown() -> None:
    found = _feed(_short_epochs(300), 0.001)

    assert len(_points(found, "train/loss")) == len(_points(found, "val/loss")) == 300
