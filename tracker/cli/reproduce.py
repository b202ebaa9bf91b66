"""`tracker reproduce`: a run, done again from its ID, with a grade for how much came out the same."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

from ..compare.recorded import RecordedRun
from ..errors import ConfigError, ReproduceError
from ..reproduce.environment import current_environment, differences_before, is_rebuildable
from ..reproduce.moved import Moved
from ..reproduce.outcome import Outcome, judge
from ..reproduce.plan import PATCH_LINES, Closer, Plan, make_plan
from ..reproduce.prefix import prefix_of
from ..reproduce.prepared import prepare_data, warnings_before
from ..reproduce.rerun import Rerun, child_environment, new_folder, rerun, wait_for_upload
from ..reproduce.restore import restore_code
from ..reproduce.verdict import NAMES
from .output import ExitCode, clean, is_interactive, print_json, print_table, progress
from .progress import leaving, waiting
from .verdicts import exit_code, machine_form, show_verdict

_UPLOAD_SECONDS = 60.0
_SHOWN = 20
"""Names of files, packages or differences that are shown before something is executed."""


@dataclass(frozen=True)
class Options:
    """How a run is done again."""

    into: Path | None = None
    """New folder for it; `reproduced-<id>` here, if None."""
    yes: bool = False
    """Whether stored code is executed without asking."""
    use_current_env: bool = False
    """Whether to go on in the Python that runs this, whatever differs."""
    rebuild_env: bool = False
    """Whether to build the environment although this one is equal."""
    data: tuple[str, ...] = ()
    """`OLD=NEW`: where data is now."""
    use_current_data: bool = False
    """Whether to go on although data files are not the recorded ones."""
    steps: int | None = None
    epochs: int | None = None
    timeout: float | None = None
    """Seconds after which the re-run is ended."""
    base: str | None = None
    """Repository to take a commit from that the bundle builds on; the recorded remote, if None."""
    closer: Closer = field(default_factory=Closer)
    """A closer look instead of a proof."""
    as_json: bool = False


def reproduce(run_id: str, options: Options, tracking_uri: str | None) -> int:
    """Restores, runs, compares, grades; 0 when the numbers came out again, 1 when not, 2 when there are none.

    With `options.closer`, what was asked for is not a proof but a closer look: the verdict on the re-run is told.
    """
    if options.closer and (options.steps is not None or options.epochs is not None):
        raise ConfigError("--steps and --epochs ask for a proof, --until and --debug for a closer look: use either.")
    if options.use_current_env and options.rebuild_env:
        raise ConfigError("--use-current-env and --rebuild-env contradict each other: give one of them.")
    with leaving("nothing was executed."):
        original = RecordedRun.find(run_id, tracking_uri)
    try:
        with leaving(lambda: _left(original, options)):
            again = execute(original, options)
            if options.closer:
                return _tell(original, again.done, again.folder, options.as_json)
            outcome = conclude(original, again)
        is_stored = outcome.store()
        if not is_stored:
            progress("The grade was not written to the store, which cannot be reached.")
        if options.as_json:
            print_json(outcome.as_json(is_stored))
        else:
            _show_result(outcome)
        return outcome_code(outcome)
    finally:
        original.close()


def _left(original: RecordedRun, options: Options) -> str:
    """What an interrupted reproduction leaves."""
    folder = (options.into or Path(f"reproduced-{str(original.own_id)[:8]}")).absolute()
    if not folder.is_dir() or not any(folder.iterdir()):
        return "nothing was executed, and nothing is left; the same command begins anew."
    return f"the run is not graded. What was restored is in {folder}; do it again with another --into, or without that."


@dataclass(frozen=True)
class Again:
    """A run that was executed again."""

    plan: Plan
    done: Rerun
    folder: Path
    other_data: int
    """How many data files are not the recorded ones, where that was allowed."""
    is_rebuilt: bool
    """Whether an environment was built for it."""


def execute(original: RecordedRun, options: Options, log: IO[str] | None = None) -> Again:
    """Shows what will be executed, asks, restores it and runs it; its output goes to `log`, if one is given."""
    if original.is_alive:
        raise ReproduceError(f"Run {original.given} is still training. Wait until it has ended.")
    plan = replace(make_plan(original), closer=options.closer)
    plan, moved = Moved.parse(options.data, plan.project, plan.cwd).applied(plan)
    if options.steps is not None or options.epochs is not None:
        plan = replace(plan, prefix=prefix_of(original.ledger, options.steps, options.epochs))
    folder = new_folder(options.into, plan.own_id)
    show_plan(plan, folder)
    is_other = _check_environment(plan, folder, options)
    ask(options.yes)
    try:
        root, cwd = _restore(original, plan, folder, options.base)
    except KeyboardInterrupt:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    try:
        if is_other:
            with waiting("building the environment"):
                plan = _build_environment(original, plan, root)
        other_data = prepare_data(plan, moved, root, options.use_current_data, progress)
    except (ReproduceError, KeyboardInterrupt):
        # The folder was new or empty: the next attempt shall find it so.
        shutil.rmtree(folder, ignore_errors=True)
        raise
    progress(f"running: {plan.shown_command}")
    done = rerun(plan, root, cwd, options.timeout, stdout_to_stderr=options.as_json, log=log)
    if done.was_interrupted:
        raise KeyboardInterrupt
    return Again(plan, done, folder, other_data, is_other)


def conclude(original: RecordedRun, again: Again) -> Outcome:
    """Waits for the upload of the re-run and grades it; raises `ReproduceError` when it made no run."""
    if again.done.rundir is None:
        raise ReproduceError(
            f"The re-run ended with exit code {again.done.returncode} and made no run that can be compared. "
            f"What it left is in {again.folder}."
        )
    with waiting("the re-run is over; uploading it"):
        wait_for_upload(again.done.rundir, _UPLOAD_SECONDS)
    rerun_of_it = RecordedRun.find(str(again.done.rundir.spec["id"]))
    return judge(
        original,
        rerun_of_it,
        again.plan,
        again.done,
        again.folder,
        other_data=again.other_data,
        is_rebuilt=again.is_rebuilt,
    )


def outcome_code(outcome: Outcome) -> ExitCode:
    """What the command says by its exit code."""
    if outcome.result.grade == "R3" and not outcome.result.n_points:
        return ExitCode.UNJUDGED
    return ExitCode.FINE if outcome.result.is_reproduced else ExitCode.FOUND


def show_plan(plan: Plan, folder: Path) -> None:
    """Says on stderr what is about to be executed: code out of a store may be a stranger's."""
    progress(f"run      {plan.name} ({plan.own_id})")
    progress(f"command  {plan.shown_command}" + (f", the first {plan.prefix.words}" if plan.prefix else ""))
    progress(f"folder   {folder} (directory {plan.cwd})")
    base = str(plan.code.get("commit") or "no commit")[:12]
    changed = plan.changed_files
    progress(
        f"code     {base}, tree {str(plan.code['tree'])[:12]}" + (f", {len(changed)} changed files" if changed else "")
    )
    for name in changed[:_SHOWN]:
        progress(f"         changed: {name}")
    lines = plan.patch.splitlines()
    for line in lines[:PATCH_LINES]:
        progress(f"         {line}")
    if len(lines) > PATCH_LINES:
        progress(f"         and {len(lines) - PATCH_LINES} lines more, in capture/changes.patch.txt")
    if Path(plan.entry[0]).name.startswith("notebook_"):
        progress("         made of the cells that were run: capture/notebook.py")
    if plan.packages:
        progress(f"packages {len(plan.packages)} for Python {plan.python}: {_imported(plan)}")
    for line in warnings_before(plan, folder):
        progress(f"warning  {line}")
    for gap in plan.gaps:
        progress(f"gap      {gap.get('part')}: {gap.get('what')}")


