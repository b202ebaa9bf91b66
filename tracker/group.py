"""The live part of a run of several processes: what a member tells rank 0, and what rank 0 makes of it.

Only rank 0 judges. A member keeps a short account of what rank 0 would not see in its own numbers (losses that are not
finite, parts that failed, rates and weights), a file that is replaced now and then; rank 0 reads it where it judges
anyway, and writes what it learns into its own journal. So the journal of rank 0 holds all that was judged, and a replay
of it gives the same verdict.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .distributed import ACCOUNT, Place, announce, leader_of, members_of
from .journal import JournalReader
from .judging import Judging
from .rules.engine.records import TRAINING, Event, Fact, Reading
from .rules.engine.signals import GRAD_NORM, LOSS, LR
from .rundir import RunDir

if TYPE_CHECKING:
    from .rules.engine import FindingRecord
    from .rules.engine.records import Json
    from .session import Session

SECONDS_BETWEEN = 2.0
"""Seconds between two accounts of a member, and between two looks of rank 0 at them: epochs may be very short."""

LAST_WORD = 3.0
"""Seconds rank 0 waits, at the end and at most, for the last account of members that live. They end at about the same
time: what each has to do after its last step is the same."""

RANKS = "ranks"
"""Fact: `world_size`; `seen`, the ranks that were; `differ`, what should be the same on all ranks and is not, by rank;
`nonfinite`, `faults` and `ended`, by rank."""

_ALARMING = (LOSS.name, GRAD_NORM.name)


class Member:
    """Takes the place of the judgement in a rank that is part of rank 0's run; it finds nothing by itself."""

    def __init__(self, session: Session, place: Place) -> None:
        self.place = place
        self.findings: list[FindingRecord] = []
        self._session = session
        self._reader = JournalReader(session.journal.path)
        self._written = 0.0
        self._alarms = 0
        self._stop_asked = -1
        self._stop_at: int | None = None
        self._account: dict[str, Any] = {"rank": place.rank, "nonfinite": {}, "faults": {}, "lr": {}, "epochs": 0}

    @property
    def should_stop(self) -> bool:
        """True from the epoch on for which rank 0 has announced it; looked up once an epoch."""
        epoch = self._session.clock.epoch
        if self._stop_at is None and self._stop_asked != epoch:
            self._stop_asked = epoch
            with self._session.guard.part("ranks"):
                self._stop_at = (leader_of(self.place) or {}).get("stop_at")
        return self._stop_at is not None and epoch >= self._stop_at

    def begin(self) -> None:
        """There are no rules to load."""

    def at_once(self, step: int) -> None:
        """A reading is not finite: rank 0 is told, the first time and then ever more rarely."""
        self._alarms += 1
        if self._alarms & (self._alarms - 1) == 0:
            self._tell()

    def now_and_then(self, step: int) -> None:
        """Nothing is judged here."""

    def epoch(self, step: int) -> None:
        """An epoch is complete: rank 0 is told, unless it just was."""
        if time.perf_counter() - self._written >= SECONDS_BETWEEN:
            self._tell()

    def another(self, step: int, number: int) -> None:
        """Another model is trained from here on."""
        self._session.journal.event(TRAINING, step, {"number": number})

    def conclude(self, step: int) -> None:
        """The last account, with the weights at the end."""
        self._tell(concluded=True)

    def _tell(self, concluded: bool = False) -> None:
        if "ranks" in self._session.guard.off:
            return
        with self._session.guard.part("ranks"):
            for _, record in self._reader.read():
                self._note(record)
            self._session.rundir.write_json(ACCOUNT, {**self._account, "concluded": concluded})
            self._written = time.perf_counter()

    def _note(self, record: object) -> None:
        account = self._account
        if isinstance(record, Reading):
            if record.signal == LR.name:
                account["lr"][record.subject] = record.value
            elif record.signal in _ALARMING and not math.isfinite(record.value):
                first = {"signal": record.signal, "subject": record.subject, "step": record.step, "value": record.value}
                account["nonfinite"].setdefault(record.signal, first)
        elif isinstance(record, Event):
            if record.name == "fault":
                account["faults"][str(record.data.get("part"))] = str(record.data.get("reason"))
            account["epochs"] += record.name == "epoch"
        elif isinstance(record, Fact) and record.name == "weights":
            account["weights"] = record.value
        elif isinstance(record, Fact) and record.name == "parameters":
            account["parameters"] = shapes_of(record.value)


