"""What a report draws of a run: the same live and from the store, bounded, and whatever the records hold."""

from __future__ import annotations

import math
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tracker.journal import Journal, JournalReader
from tracker.readings import Readings
from tracker.report.gathering import gathered as bounds
from tracker.report.gathering.gathered import Gathered
from tracker.report.gathering.thinned import Thinned
from tracker.rules.engine.records import Array, Event, Fact, Json, Reading, Record
from tracker.stores.series import part_name, read_columns, read_parts, write_part


def _journal(path: Path) -> None:
    """A run of 1,500 steps in three epochs, with one of everything."""
    journal = Journal(path)
    for step in range(1500):
        journal.reading("loss", "", step, math.nan if step == 700 else 1.0 / (1 + step))
        if step % 10 == 0:
            for layer in ("first", "é\ud800", "last"):
                journal.reading("grad_norm", layer, step, step + 0.5)
            journal.array("weight/histogram", "first", step, [-1.0, 1.0, *range(32)])
        if step % 500 == 499:
            journal.reading("loss/val", "", step, 0.5)
            journal.event("epoch", step, {"epoch": step // 500, "first_step": step - 499, "last_step": step})
            journal.fact("predictions", step, {"split": "val", "fixed": [], "worst": []})
            journal.event("outcome", step, {"rule": "nonfinite-loss", "status": "fired", "findings": [{"step": 700}]})
    journal.fact("sample", 0, {"id": "ab", "split": "val"})
    journal.fact("parameters", 0, {"first": [3]})
    journal.event("verdict", 1499, {"suspicious": "true"})
    journal.close()


def _contents(gathered: Gathered) -> dict[str, Any]:
    """All that is in it, in a form that can be compared."""
    curves = {
        (signal, subject): [curve.total, curve.first_nonfinite, curve.counts.tolist(), curve.lows.tolist()]
        for signal, subjects in gathered.curves.items()
        for subject, curve in subjects.items()
    }
    return {
        "curves": curves,
        "order": list(gathered.curves["grad_norm"]),
        "arrays": {key: {name: rows.all for name, rows in kept.items()} for key, kept in gathered.arrays.items()},
        "epochs": gathered.epochs.all,
        "facts": gathered.facts,
        "samples": gathered.samples,
        "predictions": {split: kept.all for split, kept in gathered.predictions.items()},
        "judged": gathered.judged.verdict(),
        "verdict": gathered.verdict,
        "numbers": (gathered.readings, gathered.last_step, gathered.first_time, gathered.last_time),
    }


def _taken(found: Any) -> Gathered:
    gathered = Gathered()
    for one in found:
        if isinstance(one, Readings):
            gathered.take_readings(one)
        else:
            gathered.take(*one)
    return gathered


@pytest.mark.parametrize("at_once", [100, bounds.SETTLED_AT_ONCE])
def test_what_is_gathered_live_is_what_is_gathered_from_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    _journal(tmp_path / "journal")
    rows = [(seq, *found) for seq, found in enumerate(JournalReader(tmp_path / "journal").read())]
    parts = tmp_path / "parts"
    parts.mkdir()
    write_part(rows[:2000], parts / part_name(0))
    write_part(rows[1900:], parts / part_name(1))
    stored = _contents(_taken(read_columns(parts.iterdir())))
    monkeypatch.setattr(bounds, "SETTLED_AT_ONCE", at_once)
    live = _contents(_taken(JournalReader(tmp_path / "journal").read_columns()))
    one_by_one = _contents(_taken(read_parts(parts.iterdir())))

    assert live == stored
    assert one_by_one == stored
    assert stored["order"] == ["first", "é\ud800", "last"]
    assert stored["numbers"][:2] == (1500 + 450 + 3, 1499)


def test_columns_from_parts_are_what_the_parts_hold_and_cost_no_object_each(tmp_path: Path) -> None:
    _journal(tmp_path / "journal")
    rows = [(seq, *found) for seq, found in enumerate(JournalReader(tmp_path / "journal").read())]
    write_part(rows, tmp_path / part_name(0))
    found = list(read_columns([tmp_path / part_name(0)]))
    readings = [one for one in found if isinstance(one, Readings)]

    assert sum(map(len, readings)) == 1953
    assert len(found) < len(rows) / 3
    assert repr([(time, record) for _, time, record in rows]) == repr(list(read_parts([tmp_path / part_name(0)])))


def test_memory_does_not_grow_with_the_length_of_a_run() -> None:
    strings = {0: "", 1: "loss", 2: "grad_norm", **{3 + layer: f"layer.{layer}.weight" for layer in range(20)}}
    gathered = Gathered()
    names, subjects = np.array([1] + [2] * 20, np.uint32), np.array([0, *range(3, 23)], np.uint32)

    def go_on(first: int, steps: int) -> int:
        for start in range(first, first + steps, 500):
            at = np.repeat(np.arange(start, start + 500), 21)
            piece = Readings(at / 10, np.tile(names, 500), np.tile(subjects, 500), at, np.ones(len(at)), strings)
            gathered.take_readings(piece)
            gathered.take(0.0, Array("weight/histogram", "layer.0.weight", start, tuple(map(float, range(34)))))
            gathered.take(0.0, Fact("predictions", start, {"split": "val", "fixed": [{"id": str(start)}]}))
            gathered.take(0.0, Event("stalled", start, {"seconds": 1.0}))
        assert gathered.last_step == first + steps - 1
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        early = go_on(0, 50_000)
        late = go_on(50_000, 200_000)
    finally:
        tracemalloc.stop()

    assert late < early + 200_000
    assert gathered.readings == 250_000 * 21
    assert len(gathered.stalls) == bounds.MOST_STALLS
    assert len(gathered.curves["grad_norm"]) == 20
    assert len(gathered.arrays["weight/histogram"]["layer.0.weight"].all) <= 49


def test_readings_of_several_readers_and_single_ones_keep_their_names_and_their_order() -> None:
    gathered = Gathered()
    columns = (np.ones(2), np.array([1, 1]), np.array([0, 0]), np.array([0, 1]), np.array([1.0, 2.0]))
    gathered.take_readings(Readings(*columns, {0: "", 1: "loss"}))
    gathered.take_readings(Readings(*columns, {0: "", 1: "lr"}))
    gathered.take(1.0, Reading("lr", "", 2, 3.0))
    gathered.take_readings(Readings(*columns, {0: "", 1: "lr"}))
    last = {signal: subjects[""].last for signal, subjects in gathered.curves.items()}

    assert {signal: subjects[""].total for signal, subjects in gathered.curves.items()} == {"loss": 2, "lr": 5}
    assert last == {"loss": (1, 2.0), "lr": (1, 2.0)}


def test_subjects_beyond_what_can_be_drawn_are_counted_once_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "MOST_SUBJECTS", 3)
    gathered = Gathered()
    for step in range(4):
        for number in range(5):
            gathered.take(1.0, Reading("metric", f"m{number}", step, 1.0))
            gathered.take(1.0, Array("weight/histogram", f"m{number}", step, (0.0, 1.0)))

    assert list(gathered.curves["metric"]) == ["m0", "m1", "m2"]
    assert gathered.left_out == {"metric": 2, "weight/histogram": 2}


_ODD: list[Json] = [None, True, "x", 3, math.nan, [], [[1]], {}, {"id": [1]}, {"last_step": math.nan}, {"split": 5}]


@pytest.mark.parametrize("name", ["sample", "predictions", "filters", "saliency", "model", "fingerprint"])
def test_facts_in_forms_that_nobody_expects_are_taken(name: str) -> None:
    gathered = Gathered()
    for value in _ODD:
        gathered.take(1.0, Fact(name, 0, value))
    gathered.take(1.0, Array("confusion", "val", 0, tuple([1.0] * (bounds.LONGEST_ROW + 1))))

    assert gathered.facts == ({"model": _ODD[-1]} if name == "model" else {})
    assert gathered.arrays["confusion"] == {}


def test_events_in_forms_that_nobody_expects_are_taken() -> None:
    gathered = Gathered()
    odds: list[Json] = [None, "x", math.nan, math.inf, [1], {"a": 1}, True]
    for odd in odds:
        gathered.take(1.0, Event("epoch", 7, {"last_step": odd}))
        gathered.take(1.0, Event("outcome", 7, {"rule": odd, "status": "fired", "severity": odd, "findings": odd}))
        more: list[Json] = [odd, {"subject": odd, "advice": odd, "evidence": odd, "step": odd}]
        gathered.take(1.0, Event("outcome", 7, {"rule": "r", "status": "fired", "severity": odd, "findings": more}))

    assert gathered.epoch_ends()[:4] == [7, 7, 7, 7]
    assert isinstance(gathered.judged.verdict()["why"], str)


def test_what_comes_again_and_again_is_thinned_evenly_and_the_latest_stays() -> None:
    for most in (1, 2, 5, 48):
        kept: Thinned[str] = Thinned(most)
        for step in range(1000):
            kept.add(step, "same")
            found = [at for at, _ in kept.all]
            gaps = set(np.diff(found[:-1]).tolist())

            assert found[0] == 0
            assert found[-1] == step
            assert len(found) <= most + 1
            assert len(gaps) <= 1
            assert len(found) >= min(step + 1, most / 2)


def _outcome(step: int, rule: str, status: str, severity: str = "warning", subjects: tuple[str, ...] = ()) -> Record:
    said: list[Json] = [{"subject": one, "message": f"{one} at {step}", "advice": ["do"]} for one in subjects]
    return Event("outcome", step, {"rule": rule, "status": status, "severity": severity, "findings": said})


def test_a_run_that_goes_on_has_a_verdict_as_far_as_it_was_judged() -> None:
    gathered = Gathered()
    nothing = gathered.judged.verdict()
    gathered.take(1.0, _outcome(5, "dead-units", "clear"))
    early = gathered.judged.verdict()
    gathered.take(1.0, _outcome(10, "loss-spike", "fired", subjects=("a", "b")))
    gathered.take(1.0, _outcome(15, "info-rule", "fired", "info", subjects=("",)))
    gathered.take(1.0, _outcome(20, "loss-spike", "fired", subjects=("b",)))
    standing = gathered.judged.verdict()
    gathered.take(1.0, _outcome(30, "loss-spike", "clear"))
    resolved = gathered.judged.verdict()
    gathered.take(1.0, _outcome(40, "nonfinite-loss", "fired", "fatal", subjects=("",)))
    fatal = gathered.judged.verdict()

    assert nothing == {}
    assert (early["suspicious"], early["clear"], early["findings"]) == ("unknown", ["dead-units"], [])
    assert (standing["suspicious"], standing["findings"][0]["rule"]) == ("true", "loss-spike")
    assert standing["findings"][0]["subjects"] == ["a", "b"]
    assert (standing["findings"][0]["first_step"], standing["findings"][0]["resolved_at"]) == (10, None)
    assert resolved["suspicious"] == "unknown"
    assert [one["resolved_at"] for one in resolved["findings"]] == [None, 30]
    assert [one["rule"] for one in fatal["findings"]] == ["nonfinite-loss", "info-rule", "loss-spike"]


def test_a_finding_of_one_training_is_not_resolved_by_the_next() -> None:
    gathered = Gathered()
    gathered.take(1.0, _outcome(10, "loss-spike", "fired", subjects=("",)))
    gathered.take(1.0, Event("training", 20, {"number": 1}))
    gathered.take(1.0, _outcome(30, "loss-spike", "clear"))

    assert gathered.judged.verdict()["findings"][0]["resolved_at"] is None
