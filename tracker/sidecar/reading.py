"""Follows the journal of a run: what is new becomes points to upload, and parts of the series.

Reading starts at the first record each time a sidecar starts. What an earlier sidecar has uploaded is passed over, and
since both the points and the cuts between parts depend on the records alone, the rest fits on without a seam.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from ..journal import JournalReader
from ..rules.engine.records import END, EPOCH, VERDICT, Event, Fact, Json
from ..rundir import RunDir
from ..stores.series import Row, part_name, write_part
from .feed import Emission, Feed, File

RECORDS_AT_ONCE = 20_000
"""Records taken in between two uploads."""
RECORDS_A_PART = 250_000
"""A part ends with its epoch, and here at the latest."""
SERIES = "series"


class Follower:
    """The journal of one run, from its first record."""

    def __init__(self, rundir: RunDir, synced: int = 0, parts: int = 0) -> None:
        """Opens the journal, and passes over the first `synced` records and `parts` parts.

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
        self.adopt: dict[str, Json] | None = None
        """Data of the last event that named another MLflow run as the one of this run."""
        self.facts: dict[str, Json] = {}
        given = list(self.feed.take_params(rundir.spec.get("params") or {}))
        self.pending += [] if synced else given
        self._synced = synced
        self._parts_done = parts
        self._rows: list[Row] = []
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

    def advance(self) -> bool:
        """Reads on, a bounded number of records; False when there were none."""
        before = self.read
        for time, record in islice(self._reader.read(), RECORDS_AT_ONCE):
            self.read += 1
            self.last_time = max(self.last_time, time)
            self._rows.append((self.read - 1, time, record))
            emitted = list(self.feed.take(time, record))
            if self.read > self._synced:
                self.pending += emitted
            cut = len(self._rows) >= RECORDS_A_PART
            if isinstance(record, Event):
                cut |= record.name == EPOCH
                if record.name == END:
                    self.end = (time, record)
                elif record.name == VERDICT:
                    self.verdict = dict(record.data)
                elif record.name == "adopt":
                    self.adopt = dict(record.data)
            elif isinstance(record, Fact):
                self.facts[record.name] = record.value
            if cut:
                self._cut()
        return self.read > before

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
        self._rows = []
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
            write_part(rows, folder / part_name(number))
            files.append(File(f"{SERIES}/{folder.name}/{part_name(number)}", f"{SERIES}/{folder.name}"))
    return files


def replayed_verdict(rundir: RunDir, spec: Mapping[str, Any]) -> dict[str, Json] | None:
    """The verdict of a run whose process died before it could say one, judged from its journal and by its settings."""
    from ..rules.engine.replay import replay
    from ..rules.engine.settings import Settings

    records = (record for _, record in JournalReader(rundir.journal).read())
    folder = spec.get("settings_folder")
    trace, engine = replay(records, Settings.load(spec.get("settings") or {}, Path(folder) if folder else None))
    return engine.verdict(trace).as_json()
