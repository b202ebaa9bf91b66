"""Judges a run while it is active: feeds the journal to the rules, and tells what they say."""

from __future__ import annotations

import time
from collections.abc import Callable

from .guard import Guard
from .journal import Journal, JournalReader
from .report.console.terminal import Terminal
from .rules.engine import Engine, FindingRecord, Outcome, Phase, Settings, Trace
from .rules.engine.records import JUDGE, OUTCOME, TRAINING, VERDICT, Event, Json

FREE_SECONDS, SHARE = 1.0, 0.005
"""Seconds of judging after which epochs and steps are judged only while that takes no more than this share of the time.

The first few hundred epochs always are; only then, and where an epoch lasts less than a second, some are passed over.
The last judgement, of the whole run, sees all of them.
"""

NOW_AND_THEN, SECONDS_BETWEEN = 50, 2.0
"""Steps, and seconds, that lie at least between two judgements of the rules that are asked on steps."""


class Judging:
    """The engine of one run, on the records of its own journal: a replay of the journal gives the same verdict."""

    def __init__(
        self,
        journal: Journal,
        guard: Guard,
        settings: Settings,
        terminal: Terminal,
        act: Callable[[Outcome, int], bool] | None = None,
    ) -> None:
        """`act` does what follows from an outcome, given with its step, and tells whether the training is to stop."""
        self.should_stop = False
        """True once a rule that the settings list under `stop` has fired."""
        self._journal = journal
        self._guard = guard
        self._settings = settings
        self._terminal = terminal
        self._act = act
        self._reader = JournalReader(journal.path)
        self._trace = Trace()
        self._engine: Engine | None = None
        self._said: dict[str, tuple[str, str]] = {}
        self._alarms = 0
        self._step = 0
        self._began = self._at = time.perf_counter()
        self._spent = 0.0

    def begin(self) -> None:
        """Loads the rules. Apart from the rest: it is the slow part, and may fail."""
        self._engine = Engine.from_settings(self._settings)

    def at_once(self, step: int) -> None:
        """A reading is not finite: the rules for steps are asked, the first time and then ever more rarely."""
        self._alarms += 1
        if self._alarms & (self._alarms - 1) == 0:
            self.judge(Phase.STEP, step)

    def now_and_then(self, step: int) -> None:
        """Asks the rules for steps, if the last judgement is long enough ago; called now and then."""
        is_time = step - self._step >= NOW_AND_THEN and time.perf_counter() - self._at >= SECONDS_BETWEEN
        if is_time and self._has_room():
            self.judge(Phase.STEP, step)

    def epoch(self, step: int) -> None:
        """An epoch is complete: judges it, unless epochs are so short that judging each would cost too much."""
        if self._has_room():
            self.judge(Phase.EPOCH, step)

    def _has_room(self) -> bool:
        """Whether judging has taken no more than its share of the time so far."""
        return self._spent <= FREE_SECONDS + SHARE * (time.perf_counter() - self._began)

    def read_up(self) -> Trace:
        """The past up to the last record of the journal, all of whose judgements have been made."""
        for _, record in self._reader.read():
            if not (isinstance(record, Event) and record.name in (OUTCOME, VERDICT)):
                self._trace.feed(record)
        return self._trace

    def judge(self, phase: Phase, step: int) -> None:
        """Marks the judgement in the journal and makes it, on everything the journal holds so far."""
        if self._engine is None or "engine" in self._guard.off:
            return
        self._step = step
        began = time.perf_counter()
        with self._guard.part("engine"):
            self._journal.event(JUDGE, step, {"phase": phase.value})
            outcomes: list[Outcome] = []
            for _, record in self._reader.read():
                if isinstance(record, Event) and record.name in (OUTCOME, VERDICT):
                    continue
                self._trace.feed(record)
                if isinstance(record, Event) and record.name == JUDGE:
                    outcomes = self._engine.judge(Phase(str(record.data["phase"])), self._trace)
            self._tell(phase, outcomes, step)
        self._at = time.perf_counter()
        self._spent += self._at - began

    def _tell(self, phase: Phase, outcomes: list[Outcome], step: int) -> None:
        """Journals the outcomes that differ from what was said before, shows the findings, obeys the settings."""
        for outcome in outcomes:
            # Why a rule is skipped changes with every number in it; that it is skipped does not.
            said = (outcome.status.value, "|".join(finding.subject for finding in outcome.findings))
            if self._said.get(outcome.rule) != said:
                self._said[outcome.rule] = said
                self._journal.event(OUTCOME, step, outcome.as_json())
                self._terminal.outcome(outcome, self._trace.epoch, step)
            if outcome.findings and self._act is not None and self._act(outcome, step):
                self.should_stop = True
        if phase is Phase.EPOCH:
            self._terminal.epoch(self._trace, step)

    def another(self, step: int, number: int) -> None:
        """Another model is trained from here on: judges the training that is over, and begins afresh."""
        self.judge(Phase.RUN, step)
        self._journal.event(TRAINING, step, {"number": number})

    def conclude(self, step: int) -> dict[str, Json] | None:
        """Judges the whole run and journals the verdict; None when the engine is off."""
        self.judge(Phase.RUN, step)
        if self._engine is None or "engine" in self._guard.off:
            return None
        verdict = self._engine.verdict(self._trace).as_json()
        self._journal.event(VERDICT, step, verdict)
        return verdict

    @property
    def findings(self) -> list[FindingRecord]:
        """What has been found so far."""
        return self._engine.findings if self._engine is not None else []
