"""A journal read as columns is the journal read record by record."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from tracker.journal import RECORD_SIZE, Journal, JournalReader
from tracker.readings import Readings
from tracker.rules.engine.records import Record


def one_by_one(reader: JournalReader) -> Iterator[tuple[float, Record]]:
    for found in reader.read_columns():
        if isinstance(found, Readings):
            yield from found.records()
        else:
            yield found


def write_some(journal: Journal, draws: random.Random, count: int) -> None:
    for number in range(count):
        kind = draws.random()
        if kind < 0.8:
            journal.reading(
                draws.choice("abc"), draws.choice(["", "w", "é"]), number - 5, draws.choice([0.1, -0.0, 1e300])
            )
        elif kind < 0.85:
            journal.clock(draws.uniform(1, 2e9))
        elif kind < 0.88:
            with pytest.raises(TypeError):
                journal.reading("a", "", number, "no number")  # type: ignore[arg-type]
        elif kind < 0.92:
            journal.event("epoch", number, {"epoch": number})
        elif kind < 0.96:
            journal.fact("params", number, {"lr": "x" * draws.randrange(80)})
        else:
            journal.array("hist", "w", number, [0.5] * draws.randrange(9))


def test_columns_hold_the_records_one_by_one(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    write_some(journal, random.Random(0), 6000)
    journal.close()
    expected = list(JournalReader(tmp_path / "j").read())

    assert list(one_by_one(JournalReader(tmp_path / "j"))) == expected
    assert len(expected) > 5000


def test_columns_are_read_on_while_the_journal_grows(tmp_path: Path) -> None:
    journal, draws = Journal(tmp_path / "j"), random.Random(1)
    reader, other, seen, expected = JournalReader(tmp_path / "j"), JournalReader(tmp_path / "j"), [], []
    for count in (0, 1, 1, 7, 0, 300, 2):
        write_some(journal, draws, count)
        seen += one_by_one(reader)
        expected += other.read()
        assert seen == expected
    journal.close()

    assert len(seen) > 250


def test_neither_way_reads_beyond_a_record_that_is_not_whole(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    for step in range(20):
        journal.reading("loss", "", step, 1.0)
    journal.close()
    raw = bytearray((tmp_path / "j").read_bytes())
    raw[-5 * RECORD_SIZE - 1] = 0
    (tmp_path / "j").write_bytes(raw)

    assert len(list(JournalReader(tmp_path / "j").read())) == 14
    assert len(list(one_by_one(JournalReader(tmp_path / "j")))) == 14


def test_neither_way_reads_beyond_a_name_that_nobody_defined(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    for step in range(20):
        journal.reading("loss", "", step, 1.0)
    journal.close()
    raw = bytearray((tmp_path / "j").read_bytes())
    struct.pack_into("<I", raw, len(raw) - 3 * RECORD_SIZE + 16, 77)
    (tmp_path / "j").write_bytes(raw)
    found = [list(JournalReader(tmp_path / "j").read()), list(one_by_one(JournalReader(tmp_path / "j")))]

    assert [len(records) for records in found] == [17, 17]


def test_some_of_the_readings_are_those_records(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    for step in range(9):
        journal.reading("loss", "ab"[step % 2], step, float(step))
    journal.close()
    stretches = [found for found in JournalReader(tmp_path / "j").read_columns() if isinstance(found, Readings)]
    (whole,) = [found for found in stretches if len(found) > 5]

    assert [record.step for _, record in whole[2:4].records()] == [whole.step[2], whole.step[3]]
    assert [record.step for _, record in whole[whole.value > 6].records()] == [7, 8]
