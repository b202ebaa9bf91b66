"""`Run` and `track`: all that a user has to know."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

from .guard import clean_traceback, is_strict

if TYPE_CHECKING:
    from .options import RunOptions
    from .rules.engine import FindingRecord
    from .session import Session

_count = 0
_watches_exit = False
_count_lock = threading.Lock()


class Run:
    """One training, tracked: what it was given, what happened, what the rules say.

    ::

        run = Run("resnet-8", experiment="digits", params={"lr": 0.1}, class_weights=w)
        with track(run):
            ...

    A run is used once. Its methods may be called at any time, from any thread; before and after the block they only
    remember or tell what is known.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        experiment: str | None = None,
        params: Mapping[str, Any] | None = None,
        class_weights: Any = None,
        tags: Mapping[str, str] | None = None,
        profile: str | None = None,
        settings: Any = None,
        tracking_uri: str | None = None,
        quiet: bool = False,
        data: Any = None,
        **unknown: Any,
    ) -> None:
        """Checks everything at once; raises `ConfigError`. See `RunOptions` for what each argument means."""
        from .options import checked
        from .rundir import new_id

        self.options: RunOptions = checked(
            {
                "name": name,
                "experiment": experiment,
                "params": {} if params is None else params,
                "class_weights": class_weights,
                "tags": {} if tags is None else tags,
                "profile": profile,
                "settings": settings,
                "tracking_uri": tracking_uri,
                "quiet": quiet,
                "data": data,
                **unknown,
            }
        )
        self.id = new_id()
        """The run's own identity, 32 hex digits; every command takes it."""
        self._session: Session | None = None
        self._was_entered = False
        self._is_untracked = False

    def __repr__(self) -> str:
        return f"Run({self.name!r}, id={self.id!r})"

    @property
    def name(self) -> str:
        """The name given, or that of the script."""
        from .capture.cells import unnamed

        return self.options.name or Path(_script() or unnamed()).stem

    def log(self, metrics: Mapping[str, Any] | None = None, /, *, step: int | None = None, **more: Any) -> None:
        """Logs metrics at an optimizer step, by default the current one: `run.log(val_loss=0.3)`.

        A value may be a number or a tensor with one element; NaN and infinities are kept. What is no number is named
        once on stderr and left out. Outside the block it raises `RuntimeError`.
        """
        session = self._session
        if self._is_untracked:
            return
        if session is None or session.ended:
            raise RuntimeError(
                f"run.log() was called {'after' if self._was_entered else 'before'} the tracked block; "
                "call it inside 'with track(run):'."
            )
        with session.guard.part("log"):
            session.log({**(metrics or {}), **more}, step)

    def epoch(self) -> None:
        """Says that an epoch is complete; then loaders and metrics are no longer asked."""
        session = self._session
        if session is not None and not session.ended:
            with session.guard.part("epoch"):
                session.end_epoch_as_told()

    def epochs(self, n: int) -> Iterator[int]:
        """Counts epochs: `for epoch in run.epochs(10)`; stops early when a rule asks for it (`should_stop`)."""
        if self._session is not None:
            self._session.clock.source = "told"
        for epoch in range(n):
            if self.should_stop:
                return
            yield epoch
            self.epoch()

    @property
    def findings(self) -> list[FindingRecord]:
        """What the rules have found so far, oldest first."""
        return self._session.judging.findings if self._session is not None else []

    @property
    def should_stop(self) -> bool:
        """True once a rule that the settings list under `stop` has fired."""
        return self._session is not None and self._session.judging.should_stop

    @property
    def verdict(self) -> Mapping[str, Any] | None:
        """The verdict in its machine form, once the block has ended."""
        return self._session.verdict if self._session is not None else None

    @property
    def mlflow_run_id(self) -> str | None:
        """Id of the run in MLflow: waits for the store up to five seconds, then None."""
        if self._session is None:
            return None
        foreign = self._session.foreign
        if foreign is not None and foreign.adopted:
            return str(foreign.adopted)
        deadline = time.monotonic() + 5.0
        while (found := self._session.store_state.get("mlflow_run_id")) is None and time.monotonic() < deadline:
            time.sleep(0.02)
        return None if found is None else str(found)


