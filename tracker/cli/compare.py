"""`tracker compare`: what differs between two runs, and which number was the first to differ."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..compare.kinds import RecordedDifference
from ..compare.recorded import RecordedRun
from ..compare.runs import RunComparison, compare_runs
from ..compare.streams import Difference
from ..errors import ConfigError
from .output import ExitCode, print_json, print_table, progress, say
from .progress import leaving, waiting

if TYPE_CHECKING:
    from ..reproduce.trial import Trial

_PATCH_LINES = 200
_ROWS = 40
_BRIEF = 44
"""Characters of a value in the table of differences."""


def compare(
    a: str,
    b: str,
    tracking_uri: str | None,
    as_json: bool,
    swap: Sequence[str] = (),
    steps: int | None = None,
    yes: bool = False,
    into: Path | None = None,
    timeout: float | None = None,
) -> int:
    """Prints the comparison; returns 1 when anything that matters differs, 0 when nothing does.

    With `swap`, the IDs of differences or `all`, A is run again with one of them taken from B at a time: 0 when one
    alone turns the first number that differs into B's, 1 when none does, 2 when A does not come out again itself.
    """
    if not swap and (steps is not None or into is not None or timeout is not None or yes):
        raise ConfigError("--steps, --into, --timeout and --yes say how differences are swapped: give --swap as well.")
    with leaving("nothing was changed."), waiting("reading the runs"):
        runs = (RecordedRun.find(a, tracking_uri), RecordedRun.find(b, tracking_uri))
    try:
        with leaving("nothing was changed."), waiting("comparing the runs"):
            comparison = compare_runs(*runs)
        if swap:
            return _swap(comparison, *runs, swap, steps, yes, into, timeout, as_json)
        if as_json:
            print_json(comparison.as_json())
        else:
            _show(comparison, *runs)
    finally:
        for run in runs:
            run.close()
    if comparison.differs:
        return ExitCode.FOUND
    return ExitCode.FINE if comparison.numbers.n_points else ExitCode.UNJUDGED


def _swap(
    comparison: RunComparison,
    a: RecordedRun,
    b: RecordedRun,
    wanted: Sequence[str],
    steps: int | None,
    yes: bool,
    into: Path | None,
    timeout: float | None,
    as_json: bool,
) -> int:
    from ..reproduce.swap import bisection, trials
    from ..reproduce.trial import verdict
    from .reproduce import ask, show_plan

    with leaving("nothing was executed."), waiting("working out what can be swapped"):
        task = bisection(a, b, comparison.differences, comparison.numbers, wanted, steps)
    progress(comparison.explanation)
    show_plan(task.plan, into if into is not None else Path("a folder that is removed afterwards"))
    for name, rows in task.chosen:
        for one in rows:
            progress(f"swap     {name}: {one.sentence}")
            if one.hunk is not None:
                for line in [*(f"-{row}" for row in one.hunk.removed), *(f"+{row}" for row in one.hunk.added)]:
                    progress(f"         {line}")
    with leaving("nothing was executed."):
        ask(yes)
    found: list[Trial] = []

    def left() -> str:
        if found and not as_json:
            _show_trials(comparison, task.first, found, "")
        kept = "" if into is None else f" What was run is beside {into.absolute()}: choose another --into."
        return f"{len(found)} of {1 + len(task.chosen)} trials were made; the same command begins anew.{kept}"

    with leaving(left):
        found.extend(trials(task, into, timeout, progress, quiet_stdout=as_json))
    said, alone = verdict(found)
    if as_json:
        print_json(
            {
                "schema": 1,
                "a": comparison.a,
                "b": comparison.b,
                "first_difference": task.first.as_json(),
                "steps": task.steps,
                "explanation": comparison.explained.as_json(),
                "trials": [trial.as_json() for trial in found],
                "verdict": said,
                "enough_alone": alone,
            }
        )
    else:
        _show_trials(comparison, task.first, found, said)
    if found[0].outcome != "A":
        return ExitCode.UNJUDGED
    return ExitCode.FINE if alone else ExitCode.FOUND


def _show_trials(comparison: RunComparison, first: Difference, found: Sequence[Trial], said: str) -> None:
    say(comparison.explanation, "bold")
    say(f"{first.metric} at step {first.step}: A {first.a!r}, B {first.b!r}")
    words = {"A": "as A", "B": "as B", "other": "another number"}
    rows = [
        (
            trial.swapped,
            words.get(trial.outcome, trial.outcome),
            "" if trial.value is None else repr(trial.value),
            f"{trial.n_as_b} of {trial.n_points}" if trial.n_points else "",
            trial.detail,
        )
        for trial in found
    ]
    styles = ["green" if trial.outcome == "B" else "" for trial in found]
    print_table(("taken from B", "came out", "number", "numbers as in B", "note"), rows, styles)
    if said:
        say(said, "bold")


def _show(comparison: RunComparison, a: RecordedRun, b: RecordedRun) -> None:
    say(f"A  {a.name}  {a.id}")
    say(f"B  {b.name}  {b.id}")
    say(comparison.explanation, "bold")
    _show_differences(comparison)
    _show_code(comparison)
    _show_params(comparison)
    _show_environment(comparison)
    _show_data(comparison)
    _show_randomness(comparison)
    _show_numbers(comparison)


def _title(name: str, said: str, differs: bool | None) -> None:
    say()
    say(f"{name}: {said}", {True: "bold red", False: "bold green", None: "bold yellow"}[differs])


def _show_differences(comparison: RunComparison) -> None:
    """Everything recorded that differs, once each; what explains the numbers best is first."""
    found = comparison.differences
    if not found:
        return
    _title("differences", f"{len(found)} recorded, the best explanation first", None)
    shown = [one for one in found if one.score > 0 or one.kind != "random state"][:_ROWS]
    rows = [(one.fit, one.id, *(_brief(side) for side in _sides(one)), one.reason) for one in shown]
    print_table(("explains", "difference", "A", "B", "why"), rows)
    if len(found) > len(shown):
        say(f"  and {len(found) - len(shown)} that explain nothing; --json has all of them")


def _sides(one: RecordedDifference) -> tuple[object, object]:
    if one.hunk is None or one.hunk.whole:
        return one.a, one.b
    return one.hunk.telling


def _brief(value: object) -> str:
    text = " ".join(_shown(value).split())
    return text if len(text) <= _BRIEF else f"{text[: _BRIEF - 3]}..."


def _show_code(comparison: RunComparison) -> None:
    code = comparison.code
    said = {True: "the same", False: "differs", None: "not known"}[code.same]
    _title("code", said, None if code.same is None else not code.same)
    for side, facts in (("A", code.a), ("B", code.b)):
        dirty = ", uncommitted changes" if facts.get("dirty") else ""
        say(f"  {side}  commit {str(facts.get('commit'))[:12]}, tree {str(facts.get('tree'))[:12]}{dirty}")
    if code.problem:
        say(f"  {code.problem}", "yellow")
    for line in code.stat.splitlines():
        say(f"  {line}")
    left = _PATCH_LINES
    for hunk in code.hunks:
        lines = [*(f"-{line}" for line in hunk.removed), *(f"+{line}" for line in hunk.added)]
        said = "" if hunk.is_program else ", not part of the program"
        say(f"  {hunk.place}{f' ({hunk.whole})' if hunk.whole else ''}{said}", "cyan")
        for line in lines[:left]:
            say(f"  {line}", {"+": "green", "-": "red"}[line[0]])
        left -= len(lines)
        if left <= 0:
            say("  and more; --json has all of it")
            break


def _show_params(comparison: RunComparison) -> None:
    params = comparison.params
    _title("parameters", f"{len(params)} differ" if params else "the same", bool(params))
    if params:
        rows = [(key, _shown(x), _shown(y)) for key, (x, y) in list(params.items())[:_ROWS]]
        print_table(("parameter", "A", "B"), rows)


def _show_environment(comparison: RunComparison) -> None:
    found = comparison.environment
    if not comparison.environment_known:
        _title("environment", "not recorded for both", None)
        return
    bits = sum(one.can_change_bits for one in found)
    _title("environment", f"{len(found)} differences, {bits} can change bits" if found else "the same", bits > 0)
    if found:
        rows = [(d.what, _shown(d.recorded), _shown(d.current), "yes" if d.can_change_bits else "no") for d in found]
        print_table(("what", "A", "B", "can change bits"), rows[:_ROWS])


def _show_data(comparison: RunComparison) -> None:
    same = comparison.data_same
    said = {True: "the same", False: f"{len(comparison.data)} files differ", None: "not known"}[same]
    _title("data", said, None if same is None else not same)
    for name in comparison.data[:_ROWS]:
        say(f"  {name}")


def _show_randomness(comparison: RunComparison) -> None:
    found = comparison.randomness
    _title("randomness", f"{len(found)} generators differ" if found else "the same", bool(found))
    if found:
        print_table(("generator", "A", "B"), [(key, _shown(x), _shown(y)) for key, (x, y) in found.items()])


def _show_numbers(comparison: RunComparison) -> None:
    numbers = comparison.numbers
    if not numbers.n_points:
        _title("numbers", "none that both runs logged", None)
    else:
        said = "the same bits" if numbers.is_bitwise else f"{numbers.n_different} of {numbers.n_points} differ"
        _title("numbers", f"{len(numbers.metrics)} metrics, {numbers.n_points} points: {said}", not numbers.is_bitwise)
    first = numbers.first_difference
    if first is not None:
        say(f"  first difference: {first.metric} at step {first.step}: A {first.a!r}, B {first.b!r} ({first.size})")
    if comparison.cause is not None:
        likely = "" if comparison.explained.likeliest else f"; likely {comparison.cause.likely}"
        evidence = f" ({comparison.cause.evidence})" if comparison.cause.evidence else ""
        say(f"  where: {comparison.cause.where}{evidence}{likely}")
    for moment, (x, y) in comparison.weights.items():
        said = "not known" if not (x and y) else "the same" if x == y else "differ"
        say(f"  weights at the {moment}: {said}")
    for key in numbers.only_in_a:
        say(f"  {key} is in A only")
    for key in numbers.only_in_b:
        say(f"  {key} is in B only")
    for key, (n, m) in numbers.lengths.items():
        say(f"  {key}: {n} points in A, {m} in B")
    if numbers.finals:
        rows = [
            (key, repr(x), repr(y), str(numbers.different.get(key, 0)))
            for key, (x, y) in list(numbers.finals.items())[:_ROWS]
        ]
        print_table(("metric", "last in A", "last in B", "points that differ"), rows)


def _shown(value: object) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= 80 else text[:77] + "..."
