"""The folder of one run on the local disk: identity, journal, captured files, and how far the upload got.

::

    <home>/runs/<id>/
      spec.json         who the run is; written once by the training process before anything else
      journal.bin       every record (see journal.py); one more per further process: journal-<rank>.bin
      alive.lock        locked by the training process as long as it lives; the kernel lets go when it dies
      sidecar.lock      locked by the one process that is uploading
      state.json        what the sidecar has done so far; replaced atomically
      process.json      what only the training process could capture
      capture/          artifacts as they are uploaded
      series/           columnar parts of the journal as they are uploaded
      sidecar.log       what the sidecar had to say

    <home>/groups/<key>/    where the ranks of one training leave word, see distributed.py

`<home>` is `$TRACKER_HOME`, else `$XDG_CACHE_HOME/soundrun`, else `~/.cache/soundrun`: outside the user's repository,
and on a local disk. Where that cannot be written, the temporary folder takes its place.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .errors import StoreError

SPEC, STATE, JOURNAL, ALIVE, SIDECAR_LOCK, PROCESS = (
    "spec.json",
    "state.json",
    "journal.bin",
    "alive.lock",
    "sidecar.lock",
    "process.json",
)
PREFLIGHT = "preflight"
"""The `kind` in the spec of a run that trained nothing: drills before a training."""
SHORTEST_ID = 6
"""Hex digits of an id that are enough to name a run, where no other run begins with them."""
SHOWN_RUNS = 5


def home() -> Path:
    """The folder that holds all runs of this user."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    path = os.path.expanduser(os.environ.get("TRACKER_HOME") or os.path.join(cache, "soundrun"))
    # A user without a home, as in many containers, keeps the `~`: a folder of that name would be made in the work tree.
    return _temporary() if path.startswith("~") else Path(path).absolute()


def _temporary() -> Path:
    """The place of runs when there is no home, or none that can be written."""
    import tempfile  # here and below: slow to import, and `import tracker` comes this far

    return Path(tempfile.gettempdir()) / f"soundrun-{os.getuid()}"


def bases() -> list[Path]:
    """Where runs may be: home, and the place that is taken when home cannot be written."""
    return list(dict.fromkeys((home(), _temporary())))


def ambiguous(run_id: str, found: Sequence[str]) -> StoreError:
    """The error for the beginning of an id that several runs share."""
    from .errors import StoreError  # here: with the rules' own errors it costs an import that trainings do not need

    more = f" and {len(found) - SHOWN_RUNS} more" if len(found) > SHOWN_RUNS else ""
    shown = ", ".join(found[:SHOWN_RUNS])
    return StoreError(f"{len(found)} runs begin with {run_id!r}: {shown}{more}. Give more digits of the one you mean.")


def new_id() -> str:
    """A run's own identity, 32 hex digits from the operating system: no generator of the user's is drawn."""
    return os.urandom(16).hex()


def write_json(path: Path, content: Any) -> None:
    """Writes a JSON file atomically; raises `OSError` when it cannot."""
    import tempfile

    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(content, file, indent=1, default=str)
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


def read_json(path: Path) -> dict[str, Any]:
    """Reads a JSON file with an object in it; empty when it is missing or damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return content if isinstance(content, dict) else {}


class RunDir:
    """One run's folder; every process that handles the run goes through it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, spec: dict[str, Any], below: str = "") -> RunDir:
        """Makes the folder of the run `spec["id"]`; falls back to the temporary folder where home is not writable.

        `below` is the path of a folder that is no run of its own, as seen from home. Raises `OSError` when neither can
        be written.
        """
        for base in bases():
            path = base / (below or f"runs/{spec['id']}")
            try:
                path.mkdir(parents=True, mode=0o700)
            except OSError as error:
                problem = error
                continue
            try:
                (path / "capture").mkdir()
                (path / "series").mkdir()
                write_json(path / SPEC, spec)
                return cls(path)
            except OSError as error:
                problem = error
                import shutil

                shutil.rmtree(path, ignore_errors=True)  # half a folder would pass for a run that was lost
        raise problem

    @classmethod
    def find(cls, run_id: str) -> RunDir | None:
        """The folder of a run, by its own id, that of its MLflow run, or the beginning of either.

        None when it is not on this machine. Raises `StoreError` for a beginning that several runs share.
        """
        if not run_id.isalnum():
            return None
        for base in bases():
            if (base / "runs" / run_id / SPEC).is_file():
                return cls(base / "runs" / run_id)
        if len(run_id) < SHORTEST_ID:
            return None
        found: dict[str, RunDir] = {}
        for run in cls.all():
            upload = str(run.state.get("mlflow_run_id") or "")
            if upload == run_id:
                return run
            if run.path.name.startswith(run_id) or upload.startswith(run_id):
                found[run.path.name] = run
        if len(found) > 1:
            raise ambiguous(run_id, [f"{name} ({run.spec.get('name')})" for name, run in found.items()])
        return next(iter(found.values()), None)

    @classmethod
    def all(cls) -> list[RunDir]:
        """Every run on this machine, oldest first."""
        found: list[tuple[float, Path]] = []
        for base in bases():
            for path in (base / "runs").glob(f"*/{SPEC}"):
                with contextlib.suppress(OSError):  # removed by another process meanwhile
                    found.append((path.stat().st_mtime, path.parent))
        return [cls(path) for _, path in sorted(found)]

    @property
    def spec(self) -> dict[str, Any]:
        """What the training process said of the run before it began."""
        return read_json(self.path / SPEC)

    @property
    def state(self) -> dict[str, Any]:
        """What has been uploaded; empty before the sidecar's first step."""
        return read_json(self.path / STATE)

    def update_state(self, **changes: Any) -> dict[str, Any]:
        """Replaces the given keys of the state, atomically. Only the holder of `sidecar.lock` writes it."""
        state = {**self.state, **changes}
        write_json(self.path / STATE, state)
        return state

    def write_json(self, name: str, content: Any) -> Path:
        """Writes a JSON file of the run atomically."""
        path = self.path / name
        write_json(path, content)
        return path

    def read_json(self, name: str) -> dict[str, Any]:
        """Reads a JSON file of the run; empty when it is missing or damaged."""
        return read_json(self.path / name)

    @property
    def journal(self) -> Path:
        """Path of the journal of the main process."""
        return self.path / JOURNAL

    @property
    def capture(self) -> Path:
        """Folder of captured files."""
        return self.path / "capture"

    @property
    def series(self) -> Path:
        """Folder of the columnar parts."""
        return self.path / "series"

    def hold_alive(self) -> IO[bytes]:
        """Marks the run as alive until the returned file is closed or this process dies.

        A record lock: forked children do not inherit it, and the kernel releases it whatever kills the process.
        """
        file = open(self.path / ALIVE, "wb")  # noqa: SIM115 - stays open as long as the run lives
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return file

    def is_alive(self) -> bool:
        """True while the training process lives. Not to be asked by the training process itself."""
        try:
            with open(self.path / ALIVE, "r+b") as file:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return False
        except FileNotFoundError:
            return False
        except OSError:
            return True

    @contextlib.contextmanager
    def uploading(self) -> Iterator[bool]:
        """Yields True to the one process that may upload, False when another already does."""
        with open(self.path / SIDECAR_LOCK, "ab") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                yield False
                return
            yield True
