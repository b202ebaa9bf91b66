"""Below `tracker run`: a process that turns out to train becomes a run, without a changed line.

`tracker run` leaves a plan in the folder of the launch, whose path is in `TRACKER_LAUNCH`. Once torch is imported this
process waits for the first sign of a training: an optimizer, a loader that is iterated, a backward pass. Then it does
what `with track(run):` does, until it ends. A script that uses the tracker itself is left to its own block, with the
options of the command line on top.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import sys
import threading
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .options import RunOptions
    from .rules.engine import Settings

VARIABLE = "TRACKER_LAUNCH"
PLAN = "plan.json"
RUNS = "runs"
"""Folder with a file for each run of the launch, named by the run's own id."""

_stood_down = False
_begins = threading.Lock()


@functools.cache
def plan() -> dict[str, Any]:
    """What `tracker run` was asked for; empty in a process that it did not start."""
    folder = os.environ.get(VARIABLE)
    if not folder or os.environ.get("TRACKER_SIDECAR"):
        return {}
    try:
        content = json.loads((Path(folder) / PLAN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {**content, "folder": folder} if isinstance(content, dict) else {}


def arm() -> None:
    """torch is loaded: waits for the first sign of a training, and has the places that are observed ready by then.

    They are taken early as a script may bind their names when it starts (`from torch.nn.utils import clip_grad_norm_`).
    """
    if not plan():
        return
    _report_files()
    if _stood_down:
        return
    from . import run
    from .probes import hooks, triggers

    run.watch_exit()
    _print_without_us()
    hooks.install()
    if preflight():
        from .drilling.script import inside

        inside.arm(preflight())
    triggers.arm(_begin)
    os.register_at_fork(after_in_child=_in_child)


def _report_files() -> None:
    """A data-loader worker that was started afresh tells its parent's run which files it has opened.

    It imports torch with the script, before multiprocessing has told it whose child it is.
    """
    if "--multiprocessing-fork" in sys.orig_argv:
        from .capture.opened import report_this_child

        with contextlib.suppress(OSError, KeyError):
            report_this_child(opened_by_children(plan()["folder"], os.getppid()))


def opened_by_children(launch: str, pid: int) -> Path:
    """The folder in which children of process `pid` that were started afresh tell what they have opened."""
    return Path(launch) / "opened" / str(pid)


def preflight() -> dict[str, Any]:
    """What `tracker preflight` asks of this process; empty where the training is to be tracked."""
    found = (plan().get("options") or {}).get("preflight")
    return found if isinstance(found, dict) else {}


def begun(session: Any) -> None:
    """A run has begun in this process: where drills are to be done, they are done with its loop."""
    if preflight():
        from .drilling.script import inside

        inside.begun(session)


def stand_down() -> None:
    """The script uses the tracker itself: its own block is the run."""
    global _stood_down
    _stood_down = True
    triggers: Any = sys.modules.get(f"{__package__}.probes.triggers")
    if triggers is not None:
        triggers.disarm()


def _in_child() -> None:
    """A forked child is a run of its own only if it trains itself."""
    if not _stood_down:
        with contextlib.suppress(Exception):  # nobody could hear it here
            from .probes import triggers

            triggers.arm(_begin)


def _begin(frame: FrameType) -> None:
    """The training begins, called from `frame`: does what entering a tracked block does."""
    from . import run
    from .guard import is_strict

    if not _begins.acquire(blocking=False):
        return  # another thread is at it
    try:
        run.enter(run.Run(), frame)
        if "multiprocessing.util" in sys.modules:
            _end_with_its_worker()
    except Exception as error:
        # Wrong settings beside the script, a full disk: the training goes on.
        if is_strict() and not isinstance(error, OSError):
            raise
        if not is_quiet():
            print(f"tracker: this training is not tracked: {type(error).__name__}: {error}", file=sys.stderr)
    finally:
        _begins.release()


def is_quiet() -> bool:
    """True when nothing may be said on stderr."""
    options = plan().get("options") or {}
    return bool(options.get("quiet")) or os.environ.get("TRACKER_QUIET") == "1"


def _end_with_its_worker() -> None:
    """A process that multiprocessing has started ends without Python's own last calls."""
    from multiprocessing import parent_process, util

    from . import run

    if parent_process() is not None:
        util.Finalize(None, run.end_open_blocks, exitpriority=-100)


def options_of(given: RunOptions) -> RunOptions:
    """The options of a run, with those of `tracker run`: what the command line says stands before the script's own."""
    asked = plan().get("options") or {}
    if not asked:
        return given
    from .options import checked

    own = {name: getattr(given, name) for name in type(given).model_fields}
    own.update({name: value for name, value in asked.items() if name in own and value})
    for name in ("params", "tags"):
        own[name] = {**getattr(given, name), **(asked.get(name) or {})}
    return checked(own)


def settings_of(settings: Settings) -> Settings:
    """The settings, with those that were given on the command line."""
    observe = (plan().get("options") or {}).get("observe")
    return settings.model_copy(update={"observe": observe}) if observe else settings


def facts() -> dict[str, Any]:
    """What the spec of a run says of its launch: its folder, and how its end is known.

    `launched_directly`: `tracker run` is the parent of the process, and learns its exit code. `automatic`: no tracked
    block in the script began the run, so that it ends with the process.
    """
    found = plan()
    if not found:
        return {}
    return {
        "launched": found["folder"],
        "launched_directly": found.get("pid") == os.getppid(),
        "automatic": _begins.locked(),
    }


def note_run(run_id: str) -> None:
    """Tells `tracker run` of a run that has begun in this process."""
    found = plan()
    if found:
        with contextlib.suppress(OSError):
            folder = os.path.join(found["folder"], RUNS)
            os.makedirs(folder, exist_ok=True)
            os.close(os.open(os.path.join(folder, run_id), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def how_it_ends() -> BaseException | None:
    """The exception that ends the interpreter, or this worker of multiprocessing; None when there is none.

    Of `sys.exit(3)` nothing can be seen here: `tracker run` learns it.
    """
    in_flight = sys.exc_info()[1]
    if in_flight is not None:
        return in_flight
    last = getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)
    return last if isinstance(last, BaseException) else None


def _print_without_us() -> None:
    """Has uncaught exceptions printed as without us: our frames around theirs are left out."""
    from .guard import clean_traceback, without_our_frames

    def cleaned(error: BaseException | None, trace: TracebackType | None) -> TracebackType | None:
        with contextlib.suppress(Exception):
            if error is not None:
                clean_traceback(error)
            return without_our_frames(trace)
        return trace

    before, before_in_threads = sys.excepthook, threading.excepthook

    def excepthook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        before(kind, error, cleaned(error, trace))

    def excepthook_in_threads(args: threading.ExceptHookArgs) -> None:
        cleaned(args.exc_value, args.exc_traceback)
        before_in_threads(args)

    sys.excepthook, threading.excepthook = excepthook, excepthook_in_threads
