"""A part written from columns is the part written from single records."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from tracker.journal import Journal, JournalReader
from tracker.readings import Readings
from tracker.stores.series import part_name, read_parts, write_part


def _journal(path: Path) -> None:
    journal = Journal(path)
    for step in range(700):
        journal.reading("loss", "", step, 1.0 / (1 + step))
        journal.reading("grad_norm", f"layer.{step % 7}\ud800", step, float("nan") if step == 5 else -0.0)
        if step % 100 == 99:
            journal.event("epoch", step, {"epoch": step // 100})
            journal.fact("params", step, {"lr": "ü"})
        if step == 650:
            journal.array("hist", "w", step, [1.0, 2.0])
    journal.close()


def test_columns_and_single_records_make_the_same_file(tmp_path: Path) -> None:
    _journal(tmp_path / "j")
    singles = [(seq, *found) for seq, found in enumerate(JournalReader(tmp_path / "j").read())]
    stretches, seq = [], 0
    for found in JournalReader(tmp_path / "j").read_columns():
        stretches.append((seq, found) if isinstance(found, Readings) else (seq, *found))
        seq += len(found) if isinstance(found, Readings) else 1
    for folder, rows in (("singles", singles), ("stretches", stretches)):
        (tmp_path / folder).mkdir()
        write_part(rows, tmp_path / folder / part_name(0))
    tables = [pq.read_table(tmp_path / folder / part_name(0)) for folder in ("singles", "stretches")]
    read = [repr(list(read_parts((tmp_path / folder).iterdir()))) for folder in ("singles", "stretches")]

    assert len(stretches) < len(singles) / 10
    assert tables[0].schema.equals(tables[1].schema, check_metadata=True)
    assert read[0] == read[1] == repr(list(JournalReader(tmp_path / "j").read()))


def test_the_types_of_the_columns_are_plain(tmp_path: Path) -> None:
    _journal(tmp_path / "j")
    write_part([(seq, *found) for seq, found in enumerate(JournalReader(tmp_path / "j").read())], tmp_path / "p")
    schema = pq.read_schema(tmp_path / "p")

    assert {name: str(schema.field(name).type) for name in schema.names} == {
        "seq": "int64", "time": "double", "kind": "string", "name": "string", "subject": "string", "step": "int64",
        "value": "double", "text": "string", "rank": "int32",
    }  # fmt: skip
