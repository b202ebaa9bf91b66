"""Whether every recorded distribution can be had from the configured indexes; asked of uv, which installs nothing.

uv names one failure at a time. What it names is asked for alone; where that was not it, the list is halved until the
distributions that cannot be had are found.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .installer import Answer, run_uv
from .pins import Pin
from .pip_settings import pip_settings

_QUICK = {"UV_HTTP_TIMEOUT": "5", "UV_HTTP_CONNECT_TIMEOUT": "3", "UV_HTTP_RETRIES": "0"}
"""An index that does not answer at once is no reason to wait: then nothing is known."""
_ENOUGH = 8
"""Missing distributions after which no more are looked for when it is to be quick: each costs a question."""


@dataclass(frozen=True)
class Resolution:
    """What the indexes said."""

    resolves: bool | None
    """Whether all can be had; None when that is not known."""
    missing: tuple[Pin, ...] = ()
    """Those that cannot be had; of those, the run may not have needed some."""
    why: str = ""
    """Why it is not known."""
    is_all: bool = True
    """Whether `missing` holds all that cannot be had; False when there are so many that the search was ended."""


def resolve(pins: Sequence[Pin], python: str, seconds: float, quick: bool = True) -> Resolution:
    """Asks for all of `pins` that are not in a folder, for the interpreter `python`, within `seconds`.

    `quick` gives up on an index that does not answer within a few seconds, and names some of many that are missing.
    Raises `ReproduceError` without uv.
    """
    asked = [pin for pin in pins if not pin.is_local and not pin.problem and pin.kind != "vcs"]
    unasked = [pin for pin in pins if pin.kind == "vcs" and not pin.problem]
    broken = [pin for pin in pins if pin.problem]
    with tempfile.TemporaryDirectory(prefix="soundrun-resolve-") as folder:
        asking = _Asking(Path(folder), python, time.monotonic() + seconds, _QUICK if quick else {})
        enough = _ENOUGH if quick else len(asked)
        missing = asking.missing(asked, enough)
    lacking = [*broken, *missing]
    if asking.why:
        return Resolution(None, tuple(lacking), asking.why, is_all=False)
    if unasked and not lacking:
        # To ask for them would be to fetch and build them.
        names = ", ".join(pin.name for pin in unasked[:3])
        return Resolution(None, (), f"{names}: from a repository, which was not asked")
    return Resolution(not lacking, tuple(lacking), is_all=len(missing) < enough or len(missing) == len(asked))


class _Asking:
    """One series of questions; `why` is set once nothing more can be learnt."""

    def __init__(self, folder: Path, python: str, deadline: float, variables: dict[str, str]) -> None:
        self.folder = folder
        self.python = python
        self.deadline = deadline
        self.variables = variables
        self.settings = pip_settings()
        self.why = ""

    def missing(self, pins: Sequence[Pin], enough: int) -> list[Pin]:
        """Those of `pins` that cannot be had; not all of them once there are `enough`, or `why` is set."""
        found: list[Pin] = []
        left = list(pins)
        while left and len(found) < enough and not self.why:
            answer = self._ask(left)
            if answer is None or answer.is_fine:
                break
            named = [pin for pin in left if pin.text in answer.text or pin.requirement() in answer.text]
            more = [pin for pin in named[:3] if len(left) == 1 or self._lacks(pin)]
            if not more:
                more = self._search(left)
                if not more:  # each can be had, all together not: nothing to name
                    self.why = self.why or answer.telling
            found += more
            left = [pin for pin in left if pin not in more]
        return found

    def _search(self, pins: list[Pin]) -> list[Pin]:
        """At least one of `pins`, which cannot all be had, by halving."""
        if len(pins) == 1 or self.why:
            return [] if self.why else pins
        middle = len(pins) // 2
        for half in (pins[:middle], pins[middle:]):
            answer = self._ask(half)
            if answer is not None and not answer.is_fine:
                return self._search(half)
        return []

    def _lacks(self, pin: Pin) -> bool:
        answer = self._ask([pin])
        return answer is not None and not answer.is_fine

    def _ask(self, pins: Sequence[Pin]) -> Answer | None:
        """What uv says to `pins`; None, with `why` set, when that is nothing about them."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            self.why = "the indexes took too long to answer"
            return None
        wanted, target = self.folder / "wanted.txt", self.folder / "nothing"
        wanted.write_text("".join(f"{pin.requirement()}\n" for pin in pins), encoding="utf-8")
        command = ["pip", "install", "--dry-run", "--no-deps", "--python", self.python, "--target", str(target)]
        answer = run_uv([*command, "-r", str(wanted)], self.folder, left, self.settings, self.variables)
        if answer.timed_out:
            self.why = "the indexes took too long to answer"
        elif not answer.is_fine and answer.is_unreachable:
            self.why = f"an index could not be reached: {answer.telling}"
        return None if self.why else answer
