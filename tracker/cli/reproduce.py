"""`tracker reproduce`: a run, done again from its ID, with a grade for how much came out the same."""

from __future__ import annotations

import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..compare.recorded import RecordedRun
from ..errors import ConfigError, ReproduceError
from ..reproduce.environment import (
    DataCheck,
    current_environment,
    differences_before,
    is_rebuildable,
    scope_of,
)
from ..reproduce.plan import PATCH_LINES, Closer, Plan, make_plan
from ..reproduce.rerun import Rerun, child_environment, new_folder, place_data, rerun, wait_for_upload
from ..reproduce.restore import restore_code
from ..reproduce.verdict import NAMES, Grade, Standing, compare_streams, grade, standing_after
from .output import ExitCode, clean, is_interactive, print_json, print_table, progress
from .verdicts import exit_code, machine_form, show_verdict

_UPLOAD_SECONDS = 60.0


def reproduce(
    run_id: str,
    into: Path | None,
    yes: bool,
    use_current_env: bool,
    use_current_data: bool,
    timeout: float | None,
    tracking_uri: str | None,
    as_json: bool,
    closer: Closer = Closer(),  # noqa: B008 - it is frozen
) -> int:
    """Restores, runs, compares, grades; 0 when the numbers came out again, 1 when not, 2 when there are none.

    With `closer`, what was asked for is not a proof but a closer look: the verdict on the re-run is told instead.
    """
    original = RecordedRun.find(run_id, tracking_uri)
    try:
        return _reproduce(original, into, yes, use_current_env, use_current_data, timeout, as_json, closer)
    finally:
        original.close()


def _reproduce(
    original: RecordedRun,
    into: Path | None,
    yes: bool,
    use_current_env: bool,
    use_current_data: bool,
    timeout: float | None,
    as_json: bool,
    closer: Closer,
) -> int:
    if original.is_alive:
        raise ReproduceError(f"Run {original.given} is still training. Wait until it has ended.")
    plan = replace(make_plan(original), closer=closer)
    folder = new_folder(into, plan.own_id)
    _show(plan, folder)
    _check_environment(plan, folder, use_current_env)
    _ask(yes)
    root, cwd = _restore(original, plan, folder)
    try:
        other_data = _check_data(plan, root, use_current_data)
    except ReproduceError:
        # The folder was new or empty: the next attempt shall find it so.
        shutil.rmtree(folder, ignore_errors=True)
        raise
    progress(f"running: {plan.shown_command}")
    done = rerun(plan, root, cwd, timeout, stdout_to_stderr=as_json)
    if closer:
        return _tell(original, done, folder, as_json)
    return _judge(original, plan, done, folder, other_data, as_json)


def _show(plan: Plan, folder: Path) -> None:
    """Says on stderr what is about to be executed: code out of a store may be a stranger's."""
    progress(f"run      {plan.name} ({plan.own_id})")
    progress(f"command  {plan.shown_command}")
    progress(f"folder   {folder} (directory {plan.cwd})")
    base = str(plan.code.get("commit") or "no commit")[:12]
    changed = plan.changed_files
    progress(
        f"code     {base}, tree {str(plan.code['tree'])[:12]}" + (f", {len(changed)} changed files" if changed else "")
    )
    for name in changed[:20]:
        progress(f"         changed: {name}")
    lines = plan.patch.splitlines()
    for line in lines[:PATCH_LINES]:
        progress(f"         {line}")
    if len(lines) > PATCH_LINES:
        progress(f"         and {len(lines) - PATCH_LINES} lines more, in capture/changes.patch.txt")
    for gap in plan.gaps:
        progress(f"gap      {gap.get('part')}: {gap.get('what')}")


def _check_environment(plan: Plan, folder: Path, use_current_env: bool) -> None:
    if not plan.environment:
        progress("environment: not recorded, so nothing is known of its differences")
        return
    current = current_environment(plan.environment, child_environment(plan, folder))
    differences = differences_before(plan.environment, current)
    for one in differences:
        progress(f"environment: {one}")
    in_the_way = [one for one in differences if is_rebuildable(one)]
    if in_the_way and not use_current_env:
        raise ReproduceError(
            f"The environment is not the recorded one: {len(in_the_way)} differences can change bits, "
            f"first {in_the_way[0]}. "
            "Install capture/requirements.txt into a new environment, or go on with --use-current-env."
        )


