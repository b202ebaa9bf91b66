"""One run while it is active: journal, probes, engine, capture and sidecar, tied together."""

from __future__ import annotations

import contextlib
import math
import shutil
import time
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import IO, TYPE_CHECKING, Any

from . import active, distributed, launched
from .actions.acting import Actions
from .capture import process
from .epochs import EpochClock
from .group import Leader, Member
from .guard import Guard
from .journal import Journal
from .judging import Judging
from .launcher import start_sidecar
from .on_import import when_imported
from .report.console.terminal import Terminal
from .rules.engine import Settings, Severity
from .rules.engine.records import END, EPOCH, Json
from .rules.engine.signals import LOSS, METRIC, METRIC_IN_MLFLOW, OVERHEAD, STEP_SECONDS
from .rundir import RunDir, home
from .signals import Termination

if TYPE_CHECKING:
    from .report.console.live import Standing

CODE_WAIT = 1.0
"""Seconds the first optimizer step waits, at most, for the code to be captured."""

SIDECAR_START = 10.0
"""Seconds after which a sidecar that does not hold its lock is taken to be gone."""
MOST_REJECTED = 50
"""Metrics whose values are told to be no numbers; with more, the rest is left out in silence."""


class Session:
    """The live part of an entered run. Everything in it is guarded: a fault switches a part off."""

    def __init__(self, spec: dict[str, Any], settings: Settings, frame: FrameType | None, terminal: Terminal) -> None:
        """Creates folder and journal; raises `OSError` when neither home nor the temporary folder can be written."""
        self.spec = spec
        self.settings = settings
        self.terminal = terminal
        self.place = distributed.Place.from_json(spec.get("place"))
        is_member = self.place.is_member
        self.rundir = RunDir.create(spec, self.place.folder(spec["id"]) if is_member else "")
        if not is_member and self.rundir.path.parent.parent != home():
            terminal.warn_once(
                f"{home()} cannot be written; until it is uploaded, the run is kept in {self.rundir.path}."
            )
        try:
            self.journal = Journal(self.rundir.journal)
        except OSError:
            shutil.rmtree(self.rundir.path, ignore_errors=True)  # else it passes for a run that was lost
            raise
        self.guard = Guard(self._record_fault)
        self.clock = EpochClock()
        self.ended = False
        self._alive: IO[bytes] | None = self.rundir.hold_alive()
        self._training: Any = None
        self._hooked = False
        self.foreign: Any = None
        self.judging: Judging | Leader | Member = Judging(
            self.journal, self.guard, settings, terminal, Actions(self, settings).act
        )
        self._rejected: set[str] = set()
        self.in_mlflow: dict[str, int] = {}
        """Step at which each metric was logged with MLflow last: another tool may be given the same number."""
        self._epoch_began = time.perf_counter()
        self._capture_known = False
        self._loaders: set[int] = set()
        self._frame = frame
        self._is_preflight = bool(launched.preflight())
        """Whether only the first steps are observed, for drills: nothing of it is captured or uploaded."""
        self._process = process.ProcessFacts(settings)
        self._termination = Termination(_mark_all)
        self.verdict: Mapping[str, Json] | None = None

    # -- life ------------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Captures what only this process knows, starts the sidecar, and begins to observe."""
        with self.guard.part("capture"):
            self.rundir.write_json(
                "process.json", self._process.at_entry(self._frame, self.spec, self.rundir.path / "opened")
            )
            for name, value in self._process.facts().items():
                self.journal.fact(name, 0, value)
        with self.guard.part("ranks"):
            self._take_place(self.place)
        if not self.place.is_member and not self._is_preflight:
            with self.guard.part("sidecar"):
                start_sidecar(self.rundir)
        self._sidecar_started = time.perf_counter()
        with self.guard.part("engine"):
            self.judging.begin()
        with self.guard.part("signals"):
            self._termination.install()
        active.enter(self)
        when_imported("torch", _weakly(self._observe_torch))
        when_imported("mlflow", _weakly(self._observe_mlflow))
        self._frame = None

    def _take_place(self, place: distributed.Place) -> None:
        """Takes its place among the processes that train together; alone, there is nothing to take."""
        if place.attempt:
            self.journal.event("tag", self.step, {"tracker.attempt": str(place.attempt)})
        if place.is_alone:
            return
        self.place = place
        # The sidecar learns it here: what comes behind this fact is merged with what the other ranks say.
        self.journal.fact("place", self.step, place.as_json())
        if place.is_member:
            self.judging = Member(self, place)
            self.terminal.silence()
            return
        if isinstance(self.judging, Judging):
            self.judging = Leader(self, place, self.judging)
        self.journal.event("tag", self.step, {"tracker.world_size": str(place.world_size)})
        self._process.started_by(distributed.launcher(), place.world_size)
        distributed.announce(self.rundir, place)

    def _settle_place(self) -> None:
        """By the first step the processes have met, if they do; what began as a run of its own joins rank 0's."""
        if not self.place.is_alone:
            return
        with self.guard.part("ranks"):
            found = distributed.place(int(self.spec.get("index") or 0))
            if found.is_alone:
                return
            if found.is_member:
                distributed.join_late(self.rundir, found)
                if self.foreign is not None:
                    self.foreign.close()
                    self.foreign = None
            self._take_place(found)

    def _observe_torch(self) -> None:
        if self.ended or self._hooked:
            return
        with self.guard.part("torch"):
            from .probes import hooks
            from .probes.training import Training

            self._training = Training(self, self.settings.observe)
            hooks.install()
            self._hooked = True

    def _observe_mlflow(self) -> None:
        # What other ranks log with MLflow is theirs, as it would be without us.
        if self.ended or self.foreign is not None or self.place.is_member:
            return
        with self.guard.part("mlflow"):
            from .integrations import mlflow_calls

            self.foreign = mlflow_calls.Watcher(self)

    @property
    def training(self) -> Any:
        """The probe of the training loop; None before torch is imported."""
        return self._training

    @property
    def step(self) -> int:
        """Optimizer steps done."""
        return self._training.done if self._training is not None else 0

    def end(self, status: str, reason: str) -> None:
        """Closes the last epoch, judges the whole run, and hands over to the sidecar."""
        self.ended = True
        active.leave(self)
        try:
            with self.guard.part("end"):
                self._close(status, reason)
        finally:
            # Also when Ctrl-C comes a second time, or in strict mode.
            if self._hooked:
                from .probes import hooks

                hooks.uninstall()
            self._termination.uninstall()
            with contextlib.suppress(Exception):
                self.journal.event(END, self.step, {"status": status, "reason": reason})
            self.journal.close()
            if self._alive is not None:
                self._alive.close()

    def _close(self, status: str, reason: str) -> None:
        if self._training is not None:
            if status != "FINISHED":
                self._training.note_interruption()
            steps = self._training.finish()
            if steps > self.clock.first_step:
                self.close_epoch()
            self._training.conclude()
        if self.foreign is not None:
            with self.guard.part("mlflow"):
                self.foreign.close()
        with self.guard.part("capture"):
            if self._training is not None:
                self._process.label_counts(self._training.label_counts)
            content = self._process.at_end()
            self.rundir.write_json("process.json", content)
            self.journal.fact("randomness", self.step, self._process.facts().get("randomness"))
        self._learn_capture(wait=CODE_WAIT)
        if self.journal.dropped:
            self.journal.event("dropped", self.step, {"readings": self.journal.dropped})
            self.terminal.warn_once(
                f"{self.journal.dropped} readings did not fit into {self.rundir.journal} and are lost: the disk is "
                "full, or the journal at its largest size. Free some space, or name another place with TRACKER_HOME."
            )
        self.verdict = self.judging.conclude(self.step)

    def wait_for_store(self) -> dict[str, Any]:
        """Waits for the sidecar to finish, no longer than the settings allow; returns what it has done."""
        if self.place.is_member:
            return {}
        deadline = time.monotonic() + self.settings.wait_seconds
        state = self.rundir.state
        was_restarted = False
        while time.monotonic() < deadline and not state.get("finished"):
            if not was_restarted and time.perf_counter() - self._sidecar_started > SIDECAR_START:
                with self.rundir.uploading() as nobody_does:
                    was_restarted = nobody_does
                if was_restarted:  # it was killed, or could not start: nothing would come, however long we wait
                    with self.guard.part("sidecar"):
                        start_sidecar(self.rundir)
            if str(state.get("store", "")).startswith(("unreachable", "refused")):
                break
            time.sleep(0.05)
            state = self.rundir.state
        return state

    @property
    def store_state(self) -> Mapping[str, Any]:
        """What has been uploaded of the run, which for a member is that of rank 0."""
        if not self.place.is_member:
            return self.rundir.state
        leader = distributed.leader_of(self.place)
        return RunDir(Path(leader["path"])).state if leader is not None else {}

    # -- what the probes tell --------------------------------------------------------------------------------------

    def before_first_step(self) -> None:
        """The first optimizer step is about to change something: the code must be captured by now."""
        self._settle_place()
        if self.place.is_member or self._is_preflight:
            return
        deadline = self._sidecar_started + CODE_WAIT
        while time.perf_counter() < deadline and not (self.rundir.capture / "code.json").exists():
            time.sleep(0.005)
        if not (self.rundir.capture / "code.json").exists():
            self._process.gap(
                "code",
                f"The code was still being captured {CODE_WAIT:g} s after the run began, when training started.",
                "Compare capture/code.json with what you meant to run, or start again with a smaller work tree.",
                blocking=False,
            )

    def note_optimizer(self, optimizer: Any, number: int, frame: FrameType) -> None:
        """An optimizer made its first step: its settings, and those of what stands around it, are hyperparameters."""
        with self.guard.part("hyperparameters"):
            params, facts = self._process.at_first_step(optimizer, number, frame)
            self.journal.fact("params", self.step, dict(params))
            for name, value in facts.items():
                self.journal.fact(name, self.step, value)

    def note_loader(self, iterator: Any) -> None:
        """A loader is iterated; its settings are taken once."""
        dataset = id(getattr(iterator, "_dataset", iterator))
        if dataset not in self._loaders:
            self._loaders.add(dataset)
            weights = self._process.sampler_weights(iterator)
            if weights is not None:
                self.journal.fact("sampler_weights", self.step, weights)

    def note_class_weights(self, weights: Any, function: str) -> None:
        """The loss has class weights."""
        found = self._process.class_weights(weights, function)
        if found is not None:
            self.journal.fact("class_weights", self.step, dict(found[0]))
            self.journal.fact("params", self.step, dict(found[1]))

    def log(self, metrics: Mapping[str, Any], step: int | None, in_mlflow: bool = False) -> None:
        """Takes metrics of the user's; what is no number is named once and left out."""
        signal = METRIC_IN_MLFLOW.name if in_mlflow else METRIC.name
        at = self.step if step is None else _whole(step)
        if at is None:
            at = self.step
            self._reject("step", "step is not a whole number", step, f"the current one, {at}, is taken instead.")
        for key, value in metrics.items():
            number = _number(value)
            if number is None:
                expected = "expected a float, an int or a tensor with one element. It is left out."
                self._reject(str(key), f"metric {_shown(key)} is not a number", value, expected)
            else:
                self.journal.reading(signal, str(key), at, number)
                if in_mlflow:
                    self.in_mlflow[str(key)] = at
        self.clock.note_metric(self.step)

    def _reject(self, key: str, what: str, value: Any, expected: str) -> None:
        """Says once for each metric what is wrong with a value of it; a loop may log it at every step."""
        if what not in self._rejected and len(self._rejected) < MOST_REJECTED:
            self._rejected.add(what)
            self.journal.event("rejected_metrics", self.step, {key: _shown(value)})
            self.terminal.warn_once(f"{what}: {_shown(value)}; {expected}")

    # -- epochs and judgement --------------------------------------------------------------------------------------

    def close_epoch(self) -> None:
        """Writes the end of the running epoch and judges it."""
        first, step = self.clock.first_step, self.step
        last = max(first, step - 1)
        elapsed = time.perf_counter() - self._epoch_began
        if self._training is not None:
            self._training.end_epoch()
            if step > first:
                self.journal.reading(STEP_SECONDS.name, "", last, elapsed / (step - first))
            self.journal.reading(OVERHEAD.name, "", last, self._training.governor.share)
        self._learn_capture()
        if self.clock.epoch & (self.clock.epoch + 1) == 0:  # after the epochs 0, 1, 3, 7, ...: a killed run tells too
            with self.guard.part("capture"):
                self.rundir.write_json("process.json", self._process.so_far())
        span: dict[str, Json] = {"epoch": self.clock.epoch, "first_step": first, "last_step": last}
        self.journal.event(EPOCH, last, {**span, "source": self.clock.source})
        self.judging.epoch(self.step)
        self.clock.advance(step)
        self._epoch_began = time.perf_counter()

    def begin_another_training(self, number: int) -> None:
        """The run trains another model from here on: the next fold, say. What is over is judged for itself."""
        if self.step > self.clock.first_step:
            self.close_epoch()
        self.judging.another(self.step, number)

    def show(self) -> None:
        """Some time has passed: the live line may be drawn again. Called at the end of a step, at most every 50 ms."""
        if "terminal" not in self.guard.off:
            with self.guard.part("terminal"):
                self.terminal.tick(self._standing)

    def _standing(self) -> Standing:
        from .report.console.live import Standing

        training = self._training
        rules = dict.fromkeys(one.rule for one in self.judging.findings if one.severity >= Severity.WARNING)
        return Standing(self.clock.epoch, training.done, self.journal.last(LOSS.name), training.rate, {}, (*rules,))

    def end_epoch_as_told(self) -> None:
        """The user says that an epoch is complete."""
        began = time.perf_counter()
        self.clock.source = "told"
        if self._training is not None:
            self._training.finish()
        self.close_epoch()
        if self._training is not None:
            self._training.governor.spent += time.perf_counter() - began

    def _learn_capture(self, wait: float = 0.0) -> None:
        """Takes over from the sidecar what it captured, once it is there, so that rules can judge it."""
        if self._capture_known or self.place.is_member or self._is_preflight:
            return
        deadline = time.monotonic() + wait
        while True:
            state = self.rundir.state
            if state.get("captured"):
                break
            if time.monotonic() >= deadline:
                return
            time.sleep(0.02)
        self._capture_known = True
        code = self.rundir.read_json("capture/code.json")
        gaps = [*state.get("capture_gaps", []), *self._process.gaps()]
        self.journal.fact(
            "capture", self.step, {"code": {k: code.get(k) for k in ("kind", "commit", "tree", "dirty")}, "gaps": gaps}
        )

    def _record_fault(self, part: str, reason: str) -> None:
        self.journal.event("fault", self.step, {"part": part, "reason": reason})
        self.terminal.warn_once(f"{part} is off: {reason}")


def _weakly(method: Callable[[], None]) -> Callable[[], None]:
    """The same call, which keeps no run alive: a module may never be imported."""
    found = weakref.WeakMethod(method)

    def call() -> None:
        alive = found()
        if alive is not None:
            alive()

    return call


def _mark_all(number: int) -> None:
    """Signal `number` ends the process, and with it every run in it."""
    for session in active.sessions():
        session.journal.mark_signal(number)
        session.terminal.release()


def _whole(step: Any) -> int | None:
    """A step as an integer that fits into a record; None when it is none."""
    try:
        number = int(step)
        return number if number == step and abs(number) < 1 << 62 else None
    except Exception:
        return None


def _shown(value: Any) -> str:
    try:
        return repr(value)[:200]
    except Exception:
        return f"a {type(value).__name__}"


def _number(value: Any) -> float | None:
    """A metric's value as a float; None when it is no single number."""
    if isinstance(value, (str, bytes)) or value is None:
        return None
    try:
        # `item` reads a tensor that requires grad without torch's warning, and an array of one number.
        return float(value.item() if hasattr(value, "item") else value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
    except Exception:
        return None
