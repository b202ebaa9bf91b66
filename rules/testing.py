"""How rules are tested, ours and a third party's: `judge` for edges, `check_rule` for what every rule must pass.

::

    from tracker.rules.testing import check_rule, judge

    def test_the_battery():
        check_rule(MyRule)

    def test_it_fires_above_the_bar():
        assert judge(MyRule(), loss=[1.0, 2.0, 4.0])
"""

from __future__ import annotations

import ast
import inspect
import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import groupby
from typing import Any, TypeGuard

from .cases import PER_EPOCH, records_of, trace_of
from .engine import (
    Engine,
    Fact,
    Finding,
    Json,
    NotApplicable,
    Outcome,
    Reading,
    Record,
    Rule,
    Settings,
    Severity,
    Status,
    Trace,
)
from .engine.gates import reason_to_skip
from .engine.knobs import described
from .engine.settings import RulesTable

__all__ = ["check_rule", "judge", "outcome_of", "records_of", "trace_of"]

HEADINGS = ("## Why it matters", "## What to try", "## When it is wrong")
"""What every rule's docstring has to answer."""

IMPURE = frozenset(
    {"mlflow", "torch", "tensorflow", "random", "time", "datetime", "logging", "os", "sys", "matplotlib"}
)
"""Modules a rule may not import: it is a function of the past, and of nothing else."""

LAYERS, SECONDS = 100, 1e-3
"""A judgement of a trace with this many layers may take this long."""

_ODD_FACTS: tuple[Json, ...] = (None, [], {}, "", "text", 0, -1, 5, True, math.nan, [None], {"": None}, [[]], [{}])


def judge(rule: Rule, **case: Any) -> list[Finding]:
    """What the rule finds in the case (its form: `tracker.rules.cases`).

    Raises `NotApplicable`, with the reason, where a run would list the rule as skipped, so that an empty list always
    means *looked and found nothing*; an exception of the rule passes through.
    """
    trace = trace_of(case)
    reason = reason_to_skip(rule, trace)
    if reason is not None:
        raise NotApplicable(reason)
    return list(rule.check(trace))


def outcome_of(rule: Rule, **case: Any) -> Outcome:
    """What the engine says of the rule in the case: fired, clear, skipped or crashed."""
    return _outcome(rule, trace_of(case))


def check_rule(cls: type[Rule]) -> None:
    """Everything a rule must pass, with `AssertionError` for the first thing it does not.

    The story is complete and every knob explained; the healthy case comes out clear, the faulty one fires in numbers;
    no data is skipped, never clear; no trace makes it crash; it answers the same twice and whatever the order of the
    layers; settings survive being stored; a judgement of 100 layers takes less than a millisecond.
    """
    _check_story(cls)
    _check_knobs(cls)
    _check_imports(cls)
    rule = cls()
    _check_cases(rule)
    _check_no_data(rule)
    _check_repeatable(rule)
    _check_never_crashes(rule)
    _check_fast(rule)


def _outcome(rule: Rule, trace: Trace) -> Outcome:
    engine = Engine([rule], Settings(rules=RulesTable(preview=True)))
    return engine.judge(rule.phases[0], trace)[0]


def _check_story(cls: type[Rule]) -> None:
    story = inspect.cleandoc(cls.__doc__ or "")
    first = story.partition("\n\n")[0].strip()
    assert first.endswith("."), f"{cls.id()}: the docstring has to begin with a sentence, not {first!r}"
    for heading in HEADINGS:
        assert heading in story, f"{cls.id()}: the docstring has no heading '{heading}'"
    assert cls.phases, f"{cls.id()}: `phases` is empty, nobody would ever ask it"
    assert cls.profiles, f"{cls.id()}: `profiles` is empty, it would always be skipped"
    assert isinstance(cls.severity, Severity), f"{cls.id()}: severity is {cls.severity!r}, not a Severity"
    assert cls.id() not in cls.explains, f"{cls.id()}: it says that it explains itself"


