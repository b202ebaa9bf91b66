"""`tracker report`: the page of a run, or of two side by side, made from what is stored."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import webbrowser
from pathlib import Path

from ..errors import ConfigError
from ..report.gathering.loading import stored_source
from ..report.page import pair_page, report_page
from ..rundir import RunDir
from ..stores import Store, open_store
from .output import ExitCode, print_json, progress, say
from .progress import leaving, waiting

REPORT = "report.html"
"""Name of the page among the artifacts of a run."""


def report(
    a: str, b: str | None, out: Path | None, write: bool, show: bool, tracking_uri: str | None, as_json: bool
) -> int:
    """Writes the page of run `a`, or of `a` and `b`, to a file, and says where that is.

    With `write`, the page of one run is also stored with it. Raises `ConfigError` for a place that cannot be written,
    and `StoreError` for runs that cannot be read.
    """
    if b is not None and write:
        raise ConfigError("--write stores the page of one run with that run, and two are given: leave it out.")
    if out is not None:
        _check(out.absolute())
    with leaving("nothing was written."):
        with waiting("reading the runs" if b else "reading the run"):
            store = _store_of(a, tracking_uri)
            first = store.find(a)
        ids = [first.own_id or first.run_id]
        if b is not None:
            second = store.find(b)
            ids.append(second.own_id or second.run_id)
        path = (out or Path(f"report-{'-'.join(one[:8] for one in ids)}.html")).absolute()
        _check(path)
        with waiting("drawing"):
            page = _pair(a, b, store, tracking_uri) if b is not None else report_page(stored_source(store, a))
        _write(path, page)
        if write:
            with waiting("storing the page with the run"):
                _keep(store, first.run_id, path)
    if as_json:
        print_json({"schema": 1, "runs": ids, "path": str(path), "bytes": path.stat().st_size, "stored": write})
    else:
        say(str(path))
    if show and not webbrowser.open(path.as_uri()):
        progress(f"No browser could be opened; open {path.as_uri()} in one.")
    return ExitCode.FINE


def _pair(a: str, b: str, store: Store, tracking_uri: str | None) -> str:
    from ..compare.recorded import RecordedRun
    from ..compare.runs import compare_runs
    from ..report.beside.pair import Pair

    recorded = [contextlib.closing(RecordedRun.find(one, tracking_uri)) for one in (a, b)]
    with recorded[0] as one, recorded[1] as other:
        return pair_page(Pair(stored_source(store, a), stored_source(store, b), compare_runs(one, other)))


def _store_of(run_id: str, tracking_uri: str | None) -> Store:
    """The store that was named, else the one that a run of this machine went to, else MLflow's default."""
    rundir = RunDir.find(run_id) if tracking_uri is None else None
    if rundir is not None and rundir.state.get("mlflow_run_id"):
        tracking_uri = str(rundir.state.get("tracking_uri") or "") or None
    return open_store(tracking_uri)


def _check(path: Path) -> None:
    """Raises `ConfigError` for a place where no file can be written: before minutes are spent on a page."""
    if path.is_dir():
        raise ConfigError(f"--out is {path}, a folder; expected the name of a file, such as {path / REPORT}.")
    if not path.parent.is_dir():
        raise ConfigError(f"--out is {path}, and there is no folder {path.parent}. Make it, or name another file.")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise ConfigError(f"--out is {path}, which cannot be written. Name a file in another folder.")


def _write(path: Path, page: str) -> None:
    """Writes the page, whole or not at all."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(page, encoding="utf-8")
        os.replace(beside, path)
    except OSError as error:
        raise ConfigError(f"{path} could not be written: {error.strerror}. Name another file with --out.") from error
    finally:
        beside.unlink(missing_ok=True)


def _keep(store: Store, run_id: str, page: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="soundrun-") as folder:
        store.add_artifact(run_id, Path(shutil.copyfile(page, Path(folder) / REPORT)))
