"""What a drill is: something experts try by hand before a long training. It measures; rules judge what it measured.

A drill writes one fact, `drill/<name>`, with everything its rules need, and readings where there is a curve. It says
nothing about good or bad: that is in `rules/preflight`, where a rule names the fact among its `needs_facts`.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import ClassVar

from ..rules.engine.records import Array, Fact, Json, Reading, Record
from ..rules.engine.signals import Signal
from .subject import Subject

Drive = Generator[None, float, None]
"""Each `yield` asks for one iteration of the training loop, on the batch that never changes, and gives its loss."""


class Skip(Exception):
    """Raised by a drill that cannot be done here; the reason is for the user."""


class Notes:
    """What one drill has measured."""

    def __init__(self, drill: str) -> None:
        self.drill = drill
        self.records: list[Record] = []

    def fact(self, **values: Json) -> None:
        """The numbers of the drill; a later call adds to an earlier one."""
        name = f"drill/{self.drill}"
        before = next((one for one in self.records if isinstance(one, Fact)), None)
        known = before.value if before is not None and isinstance(before.value, dict) else {}
        self.records = [one for one in self.records if one is not before]
        self.records.append(Fact(name, 0, {**known, **values}))

    def reading(self, signal: Signal, subject: str, step: int, value: float) -> None:
        """A point of a curve; `subject` is the drill, or `<drill>/<variant>`."""
        self.records.append(Reading(signal.name, subject, step, value))

    def array(self, signal: Signal, subject: str, step: int, values: tuple[float, ...]) -> None:
        """A row of numbers."""
        self.records.append(Array(signal.name, subject, step, values))

    @property
    def value(self) -> Mapping[str, Json]:
        """The fact so far."""
        found = next((one.value for one in self.records if isinstance(one, Fact)), None)
        return found if isinstance(found, dict) else {}


class Drill:
    """One drill. Subclasses override `measure`, or, when they need the training loop itself, `drive`.

    Around each, everything is restored: parameters, buffers, optimizers, modes, hooks and random generators.
    """

    name: ClassVar[str]
    """In kebab case; the fact is `drill/<name>`."""
    title: ClassVar[str]
    """A few words for the table."""
    seconds: ClassVar[float] = 10.0
    """The most it should take; a drill looks at its `deadline` itself."""
    in_loop: ClassVar[bool] = False
    """Whether it needs the training loop: `drive` is called then."""
    after_failure: ClassVar[bool] = False
    """Whether it is done only when a rule has found a fault in what earlier drills measured."""

    def __init__(self, seconds: float | None = None) -> None:
        self.budget = self.seconds if seconds is None else seconds

    def measure(self, subject: Subject, notes: Notes) -> None:
        """Measures; raises `Skip` with the reason why it cannot."""
        raise NotImplementedError

    def drive(self, subject: Subject, notes: Notes) -> Drive:
        """Measures, asking with each `yield` for an iteration of the training loop."""
        raise NotImplementedError
