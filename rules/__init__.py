"""Everything that has an opinion: rules, and the engine that asks them.

::

    from tracker.rules import Engine, Phase, Settings, Trace

    engine = Engine.from_settings(Settings.load("."))
    engine.judge(Phase.EPOCH, trace)
    engine.verdict(trace).suspicious

Names are loaded when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from . import engine

if TYPE_CHECKING:
    from .engine import (
        SIGNALS,
        Array,
        ConfigError,
        DuplicateRule,
        Engine,
        Event,
        Fact,
        Finding,
        FindingRecord,
        Level,
        NotApplicable,
        Outcome,
        Phase,
        Reading,
        Record,
        Registry,
        Rule,
        RuleError,
        Series,
        Settings,
        Severity,
        Signal,
        Status,
        Trace,
        UnknownRule,
        Verdict,
        signals,
    )
    from .engine.replay import replay, with_judgements

__all__ = [
    "SIGNALS",
    "Array",
    "ConfigError",
    "DuplicateRule",
    "Engine",
    "Event",
    "Fact",
    "Finding",
    "FindingRecord",
    "Level",
    "NotApplicable",
    "Outcome",
    "Phase",
    "Reading",
    "Record",
    "Registry",
    "Rule",
    "RuleError",
    "Series",
    "Settings",
    "Severity",
    "Signal",
    "Status",
    "Trace",
    "UnknownRule",
    "Verdict",
    "replay",
    "signals",
    "with_judgements",
]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "signals":
        return import_module(".engine.signals", __name__)
    if name in ("replay", "with_judgements"):
        return getattr(import_module(".engine.replay", __name__), name)
    return getattr(engine, name)