def _imported(plan: Plan) -> str:
    """The packages that the run had loaded, by name and version; all where that is not known."""
    rows = [row for row in plan.packages if row.get("imported")] or list(plan.packages)
    named = ", ".join(f"{row.get('name')} {row.get('version')}" for row in rows[:_SHOWN])
    return named if len(rows) <= _SHOWN else f"{named} and {len(rows) - _SHOWN} more"


def _check_environment(plan: Plan, folder: Path, options: Options) -> bool:
    """Says how this environment differs; returns whether another one is to be built for the re-run."""
    if not plan.environment:
        progress("environment: not recorded, so nothing is known of its differences")
        return False
    current = current_environment(plan.environment, child_environment(plan, folder))
    differences = differences_before(plan.environment, current)
    for one in differences:
        progress(f"environment: {one}")
    in_the_way = [one for one in differences if is_rebuildable(one)]
    if options.use_current_env or not (in_the_way or options.rebuild_env):
        return False
    from ..reproduce.rebuild import obstacles, origins

    found = obstacles(plan.environment, folder, plan.project)
    for obstacle in found:
        progress(f"environment: cannot be rebuilt: {obstacle}")
    if found:
        first = f", first {in_the_way[0]}" if in_the_way else ""
        raise ReproduceError(
            f"The environment is not the recorded one ({len(in_the_way)} differences can change bits{first}), and it "
            f"cannot be rebuilt: {found[0]}. "
            "Put that right, or go on with --use-current-env."
        )
    progress("environment: will be rebuilt" if in_the_way else "environment: will be rebuilt, as asked")
    for origin in origins(plan.environment):
        progress(f"environment: fetched from its own address: {origin}")
    return True


def _build_environment(original: RecordedRun, plan: Plan, root: Path) -> Plan:
    from ..reproduce.rebuild import rebuild

    built = rebuild(plan.environment, original.capture, root, progress)
    for one in built.differences:
        progress(f"environment: {one}")
    return replace(plan, interpreter=str(built.python), search_path=(*plan.search_path, *built.search_path))


def ask(yes: bool) -> None:
    """Asks before stored code is executed; raises `ConfigError` where nobody can be asked."""
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


def _restore(original: RecordedRun, plan: Plan, folder: Path, base: str | None) -> tuple[Path, Path]:
    restored = restore_code(original.capture, folder, base=base)
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


def _show_result(outcome: Outcome) -> None:
    result = outcome.result
    first = result.first_difference
    rows = [
        ("grade", f"{result.label} {NAMES[result.grade]}"),
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
    if outcome.explanation is not None and outcome.explanation.likeliest is not None:
        rows.append(("recorded differences", outcome.explanation.headline))
        rows += [("", one.sentence) for one in outcome.explanation.differences[:_SHOWN] if one.score > 0]
    rows += [("", line) for line in result.details[:10]]
    rows += [("re-run", outcome.again.id), ("reproducible", outcome.standing.reproducible)]
    style = "green" if result.is_reproduced else "red"
    print_table((f"{clean(outcome.original.name)}", result.explanation), rows, [style])
