"""What a rule says: findings, and the outcome they are part of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, IntEnum


class Phase(str, Enum):
    """When a rule is asked, written as the training loop it lives in::

    # PREFLIGHT   before the first step, on what drills measured
    for epoch in range(n):
        for batch in loader:
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
            # STEP      on sampled steps, and at once when a reading is not finite
        validate()
        # EPOCH         after the validation that belongs to the epoch
    # RUN         once, when the run has ended
    # CROSS_RUN   when runs are compared, on the traces of several
    """

    PREFLIGHT = "preflight"
    STEP = "step"
    EPOCH = "epoch"
    RUN = "run"
    CROSS_RUN = "cross_run"


class Severity(IntEnum):
    """How much a finding matters. A run is suspicious from WARNING up; INFO never notifies."""

    INFO = 0
    WARNING = 1
    ERROR = 2
    FATAL = 3


class Level(IntEnum):
    """How far upstream a fault is: what is further up causes what is further down, and is told first."""

    LOGIC = 0
    """The code does not do what it says: a parameter nobody trains, a gradient nobody clears."""
    SETTING = 1
    """What was chosen or given: data, loss, initialisation, rates."""
    DYNAMICS = 2
    """What goes on inside: gradients, activations, weights."""
    OUTCOME = 3
    """What came of it: losses and metrics."""


class Status(str, Enum):
    """How one judgement of one rule ended. Only CLEAR means: looked, and found nothing."""

    FIRED = "fired"
    CLEAR = "clear"
    SKIPPED = "skipped"
    CRASHED = "crashed"


class NotApplicable(Exception):
    """Raised by a rule that meets a case it cannot judge; the outcome is skipped, with this reason."""


@dataclass(frozen=True)
class Finding:
    """One fault, in numbers.

    `message` is *number seen and number expected*, without adjectives. `advice` is imperative, most likely cause
    first, at most three. `evidence` holds finite numbers; the report plots them. `step` is where the fault began, if
    the rule can tell; otherwise the step of the judgement stands for it.
    """

    message: str
    advice: tuple[str, ...] | str
    subject: str = ""
    evidence: Mapping[str, float] = field(default_factory=dict)
    step: int | None = None

    def __post_init__(self) -> None:
        if isinstance(self.advice, str):
            object.__setattr__(self, "advice", (self.advice,))
