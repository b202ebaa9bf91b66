"""Series as columns: what the journal holds, as parquet parts that travel with the run.

A part has the columns `seq` (position in the journal), `time` (Unix seconds), `kind`, `name`, `subject`, `step`,
`value` and `text`. Read back, the parts give exactly the records that were written, so that a replay from the store
equals one from the journal.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ..rules.engine.records import SCHEMA, Array, Event, Fact, Reading, Record

Row = tuple[int, float, Record]
"""Position in the journal, wall time (Unix seconds), record."""

_READING, _ARRAY, _EVENT, _FACT = "reading", "array", "event", "fact"
_ESCAPED = "\0"
_COLUMNS = ("seq", "time", "kind", "name", "subject", "step", "value", "text")
_ROWS_AT_ONCE = 16384


class SeriesError(ValueError):
    """A file that is no part of a series, or one of a newer schema."""


def part_name(number: int) -> str:
    """The file name of the `number`-th part; names sort in the order of the parts up to 99,999."""
    return f"part-{number:05d}.parquet"


def _storable(text: str) -> str:
    """Text as UTF-8 can hold it: what has a lone surrogate is stored as JSON behind a zero character."""
    if text.startswith(_ESCAPED):
        return _ESCAPED + json.dumps(text)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return _ESCAPED + json.dumps(text)
    return text


def _original(text: str) -> str:
    return str(json.loads(text[1:])) if text.startswith(_ESCAPED) else text


def write_part(rows: Sequence[Row], path: Path) -> None:
    """Writes `rows` as one parquet file, atomically; raises `OSError` when the folder cannot be written."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, list[Any]] = {name: [] for name in _COLUMNS}
    for seq, time, record in rows:
        value, text, subject = None, None, ""
        if isinstance(record, Reading):
            kind, name, subject, value = _READING, record.signal, record.subject, record.value
        elif isinstance(record, Array):
            kind, name, subject = _ARRAY, record.signal, record.subject
            text = json.dumps(list(record.values))
        else:
            kind, name = (_EVENT if isinstance(record, Event) else _FACT), record.name
            text = json.dumps(record.data if isinstance(record, Event) else record.value)
        cells = (seq, time, kind, _storable(name), _storable(subject), record.step, value, text)
        for column, cell in zip(_COLUMNS, cells, strict=True):
            columns[column].append(cell)
    types = {"seq": pa.int64(), "time": pa.float64(), "step": pa.int64(), "value": pa.float64()}
    # from_pandas=False: a NaN stays a NaN and does not become "no value".
    table = pa.table(
        {
            name: pa.array(cells, type=types.get(name, pa.string()), from_pandas=False)
            for name, cells in columns.items()
        },
        metadata={"soundrun.schema": str(SCHEMA)},
    )
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        pq.write_table(table, partial, compression="zstd", use_dictionary=["kind", "name", "subject"])
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _record(kind: str, name: str, subject: str, step: int, value: float | None, text: str | None) -> Record:
    if kind == _READING:
        return Reading(name, subject, step, float("nan") if value is None else value)
    content = json.loads(text or "null")
    if kind == _ARRAY:
        return Array(name, subject, step, tuple(map(float, content)))
    return Event(name, step, content) if kind == _EVENT else Fact(name, step, content)


def read_parts(paths: Iterable[Path]) -> Iterator[tuple[float, Record]]:
    """Yields (wall time, record) of all parts, in the order of the journal; what two parts hold is given once.

    Raises `SeriesError` for a file that is no part or that a newer version has written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    last = -1
    for path in sorted(paths, key=lambda path: path.name):
        try:
            file = pq.ParquetFile(path)
        except pa.ArrowInvalid as error:
            raise SeriesError(f"{path} is no part of a series: {error}.") from error
        with file:
            schema = (file.schema_arrow.metadata or {}).get(b"soundrun.schema", b"").decode()
            if schema != str(SCHEMA):
                raise SeriesError(
                    f"{path} has series schema {schema or 'none'}, this version reads {SCHEMA}. "
                    "Read it with the version of soundrun that wrote it."
                )
            for batch in file.iter_batches(_ROWS_AT_ONCE, columns=list(_COLUMNS)):
                cells = [batch.column(name).to_pylist() for name in _COLUMNS]
                for seq, time, kind, name, subject, step, value, text in zip(*cells, strict=True):
                    if seq > last:
                        last = seq
                        yield time, _record(kind, _original(name), _original(subject), step, value, text)
