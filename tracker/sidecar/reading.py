"""Follows the journal of a run: what is new becomes points to upload, and parts of the series.

Reading starts at the first record each time a sidecar starts. What an earlier sidecar has uploaded is passed over, and
since both the points and the cuts between parts depend on the records alone, the rest fits on without a seam.

Where several processes train together, a point is made of the readings of all ranks; the series keep each as it is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..distributed import Place
from ..journal import JournalReader
from ..readings import Readings
from ..rules.engine.records import END, EPOCH, OUTCOME, VERDICT, Event, Fact, Json, Record
from ..rundir import RunDir
from ..stalls import STORED, with_stored
from ..stores.series import Row, part_name, write_part
from .feed import Emission, Feed, File
from .ranks import Ranks

if TYPE_CHECKING:
    from .reporting import Reporting

RECORDS_AT_ONCE = 20_000
"""Records taken in between two uploads."""
RECORDS_A_PART = 250_000
"""A part ends here at the latest."""
SECONDS_A_PART = 60.0
"""A part ends with an epoch, the first that ends so long after the part began: epochs may be very short, and each part
is a file to write and to store. In time of the journal."""
SERIES = "series"


class Follower:
    """The journal of one run, from its first record."""

    def __init__(self, rundir: RunDir, synced: int = 0, parts: int = 0, report: Reporting | None = None) -> None:
        """Opens the journal, and passes over the first `synced` records and `parts` parts.

        `report` is told everything that becomes part of the series, from the first record.
        Raises `JournalError` when the file is no journal, `FileNotFoundError` when there is none.
        """
        self.rundir = rundir
        self.feed = Feed()
        self.read = 0
        """Records read so far."""
        self.parts = 0
        """Parts of the series that are complete."""
        self.pending: list[Emission] = []
        """What was read and is not uploaded yet."""
        self.end: tuple[float, Event] | None = None
        """The end of the run, with its time, once that was read."""
        self.verdict: dict[str, Json] | None = None
        self.outcomes: list[dict[str, Json]] = []
        """What the rules said, in the order of the journal, since somebody took it from here."""
        self.adopt: dict[str, Json] | None = None
        """Data of the last event that named another MLflow run as the one of this run."""
        self.facts: dict[str, Json] = {}
        self.place = Place()
        """Where the process stands among those that train together, as far as was read."""
        self.ranks: Ranks | None = None
        """The further ranks of the run, if there are any."""
        self._epoch = 0
        self._next: deque[Readings | tuple[float, Record]] = deque()
        self._is_waiting = False
        self.is_behind = False
        """True when the last `advance` left something, so that another would find more."""
        given = list(self.feed.take_params(rundir.spec.get("params") or {}))
        self.pending += [] if synced else given
        self._synced = synced
        self._parts_done = parts
        self._rows: list[Row | tuple[int, Readings]] = []
        self._rows_count = 0
        self._rows_since = 0.0
        self._report = report
        self._reader = JournalReader(rundir.journal)
        self.last_time = self._reader.started

    @property
    def end_signal(self) -> int:
        """The signal that ended the training process, 0 for none."""
        return self._reader.end_signal

    @property
    def dropped(self) -> int:
        """Readings that did not fit into the journal."""
        return self._reader.dropped

    @property
    def is_waiting(self) -> bool:
        """True while a reading was read that other ranks have not got to yet."""
        return self._is_waiting

    def advance(self) -> bool:
        """Reads on, about `RECORDS_AT_ONCE` records; False when there were none, or the next one has to wait."""
        before, self.is_behind = self.read, False
        for found in self._found():
            if isinstance(found, Readings):
                if not self._take_readings(found):
                    break
            else:
                self._take(*found)
            if self.read - before >= RECORDS_AT_ONCE:
                self.is_behind = True
                break
        return self.read > before

    def _found(self) -> Iterator[Readings | tuple[float, Record]]:
        self._is_waiting = False
        while self._next:
            yield self._next.popleft()
        yield from self._reader.read_columns()

    def _take(self, time: float, record: Record) -> None:
        self.read += 1
        self.last_time = max(self.last_time, time)
        self._add_row((self.read - 1, time, record), 1, time)
        if self._report is not None:
            self._report.take(time, record)
        emitted = list(self.feed.take(time, record))
        if self.read > self._synced:
            self.pending += emitted
        is_cut = self._rows_count >= RECORDS_A_PART
        if isinstance(record, Event):
            if record.name == EPOCH:
                is_cut |= time - self._rows_since >= SECONDS_A_PART
                self._epoch += 1
            elif record.name == END:
                self.end = (time, record)
            elif record.name == OUTCOME:
                self.outcomes.append(dict(record.data))
            elif record.name == VERDICT:
                self.verdict = dict(record.data)
            elif record.name == "adopt":
                self.adopt = dict(record.data)
        elif isinstance(record, Fact):
            self.facts[record.name] = record.value
            if record.name == "place":
                self._take_place(record)
        if is_cut:
            self._cut()

    def _take_readings(self, readings: Readings) -> bool:
        """False when some of them have to wait for other ranks: they come first the next time."""
        while len(readings):
            # Both the parts and what an earlier sidecar has uploaded end at a certain record, whatever is read at once.
            n = min(len(readings), RECORDS_A_PART - self._rows_count)
            if self.read < self._synced:
                n = min(n, self._synced - self.read)
            if self.ranks is None:
                emitted = self.feed.take_readings(readings[:n])
                taken = n
            else:
                emitted, taken = self._merged(self.ranks, readings[:n])
            if taken:
                some, readings = readings[:taken], readings[taken:]
                self._add_row((self.read, some), taken, float(some.time[0]))
                if self._report is not None:
                    self._report.take_readings(some)
                self.last_time = max(self.last_time, float(some.time.max()))
                self.read += taken
                if self.read > self._synced:
                    self.pending += emitted
                if self._rows_count >= RECORDS_A_PART:
                    self._cut()
            if taken < n:
                self._next.appendleft(readings)
                self._is_waiting = True
                return False
        return True

    def _merged(self, ranks: Ranks, readings: Readings) -> tuple[list[Emission], int]:
        emitted: list[Emission] = []
        for number, (time, record) in enumerate(readings.records()):
            merged = ranks.merged(self.read + number, record, self._epoch)
            if merged is None:
                return emitted, number
            emitted += self.feed.take(time, merged)
        return emitted, len(readings)

    def _add_row(self, row: Row | tuple[int, Readings], count: int, time: float) -> None:
        if not self._rows:
            self._rows_since = time
        self._rows.append(row)
        self._rows_count += count

    def _take_place(self, fact: Fact) -> None:
        if self.rundir.spec.get("orphan"):
            return
        self.place = Place.from_json(fact.value)
        if not self.place.is_alone and not self.place.is_member:
            self.ranks = Ranks(self.rundir, self.place)

    def finish(self) -> None:
        """The journal is complete: gives out what the feed held back, and the last part."""
        self.pending += self.feed.finish()
        if self._rows:
            self._cut()

    def _cut(self) -> None:
        if self.parts >= self._parts_done:
            name = part_name(self.parts)
            write_part(self._rows, self.rundir.series / name)
            self.pending.append(File(f"{SERIES}/{name}", SERIES))
        self._rows, self._rows_count = [], 0
        self.parts += 1


def other_processes(rundir: RunDir) -> list[File]:
    """Writes the series of the run's further processes, one folder each, and says what is to be uploaded."""
    files = []
    for journal in sorted(rundir.path.glob("journal-*.bin")):
        rank = journal.stem.removeprefix("journal-")
        folder = rundir.series / f"rank-{rank}"
        folder.mkdir(exist_ok=True)
        records = enumerate(JournalReader(journal).read())
        for number in range(1_000_000):
            rows: list[Row] = [(seq, time, record) for seq, (time, record) in islice(records, RECORDS_A_PART)]
            if not rows:
                break
            write_part(rows, folder / part_name(number), int(rank))
            files.append(File(f"{SERIES}/{folder.name}/{part_name(number)}", f"{SERIES}/{folder.name}"))
    return files


def replayed_verdict(rundir: RunDir, spec: Mapping[str, Any]) -> dict[str, Json] | None:
    """The verdict of a run whose process died before it could say one, judged from its journal and by its settings."""
    from ..rules.engine.replay import replay
    from ..rules.engine.settings import Settings

    written = (record for _, record in JournalReader(rundir.journal).read())
    records = with_stored(written, rundir.read_json(STORED), is_judged=True)
    folder = spec.get("settings_folder")
    trace, engine = replay(records, Settings.load(spec.get("settings") or {}, Path(folder) if folder else None))
    return engine.verdict(trace).as_json()
