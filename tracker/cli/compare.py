"""`tracker compare`: what differs between two runs, and which number was the first to differ."""

from __future__ import annotations

from ..compare.recorded import RecordedRun
from ..compare.runs import RunComparison, compare_runs
from .output import ExitCode, print_json, print_table, say

_PATCH_LINES = 200
_ROWS = 40


def compare(a: str, b: str, tracking_uri: str | None, as_json: bool) -> int:
    """Prints the comparison; returns 1 when anything that matters differs, 0 when nothing does."""
    runs = (RecordedRun.find(a, tracking_uri), RecordedRun.find(b, tracking_uri))
    try:
        comparison = compare_runs(*runs)
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


def _show(comparison: RunComparison, a: RecordedRun, b: RecordedRun) -> None:
    say(f"A  {a.name}  {a.id}")
    say(f"B  {b.name}  {b.id}")
    say(comparison.explanation, "bold")
    _show_code(comparison)
    _show_params(comparison)
    _show_environment(comparison)
    _show_data(comparison)
    _show_randomness(comparison)
    _show_numbers(comparison)


def _title(name: str, said: str, differs: bool | None) -> None:
    say()
    say(f"{name}: {said}", {True: "bold red", False: "bold green", None: "bold yellow"}[differs])


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
    lines = code.patch.splitlines()
    for line in lines[:_PATCH_LINES]:
        say(f"  {line}", {"+": "green", "-": "red", "@": "cyan"}.get(line[:1]))
    if len(lines) > _PATCH_LINES:
        say(f"  {len(lines) - _PATCH_LINES} lines more; --json has them all")


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
        likely = "" if comparison.recorded_differences else f"; likely {comparison.cause.likely}"
        say(f"  where: {comparison.cause.where}{likely}")
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
