"""Series as columns: what the journal holds, as parquet parts that travel with the run.

A part has the columns `seq` (position in the journal), `time` (Unix seconds), `kind`, `name`, `subject`, `step`,
`value`, `text` and `rank` (whose journal it is; parts of rank n lie in `rank-<n>` beside those of rank 0, and parts of
earlier versions lack the column). Read back, the parts of a rank give exactly the records that were written, so that a
replay from the store equals one from the journal.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..rules.engine.records import SCHEMA, Array, Event, Fact, Reading, Record

if TYPE_CHECKING:
    from ..readings import Readings

Row = tuple[int, float, Record]
"""Position in the journal, wall time (Unix seconds), record."""

_READING, _ARRAY, _EVENT, _FACT = "reading", "array", "event", "fact"
_ESCAPED = "\0"
_COLUMNS = ("seq", "time", "kind", "name", "subject", "step", "value", "text")
_ROWS_AT_ONCE = 1 << 16
_FEW = 50
"""Readings below which columns of their own cost more than they save."""


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


def write_part(rows: Sequence[Row | tuple[int, Readings]], path: Path, rank: int = 0) -> None:
    """Writes `rows` of a rank as one parquet file, atomically; raises `OSError` when the folder cannot be written.

    Readings that follow on each other may be given as one row: the position of the first, and their columns.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = _Columns()
    for row in rows:
        if len(row) == 2:
            columns.add_readings(*row)
        else:
            columns.add(*row)
    table = pa.table({**columns.arrays(), "rank": pa.array([rank] * columns.count, type=pa.int32())})
    table = table.replace_schema_metadata({"soundrun.schema": str(SCHEMA)})
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        pq.write_table(table, partial, compression="zstd", use_dictionary=["kind", "name", "subject"])
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


class _Columns:
    """The columns of a part, while they grow."""

    def __init__(self) -> None:
        self.count = 0
        self._strings: dict[str, int] = {}
        self._pieces: dict[str, list[Any]] = {name: [] for name in _COLUMNS}
        self._single: dict[str, list[Any]] = {name: [] for name in _COLUMNS}

    def _number(self, text: str) -> int:
        return self._strings.setdefault(text, len(self._strings))

    def add(self, seq: int, time: float, record: Record) -> None:
        value, text, subject = None, None, ""
        if isinstance(record, Reading):
            kind, name, subject, value = _READING, record.signal, record.subject, record.value
        elif isinstance(record, Array):
            kind, name, subject = _ARRAY, record.signal, record.subject
            text = json.dumps(list(record.values))
        else:
            kind, name = (_EVENT if isinstance(record, Event) else _FACT), record.name
            text = json.dumps(record.data if isinstance(record, Event) else record.value)
        texts = map(self._number, (kind, name, subject))
        for column, cell in zip(_COLUMNS, (seq, time, *texts, record.step, value, text), strict=True):
            self._single[column].append(cell)
        self.count += 1

    def add_readings(self, seq: int, readings: Readings) -> None:
        n = len(readings)
        if n < _FEW:
            for number, (time, record) in enumerate(readings.records()):
                self.add(seq + number, time, record)
            return
        import numpy as np

        self._close_single()
        numbers = {}
        for column, cells in (("name", readings.name), ("subject", readings.subject)):
            used, where = np.unique(cells, return_inverse=True)
            numbers[column] = np.array([self._number(readings.strings[int(one)]) for one in used])[where]
        whole: dict[str, Any] = {
            "seq": np.arange(seq, seq + n),
            "time": readings.time,
            "kind": np.full(n, self._number(_READING)),
            **numbers,
            "step": readings.step,
            "value": readings.value,
            "text": [None] * n,
        }
        for column, cells in whole.items():
            self._pieces[column].append(_array(column, cells))
        self.count += n

    def _close_single(self) -> None:
        if self._single["seq"]:
            for column, cells in self._single.items():
                self._pieces[column].append(_array(column, cells))
                self._single[column] = []

    def arrays(self) -> dict[str, Any]:
        """Each column as Arrow has it."""
        import pyarrow as pa

        self._close_single()
        strings = pa.array([_storable(text) for text in self._strings], type=pa.string())
        found = {}
        for column, pieces in self._pieces.items():
            whole = pa.chunked_array(pieces, type=_type(column)).combine_chunks()
            found[column] = strings.take(whole) if column in _TEXTS else whole
        return found


_TEXTS = ("kind", "name", "subject")


