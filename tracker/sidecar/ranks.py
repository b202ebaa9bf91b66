"""The further processes of a run: their numbers are merged with those of rank 0, and what they left is taken over.

`Signal.across_ranks` says how the readings of one signal, subject and step become one. A reading of rank 0 waits for
those of the others: until each has gone past it, has ended or died, or has kept us waiting for too long. Whom we ceased
to wait for is stored with the record from which on, so that a second sidecar merges the same: apart from that, what is
merged depends on the journals alone.
"""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import time
from collections import deque
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from ..distributed import ACCOUNT, TAKEN, Place, forget, lived_until, members_of
from ..journal import JournalReader
from ..rules.engine import plugins
from ..rules.engine.records import END, EPOCH, Event, Reading
from ..rules.engine.registry import Registry
from ..rules.engine.signals import LOSS, METRIC_IN_MLFLOW, SIGNALS, Reduction
from ..rundir import RunDir, write_json
from .ending import LOST, status_of

UNSEEN = 10.0
"""Seconds for which the first reading waits for a rank of which nothing is there: it may be about to begin."""
LAG = 60.0
"""Seconds for which a reading of a run that goes on waits for a rank that has not come so far. Ranks that train
together are as fast as the slowest of them; one that is this far behind does something else."""
IN_STEP_LAG = 600.0
"""The same for one that has come as far, but not farther: steps may take minutes."""
LAST_LAG = 5.0
"""The same once rank 0 has ended, and the time its sidecar waits for the others to end, before it takes what is there.
"""
_AHEAD = 1
"""Losses that a rank must be ahead so that what it has not written by then is taken not to come: readings are written
in the order of the steps, apart from those that are read back from a device together with the losses around them."""
_AT_ONCE = 20_000
"""Records of a rank that are read before its readings are asked for again."""


def merge(how: Reduction, values: Sequence[float]) -> float:
    """One number from those of all ranks. What is the same on all of them stays just that, bit by bit.

    `norm` is for parts of one whole. Replicas that have exchanged their gradients all hold the whole: its norm is
    theirs. A NaN on one rank makes the result one, also of `max`.
    """
    first = values[0]
    if how == "same" or all(value == first for value in values):
        return first
    if any(map(math.isnan, values)):
        return math.nan
    if how == "max":
        return max(values)
    if how == "norm":
        return math.sqrt(sum(value * value for value in values))
    return sum(values) if how == "sum" else sum(values) / len(values)


def reduction_of(reading: Reading) -> Reduction:
    """How readings like this one merge. What is about one layer is left as rank 0 has it: it becomes no metric."""
    signal = SIGNALS.get(reading.signal)
    if signal is None or reading.signal == METRIC_IN_MLFLOW.name:
        return "same"
    is_of_a_layer = signal.subject.startswith(("parameter", "module")) and reading.subject != ""
    return "same" if is_of_a_layer and reading.signal != "lr" else signal.across_ranks


class _Rank:
    """The journal of one further rank, read as far as needed."""

    def __init__(self, rundir: RunDir, journal: Path) -> None:
        """Raises `JournalError` or `OSError` when the journal cannot be read."""
        self.is_complete = False
        """No more will come."""
        self.epochs = 0
        self.last_step = -1
        self._rundir = rundir
        self._reader = JournalReader(journal)
        self._streams: dict[tuple[str, str], deque[tuple[int, float]]] = {}

    def advance(self) -> bool:
        """Reads on; False when there was nothing new."""
        alive = self._rundir.is_alive()  # asked before reading
        found = False
        for _, record in islice(self._reader.read(), _AT_ONCE):
            found = True
            if isinstance(record, Reading):
                if reduction_of(record) != "same":
                    key = (record.signal, record.subject)
                    self._streams.setdefault(key, deque()).append((record.step, record.value))
                if record.signal == LOSS.name:
                    self.last_step = max(self.last_step, record.step)
            elif isinstance(record, Event):
                self.epochs += record.name == EPOCH
                self.is_complete |= record.name == END
        self.is_complete |= not alive and not found
        return found

    def value(self, reading: Reading, epoch: int, moment: int) -> float | bool | None:
        """The value beside that of rank 0; None when there is none; False when it may still come.

        Rank 0 wrote `reading` in its epoch number `epoch` and after the loss of step `moment`.
        """
        stream = self._streams.get((reading.signal, reading.subject))
        while True:
            while stream and stream[0][0] < reading.step:
                stream.popleft()
            if stream:
                return stream.popleft()[1] if stream[0][0] == reading.step else None
            if self.is_complete or self.epochs > epoch or self.last_step > moment + _AHEAD:
                return None
            if not self.advance() and not self.is_complete:
                return False
            stream = self._streams.get((reading.signal, reading.subject))


