"""The engine: asks the rules, keeps what they found, and comes to a verdict."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from .finding import Finding, NotApplicable, Phase, Severity, Status
from .gates import reason_to_skip
from .ledger import Ledger
from .outcome import FindingRecord, Outcome, Verdict
from .rule import Rule
from .settings import Settings
from .signals import Signal
from .trace import Trace
from .verdict import conclude

ONCE = frozenset({Phase.PREFLIGHT, Phase.RUN, Phase.CROSS_RUN})
"""Phases that come once in a run: patience would wait for ever."""


class Engine:
    """Asks rules about a trace and keeps what they found, merged over time.

    ::

        engine = Engine.from_settings(Settings.load("."))
        for outcome in engine.judge(Phase.EPOCH, trace):
            ...
        print(engine.verdict(trace).suspicious)

    One engine judges one run. It never raises what a rule raises: that is a crashed outcome.
    """

    def __init__(
        self, rules: Sequence[Rule], settings: Settings | None = None, failures: Sequence[Outcome] = ()
    ) -> None:
        """`failures` are outcomes to report for rules that could not even be imported, see `Registry.failures`."""
        self.settings = settings or Settings()
        self.rules = tuple(rules)
        self.ledger = Ledger(patience=self.settings.rules.patience, failures=failures)
        self._digest = self.settings.digest()
        self._unreported = [*failures]
        self._off = {rule.id(): self._why_off(rule) for rule in self.rules}
        self._blanks = {
            rule.id(): Outcome(
                rule=rule.id(),
                family=rule.family(),
                status=Status.SKIPPED,
                severity=rule.severity,
                version=rule.version,
                settings_digest=self._digest,
                thresholds=rule.model_dump(mode="json"),
            )
            for rule in self.rules
        }

    @classmethod
    def from_settings(cls, settings: Settings | None = None) -> Engine:
        """An engine with all rules there are: built-in ones, plug-ins, and the project's own."""
        settings = settings or Settings()
        return cls(settings.registry.instances(settings), settings, settings.registry.failures)

    @property
    def needs(self) -> frozenset[Signal]:
        """The signals that the rules that are on cannot do without."""
        return frozenset(signal for rule in self.rules if self._off[rule.id()] is None for signal in rule.needs)

    @property
    def findings(self) -> list[FindingRecord]:
        """What has been found so far and is not suppressed, by rule and subject, oldest first, not folded."""
        return [record for record in self.ledger.records if record.suppressed is None]

    def judge(self, phase: Phase, trace: Trace) -> list[Outcome]:
        """Asks every rule of the phase. Each has an outcome; a rule of another phase is not asked and has none.

        A finding within the patience of the settings, or a suppressed one, is kept back: with none left, the outcome is
        skipped and says so.
        """
        self.ledger.note_judgement(phase, trace)
        outcomes, self._unreported = self._unreported, []
        return [*outcomes, *(self._ask(rule, phase, trace) for rule in self.rules if phase in rule.phases)]

    def verdict(self, trace: Trace) -> Verdict:
        """What is to be said of the whole run, from all judgements so far; asks no rule again."""
        rules = [(rule, self._off[rule.id()]) for rule in self.rules]
        return conclude(self.ledger, rules, self.settings, self._digest)

    def _why_off(self, rule: Rule) -> str | None:
        why = self.settings.explain_off(rule.id(), rule.family(), rule.status)
        return why and f"off: {why}"

    def _ask(self, rule: Rule, phase: Phase, trace: Trace) -> Outcome:
        start = time.perf_counter()
        try:
            reason = self._off[rule.id()] or reason_to_skip(rule, trace, self.settings.profile)
            if reason is not None:
                return self._noted(rule, Status.SKIPPED, reason=reason)
            findings = _checked(rule.check(trace))
        except NotApplicable as not_applicable:
            return self._noted(rule, Status.SKIPPED, reason=str(not_applicable) or "the rule does not apply here")
        except Exception as error:
            return self._noted(rule, Status.CRASHED, reason=_crash(rule, error), seconds=time.perf_counter() - start)
        seconds = time.perf_counter() - start
        suppressed = {
            finding.subject: self.settings.suppression(rule.id(), rule.family(), finding.subject)
            for finding in findings
        }
        patient = rule.severity is not Severity.FATAL and not ONCE.issuperset(rule.phases)
        reported = self.ledger.note_findings(rule, phase, trace, findings, suppressed, patient=patient)
        if not findings:
            return self._noted(rule, Status.CLEAR, seconds=seconds)
        if reported:
            return self._noted(rule, Status.FIRED, findings=reported, seconds=seconds)
        reason = next((f"suppressed: {why}" for why in suppressed.values() if why is not None), "")
        if not all(suppressed.values()):
            reason = f"found, but not yet in {self.settings.rules.patience} judgements in a row (patience)"
        return self._noted(rule, Status.SKIPPED, reason=reason, seconds=seconds)

    def _noted(self, rule: Rule, status: Status, **fields: Any) -> Outcome:
        outcome = replace(self._blanks[rule.id()], status=status, **fields)
        self.ledger.note_outcome(outcome)
        return outcome


def _checked(found: Iterable[Finding] | None) -> tuple[Finding, ...]:
    """The findings, once each: of several about one subject the first counts. A rule may also return None for none."""
    by_subject: dict[str, Finding] = {}
    for finding in found or ():
        if not isinstance(finding, Finding):
            raise TypeError(f"check() gave a {type(finding).__name__}; expected Finding objects")
        if not isinstance(finding.subject, str) or not isinstance(finding.advice, (tuple, list)):
            raise TypeError(f"check() gave {finding!r}; expected a str as subject and lines of text as advice")
        by_subject.setdefault(finding.subject, finding)
    return tuple(by_subject.values())


def _crash(rule: Rule, error: Exception) -> str:
    """Type, message and place, as `ValueError: ... (loss_spike.py:41)`: the rule's own line where there is one."""
    frames = traceback.extract_tb(error.__traceback__)
    own_file = getattr(sys.modules.get(type(rule).__module__), "__file__", None)
    frame = next((one for one in reversed(frames) if one.filename == own_file), frames[-1])
    return f"{type(error).__name__}: {error} ({Path(frame.filename).name}:{frame.lineno})"
