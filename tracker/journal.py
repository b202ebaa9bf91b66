"""The journal: an append-only local file that holds every record before anything else does.

One journal belongs to one process of one run. It is a memory-mapped file, so that a record costs no system call and
survives `kill -9` of its process (the pages belong to the kernel). Layout, little endian:

**Header**, 64 bytes: magic `SOUNDRUN`, format version (u16), header size (u16), record size (u16), 2 unused bytes,
process id (u64), wall time of creation (f64, Unix seconds), number of the signal that is ending the process (u32, 0 for
none: the one field a signal handler may write), 4 unused bytes, readings dropped at the size cap (u64).

**Records**, 24 bytes each: value (f64), step (i64), subject (u32, string id), name (u16, string id), flags (u8,
unused), kind (u8). Kinds:

====  =======  ==========================================================================================
1     READING  `name` is the signal
2     STRING   defines string id `step`; payload: UTF-8
3     EVENT    `name` is the event's name; payload: JSON
4     FACT     `name` is the fact's name; payload: JSON
5     ARRAY    `name` is the signal; payload: f64 values
6     CLOCK    `value` is the wall time from here on (Unix seconds)
7     NOTHING  the place of a reading whose value was no number
====  =======  ==========================================================================================

Kinds 2 to 5 carry a payload of `value` bytes behind the record: a CRC-32 (u32) of the rest, then the rest, padded with
zeros to a multiple of 24. String id 0 is the empty string and is never written.

**Torn tail.** The kind is the last byte of a record to be written, and a payload is written before its record. A reader
stops at the first record of kind 0, of an unknown kind, with a payload that runs past the end of the file, or with a
wrong CRC: everything before it is whole, nothing behind it is used. A later read continues there.

**Size cap.** The file grows by doubling up to the cap, allocated first, so that a full disk is an error here and never
a fault in the training. At the cap, and when the disk is full, readings are dropped and counted in the header; the last
mebibyte is kept for events and facts.
"""

from __future__ import annotations

import functools
import json
import math
import mmap
import os
import struct
import threading
import time
import weakref
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .rules.engine.records import Array, Event, Fact, Json, Reading, Record

if TYPE_CHECKING:
    from .readings import Readings

MAGIC = b"SOUNDRUN"
VERSION = 1

_HEADER = struct.Struct("<8sHHH2xQdI4xQ")
_SIGNAL_AT = 32
_DROPPED_AT = 40
_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")
HEADER_SIZE = 64
_RECORD = struct.Struct("<dqIHBB")
_WHOLE = struct.Struct("<dqQ")
"""The same record with its last four fields as one integer: one third of the time to pack."""
RECORD_SIZE = _RECORD.size
_READING, _STRING, _EVENT, _FACT, _ARRAY, _CLOCK, _NOTHING = 1, 2, 3, 4, 5, 6, 7
_PLAIN = bytes((_READING, _CLOCK, _NOTHING))
"""Kinds without a payload."""
_MAX_NAMES = 1 << 16

FIRST_CHUNK = 1 << 20
DEFAULT_CAP = 256 << 20
_RESERVE = 1 << 20
_SLACK = 64 * RECORD_SIZE
"""Kept free behind the limit for threads that passed the check for room at the same moment."""


_LOOK_BACK = 1 << 18
"""Bytes in which the latest reading of a signal is looked for."""

_ROW = 128
"""Readings that are written at once."""


@functools.lru_cache(maxsize=_ROW)
def _row_of(n: int) -> struct.Struct:
    """`n` records behind each other."""
    return struct.Struct("<" + "dqQ" * n)


class JournalError(OSError):
    """A file that is no journal, or a journal of a version this reader does not know."""


_PLAIN_JSON = frozenset({str, int, bool, type(None)})


def _strict(value: object) -> object:
    """JSON has no NaN and no infinity; they are stored as the strings that `float()` reads back."""
    if type(value) in _PLAIN_JSON:
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else repr(float(value))  # numpy's own repr names its type
    if isinstance(value, (list, tuple)):
        return [_strict(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _strict(item) for key, item in value.items()}
    return value


def _payload(value: object) -> bytes:
    return json.dumps(_strict(value), ensure_ascii=False, default=str, separators=(",", ":")).encode(
        "utf-8", "surrogatepass"
    )


_open_journals: weakref.WeakSet[Journal] = weakref.WeakSet()


def _silence_in_child() -> None:
    # A forked child (a data-loader worker, say) shares the mapping: its records would land on top of the parent's.
    for journal in list(_open_journals):
        journal._live, journal._limit = False, -1
        journal._lock = threading.RLock()  # another thread of the parent may have held the old one


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_silence_in_child)


