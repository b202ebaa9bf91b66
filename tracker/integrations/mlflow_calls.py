"""MLflow calls of the user's own: they land in the run, and reach the rules.

Nothing here imports mlflow; it works on the module that user code has imported. While a run is active

- metrics given to `MlflowClient.log_metric` and `log_batch` are read as they pass, whatever API they came through
  (`mlflow.log_metric(s)`, autologging, a logger of a framework: all end in these two);
- `mlflow.active_run()` and implicit runs find our run in MLflow, attached at the first need;
- `mlflow.start_run()` starts the user's own run, which then is the run: ours is given up for it.
"""

from __future__ import annotations

import random
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

from .. import active
from ..patching import Patches

if TYPE_CHECKING:
    from ..rules.engine.records import Json
    from ..session import Session

STORE_WAIT = 5.0
"""Seconds user code that asks for the active run waits, at most, for the store."""

AUTOLOGGING = "mlflow.autologging"
"""Tag of the runs that MLflow's autologging starts."""

_busy = threading.local()


class Watcher:
    """What one run knows of the user's MLflow calls, until it is closed."""

    def __init__(self, session: Session) -> None:
        """Begins to watch; mlflow must be loaded."""
        self._session = session
        self._mlflow = sys.modules["mlflow"]
        self._fluent = import_module("mlflow.tracking.fluent")
        self._attached: Any = None
        self._gave_up = False
        self.adopted: str | None = session.spec.get("adopt")
        """The run of the user's own that has taken the place of ours."""
        self.run_ids: set[str] = {self.adopted} if self.adopted else set()
        """MLflow runs that are this run."""
        _patches.use()

    def close(self) -> None:
        """Takes our run from MLflow's stack without closing it: the sidecar does that."""
        _patches.release()
        self._detach()

    def observe(self, run_id: Any, metrics: Mapping[str, Any], step: Any) -> None:
        """Metrics are being logged to an MLflow run; those of this run are taken, before the call is passed on."""
        if "mlflow-metrics" in self._session.guard.off:
            return
        try:
            if run_id in self.run_ids or run_id == self._session.rundir.state.get("mlflow_run_id"):
                self.run_ids.add(run_id)
                plain = {key: value for key, value in metrics.items() if not str(key).startswith("system/")}
                if plain:
                    self._session.log(plain, int(step) if step is not None else None, in_mlflow=True)
        except Exception as error:
            self._session.guard.fault("mlflow-metrics", error)

    def start_run(self, original: Any, args: Any, kwargs: Any) -> Any:
        """The user starts a run: unless it is nested in ours, it takes the place of ours.

        Autologging starts one when it finds none (it may have looked past our `active_run`): it is given ours.
        """
        if AUTOLOGGING in (kwargs.get("tags") or {}):
            self.attach()
            if self._is_attached():
                return self._attached
        if kwargs.get("nested") or kwargs.get("parent_run_id"):
            if kwargs.get("nested"):
                self.attach()
            return original(*args, **kwargs)
        for watcher in reversed(_watchers()):
            watcher._detach()
        if self._stack():
            return original(*args, **kwargs)  # a run of the user's is active: MLflow says what it says
        run = original(*args, **kwargs)
        with self._session.guard.part("mlflow-adopt"):
            self._adopt(str(run.info.run_id))
        return run

    def attach(self) -> None:
        """Makes our run MLflow's active one, once the store has answered; without it, goes on unattached."""
        stack = self._stack()
        is_free = not stack or any(stack[-1] is watcher._attached for watcher in _watchers())
        if self._is_attached() or not is_free or "mlflow-attach" in self._session.guard.off:
            return
        # Once waited for in vain, the store is only looked at: it may still come.
        deadline = time.monotonic() + (0.0 if self._gave_up else STORE_WAIT)
        state = self._session.rundir.state
        while self.adopted is None and state.get("mlflow_run_id") is None and time.monotonic() < deadline:
            time.sleep(0.02)
            state = self._session.rundir.state
        run_id = self.adopted or state.get("mlflow_run_id")
        if run_id is None:
            self._gave_up = True
            self._session.terminal.warn_once(
                f"the run was not in MLflow after {STORE_WAIT:g} s ({state.get('store', 'pending')}); calls of mlflow "
                "that ask for the active run find none. What run.log() is given is kept all the same."
            )
            return
        try:
            if state.get("tracking_uri") and not self._mlflow.is_tracking_uri_set():
                self._mlflow.set_tracking_uri(state["tracking_uri"])
            with _inside(), _randomness_kept():
                # Above the run of a block around this one, if there is one: nested or not, the run is this.
                self._attached = self._mlflow.start_run(run_id=run_id, nested=bool(stack))
            self.run_ids.add(run_id)
        except Exception as error:
            self._session.guard.fault("mlflow-attach", error)

    def _stack(self) -> list[Any]:
        return self._fluent._active_run_stack.get()  # type: ignore[no-any-return]

    def _is_attached(self) -> bool:
        """Whether our run is on MLflow's stack; the user may have ended it there."""
        return any(run is self._attached for run in self._stack())

    def _detach(self) -> None:
        stack = self._stack()
        if self._attached is not None and stack and stack[-1] is self._attached:
            if self._attached.info.run_id == self.adopted:
                # The user's own run, which they had ended and we opened again: nobody else closes it.
                with _inside():
                    self._mlflow.end_run()
            else:
                stack.pop()
        self._attached = None

    def _adopt(self, run_id: str) -> None:
        if run_id not in self.run_ids:
            self.run_ids.add(run_id)
            self.adopted = run_id
            where: dict[str, Json] = {"mlflow_run_id": run_id, "tracking_uri": str(self._mlflow.get_tracking_uri())}
            self._session.journal.event("adopt", self._session.step, where)