def _check_knobs(cls: type[Rule]) -> None:
    for name, knob in described(cls).model_fields.items():
        assert knob.description, f"{cls.id()}: the knob '{name}' has no docstring"
        assert not knob.is_required(), f"{cls.id()}: the knob '{name}' has no default"
    rule = cls()
    assert cls.model_validate(rule.model_dump()) == rule, f"{cls.id()}: the settings do not survive dump and load"
    stored = json.loads(json.dumps(rule.model_dump(mode="json"), allow_nan=False))
    assert cls.model_validate(stored) == rule, f"{cls.id()}: the settings do not survive being stored as JSON"
    assert cls.model_json_schema()["properties"].keys() == cls.model_fields.keys() if cls.model_fields else True


def _check_imports(cls: type[Rule]) -> None:
    module = inspect.getmodule(cls)
    assert module is not None, f"{cls.id()}: its module is not to be found"
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names = [node.module]
        impure = {name.split(".")[0] for name in names} & IMPURE
        assert not impure, f"{cls.id()}: a rule may not import {', '.join(sorted(impure))}"


def _check_cases(rule: Rule) -> None:
    name = rule.id()
    for case in ("healthy", "faulty"):
        assert getattr(rule, case), f"{name}: it has no {case} case"
    healthy = outcome_of(rule, **rule.healthy)
    assert healthy.status is Status.CLEAR, f"{name}: the healthy case is {_told(healthy)}; expected clear"
    faulty = outcome_of(rule, **rule.faulty)
    assert faulty.status is Status.FIRED, f"{name}: the faulty case is {_told(faulty)}; expected fired"
    for finding in faulty.findings:
        _check_finding(name, finding)
    json.dumps(faulty.as_json(), allow_nan=False)


def _check_finding(name: str, finding: Finding) -> None:
    message = finding.message
    assert any(letter.isdigit() for letter in message), f"{name}: no number in the message {message!r}"
    assert "!" not in message, f"{name}: the message shouts: {message!r}"
    assert 1 <= len(finding.advice) <= 3, f"{name}: {len(finding.advice)} pieces of advice; expected one to three"
    assert all(line.strip() for line in finding.advice), f"{name}: an advice is empty"
    assert finding.evidence, f"{name}: a finding without evidence: {message!r}"
    for key, value in finding.evidence.items():
        is_number = isinstance(value, (int, float)) and math.isfinite(value)
        assert is_number, f"{name}: the evidence {key} = {value!r} is not a finite number"


def _check_no_data(rule: Rule) -> None:
    outcome = _outcome(rule, Trace())
    assert outcome.status is Status.SKIPPED, f"{rule.id()}: no data is {_told(outcome)}; expected skipped"
    assert outcome.reason, f"{rule.id()}: no data is skipped without a reason"


def _check_repeatable(rule: Rule) -> None:
    for case in (rule.healthy, rule.faulty):
        trace = trace_of(case)
        first, second, again = _outcome(rule, trace), _outcome(rule, trace), _outcome(rule, trace_of(case))
        assert first.findings == second.findings, f"{rule.id()}: the same trace, asked twice, gives two answers"
        assert first.findings == again.findings, f"{rule.id()}: it remembers something between two traces"
        shuffled = _outcome(rule, _trace(_other_order(records_of(case)), case))
        assert _by_subject(first) == _by_subject(shuffled), f"{rule.id()}: the order of the subjects changes the answer"


def _check_never_crashes(rule: Rule) -> None:
    for case in (rule.healthy, rule.faulty):
        for what, records in _hostile(list(records_of(case))):
            outcome = _outcome(rule, _trace(records, case))
            assert outcome.status is not Status.CRASHED, f"{rule.id()}: {what} makes it crash: {outcome.reason}"
            json.dumps(outcome.as_json(), allow_nan=False)


def _check_fast(rule: Rule) -> None:
    trace = _trace(_many_layers(rule), rule.healthy)
    best = math.inf
    for _ in range(20):
        start = time.thread_time()
        _outcome_or_none(rule, trace)
        best = min(best, time.thread_time() - start)
    assert best < SECONDS, (
        f"{rule.id()}: {best * 1e3:.2f} ms for {LAYERS} layers; expected less than {SECONDS * 1e3} ms"
    )


def _outcome_or_none(rule: Rule, trace: Trace) -> list[Finding] | None:
    try:
        return list(rule.check(trace))
    except NotApplicable:
        return None


