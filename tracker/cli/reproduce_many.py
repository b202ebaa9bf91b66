"""`tracker reproduce --experiment`: many runs, done again one after the other, with a table at the end.

What came of each run is written down at once, one JSON line each, in the folder that the restored runs are below. The
same command goes on from there.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stderr
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..compare.recorded import RecordedRun
from ..errors import ReproduceError, TrackerError
from ..stores import RunInfo, open_store
from .output import ExitCode, print_json, print_table, progress
from .progress import counted, leaving
from .reproduce import Options, ask, conclude, execute, outcome_code

RESULTS = "results.jsonl"
_SHOWN = 20


def reproduce_many(experiment: str, where: str, options: Options, tracking_uri: str | None) -> int:
    """Does every run of an experiment that meets the search expression `where` again; skips those done before.

    Returns 0 when all came out again, 1 when one did not, 2 when one could not be run. Raises `StoreError` for an
    experiment or an expression that the store does not know.
    """
    store = open_store(tracking_uri)
    runs = [run for run in store.runs(experiment, where=where) if run.is_ours and not _is_rerun(store.tags(run.run_id))]
    if not runs:
        what = f" that meets {where!r}" if where else ""
        raise ReproduceError(f"Experiment {experiment!r} has no run of the tracker's own{what}. Nothing was executed.")
    folder = (options.into or Path(f"reproduced-{_as_name(experiment)}")).absolute()
    known = _results(folder / RESULTS)
    todo = [run for run in reversed(runs) if run.run_id not in known]
    _show(runs, todo, folder)
    if todo:
        with leaving("nothing was executed."):
            ask(options.yes)
        folder.mkdir(parents=True, exist_ok=True)
    done = [run.run_id for run in runs if run.run_id in known]

    def left() -> str:
        _tell([known[run_id] for run_id in done], options.as_json)
        return f"the same command goes on with the other runs; results so far are in {folder / RESULTS}."

    with leaving(left), counted(len(todo)) as begin:
        for run in todo:
            begin(run.name)
            known[run.run_id] = _one(run, folder, options, tracking_uri)
            done.append(run.run_id)
    rows = [known[run.run_id] for run in runs]
    _tell(rows, options.as_json)
    return _code(rows)


def _is_rerun(tags: Mapping[str, str]) -> bool:
    return bool(tags.get("repro.of"))


def _as_name(experiment: str) -> str:
    return re.sub(r"[^\w.-]+", "-", experiment).strip("-.") or "runs"


def _results(path: Path) -> dict[str, dict[str, Any]]:
    """What is known from an earlier attempt, by run; a line that was cut off is left out."""
    found: dict[str, dict[str, Any]] = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return found
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and isinstance(row.get("run_id"), str):
            found[row["run_id"]] = row
    return found


def _show(runs: Sequence[RunInfo], todo: Sequence[RunInfo], folder: Path) -> None:
    progress(f"runs     {len(runs)}, of which {len(runs) - len(todo)} were done before")
    progress(f"folder   {folder}")
    for run in todo[:_SHOWN]:
        progress(f"         {run.run_id}  {run.name}")
    if len(todo) > _SHOWN:
        progress(f"         and {len(todo) - _SHOWN} more")


def _one(run: RunInfo, folder: Path, options: Options, tracking_uri: str | None) -> dict[str, Any]:
    """Does one run again; what is shown of it, and its output, go to a file beside its folder."""
    place = next(path for path in _places(folder, run.run_id) if not path.exists())
    began = time.monotonic()
    row: dict[str, Any] = {"run_id": run.run_id, "run_name": run.name, "folder": str(place)}
    with place.with_suffix(".log").open("w", encoding="utf-8") as log:
        try:
            with redirect_stderr(log):
                original = RecordedRun.find(run.run_id, tracking_uri)
                try:
                    again = execute(original, replace(options, into=place, yes=True), log)
                    outcome = conclude(original, again)
                    row |= {
                        **outcome.as_json(outcome.store()),
                        "run_id": run.run_id,
                        "exit_code": int(outcome_code(outcome)),
                    }
                finally:
                    original.close()
        except (TrackerError, OSError) as error:
            row |= {"error": str(error), "exit_code": int(ExitCode.UNJUDGED)}
        row["seconds"] = round(time.monotonic() - began, 1)
    _append(folder / RESULTS, row)
    return row


def _append(path: Path, row: Mapping[str, Any]) -> None:
    """Adds a line in one piece; one that was cut off before is ended first, so that it spoils no other."""
    with path.open("a+b", buffering=0) as file:
        end = file.seek(0, os.SEEK_END)
        is_cut = end > 0 and (file.seek(end - 1), file.read(1))[1] != b"\n"
        file.write(("\n" * is_cut + json.dumps(row) + "\n").encode())


def _places(folder: Path, run_id: str) -> Iterator[Path]:
    yield folder / run_id[:12]
    for number in range(2, 1000):  # left by an attempt that was interrupted
        yield folder / f"{run_id[:12]}-{number}"


def _tell(rows: Sequence[Mapping[str, Any]], as_json: bool) -> None:
    if as_json:
        print_json({"schema": 1, "runs": list(rows)})
        return
    colours = {ExitCode.FINE: "green", ExitCode.FOUND: "red", ExitCode.UNJUDGED: "yellow"}
    table = [
        (
            str(row["run_id"])[:12],
            str(row.get("run_name")),
            str(row.get("grade") or "none"),
            str(row.get("scope") or ""),
            f"{row.get('seconds')} s",
            str(row.get("error") or row.get("explanation")),
        )
        for row in rows
    ]
    styles = [colours[ExitCode(row["exit_code"])] for row in rows]
    print_table(("run", "name", "grade", "scope", "time", "result"), table, styles)


def _code(rows: Sequence[Mapping[str, Any]]) -> ExitCode:
    codes = {row["exit_code"] for row in rows}
    if ExitCode.FOUND in codes:
        return ExitCode.FOUND
    return ExitCode.UNJUDGED if ExitCode.UNJUDGED in codes else ExitCode.FINE
