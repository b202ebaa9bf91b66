"""The life of a sidecar: capture, connect, feed MLflow from the journal until the run has ended, close the run.

It may be killed at any point and started again, by `tracker sync` for one: the run is found by its own id, what was
uploaded is passed over or stored again as the same, and nothing is there twice.
"""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..journal import JournalError
from ..rundir import ALIVE, RunDir
from . import ending, stalled, wording
from .capturing import capture_at_end, capture_at_start
from .feed import File, Param, Point, Tag
from .pace import FIRST_NICENESS, SHARE, Pace, step_back
from .proof import prove_restorable
from .reading import Follower, other_processes, replayed_verdict

if TYPE_CHECKING:
    from ..actions.notify import Notifier
    from ..stores.mlflow_writer import RunWriter

POLL = 0.2
"""Seconds between two looks whether the run has ended."""
MOST_PENDING = 5000
"""Emissions beyond which no more is read before they are uploaded."""
HEARTBEAT = 30.0
"""Seconds between two values of the tag `tracker.heartbeat`: a RUNNING run with an old one is stale."""
PATIENCE = 30.0
"""Seconds for which a store that does not answer is tried once the run has ended."""
REDIRECT = "TRACKER_SYNC_URI"
"""Environment variable by which `tracker sync` tells its process of another store than the run's own."""
FIRST_RETRY, LAST_RETRY = 1.0, 30.0
BIRTH = 15.0
"""Seconds in which a run that holds no lock yet counts as alive: its process is just starting."""