class Leader:
    """Judges rank 0's run, and takes in before what the members say."""

    def __init__(self, session: Session, place: Place, judging: Judging) -> None:
        """`judging` is what judges the journal of rank 0."""
        self.place = place
        self._session = session
        self._judging = judging
        self._looked = time.perf_counter()
        self._taken: set[tuple[int, str]] = set()
        self._stop_at: int | None = None

    @property
    def findings(self) -> list[FindingRecord]:
        """What has been found so far."""
        return self._judging.findings

    @property
    def should_stop(self) -> bool:
        """True from the epoch on that was announced to all ranks: one that stops alone leaves the others waiting.

        That is the next but one: no rank gets through the next epoch without this one, which has announced it before.
        """
        if self._judging.should_stop and self._stop_at is None:
            self._stop_at = self._session.clock.epoch + 2
            with self._session.guard.part("ranks"):
                announce(self._session.rundir, self.place, stop_at=self._stop_at)
        return self._stop_at is not None and self._session.clock.epoch >= self._stop_at

    def begin(self) -> None:
        """Loads the rules."""
        self._judging.begin()

    def at_once(self, step: int) -> None:
        """A reading is not finite."""
        self._judging.at_once(step)

    def now_and_then(self, step: int) -> None:
        """A step is done."""
        self._judging.now_and_then(step)

    def epoch(self, step: int) -> None:
        """An epoch is complete: learns what the members say, and judges."""
        if time.perf_counter() - self._looked >= SECONDS_BETWEEN:
            with self._session.guard.part("ranks"):
                self._learn(step, self._accounts())
                self._looked = time.perf_counter()
        self._judging.epoch(step)
        _ = self.should_stop  # announced at the end of the epoch that was judged, before the next one can end anywhere

    def another(self, step: int, number: int) -> None:
        """Another model is trained from here on."""
        self._judging.another(step, number)

    def conclude(self, step: int) -> dict[str, Json] | None:
        """Waits, within bounds, for the last word of the members, and judges the whole run."""
        with self._session.guard.part("ranks"):
            accounts = self._accounts()
            deadline = time.monotonic() + LAST_WORD
            while time.monotonic() < deadline and any(
                not account.get("concluded") and member.is_alive() for member, account in accounts.values()
            ):
                time.sleep(0.01)
                accounts = self._accounts()
            self._learn(step, accounts, is_last=True)
        return self._judging.conclude(step)

    def _accounts(self) -> dict[int, tuple[RunDir, dict[str, Any]]]:
        spec = self._session.spec
        found = members_of(self.place, float(spec["started"]), time.time(), str(spec.get("launch") or ""))
        return {rank: (member, member.read_json(ACCOUNT)) for rank, member in found.items()}

    def _learn(self, step: int, accounts: Mapping[int, tuple[RunDir, dict[str, Any]]], is_last: bool = False) -> None:
        """Journals what is new: the readings that are not finite, as the merged value is not, and what differs."""
        is_new = False
        for rank, (_, account) in accounts.items():
            for name, first in (account.get("nonfinite") or {}).items():
                if (rank, name) not in self._taken:
                    self._taken.add((rank, name))
                    is_new = True
                    value = float(first["value"])
                    self._session.journal.reading(first["signal"], first["subject"], int(first["step"]), value)
        if is_new or is_last:
            self._session.journal.fact(RANKS, step, self._fact({r: said for r, (_, said) in accounts.items()}, is_last))
        if is_new and not is_last:
            self._judging.at_once(step)

    def _fact(self, accounts: Mapping[int, Mapping[str, Any]], is_last: bool) -> dict[str, Json]:
        by_rank: dict[str, dict[str, Json]] = {"nonfinite": {}, "faults": {}}
        for rank, account in accounts.items():
            for name, found in by_rank.items():
                if account.get(name):
                    found[str(rank)] = account[name]
        differ: dict[str, Json] = {}
        if is_last:
            trace = self._judging.read_up()
            rates = {subject: series[-1] for subject, series in trace.by_subject(LR).items()}
            parameters = shapes_of(trace.facts.get("parameters"))
            own = {"lr": rates, "weights": trace.facts.get("weights"), "parameters": parameters}
            differ = differences(own, {rank: a for rank, a in accounts.items() if a.get("concluded")})
        seen: list[Json] = [0, *accounts]
        return {"world_size": self.place.world_size, "seen": seen, "differ": differ, **by_rank}


def shapes_of(parameters: object) -> str | None:
    """A digest of the names and shapes in the fact `parameters`; None without it."""
    if not isinstance(parameters, Mapping) or not parameters:
        return None
    shapes = sorted((str(name), str(one.get("shape"))) for name, one in parameters.items() if isinstance(one, Mapping))
    return hashlib.sha256(repr(shapes).encode()).hexdigest()[:16]


def differences(own: Mapping[str, Any], accounts: Mapping[int, Mapping[str, Any]]) -> dict[str, Json]:
    """What should be the same on all ranks and is not: name -> rank -> value.

    Learning rates at the end, names and shapes of the parameters, the digests of the weights at start and end, which
    count where they were taken after the same number of steps. Ranks that hold different parts of one model (sharded, a
    pipeline) differ from the start.
    """
    found: dict[str, Json] = {}
    values: dict[str, dict[int, Any]] = {}
    for rank, account in {0: own, **accounts}.items():
        for subject, rate in (account.get("lr") or {}).items():
            values.setdefault(f"lr/{subject}", {})[rank] = rate
        if account.get("parameters"):
            values.setdefault("parameters", {})[rank] = account["parameters"]
        weights = account.get("weights") or {}
        if weights.get("start"):
            values.setdefault("weights/start", {})[rank] = weights["start"]
        latest = weights.get("end") or weights.get("later")
        if latest and weights.get("step") == (own.get("weights") or {}).get("step"):
            values.setdefault("weights/end", {})[rank] = latest
        with contextlib.suppress(KeyError):
            values.setdefault("steps", {})[rank] = weights["step"]
    for name, by_rank in values.items():
        if len(set(by_rank.values())) > 1:
            found[name] = {str(rank): value for rank, value in sorted(by_rank.items())}
    return found
