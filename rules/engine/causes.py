"""One headline for each cause: findings that another finding explains are folded under it.

Rules declare what they explain (`Rule.explains`). A declaration says what is possible; a finding is folded only when
the cause was really found, no later than its consequence, and had not gone away before.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from .finding import Level, Severity
from .outcome import FindingRecord
from .rule import Rule

SLACK_STEPS = 100
"""Steps by which a cause may be noticed later than its consequence: a symptom is often visible before its origin is, as
origins are measured on sampled steps. Within one epoch any order is accepted."""


def explained(rules: Sequence[Rule]) -> dict[str, frozenset[str]]:
    """The ids that each rule can explain, by its id: those it names, and those of the levels it names.

    A level does not stand for its fatal rules, for which `Severity.FATAL` does: of all that lies upstream of a NaN
    little can make one, and what cannot must not hide it.
    """
    of_level: dict[Level, set[str]] = {level: set() for level in Level}
    for rule in rules:
        if rule.severity is not Severity.FATAL:
            of_level[rule.level].add(rule.id())
    found: dict[str, frozenset[str]] = {}
    for rule in rules:
        named = {one for one in rule.explains if isinstance(one, str)}
        named.update(*(of_level[one] for one in rule.explains if isinstance(one, Level)))
        if Severity.FATAL in [one for one in rule.explains if isinstance(one, Severity)]:
            named.update(one.id() for one in rules if one.severity is Severity.FATAL)
        found[rule.id()] = frozenset(named - {rule.id()})
    return found


def fold(
    findings: Sequence[FindingRecord],
    explains: Mapping[str, Collection[str]],
    timeless: Collection[str] = (),
    slack: int = SLACK_STEPS,
    levels: Mapping[str, Level] | None = None,
) -> list[FindingRecord]:
    """The headlines, the most upstream first, each with its consequences, and theirs, folded under it.

    What makes a run suspicious comes before what does not, what stands before what has gone away; then the level of the
    rule decides, then the severity. `explains` maps the id of a rule to the ids it can explain. Rules in `timeless` are
    asked once a run, so that the step at which they spoke says nothing about when the fault began.
    """
    levels = levels or {}
    causes = {
        id(finding): [
            cause
            for cause in findings
            if finding.rule in explains.get(cause.rule, ()) and _came_first(cause, finding, timeless, slack)
        ]
        for finding in findings
    }
    roots: dict[int, FindingRecord] = {}
    folded: dict[int, list[FindingRecord]] = {}
    for finding in findings:
        root = _root(finding, causes)
        roots[id(root)] = root
        if root is not finding:
            folded.setdefault(id(root), []).append(finding)
    headlines = [_with_consequences(root, folded.get(key, []), levels) for key, root in roots.items()]
    return sorted(headlines, key=lambda one: _weight(one, levels))


def _came_first(cause: FindingRecord, finding: FindingRecord, timeless: Collection[str], slack: int) -> bool:
    if cause.rule == finding.rule:
        return False
    if cause.severity is Severity.INFO and finding.severity is not Severity.INFO:
        return False  # a remark must not hide a warning
    if cause.rule in timeless:
        return True
    if cause.resolved_at is not None and cause.resolved_at < finding.first_step:
        return False
    return cause.first_epoch <= finding.first_epoch or cause.first_step <= finding.first_step + slack


def _root(finding: FindingRecord, causes: Mapping[int, Sequence[FindingRecord]]) -> FindingRecord:
    """The most upstream cause. Where rules explain each other, the one found first is the cause."""
    sources = [
        one
        for one in _upstream(finding, causes).values()
        if all(id(one) in _upstream(other, causes) for other in _upstream(one, causes).values())
    ]
    return min(sources, key=_age)


def _upstream(finding: FindingRecord, causes: Mapping[int, Sequence[FindingRecord]]) -> dict[int, FindingRecord]:
    """The finding and all its causes, direct or not."""
    seen: dict[int, FindingRecord] = {}
    waiting = [finding]
    while waiting:
        current = waiting.pop()
        if id(current) not in seen:
            seen[id(current)] = current
            waiting.extend(causes[id(current)])
    return seen


def _with_consequences(
    root: FindingRecord, consequences: list[FindingRecord], levels: Mapping[str, Level]
) -> FindingRecord:
    ordered = tuple(sorted(consequences, key=lambda one: _weight(one, levels)))
    return replace(root, consequences=ordered, explains=tuple(dict.fromkeys(one.rule for one in ordered)))


def _age(finding: FindingRecord) -> tuple[int, int, int, str, str]:
    return finding.first_step, finding.first_epoch, -finding.severity, finding.rule, finding.subject


def _weight(finding: FindingRecord, levels: Mapping[str, Level]) -> tuple[bool, bool, int, int, int, int, str, str]:
    over = all(one.resolved_at is not None for one in (finding, *finding.consequences))
    return (
        finding.worst < Severity.WARNING,
        over,
        levels.get(finding.rule, Level.OUTCOME),
        -finding.worst,
        -len(finding.consequences),
        finding.first_step,
        finding.rule,
        finding.subject,
    )