class Upload:
    """Brings one run into its store. The holder of the folder's `sidecar.lock` makes one."""

    def __init__(self, rundir: RunDir, patience: float = PATIENCE, steps_back: bool = False) -> None:
        self.rundir = rundir
        self.spec = rundir.spec
        self.cwd = Path(self.spec.get("cwd") or "/")
        self.patience = patience
        self._steps_back = steps_back
        self.writer: RunWriter | None = None
        self._follower: Follower | None = None
        self._finished_reading = False
        self._captured: dict[str, Any] = {}
        self._beat = 0.0
        self._faults: dict[str, str] = {}
        self._notifier: Notifier | None = None
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
        late_by = None if self.is_alive() else max(0.0, time.time() - self._journal_time())
        self.rundir.update_state(store="pending")
        # The training comes first, but for the capture of its code: its first step waits for that.
        after_code = partial(step_back, FIRST_NICENESS) if self._steps_back and late_by is None else None
        self._captured = capture_at_start(self.rundir, self.spec, late_by, after_code)
        self.rundir.update_state(captured=True, capture=self._captured, capture_gaps=self._captured["gaps"])

    def _journal_time(self) -> float:
        try:
            return self.rundir.journal.stat().st_mtime
        except OSError:
            return float(self.spec.get("started") or time.time())

    # -- reading ---------------------------------------------------------------------------------------------------

    def _follow(self) -> bool:
        """Reads on while what was read before is uploaded; True when the run said that it has ended."""
        if self._follower is None:
            state = self.rundir.state
            try:
                self._follower = Follower(self.rundir, int(state.get("synced") or 0), int(state.get("parts") or 0))
            except FileNotFoundError:
                return False
            except JournalError as error:
                self._fault("journal", error)
                return False
        if len(self._follower.pending) < MOST_PENDING or not self._follower.read:
            self._follower.advance()
        self._notify(self._follower)
        return self._follower.end is not None

    def _notify(self, follower: Follower) -> None:
        """Sends the findings for which the settings want that."""
        outcomes, follower.outcomes = follower.outcomes, []
        if not ((self.spec.get("settings") or {}).get("rules") or {}).get("notify"):
            return
        if self._notifier is None:
            from ..actions.notify import Notifier
            from ..rules.engine import Settings

            settings = Settings.model_validate(self.spec["settings"])
            told = self.rundir.state.get("notified")
            self._notifier = Notifier(settings, str(self.spec.get("name")), list(told or ()))
        for outcome in outcomes:
            if self._notifier.is_wanted(outcome):
                if not self._notifier.tell(outcome):
                    self._faults["notify"] = str(self._notifier.problem)
                self.rundir.update_state(notified=self._notifier.told)

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
        if self.writer is not None:
            return self.writer
        from ..stores.connect import absolute_uri, shown_uri
        from ..stores.mlflow_store import default_uri
        from ..stores.mlflow_writer import RunWriter, StoreRefused

        self._redirect()
        state = self.rundir.state
        # Until the run is in a store, the store is looked for each time: what refused it may have been put right.
        settled = state.get("mlflow_run_id") or state.get("adopted") or state.get("redirected")
        given = (state.get("tracking_uri") if settled else None) or self.spec.get("tracking_uri")
        uri = absolute_uri(str(given), self.cwd) if given else default_uri(self.cwd)
        self.rundir.update_state(tracking_uri=uri)
        writer = RunWriter(uri, self.cwd)
        adopted = state.get("adopted") or self.spec.get("adopt")
        if adopted and adopted != state.get("adopt_refused"):
            try:
                writer.adopt(str(adopted))
            except StoreRefused as error:
                self._fault("adopt", error)
                self.rundir.update_state(adopt_refused=adopted)
        is_adopted = bool(writer.run_id)
        tags = ending.first_tags(self.spec, self._captured, _version(), is_adopted)
        if not is_adopted:
            writer.use_experiment(self.spec.get("experiment"))
            parent = self._parent()
            if parent:
                tags["mlflow.parentRunId"] = parent
            writer.find_or_create(self.spec["id"], self.spec.get("name"), float(self.spec["started"]), tags)
        self.rundir.update_state(
            mlflow_run_id=writer.run_id,
            experiment_id=writer.experiment_id,
            created=not is_adopted,
            adopted=adopted,
            store="ok",
            ui=f"tracker ui --uri {shown_uri(uri)}",
        )
        if state.get("discard") and is_adopted:
            old = state.get("discard_from") or uri
            (writer if old == uri else RunWriter(old, self.cwd)).discard(str(state["discard"]))
            self.rundir.update_state(discard=None)
        if not int(state.get("synced") or 0):
            writer.tags(tags)
        self.writer = writer
        self._view(writer)
        return writer

    def _redirect(self) -> None:
        """Another store was named in `tracker sync`: the whole run goes there, as if it had never been anywhere."""
        from ..stores.connect import absolute_uri

        wanted = os.environ.get(REDIRECT)
        if wanted:
            uri = absolute_uri(wanted, self.cwd)
            if uri != self.rundir.state.get("tracking_uri"):
                nowhere = {"mlflow_run_id": None, "adopted": None, "created": False, "synced": 0, "parts": 0}
                self.rundir.update_state(tracking_uri=uri, redirected=True, **nowhere)
                self._follower = None
                self._follow()

    def _parent(self) -> str | None:
        """The MLflow run of the run this one is nested in; it has one a moment after it began, if at all."""
        own = self.spec.get("parent")
        if not own:
            return None
        deadline = time.monotonic() + 5
        while True:
            parent = RunDir.find(str(own))
            run_id = parent.state.get("mlflow_run_id") if parent is not None else None
            if run_id or parent is None or time.monotonic() >= deadline:
                return str(run_id) if run_id else None
            time.sleep(0.1)

    def _view(self, writer: RunWriter) -> None:
        from ..stores.view import save_view

        try:
            save_view(writer.client, writer.experiment_id)
        except Exception as error:  # a view is an ornament in an undocumented format
            self._fault("view", error)

    def _flush(self, writer: RunWriter) -> None:
        follower = self._follower
        if follower is None or (not follower.pending and follower.read <= int(self.rundir.state.get("synced") or 0)):
            return
        pending = follower.pending
        writer.metrics([(e.key, e.value, e.time, e.step) for e in pending if isinstance(e, Point)])
        writer.params({e.key: _text(e.value) for e in pending if isinstance(e, Param)})
        writer.tags({e.key: e.value for e in pending if isinstance(e, Tag)})
        for item in pending:
            if isinstance(item, File):
                self._file(writer, item)
        follower.pending = []
        if follower.read > int(self.rundir.state.get("synced") or 0):
            self.rundir.update_state(synced=follower.read, parts=follower.parts)

    def _file(self, writer: RunWriter, item: File) -> None:
        path = self.rundir.path / item.path  # an absolute path stays what it is
        if path.is_dir():
            writer.folder(path, item.folder or path.name)
        elif path.is_file():
            writer.artifact(path, item.folder)
        else:
            self._faults[f"artifact {item.path}"] = "the file is gone"

    def _heartbeat(self, writer: RunWriter) -> None:
        if time.monotonic() - self._beat >= HEARTBEAT:
            self._beat = time.monotonic()
            writer.tags({"tracker.heartbeat": str(round(time.time()))})

    def _tell_silence(self, writer: RunWriter) -> None:
        """Says in a tag that the run lives and writes nothing, and when it goes on."""
        if self._follower is not None:
            told = self._silence.look(time.time(), self._follower.last_time)
            if told is not None:
                writer.tags({stalled.TAG: told})

    # -- the end ---------------------------------------------------------------------------------------------------

    def _close(self, writer: RunWriter) -> None:
        """Stores the verdict, the grade and the rest, and closes the run. May be repeated."""
        follower = self._follower
        ranks = follower.ranks if follower is not None else None
        others: dict[str, Any] = ranks.take_over() if ranks is not None else {}
        if follower is not None and not self._finished_reading:
            follower.finish()
            for item in other_processes(self.rundir):
                follower.pending.append(item)
            self._finished_reading = True
        self._flush(writer)
        end = follower.end if follower is not None else None
        end_signal = follower.end_signal if follower is not None else 0
        exit_code = ending.exit_code_of(self.spec, has_ended=end is not None)
        status, how = ending.status_of(end[1] if end else None, end_signal, exit_code)
        if end is None and others.get("failed"):  # what failed there is why this rank was ended, as torchrun does
            status, how = "FAILED", f"{how}; {others['failed']}"
        captured = capture_at_end(self.rundir, self.spec, self._captured)
        if follower is not None and follower.dropped:
            what = f"{follower.dropped} readings were lost: the disk was full, or the journal at its largest size"
            gap = {"part": "series", "what": what, "fix": "free some space, or set TRACKER_HOME", "blocking": False}
            captured["gaps"] = [*captured["gaps"], gap]
        captured["gaps"] = [*captured["gaps"], *others.get("gaps", ())]
        proof = prove_restorable(self.rundir, captured)
        said = (follower.verdict if follower is not None else None) or self._replayed()
        verdict, compared = self._among_relatives(writer, said, captured)
        ended_at = end[0] if end else follower.last_time if follower is not None else self._journal_time()
        written = ending.write_artifacts(self.rundir, verdict, proof, writer.run_id, self._params(writer))
        for path in [*written, *compared]:
            writer.artifact(path, "")
        if any(self.rundir.capture.iterdir()):
            writer.folder(self.rundir.capture, "capture")
        metrics = ending.last_metrics(verdict, proof)
        writer.metrics([(key, value, round(ended_at * 1000), 0) for key, value in metrics.items()])
        now, tags = writer.current()
        block = wording.block(verdict, proof, self.spec["id"])
        described = {"mlflow.note.content": wording.with_block(tags.get("mlflow.note.content", ""), block)}
        writer.tags({**ending.last_tags(verdict, proof, how), **described})
        # A run that user code made is closed by user code, unless that died.
        if self.rundir.state.get("created") or (end is None and now == "RUNNING"):
            writer.end(status, ended_at)
        self.rundir.update_state(
            finished=True,
            status=status,
            grade=proof["grade"],
            suspicious=verdict.get("suspicious"),
            reproducible=proof["reproducible"],
            faults=self._faults,
        )
        if ranks is not None:
            ranks.forget()

    def _params(self, writer: RunWriter) -> dict[str, Any]:
        feed = self._follower.feed if self._follower is not None else None
        return {
            "params": feed.params if feed is not None else self.spec.get("params") or {},
            "hyperparameters": self.rundir.read_json("process.json").get("params") or {},
            "renamed": {**feed.keys.changed, **feed.param_keys.changed} if feed is not None else {},
            "not_stored": writer.refused,
        }

    def _among_relatives(
        self, writer: RunWriter, verdict: Mapping[str, Any], captured: Mapping[str, Any]
    ) -> tuple[Mapping[str, Any], list[Path]]:
        """The verdict beside the earlier runs of the experiment; a run that repeats another one is not compared."""
        if self._follower is None or self.spec.get("reproduce_of"):
            return verdict, []
        from .relatives import judged_among_relatives

        try:
            return judged_among_relatives(verdict, self.rundir, writer.uri, writer.experiment_id, captured)
        except Exception as error:  # the store, a file of an earlier version, a local rule: the run itself is judged
            self._fault("family", error)
            return verdict, []

    def _replayed(self) -> dict[str, Any]:
        try:
            return replayed_verdict(self.rundir, self.spec) or dict(ending.UNKNOWN)
        except Exception as error:  # a local rule of the user's, among others
            self._fault("replay", error)
            return {**ending.UNKNOWN, "why": f"the journal could not be judged: {type(error).__name__}: {error}"}

    def _fault(self, part: str, error: Exception) -> None:
        if part not in self._faults:
            self._faults[part] = f"{type(error).__name__}: {error}"
            traceback.print_exception(error)


def _text(value: object) -> str:
    if isinstance(value, (dict, list, tuple)):
        import json

        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("soundrun")
    except PackageNotFoundError:
        return "0+unknown"
