"""The line that stands in the last row of the terminal while a training runs: where it is, and how it goes."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import NamedTuple

from .characters import cells, cut, one_line
from .row import Row
from .screen import has_live_display

FIRST_SECONDS = 0.5
"""A run that is over sooner shows no line."""
BETWEEN_SECONDS = 0.25
_SPEED_SECONDS = 5.0
"""Time over which the speed is taken."""
_MOST_NAMED = 2
"""Rules that have fired, of which the latest are named."""
_BOLD, _DIM, _GREEN, _ALARM = "1", "2", "32", "1;31"

_row: Row | None = None


class Standing(NamedTuple):
    """How a training stands."""

    epoch: int
    """0-based."""
    step: int
    loss: float | None = None
    lr: float | None = None
    metrics: Mapping[str, float] = {}
    """The user's own, as last logged."""
    findings: tuple[str, ...] = ()
    """Rules that have fired, oldest first."""


class LiveLine:
    """The line of one run; the row it stands in belongs to the process."""

    def __init__(self, name: str, launch: str | None = None) -> None:
        """`launch` is the folder of the launch, where `tracker run` has started us."""
        self._name = one_line(name)
        self._launch = launch
        self._next = time.perf_counter() + FIRST_SECONDS
        self._seen: list[tuple[float, int]] = []
        self.was_refused = False
        """Whether the row was not ours when it was asked for last."""

    def is_due(self) -> bool:
        """Whether it is time to draw again."""
        return time.perf_counter() >= self._next

    def draw(self, fd: int, standing: Standing, encoding: str) -> None:
        """Draws the line, unless the row is not ours."""
        global _row
        now = time.perf_counter()
        self._next = now + BETWEEN_SECONDS
        if has_live_display():
            release()
            self.was_refused = True
            return
        if _row is None:
            _row = Row(self._launch)
        recent = [seen for seen in self._seen if now - seen[0] < _SPEED_SECONDS]
        self._seen = [*(recent[-40:] or self._seen[-1:]), (now, standing.step)]  # one step may take longer than that
        speed = _speed(self._seen)
        drawn = _row.draw(fd, lambda columns: rendered(self._name, standing, speed, columns, encoding))
        self.was_refused = not drawn


def release() -> None:
    """Gives the row back, if one is kept. Safe in a signal handler; never raises."""
    if _row is not None:
        _row.release()


def rendered(name: str, standing: Standing, speed: float | None, columns: int, encoding: str = "utf-8") -> str:
    """The line, in colours unless `NO_COLOR` is set, in less than `columns` cells.

    Where it does not fit, metrics are left out first, then speed, learning rate, name, the names of rules, and loss.
    Nothing of rich's helps here: to import it draws from the generator of Python's `random`, at whatever moment of the
    script that is, and a script that imports it later would not draw then.
    """
    dot = " · " if encoding.lower().replace("-", "") == "utf8" else " | "
    parts = _parts(name, standing, speed)
    for dispensable in ("second metric", "metric", "speed", "lr", "name", "rules", "loss"):
        if sum(cells(text) for text, _ in _joined(parts, dot)) < columns:
            break
        parts.pop(dispensable, None)
    line, left = "", columns - 1
    for text, style in _joined(parts, dot):
        shown = cut(text, left)
        left -= cells(shown)
        line += f"\033[{style}m{shown}\033[0m" if style and not os.environ.get("NO_COLOR") else shown
    return line


def _joined(parts: Mapping[str, tuple[str, str]], dot: str) -> list[tuple[str, str]]:
    line = [(" ", "")]
    for kind, part in parts.items():
        line += [part] if kind == "rules" or len(line) == 1 else [(dot, _DIM), part]
    return line


def _parts(name: str, standing: Standing, speed: float | None) -> dict[str, tuple[str, str]]:
    """What the line is made of, by kind, in its order: text and colour."""
    found = {
        "name": (cut(name, 40), _BOLD),
        "epoch": (f"epoch {standing.epoch + 1}", ""),
        "step": (f"step {standing.step}", ""),
    }
    if standing.loss is not None:
        found["loss"] = (f"loss {standing.loss:.4g}", "")
    if standing.lr is not None:
        found["lr"] = (f"lr {standing.lr:.3g}", "")
    if speed is not None:
        found["speed"] = (f"{_three(speed)} steps/s" if speed >= 1 else f"{_three(1 / speed)} s/step", "")
    rules = standing.findings
    if rules:
        more = ", ..." if len(rules) > _MOST_NAMED else ""
        found["findings"] = (f"{len(rules)} finding{'s' if len(rules) > 1 else ''}", _ALARM)
        found["rules"] = (f": {one_line(', '.join(rules[-_MOST_NAMED:]))}{more}", _ALARM)
    else:
        found["findings"] = ("no findings", _GREEN)
    for kind, (key, number) in zip(("metric", "second metric"), standing.metrics.items(), strict=False):
        found[kind] = (f"{cut(one_line(key), 30)} {number:.4g}", "")
    return found


def _three(number: float) -> str:
    """Three digits; more only where they stand before the point."""
    return f"{number:.0f}" if number >= 100 else f"{number:.3g}"


def _speed(seen: list[tuple[float, int]]) -> float | None:
    """Steps per second between the first and the last of (time, step); None before it can be told."""
    (began, first), (ended, last) = seen[0], seen[-1]
    return (last - first) / (ended - began) if ended > began and last > first else None