class Journal:
    """Writes one process' records. Safe from several threads; silent in forked children; never blocks on a store.

    There is no lock around a record: room is reserved by reading and advancing `_offset` with neither a call nor a jump
    in between, where no CPython since 3.10 switches threads or runs signal handlers. (A lock costs three times the
    record.)
    """

    def __init__(self, path: Path, cap: int = DEFAULT_CAP) -> None:
        """Creates the file at `path`; raises `OSError` when it cannot be created or its first chunk not allocated."""
        self.path = path
        self.dropped = 0
        self._cap = max(cap, 2 * _RESERVE)
        self._lock = threading.RLock()
        self._ids: dict[str, int] = {"": 0}
        self._tags: dict[tuple[str, str], int] = {}
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o600)
        self._fd = fd
        try:
            os.posix_fallocate(fd, 0, FIRST_CHUNK)
            self._make_map(FIRST_CHUNK)
        except OSError:
            os.close(fd)
            path.unlink(missing_ok=True)
            raise
        self._live = True
        self._disk_is_full = False
        self._offset = HEADER_SIZE
        self._set_size(FIRST_CHUNK)
        now = time.time()
        _HEADER.pack_into(self._map, 0, MAGIC, VERSION, HEADER_SIZE, RECORD_SIZE, os.getpid(), now, 0, 0)
        self.clock(now)
        _open_journals.add(self)

    # -- writing ---------------------------------------------------------------------------------------------------

    def reading(self, signal: str, subject: str, step: int, value: float) -> None:
        """Appends one number; raises `TypeError` when `value` is no number or `step` no integer."""
        tag = self._tags.get((signal, subject)) or self._tag(_READING, signal, subject)
        offset = self._offset
        if offset <= self._limit:
            self._offset = offset + RECORD_SIZE
        elif self._room(RECORD_SIZE, self._cap - _RESERVE):
            offset = self._offset
            self._offset = offset + RECORD_SIZE
        else:
            return
        at = offset >> 3
        integers = self._integers
        try:
            self._floats[at] = value
            integers[at + 1] = step
            integers[at + 2] = tag
        except (TypeError, ValueError, OverflowError, RuntimeError) as error:
            if not self._live:
                return  # closed by another thread in the meantime
            _WHOLE.pack_into(self._map, offset, 0.0, 0, _NOTHING << 56)
            raise TypeError(f"A reading of {signal} is no number: {value!r} at step {step!r}.") from error

    def tag(self, signal: str, subject: str) -> int:
        """What tells a signal and its subject apart from others in this journal, for `readings`."""
        return self._tags.get((signal, subject)) or self._tag(_READING, signal, subject)

    def readings(self, tags: Sequence[int], step: int, values: Sequence[float]) -> None:
        """Appends one number for each tag (see `tag`), all of one step: a third of the time of as many `reading`s.

        Raises `TypeError` when a value is no number or `step` no integer, and `ValueError` for another number of values
        than of tags.
        """
        if len(tags) != len(values):
            raise ValueError(f"{len(values)} values were given for {len(tags)} tags; there must be one for each.")
        for start in range(0, len(tags), _ROW):
            some = tags[start : start + _ROW]
            flat: list[float] = [step] * (3 * len(some))
            flat[0::3] = values[start : start + _ROW]
            flat[2::3] = some
            size = RECORD_SIZE * len(some)
            offset = self._offset
            if offset + size <= self._limit:
                self._offset = offset + size
            elif self._room(size, self._cap - _RESERVE):
                offset = self._offset
                self._offset = offset + size
            else:
                # Counted as one by now.
                self._count_dropped(len(some) - 1)
                continue
            try:
                _row_of(len(some)).pack_into(self._map, offset, *flat)
            except (struct.error, TypeError, ValueError, RuntimeError) as error:
                for at in range(offset, offset + size, RECORD_SIZE):
                    _WHOLE.pack_into(self._map, at, 0.0, 0, _NOTHING << 56)
                raise TypeError(f"Readings of step {step!r} are no numbers: {list(values)[:8]!r} ...") from error

    def last(self, signal: str, subject: str = "") -> float | None:
        """The reading of a signal that was written last; None without one among the latest records."""
        tag, end = self._tags.get((signal, subject)), self._offset
        if tag is None or not self._live:
            return None
        start = max(HEADER_SIZE, end - _LOOK_BACK)
        while end > start:
            at = self._map.rfind(_U64.pack(tag), start, end)
            if at < 0:
                break
            if (at + 8 - HEADER_SIZE) % RECORD_SIZE == 0:
                return self._floats[(at - 16) >> 3]
            end = at + 7
        return None

    def clock(self, now: float) -> None:
        """Sets the wall time (Unix seconds) of the records that follow."""
        if self._room(RECORD_SIZE, self._cap):
            offset = self._offset
            self._offset = offset + RECORD_SIZE
            _WHOLE.pack_into(self._map, offset, now, 0, _CLOCK << 56)

    def event(self, name: str, step: int, data: Mapping[str, Json] | None = None) -> None:
        """Appends an event; values JSON does not know are stored as text."""
        self.clock(time.time())
        self._append(self._tag(_EVENT, name), step, _payload(data or {}))

    def fact(self, name: str, step: int, value: Json) -> None:
        """Appends a fact that holds from `step` on."""
        self._append(self._tag(_FACT, name), step, _payload(value))

    def array(self, signal: str, subject: str, step: int, values: Sequence[float]) -> None:
        """Appends a row of numbers."""
        self._append(self._tag(_ARRAY, signal, subject), step, struct.pack(f"<{len(values)}d", *values))

    def mark_signal(self, number: int) -> None:
        """Notes that signal `number` is ending the process. Safe in a signal handler."""
        if self._live:
            _U32.pack_into(self._map, _SIGNAL_AT, number)

    def close(self) -> None:
        """Cuts the file to what was written and closes it; later writes are ignored."""
        with self._lock:
            if not self._live:
                return
            self._live, self._limit = False, -1
            self._floats.release()
            self._integers.release()
            self._map.close()
            os.ftruncate(self._fd, self._offset)
            os.close(self._fd)
            _open_journals.discard(self)

    # -- room ------------------------------------------------------------------------------------------------------

    def _tag(self, kind: int, name: str, subject: str = "") -> int:
        """The last eight bytes of a record: subject, name, flags and kind in one integer."""
        number = self._intern(name)
        if number >= _MAX_NAMES:
            raise ValueError(f"Too many names in one journal: {name!r} would be number {number}, {_MAX_NAMES} fit.")
        tag = self._intern(subject) | number << 32 | kind << 56
        if kind == _READING:
            self._tags[name, subject] = tag
        return tag

    def _intern(self, text: str) -> int:
        with self._lock:
            number = self._ids.get(text)
            if number is None:
                number = len(self._ids)
                if not self._append(_STRING << 56, number, text.encode("utf-8", "surrogatepass")):
                    return 0
                self._ids[text] = number
            return number

    def _append(self, tag: int, step: int, data: bytes) -> bool:
        size = 4 + len(data)
        padded = -(-size // RECORD_SIZE) * RECORD_SIZE
        head = _WHOLE.pack(float(size), step, tag)
        body = (_U32.pack(zlib.crc32(data)) + data).ljust(padded, b"\0")
        total = RECORD_SIZE + padded
        with self._lock:
            if not self._room(total, self._cap):
                return False
            start = self._offset
            behind, end = start + RECORD_SIZE, start + total
            self._offset = end
            # The record's last byte is its kind: until it is there, no reader looks at the payload.
            self._map[behind:end] = body
            self._map[start:behind] = head
            return True

    def _make_map(self, size: int) -> None:
        """Maps the file anew. A thread that still writes to the map before writes to the same pages of the file."""
        self._map = mmap.mmap(self._fd, size)
        # As numbers of eight bytes: to set three of them takes half the time of packing a record.
        self._floats, self._integers = memoryview(self._map).cast("d"), memoryview(self._map).cast("q")

    def _set_size(self, size: int) -> None:
        self._size = size
        self._limit = min(size, self._cap - _RESERVE) - _SLACK

    def _room(self, size: int, allowed: int) -> bool:
        """Makes room for `size` bytes below `allowed`; False, and counted, when the cap or the disk forbids it."""
        with self._lock:
            if not self._live:
                return False
            wanted = self._offset + size + _SLACK
            if wanted <= min(self._size, allowed):
                return True
            if wanted <= allowed and not self._disk_is_full:
                grown = min(max(2 * self._size, wanted), self._cap)
                try:
                    os.posix_fallocate(self._fd, self._size, grown - self._size)
                    self._make_map(grown)
                    self._set_size(grown)
                    return True
                except OSError:
                    self._disk_is_full = True
            if self._disk_is_full:
                # Readings stop here, so that the rest of what is allocated is left to events and facts.
                self._limit = -1
                if allowed == self._cap and wanted - _SLACK <= self._size:
                    return True
            self._count_dropped(1)
            return False

    def _count_dropped(self, n: int) -> None:
        with self._lock:
            if self._live:
                self.dropped += n
                _U64.pack_into(self._map, _DROPPED_AT, self.dropped)


class JournalReader:
    """Reads a journal, also one that is still being written; `read` continues where the last one stopped."""

    def __init__(self, path: Path) -> None:
        """Opens nothing yet; raises `JournalError` if the file's header is not that of a journal."""
        self.path = path
        self.time = 0.0
        self._offset = HEADER_SIZE
        self._strings: dict[int, str] = {0: ""}
        self._labels: dict[int, tuple[str, str]] = {}
        header = self._header()
        self.pid = int(header[4])
        self.started = float(header[5])

    def _header(self) -> tuple[int | float | bytes, ...]:
        with open(self.path, "rb") as file:
            raw = file.read(HEADER_SIZE)
        if len(raw) < HEADER_SIZE or raw[:8] != MAGIC:
            raise JournalError(f"{self.path} is not a journal: it starts with {raw[:8]!r}, expected {MAGIC!r}.")
        header = _HEADER.unpack_from(raw)
        if header[1:4] != (VERSION, HEADER_SIZE, RECORD_SIZE):
            raise JournalError(
                f"{self.path} has journal format {header[1]}, this version reads {VERSION}. "
                "Read it with the version of soundrun that wrote it."
            )
        return header

    @property
    def end_signal(self) -> int:
        """Number of the signal that ended the writing process, 0 for none."""
        return int(self._header()[6])

    @property
    def dropped(self) -> int:
        """Readings that were dropped at the size cap or on a full disk."""
        return int(self._header()[7])

    def read(self) -> Iterator[tuple[float, Record]]:
        """Yields (wall time, record) for every whole record that was not yet read."""
        labels = self._labels
        for found in self._walk():
            if not isinstance(found, bytes):
                yield self.time, found
                continue
            for value, step, tag in _WHOLE.iter_unpack(found):
                label = labels.get(tag)
                if label is None:
                    if tag >> 56 != _READING:
                        self._offset += RECORD_SIZE
                        self.time = value or self.time
                        continue
                    name, subject = self._strings.get(tag >> 32 & 0xFFFF), self._strings.get(tag & 0xFFFFFFFF)
                    if name is None or subject is None:
                        return
                    label = labels[tag] = name, subject
                self._offset += RECORD_SIZE
                yield self.time, Reading(label[0], label[1], step, value)

    def read_columns(self) -> Iterator[Readings | tuple[float, Record]]:
        """The same records in the same order, with readings that follow on each other as columns.

        For a process that reads all there is: a record costs a tenth of what it costs one by one. Needs numpy.
        """
        from .readings import Readings

        for found in self._walk():
            if not isinstance(found, bytes):
                yield self.time, found
                continue
            readings, self.time, whole = Readings.unpacked(found, self.time, self._strings)
            self._offset += whole * RECORD_SIZE
            if len(readings):
                yield readings
            if whole * RECORD_SIZE < len(found):
                return

    def _walk(self) -> Iterator[bytes | Record]:
        """Stretches of records without a payload, which the caller passes over, and the records between them."""
        with open(self.path, "rb") as file:
            end = file.seek(0, os.SEEK_END)
            base = file.seek(self._offset)
            buffer = b""
            while True:
                at = self._offset - base
                if at + RECORD_SIZE > len(buffer):
                    buffer, base = buffer[at:] + file.read(1 << 16), self._offset
                    if len(buffer) < RECORD_SIZE:
                        return
                    at = 0
                kinds = buffer[at + RECORD_SIZE - 1 :: RECORD_SIZE]
                plain = len(kinds) - len(kinds.lstrip(_PLAIN))
                if plain:
                    yield buffer[at : at + plain * RECORD_SIZE]
                    continue
                value, step, subject, name, _, kind = _RECORD.unpack_from(buffer, at)
                if not _STRING <= kind <= _ARRAY or not 4 <= value <= end - self._offset - RECORD_SIZE:
                    return
                if kind != _STRING and (name not in self._strings or subject not in self._strings):
                    return
                size = int(value)
                padded = -(-size // RECORD_SIZE) * RECORD_SIZE
                while len(buffer) - at < RECORD_SIZE + padded:
                    more = file.read(max(1 << 16, padded))
                    if not more:
                        return
                    buffer, base, at = buffer[at:] + more, self._offset, 0
                data = buffer[at + RECORD_SIZE + 4 : at + RECORD_SIZE + size]
                if zlib.crc32(data) != _U32.unpack_from(buffer, at + RECORD_SIZE)[0]:
                    return
                self._offset += RECORD_SIZE + padded
                if kind == _STRING:
                    self._strings[step] = data.decode("utf-8", "surrogatepass")
                elif kind == _ARRAY:
                    values = struct.unpack(f"<{len(data) // 8}d", data)
                    yield Array(self._strings[name], self._strings[subject], step, values)
                else:
                    content = json.loads(data)
                    make = Event if kind == _EVENT else Fact
                    yield make(self._strings[name], step, content)
