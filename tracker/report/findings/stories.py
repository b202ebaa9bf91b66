"""What rules say of themselves: the words of a finding that are the same in every run."""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from importlib import import_module
from typing import Any

from ... import rules
from ...rules.catalogue import accuracy, figures
from ...rules.engine.plugins import RULES, entry_points
from ...rules.engine.registry import Registry
from ...rules.engine.rule import Rule

WHY, TRY, WRONG, SOURCES = "Why it matters", "What to try", "When it is wrong", "References"
"""Headings of a story."""


@dataclass(frozen=True)
class Story:
    """The docstring of a rule in its parts; each paragraph and each item of a list is one line."""

    about: str = ""
    parts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Lines below each heading."""

    def under(self, heading: str) -> tuple[str, ...]:
        """The lines below a heading; none where the story lacks it."""
        return self.parts.get(heading, ())


@cache
def rule_named(name: str) -> type[Rule] | None:
    """The rule of this id, built in or of an installed plug-in; None for those that are not there any more.

    Only the rule's own module is imported: all of them together are most of what a report would cost.
    """
    module = name.replace("-", "_")
    for family in pkgutil.iter_modules(rules.__path__):
        if family.ispkg and family.name != "engine" and module in _modules_of(family.name):
            registry = Registry()
            path = f"{rules.__name__}.{family.name}.{module}"
            registry.walk(path, partial(import_module, path))
            return registry.rules.get(name)
    return _plugged_in().rules.get(name)


@cache
def _modules_of(family: str) -> frozenset[str]:
    package = import_module(f"{rules.__name__}.{family}")
    return frozenset(found.name for found in pkgutil.iter_modules(package.__path__))


@cache
def _plugged_in() -> Registry:
    registry = Registry()
    for point in entry_points(RULES):
        registry.walk(f"{point.name} ({point.value})", point.load)
    return registry


def story_of(rule: type[Rule] | None) -> Story:
    """The parts of a rule's docstring; an empty story for a rule that is not there, or has none."""
    if rule is None or not rule.__doc__ or rule.__doc__ is Rule.__doc__:
        return Story()
    about, *parts = inspect.cleandoc(rule.__doc__).split("\n## ")
    found = {}
    for part in parts:
        heading, _, body = part.partition("\n")
        found[heading.strip()] = tuple(_lines(body))
    return Story(" ".join(about.split()), found)


def _lines(body: str) -> list[str]:
    """Paragraphs and items of a list, each in one line."""
    lines: list[str] = []
    for line in body.splitlines():
        words = line.strip().replace("`", "")
        if words.startswith("- "):
            lines.append(words[2:])
        elif not words:
            lines.append("")
        elif lines and lines[-1]:
            lines[-1] += f" {words}"
        else:
            lines.append(words)
    return [line for line in lines if line]


def measured_of(name: str) -> str:
    """How often the rule was right on programs whose faults are known, in words; empty where nothing was measured."""
    measured = _accuracy().get("rules", {}).get(name)
    return figures(measured) if isinstance(measured, dict) and measured else ""


@cache
def _accuracy() -> dict[str, Any]:
    return accuracy()