class Ranks:
    """All further ranks of a run."""

    def __init__(self, rundir: RunDir, place: Place) -> None:
        if plugins.entry_points(plugins.RULES):
            Registry.discover()  # how the signals of a plug-in merge stands on them
        self.place = place
        self._rundir = rundir
        self._ranks: dict[int, _Rank] = {}
        without = rundir.state.get("without") or {}
        self._without: dict[int, int] = {int(rank): int(record) for rank, record in without.items()}
        self._values: list[float] = []
        self._asked = 1
        self._waiting_since: float | None = None
        self._last_search = 0.0
        self._moment = -1

    def merged(self, number: int, reading: Reading, epoch: int) -> Reading | None:
        """The reading of all ranks; None while it has to wait. `number` is that of rank 0's record."""
        how = reduction_of(reading)
        if how == "same":
            return reading
        if reading.signal == LOSS.name:
            self._moment = max(self._moment, reading.step)
        if not self._values:
            self._values, self._asked = [reading.value], 1
        while self._asked < self.place.world_size:
            found = self._value(self._asked, number, reading, epoch)
            if found is False:
                if not self._is_too_late():
                    return None
                self._go_on_without(self._asked, number)
            elif found is not None:
                self._values.append(found)
            self._waiting_since = None
            self._asked += 1
        values, self._values = self._values, []
        return Reading(reading.signal, reading.subject, reading.step, merge(how, values))

    def _value(self, rank: int, number: int, reading: Reading, epoch: int) -> float | bool | None:
        if number >= self._without.get(rank, number + 1):
            return None
        if rank not in self._ranks:
            self._search()
        return self._ranks[rank].value(reading, epoch, self._moment) if rank in self._ranks else False

    def _search(self) -> None:
        if time.monotonic() - self._last_search < 0.2:
            return
        self._last_search = time.monotonic()
        for rank, (owner, journal) in self._journals().items():
            if rank not in self._ranks:
                with contextlib.suppress(OSError):  # not yet written
                    self._ranks[rank] = _Rank(owner, journal)

    def _journals(self) -> dict[int, tuple[RunDir, Path]]:
        found = {rank: (member, member.journal) for rank, member in self.members().items()}
        for journal in self._rundir.path.glob("journal-*.bin"):
            found[int(journal.stem.removeprefix("journal-"))] = (RunDir(journal.with_suffix("")), journal)
        return found

    def members(self) -> dict[int, RunDir]:
        """The members that left word and were not taken over."""
        spec = self._rundir.spec
        started, launched = float(spec.get("started") or 0), str(spec.get("launch") or "")
        return members_of(self.place, started, lived_until(self._rundir), launched)

    def _is_too_late(self) -> bool:
        now = time.monotonic()
        if self._waiting_since is None:
            self._waiting_since = now
        waited, rank = now - self._waiting_since, self._ranks.get(self._asked)
        if not self._rundir.is_alive():
            # A rank that has not left word by the end of rank 0 will not: it began before its first step.
            return rank is None or waited > LAST_LAG
        if rank is None:
            return waited > UNSEEN
        return waited > (IN_STEP_LAG if rank.last_step >= self._moment else LAG)

    def _go_on_without(self, rank: int, number: int) -> None:
        self._without[rank] = number
        self._rundir.update_state(without={str(rank): record for rank, record in self._without.items()})

    # -- the end ---------------------------------------------------------------------------------------------------

    def take_over(self) -> dict[str, Any]:
        """Brings what the members left into the folder of the run, and says how they ended and which are missing.

        Waits a few seconds for those that live. The result is `{"ranks": ..., "gaps": [...], "failed": text}`; it may
        be repeated.
        """
        deadline = time.monotonic() + LAST_LAG
        while time.monotonic() < deadline and any(member.is_alive() for member in self.members().values()):
            time.sleep(0.05)
        for rank, member in self.members().items():
            _take(member, rank, self._rundir)
        ended: dict[str, Any] = {}
        differ: dict[str, Any] = {}
        gaps: list[dict[str, Any]] = []
        for rank in range(1, self.place.world_size):
            journal = self._rundir.path / f"journal-{rank}.bin"
            if not journal.is_file():
                gaps.append(_gap(f"rank {rank} of {self.place.world_size} was not seen on this machine", _UNSEEN))
                continue
            ended[str(rank)] = how = _end_of(journal)
            if how["status"] == "RUNNING":
                gaps.append(_gap(f"rank {rank} had not ended when the run was closed", "look for what it waits for"))
            elif how["reason"] == LOST:
                gaps.append(_gap(f"rank {rank} is {LOST}", "look at what that rank printed"))
        own = self._rundir.read_json("process.json").get("environment") or {}
        for other in ended:
            theirs = self._rundir.read_json(f"capture/process-{other}.json").get("environment")
            different = {
                name: [own.get(name), value]
                for name, value in (theirs or {}).items()
                if name not in _OF_EACH and value != own.get(name)
            }
            if different:
                differ[other] = different
        content = {
            "world_size": self.place.world_size,
            "seen": [0, *map(int, ended)],
            "ended": ended,
            "environment_differs": differ,
            "merged_without": {str(rank): record for rank, record in self._without.items()},
        }
        write_json(self._rundir.capture / "ranks.json", content)
        failed = [f"rank {rank}: {how['reason']}" for rank, how in ended.items() if how["status"] == "FAILED"]
        return {"ranks": content, "gaps": gaps, "failed": "; ".join(failed)}

    def forget(self) -> None:
        """Leaves the folder of the group: the run is whole."""
        forget(self.place, str(self._rundir.spec.get("id")))


