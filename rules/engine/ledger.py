"""What the engine remembers: findings merged over time, and how each rule was last answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from .finding import Finding, Phase, Status
from .outcome import FindingRecord, Outcome
from .rule import Rule
from .trace import Trace


@dataclass(frozen=True)
class Waiting:
    """A finding that has not been found often enough in a row to be reported."""

    first_step: int
    first_epoch: int
    last_step: int
    in_a_row: int
    epochs: int
    last_epoch: int


class Ledger:
    """Findings by (rule, subject), the last word of each rule, and how many epochs were judged."""

    def __init__(self, patience: int = 1, failures: Sequence[Outcome] = ()) -> None:
        self.patience = patience
        self.failures = tuple(failures)
        self.decided: dict[str, Outcome] = {}
        """The last outcome of each rule that was fired or clear."""
        self.skipped: dict[str, Outcome] = {}
        """The last skipped outcome of each rule."""
        self.crashed: dict[str, Outcome] = {}
        """The first crash of each rule."""
        self.judged_epochs = 0
        self.phases: set[Phase] = set()
        """Phases in which rules were asked."""
        """Epochs after which the rules were asked."""
        self._training = 0
        self._closed: list[FindingRecord] = []
        self._last_epoch: int | None = None
        self._records: dict[tuple[str, str], FindingRecord] = {}
        self._waiting: dict[tuple[str, str], Waiting] = {}

    @property
    def records(self) -> list[FindingRecord]:
        """All findings, suppressed ones too, in the order they were first reported."""
        return [*self._closed, *self._records.values()]

    def note_judgement(self, phase: Phase, trace: Trace) -> None:
        """Counts the epochs that were judged, and closes the book of a training when another one begins."""
        self.phases.add(phase)
        if trace.training != self._training:
            # A finding that stood when its training ended stands: the next one cannot resolve it.
            self._training = trace.training
            self._closed += self._records.values()
            self._records, self._waiting = {}, {}
        if phase is Phase.EPOCH and trace.epoch != self._last_epoch:
            self._last_epoch = trace.epoch
            self.judged_epochs += 1

    def note_outcome(self, outcome: Outcome) -> None:
        """Keeps the last word of a rule."""
        if outcome.status is Status.CRASHED:
            self.crashed.setdefault(outcome.rule, outcome)
        elif outcome.status is Status.SKIPPED:
            self.skipped[outcome.rule] = outcome
        else:
            self.decided[outcome.rule] = outcome

    def note_findings(
        self,
        rule: Rule,
        phase: Phase,
        trace: Trace,
        findings: Sequence[Finding],
        suppressed: Mapping[str, str | None],
        *,
        patient: bool,
    ) -> tuple[Finding, ...]:
        """Merges what a rule found with what it found before; returns what is to be reported now.

        A finding of before that is not among them is resolved at this step.
        """
        found = {finding.subject for finding in findings}
        for key, known in self._records.items():
            if key[0] == rule.id() and key[1] not in found and known.resolved_at is None:
                self._records[key] = replace(known, resolved_at=trace.step)
        for key in [key for key in self._waiting if key[0] == rule.id() and key[1] not in found]:
            del self._waiting[key]
        # Between two epoch ends the epoch that is running has no number in the trace yet: it is the next one.
        epoch = max(0, trace.epoch + 1 if phase is Phase.STEP else trace.epoch)
        reported = []
        for finding in findings:
            key = (rule.id(), finding.subject)
            why = suppressed.get(finding.subject)
            record = self._merged(rule, finding, trace.step, epoch, self.patience if patient else 1, why)
            if record is not None:
                self._records[key] = record
                if why is None:
                    reported.append(finding)
        return tuple(reported)

    def _merged(
        self, rule: Rule, finding: Finding, step: int, epoch: int, patience: int, suppressed: str | None
    ) -> FindingRecord | None:
        """The record of this finding; None while its patience lasts."""
        key = (rule.id(), finding.subject)
        known = self._records.get(key)
        if known is not None and known.resolved_at is None:
            return replace(
                known,
                message=finding.message,
                advice=tuple(finding.advice),
                evidence=finding.evidence,
                suppressed=suppressed,
                last_step=step,
                last_epoch=epoch,
                count=known.count + 1,
                epochs=known.epochs + (epoch != known.last_epoch),
            )
        seen = self._waited(key, step, epoch)
        if seen.in_a_row < patience:
            self._waiting[key] = seen
            return None
        self._waiting.pop(key, None)
        began = seen.first_step if finding.step is None else min(finding.step, seen.first_step)
        return FindingRecord(
            rule=rule.id(),
            subject=finding.subject,
            severity=rule.severity,
            message=finding.message,
            advice=tuple(finding.advice),
            evidence=finding.evidence,
            first_step=known.first_step if known else began,
            last_step=step,
            first_epoch=known.first_epoch if known else seen.first_epoch,
            last_epoch=epoch,
            count=seen.in_a_row + (known.count if known else 0),
            epochs=seen.epochs + (known.epochs if known else 0),
            suppressed=suppressed,
        )

    def _waited(self, key: tuple[str, str], step: int, epoch: int) -> Waiting:
        before = self._waiting.get(key)
        if before is None:
            return Waiting(step, epoch, step, in_a_row=1, epochs=1, last_epoch=epoch)
        # The judgement at the end of a run often sees what the last epoch's saw: that is no second opinion.
        return replace(
            before,
            last_step=step,
            in_a_row=before.in_a_row + (step != before.last_step),
            epochs=before.epochs + (epoch != before.last_epoch),
            last_epoch=epoch,
        )
