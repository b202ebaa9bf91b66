"""What the rules have said of a run that goes on, or that never came to say what it thought of itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...rules.engine.records import OUTCOME, TRAINING, Event, Json

_RANKS = {"info": 0, "warning": 1, "error": 2, "fatal": 3}
MOST_FINDINGS = 500
"""Findings that are followed; of a run of very many trainings, those of the first."""


class Judged:
    """The outcomes of a run so far, as a verdict that is open.

    Live, a rule's outcome is written when it has changed. So there is one finding for each rule and subject, from the
    step at which it was first said; how often it was found since is not known before the end, and neither is which
    finding explains which.
    """

    def __init__(self) -> None:
        self.outcomes: dict[str, dict[str, Json]] = {}
        """What each rule said last."""
        self.fired_at: dict[str, int] = {}
        """Step at which each rule was first said to have found something; the fault may have begun earlier."""
        self._findings: dict[tuple[int, str, str], dict[str, Any]] = {}
        self._training = 0

    def take(self, event: Event) -> None:
        """Takes one event; only outcomes, and the beginnings of further trainings, say anything here."""
        if event.name == TRAINING:
            self._training += 1  # what stands when a training ends, stands: the next one cannot resolve it
        elif event.name == OUTCOME:
            outcome = dict(event.data)
            rule = str(outcome.get("rule"))
            self.outcomes[rule] = outcome
            if outcome.get("status") == "fired":
                self.fired_at.setdefault(rule, event.step)
            if outcome.get("status") in ("fired", "clear"):
                self._note(rule, outcome, event.step)

    def _note(self, rule: str, outcome: Mapping[str, Any], step: int) -> None:
        found = outcome.get("findings")
        said = [one for one in found if isinstance(one, Mapping)] if isinstance(found, list) else []
        subjects = {str(one.get("subject") or "") for one in said}
        for key, known in self._findings.items():
            if key[:2] == (self._training, rule) and key[2] not in subjects and known["resolved_at"] is None:
                known["resolved_at"] = step
        for one in said:
            subject = str(one.get("subject") or "")
            key = self._training, rule, subject
            before = self._findings.get(key)
            if before is None and len(self._findings) >= MOST_FINDINGS:
                continue
            began = one.get("step")
            first = began if isinstance(began, int) and not isinstance(began, bool) else step
            advice = one.get("advice")
            self._findings[key] = {
                "rule": rule,
                "severity": str(outcome.get("severity") or "warning"),
                "subject": subject,
                "message": str(one.get("message") or ""),
                "advice": [str(line) for line in advice] if isinstance(advice, list) else [],
                "evidence": one.get("evidence") if isinstance(one.get("evidence"), dict) else {},
                "explains": [],
                "first_step": before["first_step"] if before else first,
                "last_step": step,
                "count": before["count"] + 1 if before else 1,
                "resolved_at": None,
                "suppressed": None,
                "subjects": [subject],
                "consequences": [],
            }

    def verdict(self) -> dict[str, Any]:
        """In the form of `findings.json`, as far as it goes; empty where no rule has said anything."""
        if not self.outcomes:
            return {}
        findings = _merged(list(self._findings.values()))
        findings.sort(key=lambda one: (one["resolved_at"] is not None, -_rank(one), one["first_step"]))
        clear = sorted(rule for rule, one in self.outcomes.items() if one.get("status") == "clear")
        counts = [one for one in findings if _rank(one) >= 2 or (_rank(one) == 1 and one["resolved_at"] is None)]
        if counts:
            head = counts[0]
            suspicious, why = "true", f"{head['rule']} ({head['severity']}) from step {head['first_step']}, so far"
        else:
            suspicious, why = "unknown", f"not judged to the end: {len(clear)} rules have found nothing so far"
        return {
            "suspicious": suspicious,
            "why": why,
            "findings": findings,
            "clear": clear,
            **{status: self._reasons(status) for status in ("skipped", "crashed")},
        }

    def _reasons(self, status: str) -> list[dict[str, str]]:
        return [
            {"rule": rule, "reason": str(one.get("reason") or "")}
            for rule, one in sorted(self.outcomes.items())
            if one.get("status") == status
        ]


def _rank(finding: Mapping[str, Any]) -> int:
    return _RANKS.get(str(finding["severity"]), 1)


def _merged(findings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One for each rule, as in a verdict: under the subject it named first, those that stand before resolved ones."""
    by_rule: dict[str, list[dict[str, Any]]] = {}
    for finding in findings:
        by_rule.setdefault(finding["rule"], []).append(finding)
    merged = []
    for group in by_rule.values():
        spokesman = min(group, key=lambda one: (one["resolved_at"] is not None, one["first_step"]))
        ends = [one["resolved_at"] for one in group]
        merged.append(
            {
                **spokesman,
                "subjects": [one["subject"] for one in group],
                "first_step": min(one["first_step"] for one in group),
                "last_step": max(one["last_step"] for one in group),
                "count": max(one["count"] for one in group),
                "resolved_at": None if None in ends else max(ends),
            }
        )
    return merged
