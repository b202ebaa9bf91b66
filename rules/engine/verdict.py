"""From everything that was found to one verdict.

`suspicious` is

- "true" when an unsuppressed finding of WARNING or worse stands at the end, or was ERROR or FATAL at any time, or was
  found in more than a third of the judged epochs: a warning that went away early is how many healthy runs begin;
- "false" when there is none of these and the listed minimum of rules came out clear;
- "unknown" otherwise: too little could be judged.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from .causes import explained, fold
from .finding import Phase, Severity, Status
from .ledger import Ledger
from .outcome import FindingRecord, Verdict
from .rule import Rule
from .settings import Settings

LASTING = 1 / 3
"""Share of the judged epochs beyond which a warning counts although it went away."""


def conclude(
    ledger: Ledger, rules: Sequence[tuple[Rule, str | None]], settings: Settings, settings_digest: str
) -> Verdict:
    """The verdict; `rules` are all rules, each with the reason why it is off, if it is."""
    reported = [record for record in ledger.records if record.suppressed is None]
    suspects = [record for record in reported if _counts(record, ledger.judged_epochs)]
    clear = sorted(
        rule.id()
        for rule, off in rules
        if off is None
        and rule.id() not in ledger.crashed
        and (last := ledger.decided.get(rule.id())) is not None
        and last.status is Status.CLEAR
    )
    missing = [names for names in settings.rules.minimum if not _alternatives(names) & set(clear)]
    crashed = [{"rule": one.rule, "reason": one.reason} for one in (*ledger.failures, *ledger.crashed.values())]
    skipped = _skipped(ledger, rules)
    findings = fold(
        _merged_over_subjects(reported),
        explains=explained([rule for rule, _ in rules]),
        timeless=[rule.id() for rule, _ in rules if not {Phase.STEP, Phase.EPOCH} & set(rule.phases)],
        levels={rule.id(): rule.level for rule, _ in rules},
    )
    if suspects:
        suspicious, why = "true", _why_suspicious(findings, suspects, ledger.judged_epochs)
    elif missing:
        known = {item["rule"]: item["reason"] for item in (*skipped, *crashed)}
        suspicious, why = "unknown", _why_unknown(missing[0], known)
    else:
        suspicious, why = "false", f"{len(clear)} rules came out clear, none found a lasting fault"
    return Verdict(
        suspicious=suspicious,
        why=why,
        findings=findings,
        suppressed=[record for record in ledger.records if record.suppressed is not None],
        skipped=skipped,
        crashed=crashed,
        clear=clear,
        settings_digest=settings_digest,
    )


def _counts(record: FindingRecord, judged_epochs: int) -> bool:
    if record.severity >= Severity.ERROR:
        return True
    if record.severity < Severity.WARNING:
        return False
    return record.resolved_at is None or record.epochs > LASTING * judged_epochs


def _merged_over_subjects(records: Iterable[FindingRecord]) -> list[FindingRecord]:
    """One finding for each rule, under the subject it named first; one that still stands goes before a resolved one."""
    by_rule: dict[str, list[FindingRecord]] = {}
    for record in records:
        by_rule.setdefault(record.rule, []).append(record)
    merged = []
    for group in by_rule.values():
        spokesman = min(group, key=lambda one: (one.resolved_at is not None, one.first_step))
        ends = [one.resolved_at for one in group]
        merged.append(
            replace(
                spokesman,
                subjects=tuple(one.subject for one in group),
                first_step=min(one.first_step for one in group),
                first_epoch=min(one.first_epoch for one in group),
                last_step=max(one.last_step for one in group),
                last_epoch=max(one.last_epoch for one in group),
                count=max(one.count for one in group),
                epochs=max(one.epochs for one in group),
                resolved_at=None if None in ends else max(end for end in ends if end is not None),
            )
        )
    return merged


def _skipped(ledger: Ledger, rules: Sequence[tuple[Rule, str | None]]) -> list[dict[str, str]]:
    """Rules that never looked, each with the last reason."""
    skipped = []
    for rule, off in rules:
        name = rule.id()
        if name in ledger.decided or name in ledger.crashed:
            continue
        if Phase.PREFLIGHT not in ledger.phases and {*rule.phases} == {Phase.PREFLIGHT}:
            continue  # it judges what drills measure, and a training has none
        asked = ledger.skipped.get(name)
        when = ", ".join(phase.value for phase in rule.phases)
        reason = off or (asked.reason if asked else f"never asked: it judges in the phases {when}, none of which came")
        skipped.append({"rule": name, "reason": reason})
    return sorted(skipped, key=lambda item: item["rule"])


def _alternatives(names: str | tuple[str, ...]) -> set[str]:
    return {names} if isinstance(names, str) else set(names)


def _why_suspicious(headlines: Sequence[FindingRecord], suspects: Sequence[FindingRecord], judged_epochs: int) -> str:
    """The first headline that counts, by itself or by one of its consequences, which is then named with it."""
    counting = {one.rule for one in suspects}
    counted = ((head, one) for head in headlines for one in (head, *head.consequences) if one.rule in counting)
    head, said = next(counted, (suspects[0], suspects[0]))
    standing = _standing(said, judged_epochs)
    return standing if said is head else f"{head.rule}, which explains {standing}"


def _standing(finding: FindingRecord, judged_epochs: int) -> str:
    if finding.resolved_at is None:
        until = "and stands at the end"
    else:
        until = f"until step {finding.resolved_at}, in {finding.epochs} of {judged_epochs} judged epochs"
    return f"{finding.rule} ({finding.severity.name.lower()}) from step {finding.first_step} {until}"


def _why_unknown(names: str | tuple[str, ...], reasons: dict[str, str]) -> str:
    wanted = [names] if isinstance(names, str) else list(names)
    detail = next((f" ({name}: {reasons[name]})" for name in wanted if name in reasons), "")
    one = " or ".join(wanted)
    return f"too little could be judged: {one} did not come out clear{detail}"
