"""From what the drills measured to a table: the rules judge, each drill has one row."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..journal import JournalReader
from ..rules.engine import Engine, Level, Outcome, Phase, Settings, Severity, Status, Trace, Verdict
from ..rules.engine.records import END, JUDGE, OUTCOME, VERDICT, Event, Fact, Json, Record
from ..rules.engine.signals import LOSS
from .drill import Drill
from .measuring import CRASHED, SKIPPED

PASSED, FAILED, SKIPPED_ROW = "passed", "failed", "skipped"

FIRST_STEPS = "first-steps"
"""Name of the row about the plain steps ahead of the drills: no drill, but the rules of any run."""

_LEFT_OUT = frozenset({OUTCOME, VERDICT, END, "tag", "fault"})
"""Events of the plain first steps that are about their own run: it is judged, and ends, with the drills."""


@dataclass(frozen=True)
class Row:
    """What one drill came to."""

    drill: str
    title: str
    status: str
    """`passed`, `failed` or `skipped`."""
    says: str
    """What was measured, in numbers; why it was skipped."""
    findings: tuple[dict[str, Any], ...] = ()
    """Each with `rule`, `severity`, `subject`, `message`, `advice`."""
    seconds: float = 0.0


@dataclass(frozen=True)
class Judged:
    """The rows, and how the rules came to them."""

    rows: tuple[Row, ...]
    outcomes: tuple[Outcome, ...] = ()
    verdict: dict[str, Json] = field(default_factory=dict)
    records: tuple[Record, ...] = ()
    """What was measured, and the judgement behind it, in the order of a journal."""

    @property
    def has_failed(self) -> bool:
        """Whether a drill has failed."""
        return any(row.status == FAILED for row in self.rows)

    def as_json(self) -> dict[str, Any]:
        """The machine form of the table."""
        counts = {status: sum(row.status == status for row in self.rows) for status in (PASSED, FAILED, SKIPPED_ROW)}
        return {"schema": 1, **counts, "drills": [asdict(row) for row in self.rows]}


def judge(records: Iterable[Record], drills: Sequence[type[Drill]], settings: Settings) -> Judged:
    """Asks the rules of the phase `preflight` about what was measured.

    A drill has failed when a rule that needs its fact has found a warning or worse. Records of plain steps ahead of the
    drills are judged as in any run, where they hold judgements, and have the first row.
    """
    trace, kept = Trace(), list(records)
    engine = Engine.from_settings(settings)
    if not any(_phase(one) is Phase.PREFLIGHT for one in kept):
        kept.append(Event(JUDGE, trace.step, {"phase": Phase.PREFLIGHT.value}))
    outcomes: list[Outcome] = []
    was_trained = False
    for record in kept:
        trace.feed(record)
        phase = _phase(record)
        if phase is not None:
            found = engine.judge(phase, trace)
            outcomes, was_trained = (found, was_trained) if phase is Phase.PREFLIGHT else (outcomes, True)
    needs = {rule.id(): rule.needs_facts for rule in engine.rules}
    ended = {one.name: one.value for one in kept if isinstance(one, Fact)}
    verdict = engine.verdict(trace)
    early = {one.id() for one in engine.rules if one.severity >= Severity.WARNING and one.level <= Level.SETTING}
    rows = [_first_steps(trace, verdict, needs, early)] if was_trained and trace.series(LOSS).count else []
    for drill in drills:
        said = ended.get(f"drills/{drill.name}")
        fact = ended.get(f"drill/{drill.name}")
        if isinstance(said, dict):
            own = [one for one in outcomes if f"drill/{drill.name}" in needs.get(one.rule, ())]
            rows.append(_row(drill, said, fact if isinstance(fact, dict) else {}, own))
    return Judged(tuple(rows), tuple(outcomes), verdict.as_json(), tuple(kept))


def plain_records(journal: Path | None, profile: str) -> list[Record]:
    """What was told of the plain steps ahead of the drills, and the task's profile, to be judged with the drills."""
    told = (record for _, record in JournalReader(journal).read()) if journal is not None else ()
    kept = unjudged(told)
    if profile != "unknown":
        kept.append(Fact("profile", 0, profile))
    return kept


def unjudged(records: Iterable[Record]) -> list[Record]:
    """What was measured, without what was made of it."""
    return [one for one in records if not (isinstance(one, Event) and one.name in _LEFT_OUT)]


def _phase(record: Record) -> Phase | None:
    """The phase that is judged here."""
    is_judged = isinstance(record, Event) and record.name == JUDGE
    return Phase(str(record.data["phase"])) if is_judged and isinstance(record, Event) else None


def _first_steps(trace: Trace, verdict: Verdict, needs: Mapping[str, Sequence[str]], early: Collection[str]) -> Row:
    """What the rules for any run say of the plain steps ahead of the drills.

    Warnings about what goes on inside, and what came of it, are notes: many healthy trainings begin with one. Those
    about what was written or chosen are as good as they will be: the ids in `early`.
    """
    every = [one for top in verdict.findings for one in (top, *top.consequences)]
    own = [one for one in every if not any(name.startswith("drill/") for name in needs.get(one.rule, ()))]
    findings = tuple(
        {
            "rule": one.rule,
            "severity": one.severity.name.lower(),
            "subject": one.subject,
            "message": one.message,
            "advice": list(one.advice),
        }
        for one in own
    )
    failed = any(one.severity >= Severity.ERROR or one.rule in early for one in own)
    losses = trace.series(LOSS)
    says = f"{len(losses)} losses" + (f", {losses[0]:.4g} to {losses[-1]:.4g}" if len(losses) else "")
    return Row(FIRST_STEPS, "first steps, as they are", FAILED if failed else PASSED, says, findings)


def _row(drill: type[Drill], said: dict[str, Json], fact: dict[str, Json], outcomes: Sequence[Outcome]) -> Row:
    seconds = float(str(said.get("seconds") or 0.0))
    if said["status"] in (SKIPPED, CRASHED):
        why = str(said.get("reason"))
        why = f"the drill itself failed: {why}" if said["status"] == CRASHED else why
        return Row(drill.name, drill.title, SKIPPED_ROW, why, seconds=seconds)
    findings = tuple(
        {
            "rule": one.rule,
            "severity": one.severity.name.lower(),
            "subject": finding.subject,
            "message": finding.message,
            "advice": list(finding.advice),
        }
        for one in outcomes
        for finding in one.findings
    )
    failed = any(one.severity >= Severity.WARNING and one.findings for one in outcomes)
    judged = any(one.status in (Status.FIRED, Status.CLEAR) for one in outcomes)
    summary = str(fact.get("summary", ""))
    if outcomes and not judged:
        reasons = dict.fromkeys(one.reason for one in outcomes if one.reason)
        return Row(drill.name, drill.title, SKIPPED_ROW, "; ".join(reasons) or summary, seconds=seconds)
    return Row(drill.name, drill.title, FAILED if failed else PASSED, summary, findings, seconds)