def foreign_run() -> str | None:
    """Id of the MLflow run that user code has active and that is no run of ours yet; None without one."""
    stacks = getattr(sys.modules.get("mlflow.tracking.fluent"), "_active_run_stack", None)
    stack = stacks.get() if stacks is not None else []
    run_id = str(stack[-1].info.run_id) if stack else None
    return None if any(run_id in watcher.run_ids for watcher in _watchers()) else run_id


def _watchers() -> list[Watcher]:
    return [session.foreign for session in active.sessions() if session.foreign is not None]


def _current() -> Watcher | None:
    """The watcher of the run that a call in this thread belongs to; None for calls that MLflow makes of itself."""
    session = None if getattr(_busy, "inside", False) else active.current()
    return session.foreign if session is not None else None


def _wrap_all() -> None:
    fluent = import_module("mlflow.tracking.fluent")
    client = import_module("mlflow.tracking.client").MlflowClient
    _patches.replace(client, "log_metric", _log_metric)
    _patches.replace(client, "log_batch", _log_batch)
    for module in (sys.modules["mlflow"], fluent):
        _patches.replace(module, "start_run", _start_run)
        _patches.replace(module, "active_run", _active_run)
    _patches.replace(fluent, "_get_or_start_run", _active_run)


_patches = Patches(_wrap_all)


def _log_metric(original: Any) -> Any:
    def observed(client: Any, run_id: Any, key: Any, value: Any, *args: Any, **kwargs: Any) -> Any:
        if not getattr(_busy, "inside", False):
            step = kwargs.get("step", args[1] if len(args) > 1 else None)
            for watcher in _watchers():
                watcher.observe(run_id, {key: value}, step)
        with _inside():
            return original(client, run_id, key, value, *args, **kwargs)

    return observed


def _log_batch(original: Any) -> Any:
    def observed(client: Any, run_id: Any, *args: Any, **kwargs: Any) -> Any:
        if not getattr(_busy, "inside", False):
            for metric in kwargs.get("metrics", args[0] if args else ()) or ():
                for watcher in _watchers():
                    watcher.observe(run_id, {metric.key: metric.value}, metric.step)
        with _inside():
            return original(client, run_id, *args, **kwargs)

    return observed


def _active_run(original: Any) -> Any:
    """For `active_run` and `_get_or_start_run`: both find our run where there is no other."""

    def observed(*args: Any, **kwargs: Any) -> Any:
        watcher = _current()
        if watcher is not None:
            watcher.attach()
        return original(*args, **kwargs)

    return observed


def _start_run(original: Any) -> Any:
    def observed(*args: Any, **kwargs: Any) -> Any:
        watcher = _current()
        return original(*args, **kwargs) if watcher is None else watcher.start_run(original, args, kwargs)

    return observed


@contextmanager
def _inside() -> Iterator[None]:
    """Marks calls that MLflow makes of its own methods, so that no number is seen twice."""
    before = getattr(_busy, "inside", False)
    _busy.inside = True
    try:
        yield
    finally:
        _busy.inside = before


@contextmanager
def _randomness_kept() -> Iterator[None]:
    """MLflow draws from Python's global generator (run names, retries): what we make it do leaves no trace there."""
    state = random.getstate()
    try:
        yield
    finally:
        random.setstate(state)
