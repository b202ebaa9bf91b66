"""What the engine says: the outcome of one judgement, findings merged over time, and the verdict of a run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .finding import Finding, Severity, Status
from .records import Json

ENGINE_VERSION = "1"
"""Raised when the same rules on the same readings could come to another verdict."""

VERDICT_SCHEMA = 1
"""Version of the JSON form of a verdict."""


def _json_number(value: object) -> Json:
    """A number that JSON can hold: what is not finite becomes None, what is no number its text."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return str(value)
    return number if math.isfinite(number) else None


def _json_numbers(numbers: Mapping[str, Any]) -> dict[str, Json]:
    return {str(name): _json_number(value) for name, value in numbers.items()}


def _json_value(value: Any) -> Json:
    """A knob's value as JSON: sequences and mappings are kept, floats are made finite."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, Mapping):
        return {str(key): _json_value(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_json_value(item) for item in value]
    return _json_number(value)


@dataclass(frozen=True)
class Outcome:
    """How one judgement of one rule ended, with everything needed to know under which settings."""

    rule: str
    family: str
    status: Status
    severity: Severity = Severity.WARNING
    findings: tuple[Finding, ...] = ()
    reason: str = ""
    seconds: float = 0.0
    version: int = 1
    settings_digest: str = ""
    thresholds: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Json]:
        """The stored form; always finite JSON."""
        return {
            "rule": self.rule,
            "family": self.family,
            "status": self.status.value,
            "severity": self.severity.name.lower(),
            "findings": [
                {
                    "subject": finding.subject,
                    "message": str(finding.message),
                    "advice": [str(line) for line in finding.advice],
                    "evidence": _json_numbers(finding.evidence),
                    "step": finding.step,
                }
                for finding in self.findings
            ],
            "reason": self.reason,
            "seconds": _json_number(self.seconds),
            "version": self.version,
            "settings_digest": self.settings_digest,
            "thresholds": _json_value(self.thresholds),
        }


@dataclass(frozen=True)
class FindingRecord:
    """What one rule found about one subject, merged over time.

    Steps and epochs are those of the judgements; `first_step` is earlier where the rule knows when the fault began.
    """

    rule: str
    subject: str
    severity: Severity
    message: str
    """The latest message."""
    advice: tuple[str, ...]
    evidence: Mapping[str, Any]
    first_step: int
    last_step: int
    first_epoch: int
    """0-based epoch in which it was noticed; a judgement between epochs belongs to the epoch that is running."""
    last_epoch: int
    count: int = 1
    """Judgements in which it was found."""
    epochs: int = 1
    """Epochs in which it was found."""
    resolved_at: int | None = None
    """Step at which its rule was asked again and no longer found it; None while it stands."""
    suppressed: str | None = None
    """The reason given in the settings for not reporting it."""
    subjects: tuple[str, ...] = ()
    """Every subject this finding stands for, where a verdict merges several of one rule."""
    explains: tuple[str, ...] = ()
    """Rules whose findings are consequences of this one and were found in this run."""
    consequences: tuple[FindingRecord, ...] = ()
    """The findings of those rules."""

    @property
    def worst(self) -> Severity:
        """The highest severity among this finding and its consequences."""
        return max((self.severity, *(folded.worst for folded in self.consequences)))

    def as_json(self) -> dict[str, Json]:
        """The form it has in a verdict; always finite JSON."""
        return {
            "rule": self.rule,
            "severity": self.severity.name.lower(),
            "subject": self.subject,
            "message": str(self.message),
            "advice": [str(line) for line in self.advice],
            "explains": list(self.explains),
            "first_step": self.first_step,
            "last_step": self.last_step,
            "count": self.count,
            "evidence": _json_numbers(self.evidence),
            "first_epoch": self.first_epoch,
            "last_epoch": self.last_epoch,
            "epochs": self.epochs,
            "resolved_at": self.resolved_at,
            "suppressed": self.suppressed,
            "subjects": list(self.subjects or (self.subject,)),
            "consequences": [folded.as_json() for folded in self.consequences],
        }


@dataclass(frozen=True)
class Verdict:
    """What the rules say about a whole run.

    `suspicious` is "true", "false" or "unknown"; `why` says in one sentence what decided it. `findings` are the
    unsuppressed ones, headline first, consequences folded under their cause; resolved ones are kept, with the step.
    """

    suspicious: str
    why: str
    findings: Sequence[FindingRecord] = ()
    suppressed: Sequence[FindingRecord] = ()
    skipped: Sequence[Mapping[str, str]] = ()
    crashed: Sequence[Mapping[str, str]] = ()
    clear: Sequence[str] = ()
    settings_digest: str = ""
    engine_version: str = ENGINE_VERSION

    @property
    def fired(self) -> tuple[str, ...]:
        """Ids of all rules with an unsuppressed finding, consequences included, headline first."""
        found: dict[str, None] = {}
        for finding in self.findings:
            found[finding.rule] = None
            found.update((folded.rule, None) for folded in finding.consequences)
        return tuple(found)

    @property
    def worst(self) -> Severity | None:
        """The highest severity among all unsuppressed findings; None without one."""
        return max((finding.worst for finding in self.findings), default=None)

    def as_json(self) -> dict[str, Json]:
        """The machine form of the verdict, to which the caller adds run ID, reproducibility and grade."""
        return {
            "schema": VERDICT_SCHEMA,
            "suspicious": self.suspicious,
            "findings": [finding.as_json() for finding in self.findings],
            "skipped": [dict(item) for item in self.skipped],
            "crashed": [dict(item) for item in self.crashed],
            "clear": list(self.clear),
            "suppressed": [finding.as_json() for finding in self.suppressed],
            "why": self.why,
            "settings_digest": self.settings_digest,
            "engine_version": self.engine_version,
        }
