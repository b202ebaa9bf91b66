"""`tracker reproduce --experiment`: many runs, done again one after the other, with a table at the end.

What came of each run is written down at once, one JSON line each, in the folder that the restored runs are below. The
same command goes on from there.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..compare.recorded import RecordedRun
from ..errors import ReproduceError, TrackerError
from ..stores import RunInfo, open_store
from .output import ExitCode, is_terminal, print_json, print_table, progress
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
        ask(options.yes)
        folder.mkdir(parents=True, exist_ok=True)
    try:
        with _bar(len(todo)) as advance:
            for run in todo:
                advance(run.name)
                known[run.run_id] = _one(run, folder, options, tracking_uri)
                advance(None)
    except KeyboardInterrupt:
        progress(
            f"Interrupted. The same command goes on with the other runs; results so far are in {folder / RESULTS}."
        )
        _tell([known[run.run_id] for run in runs if run.run_id in known], options.as_json)
        raise
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
    with (folder / RESULTS).open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
    return row


def _places(folder: Path, run_id: str) -> Iterator[Path]:
    yield folder / run_id[:12]
    for number in range(2, 1000):  # left by an attempt that was interrupted
        yield folder / f"{run_id[:12]}-{number}"


@contextmanager
def _bar(n_runs: int) -> Iterator[Any]:
    """A progress bar on a terminal, a line for each run elsewhere; yields what is called before and after a run."""
    if not is_terminal():
        counted = iter(range(1, n_runs + 1))

        def say(name: str | None) -> None:
            if name is not None:
                progress(f"[{next(counted)}/{n_runs}] {name}")

        yield say
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), redirect_stderr=False) as bar:
        task = bar.add_task("", total=n_runs)

        def show(name: str | None) -> None:
            if name is None:
                bar.advance(task)
            else:
                bar.update(task, description=name)

        yield show


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