def _ask(yes: bool) -> None:
    if yes:
        return
    if not is_interactive():
        raise ConfigError(
            "Stored code is about to be executed and nobody can be asked: this is no terminal. "
            "Look at what is shown above and run again with --yes."
        )
    print("Execute this? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise ReproduceError("Nothing was restored or executed.")


def _restore(original: RecordedRun, plan: Plan, folder: Path) -> tuple[Path, Path]:
    restored = restore_code(original.capture, folder)
    if not restored.matches:
        named = "; ".join(restored.problems[:10]) or f"tree {restored.tree}"
        raise ReproduceError(
            f"The restored code is not the recorded one: {named}. Expected tree {plan.code['tree']}. "
            f"Nothing was executed; what was restored is in {folder}."
        )
    if not restored.cwd.resolve().is_relative_to(restored.root.resolve()):
        raise ReproduceError(f"The recorded directory {plan.cwd!r} leads out of {restored.root}. Nothing was executed.")
    restored.cwd.mkdir(parents=True, exist_ok=True)
    for problem in restored.problems:
        progress(f"code: {problem}")
    return restored.root, restored.cwd


def _check_data(plan: Plan, root: Path, use_current_data: bool) -> int:
    """Puts the data in place; returns how many files are not the recorded ones, where the user allowed that."""
    data = DataCheck(plan.data)
    lost = data.out_of_reach(root)
    if lost and not use_current_data:
        beside = plan.project.parent / f"{plan.project.name}-again" if plan.project else root
        raise ReproduceError(
            f"{lost[0]} leads out of the project by a relative path, to nothing from {root}. "
            f"Nothing was executed. Restore beside the original: --into {beside}"
        )
    left = data.outside_project(root)
    changed = data.changed(root)
    if changed and not use_current_data:
        shown = ", ".join(changed[:5]) + (f" and {len(changed) - 5} more" if len(changed) > 5 else "")
        where = f" below {plan.project}" if plan.project and any(not name.startswith("/") for name in changed) else ""
        raise ReproduceError(
            f"{len(changed)} of {len(data.items)} data files are not the recorded ones: {shown}. "
            f"Nothing was executed. Put the recorded files back where they were{where}, or go on with "
            "--use-current-data."
        )
    for name in changed:
        progress(f"data: {name}: not the recorded file")
    for name in place_data(root, left):
        progress(f"data: {name} is linked, not copied: the re-run could write to it")
    progress(f"data: {len(data.items) - len(changed)} of {len(data.items)} files as recorded ({data.identity})")
    return len(changed)


def _tell(original: RecordedRun, done: Rerun, folder: Path, as_json: bool) -> int:
    """What the rules say of a re-run that was looked at closely."""
    if done.rundir is None:
        raise ReproduceError(f"The re-run ended with exit code {done.returncode} and trained nothing. See {folder}.")
    wait_for_upload(done.rundir, _UPLOAD_SECONDS)
    verdict = done.rundir.read_json("findings.json")
    if not verdict:
        raise ReproduceError(f"The re-run was not judged within {_UPLOAD_SECONDS:g} s. See {folder}.")
    form = machine_form(verdict, str(done.rundir.spec["id"]), {})
    if as_json:
        print_json({**form, "rerun_of": original.id, "folder": str(folder)})
    else:
        show_verdict(f"{original.name}, again", form)
    return exit_code([form])


def _judge(original: RecordedRun, plan: Plan, done: Rerun, folder: Path, other_data: int, as_json: bool) -> int:
    if done.rundir is None:
        raise ReproduceError(
            f"The re-run ended with exit code {done.returncode} and made no run that can be compared. "
            f"What it left is in {folder}."
        )
    wait_for_upload(done.rundir, _UPLOAD_SECONDS)
    again = RecordedRun.find(str(done.rundir.spec["id"]))
    scope, differences = scope_of(plan.environment, again.environment)
    if other_data:
        scope = "other-host"  # not what was recorded: it says nothing against the run where its data is
    comparison = compare_streams(original.ledger, again.ledger)
    captured = original.tags.get("repro.grade", "R2")
    result = grade(original.ledger, again.ledger, comparison, scope=scope, captured=captured)
    if done.timed_out:
        result = replace(result, explanation=f"The re-run was ended after its time was up. {result.explanation}")
    if other_data:
        words = f"With {other_data} data files that are not the recorded ones: {result.explanation}"
        result = replace(result, explanation=words)
    standing = standing_after(
        result,
        time.strftime("%Y-%m-%d"),
        original.tags.get("repro.grade"),
        original.tags.get("repro.scope"),
        original.tags.get("reproducible", "unknown"),
    )
    is_stored = _store(original, again, result, standing)
    if as_json:
        form = result.as_json()
        print_json(
            {
                "schema": 1,
                "run_id": original.id,
                "rerun_id": again.id,
                "folder": str(folder),
                **form,
                "reproducible": standing.reproducible,
                "repro": {"grade": standing.grade, "scope": standing.scope, "last": standing.last},
                "environment": [str(one) for one in differences],
                "stored": is_stored,
            }
        )
    else:
        _show_result(original, again, result, standing)
    if result.grade == "R3" and not result.n_points:
        return ExitCode.UNJUDGED
    return ExitCode.FINE if result.is_reproduced else ExitCode.FOUND


def _show_result(original: RecordedRun, again: RecordedRun, result: Grade, standing: Standing) -> None:
    first = result.first_difference
    rows = [
        ("grade", f"{result.grade} {NAMES[result.grade]}"),
        ("scope", result.scope),
        ("metrics compared", str(result.n_metrics)),
        ("points", str(result.n_points)),
        (
            "first difference",
            "none" if first is None else f"{first.metric} step {first.step}: {first.a!r}, now {first.b!r}",
        ),
    ]
    if first is not None:
        rows.append(("size", first.size))
    if result.cause is not None:
        rows.append(("where", f"{result.cause.where}: {result.cause.likely}"))
    rows += [("", line) for line in result.details[:10]]
    rows += [("re-run", again.id), ("reproducible", standing.reproducible)]
    style = "green" if result.is_reproduced else "red"
    print_table((f"{clean(original.name)}", result.explanation), rows, [style])


def _store(original: RecordedRun, again: RecordedRun, result: Grade, standing: Standing) -> bool:
    """Writes the evidence into the tags of both runs; False when a store could not be reached."""
    tags: dict[str, str] = {"repro.last": standing.last[:500], "reproducible": standing.reproducible}
    if standing.grade is not None:
        tags["repro.grade"] = standing.grade
    if standing.scope is not None:
        tags["repro.scope"] = standing.scope
    mine: dict[str, Any] = {"repro.of": str(original.own_id), "repro.grade": result.grade, "repro.scope": result.scope}
    stored = original.set_tags(tags)
    if stored and standing.grade is not None:
        original.set_metrics({"repro/grade": float(standing.grade[1])})
    stored = again.set_tags(mine) and stored
    if not stored:
        progress("The grade was not written to the store, which cannot be reached.")
    return stored