def _type(column: str) -> Any:
    import pyarrow as pa

    if column in _TEXTS:
        return pa.int64()
    return {"seq": pa.int64(), "time": pa.float64(), "step": pa.int64(), "value": pa.float64(), "text": pa.string()}[
        column
    ]


def _array(column: str, cells: Any) -> Any:
    import pyarrow as pa

    # from_pandas=False: a NaN stays a NaN and does not become "no value".
    return pa.array(cells, type=_type(column), from_pandas=False)


def read_parts(paths: Iterable[Path]) -> Iterator[tuple[float, Record]]:
    """Yields (wall time, record) of all parts, in the order of the journal; what two parts hold is given once.

    Raises `SeriesError` for a file that is no part or that a newer version has written.
    """
    from ..readings import Readings

    for found in read_columns(paths):
        if isinstance(found, Readings):
            yield from found.records()
        else:
            yield found


def read_columns(paths: Iterable[Path]) -> Iterator[Readings | tuple[float, Record]]:
    """The same records in the same order, with readings that follow on each other as columns.

    As `JournalReader.read_columns`: a reading costs a fiftieth of what it costs one by one. Raises `SeriesError`.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    reader = _ColumnReader()
    for path in sorted(paths, key=lambda path: path.name):
        try:
            metadata = pq.read_metadata(path)
        except pa.ArrowInvalid as error:
            raise SeriesError(f"{path} is no part of a series: {error}.") from error
        schema = (metadata.metadata or {}).get(b"soundrun.schema", b"").decode()
        if schema != str(SCHEMA):
            raise SeriesError(
                f"{path} has series schema {schema or 'none'}, this version reads {SCHEMA}. "
                "Read it with the version of soundrun that wrote it."
            )
        with pq.ParquetFile(path, metadata=metadata, read_dictionary=list(_TEXTS)) as file:
            for batch in file.iter_batches(_ROWS_AT_ONCE, columns=list(_COLUMNS)):
                yield from reader.taken(batch)


class _ColumnReader:
    """Turns batches of rows into columns of readings, and other records; one numbering of texts for all of them."""

    def __init__(self) -> None:
        self._last = -1
        self._numbers: dict[str, int] = {"": 0}
        self._strings: dict[int, str] = {0: ""}

    def taken(self, batch: Any) -> Iterator[Readings | tuple[float, Record]]:
        """What is new in a batch."""
        import numpy as np

        from ..readings import Readings

        seq = batch.column("seq").to_numpy()
        before = np.maximum.accumulate(np.concatenate([[self._last], seq]))
        is_new = seq > before[:-1]
        self._last = int(before[-1])
        if not is_new.all():
            import pyarrow as pa

            batch = batch.filter(pa.array(is_new))
        kind, name, subject = (self._numbered(batch.column(column)) for column in _TEXTS)
        # A missing value becomes a NaN here, as what is no number is one there.
        value = batch.column("value").to_numpy(zero_copy_only=False)
        time, step = batch.column("time").to_numpy(), batch.column("step").to_numpy()
        is_reading = kind == self._numbers.get(_READING, -1)
        edges = np.flatnonzero(is_reading[1:] != is_reading[:-1]) + 1
        for first, last in pairwise([0, *edges.tolist(), batch.num_rows]):
            if first == last:
                continue
            if is_reading[first]:
                part = slice(first, last)
                columns = (time[part], name[part], subject[part], step[part], value[part])
                yield Readings(*columns, self._strings)
                continue
            texts = batch.column("text").slice(first, last - first).to_pylist()
            for row, text in enumerate(texts, first):
                what, label, about = (self._strings[int(number)] for number in (kind[row], name[row], subject[row]))
                yield float(time[row]), _record(what, label, about, int(step[row]), text)

    def _numbered(self, column: Any) -> Any:
        """Numbers of the texts of a column in `_strings`."""
        import numpy as np

        texts = [self._number(_original(text)) for text in column.dictionary.to_pylist()]
        return np.array(texts or [0], np.uint32)[column.indices.to_numpy()]

    def _number(self, text: str) -> int:
        number = self._numbers.get(text)
        if number is None:
            number = self._numbers[text] = len(self._numbers)
            self._strings[number] = text
        return number


def _record(kind: str, name: str, subject: str, step: int, text: str | None) -> Record:
    content = json.loads(text or "null")
    if kind == _ARRAY:
        return Array(name, subject, step, tuple(map(float, content)))
    return Event(name, step, content) if kind == _EVENT else Fact(name, step, content)