class track:
    """Tracks the training in its block.

    ::

        with track(run): ...
        with track("resnet-8", lr=0.1) as run: ...
        with track(): ...

    Takes a `Run`, a name, a dictionary of parameters, or nothing; further keyword arguments are parameters. The block's
    exceptions pass through. A block inside another is a child run; blocks in several threads are runs of their own.
    Raises `ConfigError` before the block when an argument or a setting is wrong, and nothing else.
    """

    def __init__(self, run: Run | str | Mapping[str, Any] | None = None, /, **params: Any) -> None:
        from .errors import ConfigError

        if isinstance(run, Run):
            if params:
                raise ConfigError(
                    f"track(run, {', '.join(params)}=...) gives parameters to a Run that has its own. "
                    "Put them into Run(params={...})."
                )
            self.run = run
        elif run is None or isinstance(run, str):
            self.run = Run(run, params=params)
        elif isinstance(run, Mapping):
            self.run = Run(params={**run, **params})
        else:
            raise ConfigError(
                f"track() got {run!r:.80}; expected a Run, a name, a dictionary of parameters, or nothing."
            )

    def __enter__(self) -> Run:
        from .errors import ConfigError

        try:
            enter(self.run, sys._getframe(1))
        except ConfigError:
            raise
        except Exception as error:
            # Read-only or full disks: the training goes on untracked, and says so.
            if is_strict() and not isinstance(error, OSError):
                raise
            self.run._is_untracked = True
            print(f"tracker: this run is not tracked: {type(error).__name__}: {error}", file=sys.stderr)
        return self.run

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        session = self.run._session
        if session is None or session.ended or session.spec["pid"] != os.getpid():
            return  # not tracked, or the block is left by a forked child: the run is its parent's
        try:
            _end(session, *_status(error))
        except KeyboardInterrupt:
            # A second Ctrl-C while we wait for the store: the sidecar goes on by itself.
            if error is None:
                raise
        if error is not None:
            clean_traceback(error)


def enter(run: Run, frame: FrameType) -> None:
    """Begins to track `run`, as seen from `frame`; raises what goes wrong, `ConfigError` for a user's mistake."""
    from .errors import ConfigError

    if run._was_entered:
        raise ConfigError(f"{run!r} was tracked already; a run is used once. Make a new Run.")
    run._was_entered = True
    run._session = _begin(run, frame)


def _end(session: Session, status: str, reason: str) -> None:
    """Closes a run, waits for its store within bounds, and says how it went."""
    session.terminal.release()
    try:
        session.end(status, reason)
        if session.spec.get("launched"):
            return  # `tracker run` waits, and says it, when the command has ended
        state = session.wait_for_store()
        if state.get("finished"):  # what is in the store has been compared with earlier runs, too
            session.verdict = session.rundir.read_json("findings.json") or session.verdict
        session.terminal.closing(session.spec["id"], status, session.verdict, state)
    except Exception as fault:
        if is_strict():
            raise
        print(f"tracker: the end of the run was not recorded: {type(fault).__name__}: {fault}", file=sys.stderr)


def end_open_blocks() -> None:
    """Closes the runs that are open when the interpreter ends.

    Under `tracker run` they are open until here; else it is a block in a generator nobody finished, or in a daemon
    thread. Later, when such a block is left while Python takes itself apart, nothing can be written any more.
    """
    from . import active, launched

    for session in reversed(active.sessions()):
        if session.spec["pid"] == os.getpid():
            how = "FINISHED", "the interpreter ended inside the block"
            if session.spec.get("launched"):
                how = _status(launched.how_it_ends())
            with contextlib.suppress(KeyboardInterrupt):
                _end(session, *how)


def watch_exit() -> None:
    """Has the runs that are open when the interpreter ends closed then; further calls change nothing."""
    global _watches_exit
    if not _watches_exit:
        _watches_exit = True
        atexit.register(end_open_blocks)


def _status(error: BaseException | None) -> tuple[str, str]:
    """MLflow's status for how a block ended. `sys.exit(0)` is a success, Ctrl-C a kill."""
    if error is None or isinstance(error, GeneratorExit):
        return "FINISHED", ""
    if isinstance(error, SystemExit):
        return ("FINISHED", "") if error.code in (None, 0) else ("FAILED", f"exit code {error.code}")
    if isinstance(error, KeyboardInterrupt):
        return "KILLED", "KeyboardInterrupt"
    try:
        return "FAILED", f"{type(error).__name__}: {error}"[:500]
    except Exception:  # the exception's own text raises
        return "FAILED", type(error).__name__


