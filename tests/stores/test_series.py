"""Series come back from parquet exactly as they were written."""

from __future__ import annotations

import math
import struct
from pathlib import Path

import pytest

from tracker.rules.engine.records import Array, Event, Fact, Reading, Record
from tracker.stores.series import SeriesError, part_name, read_parts, write_part

RECORDS: list[Record] = [
    Reading("loss", "", 0, 0.1),
    Reading("loss", "layer.0", -1, math.inf),
    Reading("loss", "é\ud800", 2**62, -0.0),
    Reading("loss", "\0odd", 1, 5e-324),
    Array("maxima", "a", 3, (1.0, 0.1, -math.inf)),
    Array("maxima", "a", 3, ()),
    Event("epoch", 4, {"epoch": 1, "text": "ü\ud800", "deep": [{"a": None}]}),
    Fact("params", 5, {"lr": "0.1"}),
    Fact("nothing", 5, None),
]


def _rows(records: list[Record], first: int = 0) -> list[tuple[int, float, Record]]:
    return [(first + number, 1e9 + number / 7, record) for number, record in enumerate(records)]


def test_every_kind_of_record_comes_back_exactly(tmp_path: Path) -> None:
    rows = _rows(RECORDS)
    write_part(rows, tmp_path / part_name(0))

    assert list(read_parts(tmp_path.glob("*.parquet"))) == [(time, record) for _, time, record in rows]


def test_numbers_come_back_bit_for_bit(tmp_path: Path) -> None:
    values = [0.1, -0.0, math.nan, 1e308, 5e-324, math.inf]
    write_part(_rows([Reading("x", "", 0, value) for value in values]), tmp_path / part_name(0))
    found = [record.value for _, record in read_parts(tmp_path.iterdir()) if isinstance(record, Reading)]

    assert [struct.pack("<d", value) for value in found[:2]] == [struct.pack("<d", value) for value in values[:2]]
    assert math.isnan(found[2])
    assert found[3:] == values[3:]


def test_parts_are_read_in_order_and_what_overlaps_once(tmp_path: Path) -> None:
    readings: list[Record] = [Reading("x", "", step, float(step)) for step in range(30)]
    write_part(_rows(readings[20:], 20), tmp_path / part_name(10))
    write_part(_rows(readings[:15]), tmp_path / part_name(0))
    write_part(_rows(readings[10:20], 10), tmp_path / part_name(9))
    steps = [record.step for _, record in read_parts(tmp_path.iterdir())]

    assert steps == list(range(30))


def test_a_part_that_is_cut_off_is_named(tmp_path: Path) -> None:
    path = tmp_path / part_name(0)
    write_part(_rows(RECORDS), path)
    path.write_bytes(path.read_bytes()[:-20])

    with pytest.raises(SeriesError, match=r"part-00000\.parquet is no part"):
        list(read_parts([path]))


def test_a_parquet_file_of_another_origin_is_refused(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"a": [1]}), tmp_path / "part-00000.parquet")

    with pytest.raises(SeriesError, match="schema none, this version reads 1"):
        list(read_parts(tmp_path.iterdir()))


def test_writing_leaves_no_half_part_behind(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="0x"):
        write_part(_rows([Reading("x", "", "0x1", 1.0)]), tmp_path / part_name(0))  # type: ignore[arg-type]

    assert list(tmp_path.iterdir()) == []
