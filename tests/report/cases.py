"""Sources of reports made of the cases that rules bring along: what they see, and what they find in it."""

from collections.abc import Mapping, Sequence
from typing import Any

from tracker.report.gathering.gathered import Gathered
from tracker.report.gathering.sources import Source
from tracker.rules.cases import records_of, trace_of
from tracker.rules.engine import Engine, Rule
from tracker.rules.engine.records import OUTCOME, Event, Record


def source_of(case: Mapping[str, Any], rules: Sequence[type[Rule]], more: Sequence[Record] = ()) -> Source:
    """The run of a case, judged at its end by these rules."""
    trace, engine = trace_of(case), Engine([rule() for rule in rules])
    phases = dict.fromkeys(phase for rule in rules for phase in rule.phases)
    outcomes = [outcome for phase in phases for outcome in engine.judge(phase, trace)]
    gathered = Gathered()
    for record in (*records_of(case), *more, *(Event(OUTCOME, trace.step, one.as_json()) for one in outcomes)):
        gathered.take(1.0, record)
    verdict = engine.verdict(trace).as_json()
    return Source("4b9f", name="a run", status="FINISHED", verdict=verdict, gathered=gathered)
