"""What a rule file needs: the base class, what it may say, and the past it judges.

Names are loaded when they are first used: `import tracker` needs the errors and none of the rest, and pydantic models
take tens of milliseconds to build.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .errors import ConfigError, DuplicateRule, RuleError, UnknownRule
    from .finding import Finding, Level, NotApplicable, Phase, Severity, Status
    from .outcome import FindingRecord, Outcome, Verdict
    from .records import Array, Event, Fact, Json, Reading, Record
    from .registry import Registry
    from .rule import Rule
    from .runner import Engine
    from .settings import Settings
    from .signals import SIGNALS, Signal
    from .trace import Series, Trace

_HOMES = {
    "errors": ("ConfigError", "DuplicateRule", "RuleError", "UnknownRule"),
    "finding": ("Finding", "Level", "NotApplicable", "Phase", "Severity", "Status"),
    "outcome": ("FindingRecord", "Outcome", "Verdict"),
    "records": ("Array", "Event", "Fact", "Json", "Reading", "Record"),
    "registry": ("Registry",),
    "rule": ("Rule",),
    "runner": ("Engine",),
    "settings": ("Settings",),
    "signals": ("SIGNALS", "Signal"),
    "trace": ("Series", "Trace"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

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
    "Json",
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
]


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module("." + _HOME_OF[name], __name__)
    value = globals()[name] = getattr(module, name)
    return value
