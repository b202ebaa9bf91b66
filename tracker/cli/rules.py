"""`tracker rules`: which rules there are, what they look for, and why one is on or off."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from ..rules.catalogue import accuracy, figures
from ..rules.engine.errors import UnknownRule
from ..rules.engine.knobs import described
from ..rules.engine.registry import Registry
from ..rules.engine.rule import Rule
from ..rules.engine.settings import Settings, matches
from .output import STYLES, ExitCode, print_json, print_table, progress, say


def load_settings(path: Path | None) -> Settings:
    """The settings of a file, or of the nearest project above the current directory."""
    return Settings.load(path if path is not None else Path.cwd())


def list_rules(path: Path | None, as_json: bool) -> int:
    """Prints all rules, sorted by family and id."""
    settings = load_settings(path)
    registry = settings.registry
    rows = [_summary(cls, registry, settings) for cls in _sorted(registry)]
    failures = [{"rule": outcome.rule, "reason": outcome.reason} for outcome in registry.failures]
    if as_json:
        print_json({"schema": 1, "settings": _file(settings), "rules": rows, "crashed": failures})
        return ExitCode.FINE
    print_table(
        ("rule", "family", "", "severity", "what it finds"),
        [(row["rule"], row["family"], "on" if row["on"] else "off", row["severity"], row["about"]) for row in rows],
        [STYLES[row["severity"]] if row["on"] else "dim" for row in rows],
    )
    for row in rows:
        if not row["on"]:
            say(f"{row['rule']} is off: {row['why']}")
    for failure in failures:
        progress(f"{failure['rule']}: {failure['reason']}")
    return ExitCode.FINE


def explain_rule(name: str, path: Path | None, as_json: bool) -> int:
    """Prints the story of a rule and its knobs, with the values these settings give them."""
    settings = load_settings(path)
    cls = _rule(name, settings.registry)
    knobs = _knobs(cls, settings)
    summary = _summary(cls, settings.registry, settings)
    story = inspect.cleandoc(cls.__doc__ or "")
    measured = accuracy().get("rules", {}).get(cls.id(), {})
    if as_json:
        print_json({"schema": 1, **summary, "story": story, "knobs": knobs, "measured": measured})
        return ExitCode.FINE
    say(f"{cls.id()}  {cls.family()} · {summary['severity']} · {'on' if summary['on'] else 'off'}", "bold")
    say(f"asked {', '.join(summary['phases'])}; needs {', '.join(summary['needs']) or 'nothing'}")
    say()
    for line in story.splitlines():
        say(line.removeprefix("## "), "bold" if line.startswith("## ") else None)
    if measured:
        say()
        say(f"Measured: {figures(measured)}")
    if knobs:
        say()
        say(f"Knobs, in [tool.tracker.rule.{cls.id()}]", "bold")
        for knob in knobs:
            given = f" (default {knob['default']})" if knob["value"] != knob["default"] else ""
            say(f"  {knob['name']} = {knob['value']}{given}  {knob['about']}")
    return ExitCode.FINE


def why_rule(name: str, path: Path | None, as_json: bool) -> int:
    """Prints whether a rule is on, and which setting makes it so."""
    settings = load_settings(path)
    summary = _summary(_rule(name, settings.registry), settings.registry, settings)
    if as_json:
        print_json({"schema": 1, "settings": _file(settings), **summary})
    else:
        say(f"{name} is {'on' if summary['on'] else 'off'}: {summary['why']}")
        say(f"settings: {_file(settings) or 'the defaults, no [tool.tracker] table was found'}")
    return ExitCode.FINE


def print_schema(path: Path | None) -> int:
    """Prints the JSON schema of `[tool.tracker]`, for editors and validators."""
    print_json(load_settings(path).json_schema())
    return ExitCode.FINE


def _file(settings: Settings) -> str | None:
    return str(settings.path) if settings.path is not None else None


def _rule(name: str, registry: Registry) -> type[Rule]:
    cls = registry.rules.get(name)
    if cls is None:
        raise UnknownRule(name, "the command line", registry.rules)
    return cls


def _sorted(registry: Registry) -> list[type[Rule]]:
    return sorted(registry.rules.values(), key=lambda cls: (cls.family(), cls.id()))


def _summary(cls: type[Rule], registry: Registry, settings: Settings) -> dict[str, Any]:
    off = registry.explain_off(cls.id(), settings)
    story = inspect.cleandoc(cls.__doc__ or "").splitlines()
    return {
        "rule": cls.id(),
        "family": cls.family(),
        "on": off is None,
        "why": off or _why_on(cls, settings),
        "severity": cls.severity.name.lower(),
        "level": cls.level.name.lower(),
        "status": cls.status,
        "about": story[0] if story else "",
        "phases": [phase.value for phase in cls.phases],
        "needs": [*(signal.name for signal in cls.needs), *(f"fact {name}" for name in cls.needs_facts)],
    }


def _why_on(cls: type[Rule], settings: Settings) -> str:
    selectors = [name for name in settings.rules.select if matches((name,), cls.id(), cls.family())]
    return f"'select' has {selectors[-1]}" if selectors else "selected"


def _knobs(cls: type[Rule], settings: Settings) -> list[dict[str, Any]]:
    given = settings.rule.get(cls.id(), {})
    defaults = cls().model_dump(mode="json")
    values = cls(**given).model_dump(mode="json")
    return [
        {"name": name, "value": values[name], "default": defaults[name], "about": field.description or ""}
        for name, field in described(cls).model_fields.items()
    ]