_UNSEEN = "track on all ranks; for several machines, share TRACKER_HOME between them"
_OF_EACH = ("entry", "variables", "imported")
"""Parts of the environment that are of each process, and say nothing when they differ."""


def _gap(what: str, fix: str) -> dict[str, Any]:
    return {"part": "ranks", "what": what, "fix": fix, "blocking": False}


def _end_of(journal: Path) -> dict[str, Any]:
    """How a rank ended, by its journal: `{"status", "reason", "steps"}`."""
    reader = JournalReader(journal)
    end, steps = None, 0
    for _, record in reader.read():
        if isinstance(record, Event) and record.name == END:
            end = record
        elif isinstance(record, Reading) and record.signal == LOSS.name:
            steps = max(steps, record.step + 1)
    status, reason = status_of(end, reader.end_signal)
    if end is None and not reader.end_signal and journal.with_suffix(".alive").exists():
        status, reason = "RUNNING", ""
    return {"status": status, "reason": reason, "steps": steps}


def _take(member: RunDir, rank: int, rundir: RunDir) -> None:
    """Moves the journal of a member into the folder of the run; of one that lives on, and of a folder that is a run's
    own, a copy."""
    journal = rundir.path / f"journal-{rank}.bin"
    is_alive = member.is_alive()
    partial = journal.with_name(f".{journal.name}.{os.getpid()}")
    shutil.copyfile(member.journal, partial)
    os.replace(partial, journal)
    running = journal.with_suffix(".alive")
    running.touch() if is_alive else running.unlink(missing_ok=True)
    process, account = member.read_json("process.json"), member.read_json(ACCOUNT)
    kept = (
        "environment", "randomness", "randomness_at_end", "environment_at_end", "gaps", "switches_changed",
        "started_as",
    )  # fmt: skip
    content = {"rank": rank, **{name: process[name] for name in kept if name in process}, "account": account}
    write_json(rundir.capture / f"process-{rank}.json", content)
    opened = rundir.path / "opened"
    opened.mkdir(exist_ok=True)
    files = [str(path) for path in process.get("opened") or ()]
    if files:
        # In the form in which forked children say what they have read: it is data of the run as well.
        text = "\0".join(files)
        (opened / f"opened-rank-{rank}.txt").write_text(text, encoding="utf-8", errors="surrogateescape")
    for file in (member.path / "opened").glob("opened-*.txt"):
        shutil.copyfile(file, opened / f"{file.stem}-rank-{rank}.txt")
    if is_alive:
        write_json(member.path / TAKEN, {"run": rundir.spec.get("id")})
    elif member.path.is_symlink():
        member.path.unlink()
    else:
        shutil.rmtree(member.path, ignore_errors=True)
