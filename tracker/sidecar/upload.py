"""The life of a sidecar: capture, connect, feed MLflow from the journal until the run has ended, close the run.

It may be killed at any point and started again, by `tracker sync` for one: the run is found by its own id, what was
uploaded is passed over or stored again as the same, and nothing is there twice.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

from ..journal import JournalError
from ..rundir import ALIVE, RunDir
from . import resolving, stalled
from .capturing import capture_at_start, capture_settings
from .closing import HEARTBEAT_TAG, close_run, written_last
from .connecting import connect, cwd_of, redirect
from .faults import Faults
from .notices import Notices
from .pace import FIRST_NICENESS, SHARE, Pace, step_back
from .reading import Follower, other_processes
from .reporting import Reporting
from .sending import send

if TYPE_CHECKING:
    from ..stores.mlflow_writer import RunWriter

POLL = 0.2
"""Seconds between two looks whether the run has ended."""
MOST_PENDING = 5000
"""Emissions beyond which no more is read before they are uploaded."""
HEARTBEAT = 30.0
"""Seconds between two values of the tag `tracker.heartbeat`: a RUNNING run with an old one is stale."""
PATIENCE = 30.0
"""Seconds for which a store that does not answer is tried once the run has ended."""
FIRST_RETRY, LAST_RETRY = 1.0, 30.0
BIRTH = 15.0
"""Seconds in which a run that holds no lock yet counts as alive: its process is just starting."""


class Upload:
    """Brings one run into its store. The holder of the folder's `sidecar.lock` makes one."""

    def __init__(self, rundir: RunDir, patience: float = PATIENCE, steps_back: bool = False) -> None:
        self.rundir = rundir
        self.spec = rundir.spec
        self.cwd = cwd_of(rundir)
        self.patience = patience
        self._steps_back = steps_back
        self.writer: RunWriter | None = None
        self._follower: Follower | None = None
        self._finished_reading = False
        self._captured: dict[str, Any] = {}
        self._beat = 0.0
        self._faults = Faults()
        self._notices = Notices(rundir, self._faults)
        self._report = Reporting(rundir, self._faults)
        self._delay, self._next_try = FIRST_RETRY, 0.0
        self._silence = stalled.Silence()
        self._reads, self._uploads = Pace(SHARE / 3), Pace()

    # -- life ------------------------------------------------------------------------------------------------------

    def run(self) -> bool:
        """Works until the run is whole in its store, or it has ended and the store did not answer; True for whole."""
        state = self.rundir.state
        if state.get("finished"):
            return True
        try:
            os.chdir(self.cwd)
        except OSError:  # it is gone: what MLflow keeps below the current directory goes to our home, not to `/`
            os.chdir(self.rundir.path.parent.parent)
        with ThreadPoolExecutor(1) as apart:
            # A thread of its own, which steps back from the core; the end is brought in by one that never did.
            if apart.submit(self._accompany, state).result():
                return True
        return self._bring_in()

    def _accompany(self, state: Mapping[str, Any]) -> bool:
        """Uploads what the run writes while it goes on; True when the run turned out to be part of another."""
        self._capture(state)
        was_connected = False
        while self.is_alive() and not self._has_ended():
            if self.writer is not None and self._steps_back and not was_connected:
                was_connected = True
                step_back()
            if self._reads.is_due:
                self._reads.begin()
                self._follow()
                self._reads.end()
            if self._is_of_another():
                return self._step_aside()
            is_due = self._uploads.is_due or self._adoption() is not None
            if is_due and time.monotonic() >= self._next_try and not self._has_ended():
                self._uploads.begin()
                if self._upload(ended=False):
                    return True
                self._uploads.end(in_haste=self._is_behind())
            if self.writer is not None and not self._has_ended() and not self._is_behind():
                self._report.renew(self.writer)
            time.sleep(POLL)
        return False

    def _bring_in(self) -> bool:
        """The run has ended: uploads the rest, at once; True when it is whole."""
        gave_up_at: float | None = None
        while True:
            alive = self.is_alive()  # asked before reading: what a dying process wrote last is read below
            ended = self._follow() or not alive
            if self._is_of_another():
                return self._step_aside()
            if time.monotonic() >= self._next_try and self._upload(ended):
                return True
            if ended and not self._is_waiting():
                if gave_up_at is None:
                    gave_up_at = time.monotonic() + self.patience
                if time.monotonic() >= gave_up_at:
                    return False
            time.sleep(POLL)

    def is_alive(self) -> bool:
        """True while the training process lives, also in the moment before it holds its lock."""
        if self.rundir.is_alive():
            return True
        started = float(self.spec.get("started") or 0)
        return not (self.rundir.path / ALIVE).exists() and time.time() - started < BIRTH

    def _has_ended(self) -> bool:
        return self._follower is not None and self._follower.end is not None

    def _is_behind(self) -> bool:
        """True when the user's own metrics are more than can be uploaded at leisure."""
        return self._follower is not None and (self._follower.is_behind or len(self._follower.pending) >= MOST_PENDING)

    def _is_waiting(self) -> bool:
        return self._follower is not None and self._follower.is_waiting

    def _is_of_another(self) -> bool:
        return self._follower is not None and self._follower.place.is_member

    def _step_aside(self) -> bool:
        """The run turned out to be part of rank 0's, whose sidecar takes its journal: its own in MLflow is deleted."""
        from ..stores.mlflow_writer import RunWriter, StoreRefused, StoreUnreachable

        state = self.rundir.state
        if state.get("mlflow_run_id") and state.get("created"):
            try:
                writer = self.writer or RunWriter(str(state.get("tracking_uri")), self.cwd)
                writer.discard(str(state["mlflow_run_id"]))
            except (StoreUnreachable, StoreRefused) as error:
                self.rundir.update_state(store=f"unreachable: {error}")
                return False
        self.rundir.update_state(finished=True, joined=True, mlflow_run_id=None, status="JOINED")
        return True

    def _capture(self, state: Mapping[str, Any]) -> None:
        if state.get("captured"):
            self._captured = dict(state.get("capture") or {})
            return
        late_by = None if self.is_alive() else max(0.0, time.time() - written_last(self.rundir))
        self.rundir.update_state(store="pending")
        # The training comes first, but for the capture of its code: its first step waits for that.
        after_code = partial(step_back, FIRST_NICENESS) if self._steps_back and late_by is None else None
        self._captured = capture_at_start(self.rundir, self.spec, late_by, after_code)
        resolving.begin(self.rundir.capture, capture_settings(self.spec))
        self.rundir.update_state(captured=True, capture=self._captured, capture_gaps=self._captured["gaps"])

    # -- reading ---------------------------------------------------------------------------------------------------

    def _follow(self) -> bool:
        """Reads on while what was read before is uploaded; True when the run said that it has ended."""
        if self._follower is None:
            state = self.rundir.state
            synced, parts = int(state.get("synced") or 0), int(state.get("parts") or 0)
            self._report.begin()
            try:
                self._follower = Follower(self.rundir, synced, parts, self._report)
            except FileNotFoundError:
                return False
            except JournalError as error:
                self._faults.note("journal", error)
                return False
        if len(self._follower.pending) < MOST_PENDING or not self._follower.read:
            self._follower.advance()
        self._notices.send(self._follower)
        return self._follower.end is not None

    def _restart_in(self, run_id: str) -> None:
        """From now on the run is this MLflow run: everything so far goes there too, and ours is deleted."""
        state, data = self.rundir.state, (self._follower.adopt or {}) if self._follower is not None else {}
        placeholder = state.get("mlflow_run_id") if state.get("created") else None
        uri = data.get("tracking_uri") or state.get("tracking_uri")
        self.rundir.update_state(
            adopted=run_id,
            tracking_uri=uri,
            mlflow_run_id=None,
            synced=0,
            parts=0,
            created=False,
            discard=placeholder,
            discard_from=state.get("tracking_uri"),
        )
        self.writer = None
        self._follower = None
        self._follow()

    # -- the store -------------------------------------------------------------------------------------------------

    def _upload(self, ended: bool) -> bool:
        """Uploads what was read; True when the run is whole. A store that does not answer is noted in the state."""
        from ..stores.mlflow_writer import StoreRefused, StoreUnreachable

        try:
            writer = self._connected()
            while True:
                adopt = self._adoption()
                if adopt is not None:
                    self._restart_in(adopt)
                    writer = self._connected()
                self._flush(writer)
                # What a run that goes on writes meanwhile is for the next time.
                if self._follower is None or not self._follower.advance() or not (ended or self._follower.is_behind):
                    break
            self._heartbeat(writer)
            if not ended and not self._is_behind():
                self._tell_silence(writer)
            self._delay = FIRST_RETRY
            if self.rundir.state.get("store") != "ok":
                self.rundir.update_state(store="ok")
            if self._is_of_another():
                return self._step_aside()
            if ended and not self.is_running() and not self._is_waiting():
                self._close(writer)
                return True
        except (StoreUnreachable, StoreRefused) as error:
            how = "refused" if isinstance(error, StoreRefused) else "unreachable"
            self.rundir.update_state(store=f"{how}: {error}")
            self._next_try = time.monotonic() + self._delay
            self._delay = min(2 * self._delay, LAST_RETRY)
            if isinstance(error, StoreRefused) and ended:
                self.patience = 0.0  # waiting does not help: it is for the user to act
        return False

    def is_running(self) -> bool:
        """True while neither an end was read nor the process is gone."""
        return (self._follower is None or self._follower.end is None) and self.is_alive()

    def _adoption(self) -> str | None:
        """The MLflow run to move to, if there is one and the run is not there yet."""
        wanted = (self._follower.adopt or {}).get("mlflow_run_id") if self._follower is not None else None
        return str(wanted) if wanted and wanted != self.rundir.state.get("adopted") else None

    def _connected(self) -> RunWriter:
        if self.writer is None:
            if redirect(self.rundir):
                self._follower = None
                self._follow()
            self.writer = connect(self.rundir, self._captured, self._faults)
        return self.writer

    def _flush(self, writer: RunWriter) -> None:
        follower = self._follower
        if follower is None or (not follower.pending and follower.read <= int(self.rundir.state.get("synced") or 0)):
            return
        send(writer, self.rundir, follower.pending, self._faults)
        follower.pending = []
        if follower.read > int(self.rundir.state.get("synced") or 0):
            self.rundir.update_state(synced=follower.read, parts=follower.parts)

    def _heartbeat(self, writer: RunWriter) -> None:
        if time.monotonic() - self._beat >= HEARTBEAT:
            self._beat = time.monotonic()
            writer.tags({HEARTBEAT_TAG: str(round(time.time()))})

    def _tell_silence(self, writer: RunWriter) -> None:
        """Says in a tag that the run lives and writes nothing, and when it goes on."""
        if self._follower is not None:
            now = time.time()
            has_begun = "parameters" in self._follower.facts  # told at the first step
            told = self._silence.look(now, self._follower.last_time, has_begun)
            if told is not None:
                writer.tags({stalled.TAG: told})
            self._silence.keep(self.rundir, now)

    # -- the end ---------------------------------------------------------------------------------------------------

    def _close(self, writer: RunWriter) -> None:
        """Reads the journal to its end, stores the rest and the verdict, and closes the run. May be repeated."""
        follower = self._follower
        ranks = follower.ranks if follower is not None else None
        others: dict[str, Any] = ranks.take_over() if ranks is not None else {}
        if follower is not None and not self._finished_reading:
            follower.finish()
            for item in other_processes(self.rundir):
                follower.pending.append(item)
            self._finished_reading = True
        self._flush(writer)
        close_run(self.rundir, writer, follower, self._captured, others, self._faults, self._report)
        if ranks is not None:
            ranks.forget()
