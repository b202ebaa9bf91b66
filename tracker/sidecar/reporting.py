"""The report of a run that is being uploaded: gathered as it is read, drawn now and then, and when the run has ended.

A page costs about as much as a thousand uploads. While the run goes on it is renewed only behind an epoch, and only as
far as that stays within a small share of the time; what is loaded for drawing is loaded while the run goes on as well,
as somebody may be waiting for its end. Whatever fails here is said, and the run is uploaded without its page.
"""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..report.gathering.gathered import Gathered
from ..rundir import RunDir
from .ending import last_tags
from .faults import Faults
from .pace import SHARE

if TYPE_CHECKING:
    from ..readings import Readings
    from ..report.gathering.sources import Source
    from ..rules.engine.records import Record
    from ..stores.mlflow_writer import RunWriter

NAME = "report.html"
OFF = "TRACKER_NO_REPORT"
"""Environment variable that, set to 1, leaves pages out."""
PART = "report"
"""What a fault here is called in the state of a run."""
FIRST_AFTER = 5.0
"""Seconds from the first look at a run for which nothing is drawn: most runs that are tried out are over by then."""
FREE_SECONDS = 2.0
"""Seconds of a core that pages of a run that goes on may take beyond their share."""


class Reporting:
    """Makes the page of one run. What is read of the run is told in the order of the journal."""

    def __init__(self, rundir: RunDir, faults: Faults) -> None:
        self._rundir = rundir
        self._faults = faults
        self._gathered: Gathered | None = None
        self._is_on = _is_wanted(rundir.spec)
        self._epochs_drawn = 0
        self._began = time.monotonic()
        self._spent = self._dearest = 0.0
        self._is_loaded = False

    # -- reading ---------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """The run is read from its first record, perhaps once more."""
        self._gathered = Gathered() if self._is_on else None

    def take(self, moment: float, record: Record) -> None:
        """Takes one record."""
        if self._gathered is not None:
            try:
                self._gathered.take(moment, record)
            except Exception as error:  # a record in a form that nobody has thought of
                self._give_up(error)

    def take_readings(self, readings: Readings) -> None:
        """Takes readings in bulk."""
        if self._gathered is not None:
            try:
                self._gathered.take_readings(readings)
            except Exception as error:
                self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        self._faults.note(PART, error)
        self._gathered, self._is_on = None, False

    # -- while the run goes on -------------------------------------------------------------------------------------

    def renew(self, writer: RunWriter) -> None:
        """Draws and stores the page of a run that goes on, if it is time for that."""
        if self._gathered is None:
            return
        now = time.monotonic()
        if not self._is_loaded:
            self._load()
        elif self._is_due(self._gathered.epochs.seen, now - self._began):
            used = time.process_time()
            self._epochs_drawn = self._gathered.epochs.seen
            self._make(writer, "RUNNING", "", None)
            used = time.process_time() - used
            self._spent += used
            self._dearest = max(used, self._dearest)

    def _load(self) -> None:
        """Loads what draws, by drawing nothing."""
        self._is_loaded = True
        try:
            from ..report.drawing.figures import as_svg, drawing, new_figure
            from ..report.gathering.sources import Source
            from ..report.page import report_page

            report_page(Source(run_id=""))
            with drawing():
                as_svg(new_figure()[0], "", "")
        except Exception as error:
            self._give_up(error)

    def _is_due(self, epochs: int, went_on: float) -> bool:
        if epochs <= self._epochs_drawn or went_on < FIRST_AFTER:
            return False
        return self._spent + self._dearest <= FREE_SECONDS + SHARE * went_on

    # -- the end ---------------------------------------------------------------------------------------------------

    def finish(self, writer: RunWriter, status: str, how: str, ended: float) -> None:
        """Draws and stores the page of a run that has ended, whose findings and grade are in its folder."""
        if self._is_on:
            self._make(writer, status, how, ended)

    def _make(self, writer: RunWriter, status: str, how: str, ended: float | None) -> None:
        from ..stores.mlflow_writer import StoreUnreachable

        try:
            from ..report.page import report_page

            path = self._rundir.path / NAME
            source = self._source(writer, status, how, ended)
            # A page is made of very many small objects. While they are made, all else that the process holds would be
            # looked through for garbage again and again: a fifth of the time.
            gc.freeze()
            try:
                page = report_page(source)
            finally:
                gc.unfreeze()
            _write(path, page)
            self._rundir.update_state(report=str(path))
            writer.artifact(path, "")
        except StoreUnreachable as error:
            if ended is not None:  # else there will be another page
                self._faults.note(PART, error)
        except Exception as error:
            self._faults.note(PART, error)

    def _source(self, writer: RunWriter, status: str, how: str, ended: float | None) -> Source:
        from ..report.gathering.sources import Source
        from ..report.recorded.files import captured_in

        spec, gathered = self._rundir.spec, self._gathered or Gathered()
        params, tags = writer.stored()
        verdict, proof = gathered.judged.verdict(), {}
        if ended is not None:
            verdict, proof = (self._rundir.read_json(f"{name}.json") for name in ("findings", "reproducibility"))
            tags |= last_tags(verdict, proof, how)
        return Source(
            run_id=str(spec.get("id") or self._rundir.path.name),
            name=tags.get("mlflow.runName") or str(spec.get("name") or ""),
            experiment=str(spec.get("experiment") or ""),
            mlflow_id=writer.run_id,
            status=status,
            how=how,
            started=float(spec.get("started") or 0) or None,
            ended=ended,
            verdict=verdict,
            proof=proof,
            params=params,
            tags=tags,
            captured=captured_in(self._rundir.capture),
            gathered=gathered,
        )


def _is_wanted(spec: Mapping[str, Any]) -> bool:
    table = (spec.get("settings") or {}).get("report") or {}
    return os.environ.get(OFF) != "1" and table.get("write") is not False


def _write(path: Path, text: str) -> None:
    """Writes a file whole or not at all: a browser may be reading the one before."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        partial.write_text(text, "utf-8", "backslashreplace")
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