def _script() -> str | None:
    """The script that is running; None in a notebook, at a prompt, and where it comes by standard input."""
    path = getattr(sys.modules.get("__main__"), "__file__", None)
    return os.path.abspath(path) if isinstance(path, str) and path != "<stdin>" else None


def _begin(run: Run, frame: FrameType) -> Session:
    global _count
    from . import active, distributed, launched, reproducing
    from .capture import inline
    from .capture.opened import opened
    from .integrations import mlflow_calls
    from .report.console.terminal import Terminal
    from .rules.engine import Settings
    from .session import Session

    options = run.options = launched.options_of(run.options)
    script = _script()
    source = options.settings if options.settings is not None else Path(script).parent if script else Path.cwd()
    known = set(opened.paths())
    settings = Settings.load(source)
    settings = launched.settings_of(settings)
    terminal = Terminal(run.name[:60], quiet=options.quiet, launch=launched.facts().get("launched"))
    accepted = inline.suppressions(inline.own_files(script), settings.registry, terminal.warn_once)
    if accepted:
        settings = settings.model_copy(update={"suppress": (*settings.suppress, *accepted)})
    # What the settings were read from is no data of the user's.
    opened.forget(path for path in opened.paths() if path not in known and path.endswith((".toml", ".py")))
    if options.profile:
        settings = settings.model_copy(update={"profile": _known_profile(options.profile)})
    with _count_lock:
        index, _count = _count, _count + 1
    outer = active.current() if active.in_block() else None
    again = reproducing.plan()
    place = distributed.place(index)
    if again.get("index") == index:
        reproducing.restore_at_entry(place.rank if place.world_size > 1 else None)
    spec = {
        "schema": 1,
        "id": run.id,
        "name": run.name,
        "experiment": options.experiment or settings.experiment,
        "tracking_uri": options.tracking_uri or _tracking_uri() or settings.tracking_uri,
        "cwd": os.getcwd(),
        "script": script,
        "argv": list(sys.argv),
        "orig_argv": distributed.command_line(),
        "sys_path": list(sys.path),
        "executable": sys.executable,
        "pid": os.getpid(),
        "started": time.time(),
        "params": _plain_params(options.params),
        "class_weights": _plain_weights(options.class_weights),
        "data": _plain_data(options.data),
        "tags": dict(options.tags),
        "parent": outer.spec["id"] if outer is not None else None,
        "adopt": None if place.is_member else mlflow_calls.foreign_run(),
        "settings": settings.model_dump(mode="json"),
        "settings_folder": str(settings.path.parent) if settings.path else None,
        "reproduce_of": again.get("of") if again.get("index") == index else None,
        "wait_seconds": settings.wait_seconds,
        "index": index,
        "place": place.as_json(),
        "launch": distributed.launch(),
        "node": distributed.node(),
        **launched.facts(),
    }
    watch_exit()
    session = Session(spec, settings, frame, terminal)
    session.begin()
    launched.begun(session)
    if not place.is_member:
        launched.note_run(run.id)
    return session


def _known_profile(profile: str) -> str:
    from typing import get_args

    from .errors import ConfigError
    from .rules.engine.settings import Profile

    known = get_args(Profile)
    if profile not in known:
        raise ConfigError(f"Run argument 'profile' is {profile!r}; expected one of {', '.join(known)}.")
    return profile


def _plain_params(params: Mapping[str, Any]) -> dict[str, Any]:
    from .capture.hyperparameters import plain

    return {str(key): plain(value, str(key)) for key, value in params.items()}


def _plain_weights(weights: Any) -> Any:
    if weights is None:
        return None
    from .capture.class_weights import from_given

    try:
        return dict(from_given(weights).as_fact())
    except (TypeError, ValueError) as error:
        from .errors import ConfigError

        raise ConfigError(f"Run argument 'class_weights' cannot be used: {error}") from None


def _plain_data(declared: Mapping[str, tuple[str, ...]]) -> dict[str, list[str]]:
    if not declared:
        return {}
    from .capture.declared import absolute

    return absolute(declared, os.getcwd())


def _tracking_uri() -> str | None:
    """Where MLflow logs to, as the user's own code or environment has set it."""
    mlflow = sys.modules.get("mlflow")
    if mlflow is not None and hasattr(mlflow, "is_tracking_uri_set") and mlflow.is_tracking_uri_set():
        return str(mlflow.get_tracking_uri())
    return os.environ.get("MLFLOW_TRACKING_URI") or None


__all__ = ["Run", "track"]
