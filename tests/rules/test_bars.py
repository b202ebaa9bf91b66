"""Levels that reports draw across curves are what rules name them to be."""

import inspect

import pytest

from tracker.rules import Rule
from tracker.rules.cases import trace_of
from tracker.rules.engine.registry import builtin_rules
from tracker.rules.engine.signals import SIGNALS

BARRED = sorted((rule for rule in builtin_rules().rules.values() if rule.bars), key=Rule.id.__func__)


def test_most_rules_that_judge_a_curve_name_its_levels():
    needing = [rule for rule in builtin_rules().rules.values() if rule.needs]

    assert len([rule for rule in needing if rule.bars]) > len(needing) / 2


@pytest.mark.parametrize("rule", BARRED, ids=lambda rule: rule.id())
def test_a_level_is_a_knob_or_evidence_and_its_signal_is_known(rule):
    evidence = {name for finding in rule().check(trace_of(rule.faulty)) for name in finding.evidence}
    source = inspect.getsource(inspect.getmodule(rule))

    for name, signal in rule.bars.items():
        # Of a rule with findings of several kinds the faulty case shows one; the others are in its source.
        in_source = source.count(f'"{name}"') > 1
        assert name in rule.model_fields or name in evidence or in_source, name
        assert SIGNALS[signal.name] == signal


@pytest.mark.parametrize("rule", BARRED, ids=lambda rule: rule.id())
def test_a_level_that_was_measured_is_one_of_its_signal(rule):
    trace = trace_of(rule.faulty)
    evidence = {name: value for finding in rule().check(trace) for name, value in finding.evidence.items()}
    values: dict[str, list[float]] = {}
    for signal in set(rule.bars.values()):
        series = [trace.series(signal), *trace.by_subject(signal).values()]
        values[signal.name] = [value for one in series for value in one if value == value]

    for name, seen in values.items():
        levels = [evidence[key] for key, signal in rule.bars.items() if signal.name == name and key in evidence]
        if seen and levels:
            margin = 0.01 * max(map(abs, seen))
            assert any(min(seen) - margin <= level <= max(seen) + margin for level in levels), (name, levels)