def _hostile(records: list[Record]) -> Iterator[tuple[str, Iterable[Record]]]:
    """Traces that happen, and traces that should not: name and records of each."""
    values: dict[str, Callable[[float], float]] = {
        "all zero": lambda _: 0.0,
        "all one": lambda _: 1.0,
        "all NaN": lambda _: math.nan,
        "all infinite": lambda _: math.inf,
        "all minus infinite": lambda _: -math.inf,
        "huge values": lambda value: math.copysign(1e308, value),
        "tiny values": lambda value: math.copysign(5e-324, value),
        "negative values": lambda value: -value,
        "the largest float and its negative": lambda value: math.copysign(1.7976931348623157e308, value - 1.0),
    }
    for what, change in values.items():
        yield what, [replace(one, value=change(one.value)) if isinstance(one, Reading) else one for one in records]
    yield "no readings", [one for one in records if not isinstance(one, Reading)]
    yield "no facts", [one for one in records if not isinstance(one, Fact)]
    yield "no epochs", [one for one in records if isinstance(one, (Reading, Fact))]
    yield "one point", _first_points(records, 1)
    yield "two points", _first_points(records, 2)
    yield "one subject", _one_subject(records)
    yield "no subject but another", [replace(one, subject="another") if _is_whole(one) else one for one in records]
    yield "the last value NaN", _last_is_nan(records)
    for name in {one.name for one in records if isinstance(one, Fact)} or {"any"}:
        for odd in _ODD_FACTS:
            rest = [one for one in records if not (isinstance(one, Fact) and one.name == name)]
            yield f"the fact {name} = {odd!r}", [Fact(name, 0, odd), *rest]
            yield f"a mapping of {odd!r} in the fact {name}", [_hollow(records, name, odd), *rest]


def _is_whole(record: Record) -> TypeGuard[Reading]:
    return isinstance(record, Reading) and not record.subject


def _hollow(records: Iterable[Record], name: str, odd: Json) -> Fact:
    """The fact with every value in its mapping replaced."""
    for one in records:
        if isinstance(one, Fact) and one.name == name and isinstance(one.value, dict):
            return Fact(name, 0, dict.fromkeys(one.value, odd))
    return Fact(name, 0, [odd])


def _first_points(records: Iterable[Record], n: int) -> Iterator[Record]:
    seen: dict[tuple[str, str], int] = {}
    for one in records:
        if isinstance(one, Reading):
            key = (one.signal, one.subject)
            seen[key] = seen.get(key, 0) + 1
            if seen[key] > n:
                continue
        yield one


def _one_subject(records: Iterable[Record]) -> Iterator[Record]:
    kept: dict[str, str] = {}
    for one in records:
        if not isinstance(one, Reading) or kept.setdefault(one.signal, one.subject) == one.subject:
            yield one


def _last_is_nan(records: list[Record]) -> list[Record]:
    last = {(one.signal, one.subject): place for place, one in enumerate(records) if isinstance(one, Reading)}
    changed = list(records)
    for place in last.values():
        one = records[place]
        if isinstance(one, Reading):
            changed[place] = replace(one, value=math.nan)
    return changed


def _other_order(records: Iterable[Record]) -> Iterator[Record]:
    """The subjects of each step in the opposite order."""
    for (is_reading, _), group in groupby(records, key=lambda one: (isinstance(one, Reading), one.step)):
        together = list(group)
        yield from reversed(together) if is_reading else together


def _many_layers(rule: Rule) -> Iterator[Record]:
    """The healthy case, with a hundred layers for every signal that has subjects."""
    for one in records_of(rule.healthy):
        yield one
        if isinstance(one, Reading) and one.subject and one.signal not in PER_EPOCH:
            yield from (replace(one, subject=f"{one.subject}.{layer}") for layer in range(LAYERS - 1))


def _trace(records: Iterable[Record], case: Mapping[str, Any]) -> Trace:
    """A trace of the records, beside the other runs of the case."""
    trace = Trace()
    for record in records:
        trace.feed(record)
    trace.peers = trace_of(case).peers
    return trace


def _by_subject(outcome: Outcome) -> dict[str, Mapping[str, float]]:
    return {finding.subject: finding.evidence for finding in outcome.findings}


def _told(outcome: Outcome) -> str:
    said = outcome.reason or "; ".join(f"{finding.subject}: {finding.message}" for finding in outcome.findings)
    return f"{outcome.status.value} ({said})" if said else outcome.status.value
