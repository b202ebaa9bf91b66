"""The base class of every rule."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from .finding import Finding, Level, Phase, Severity
from .signals import Signal
from .trace import Trace


class Rule(BaseModel, ABC):
    """A pure judgement of the past: trace in, findings out.

    A subclass is one file in this order: story (docstring with *Why it matters*, *What to try*, *When it is wrong*,
    *References*), facts (the class variables below), knobs (pydantic fields, each with a docstring), two cases,
    `check`. Rules hold no state, read no clock and import neither torch nor MLflow. Thresholds are fields, never
    literals.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    phases: ClassVar[tuple[Phase, ...]] = (Phase.EPOCH, Phase.RUN)
    """When the rule is asked."""
    needs: ClassVar[tuple[Signal, ...]] = ()
    """Signals without which nothing can be judged: what to attach, what to skip, what to plot."""
    bars: ClassVar[Mapping[str, Signal]] = {}
    """Knobs, and evidence of findings, that are values of a signal the rule looks at: the report draws each as a line
    across the signal's curve."""
    needs_facts: ClassVar[tuple[str, ...]] = ()
    """Facts without which nothing can be judged."""
    history: ClassVar[int] = 1
    """How many points each needed signal must have."""
    finite: ClassVar[bool] = True
    """Whether the needed signals must be finite; non-finite ones make the outcome skipped."""
    waits_for_warmup: ClassVar[bool] = True
    """Whether the rule holds back while a learning rate still rises. Fatal and divergence rules do not."""
    profiles: ClassVar[frozenset[str]] = frozenset(
        {"supervised", "regression", "language-model", "fine-tune", "unknown"}
    )
    """Task profiles the rule is meant for; in others it is skipped."""
    severity: ClassVar[Severity] = Severity.WARNING
    level: ClassVar[Level] = Level.OUTCOME
    """How far upstream the fault is; of several headlines the one furthest up comes first."""
    explains: ClassVar[tuple[str | Level | Severity, ...]] = ()
    """Rules whose findings are consequences of this one and are folded under it: ids, all rules of a level but the
    fatal ones, and with `Severity.FATAL` those too."""
    version: ClassVar[int] = 1
    """Raised when the judgement changes; stored in every outcome."""
    status: ClassVar[str] = "stable"
    """`stable` rules are on by default, `preview` rules are not."""
    healthy: ClassVar[Mapping[str, Any]] = {}
    """Canonical case that must come out clear: its form: `tracker.rules.cases`."""
    faulty: ClassVar[Mapping[str, Any]] = {}
    """Canonical case that must fire."""

    @classmethod
    @cache
    def id(cls) -> str:
        """The rule's name, in kebab case: `LossSpike` is `loss-spike`."""
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", cls.__name__).lower()

    @classmethod
    def family(cls) -> str:
        """The folder the rule's file is in: `loss` for `rules/loss/loss_spike.py`; a lone module is its own family."""
        return cls.__module__.split(".")[-2:][0]

    @abstractmethod
    def check(self, trace: Trace) -> Iterator[Finding]:
        """Yields a finding for each subject at fault; raises `NotApplicable` when it cannot tell."""
