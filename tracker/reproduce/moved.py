"""Data that lies elsewhere than it did: what `--data OLD=NEW` says, and where the re-run's command names it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..errors import ReproduceError
from .plan import Plan

_BEFORE = r"(?:(?<=://)|(?<=\A-[A-Za-z])|(?<![\w./~-]))"
_AFTER = r"(?=\Z|[/,:;\"'\])}\s])"


@dataclass(frozen=True)
class Moved:
    """Files and folders of the original and where they are now, by absolute paths; the longest original first."""

    pairs: tuple[tuple[str, str], ...] = ()
    project: str | None = None
    """The folder of the original's project."""
    cwd: str | None = None
    """The folder the original was started in."""
    named: frozenset[str] = field(default=frozenset())
    """Originals that the arguments or variables of the command name: there the re-run is told the new place."""

    @classmethod
    def parse(cls, given: Sequence[str], project: Path | None = None, cwd: str = ".") -> Moved:
        """Reads `OLD=NEW` pairs: OLD as recorded, absolute or relative to the project, NEW on this machine.

        `cwd` is the original's directory, relative to the project. Raises `ReproduceError` where a pair is not one, NEW
        does not exist, or OLD is relative and the project's folder is not known.
        """
        pairs: dict[str, str] = {}
        for words in given:
            old, new = _split(words)
            if not os.path.isabs(old) and project is None:
                raise ReproduceError(
                    f"--data {words!r} names {old!r}, but where the project was is not recorded. "
                    "Expected an absolute path before the '='."
                )
            absolute = os.path.normpath(os.path.join(project or os.sep, old))
            if absolute == os.sep or (project is not None and absolute == os.path.normpath(project)):
                raise ReproduceError(
                    f"--data {words!r} maps the whole of {absolute}. Expected a file or folder of data before the '='."
                )
            if pairs.get(absolute, new) != new:
                raise ReproduceError(f"--data maps {old} twice: to {pairs[absolute]} and to {new}. Give it once.")
            pairs[absolute] = new
        longest_first = sorted(pairs.items(), key=lambda pair: -len(pair[0]))
        start = None if project is None else os.path.normpath(project / cwd)
        return cls(tuple(longest_first), None if project is None else os.path.normpath(project), start)

    def __bool__(self) -> bool:
        return bool(self.pairs)

    def old(self, path: str) -> str | None:
        """The original, as given, that `path` is or lies below; None where it was not moved."""
        return next((old for old, _ in self.pairs if path == old or path.startswith(old + os.sep)), None)

    def place(self, path: str) -> Path | None:
        """Where the original's absolute `path` is now; None where it was not moved."""
        for old, new in self.pairs:
            if path == old or path.startswith(old + os.sep):
                return Path(new + path[len(old) :])
        return None

    def is_outside(self, old: str) -> bool:
        """Whether an original lay outside of the project: only its name leads the re-run there."""
        return self.project is None or not (old == self.project or old.startswith(self.project + os.sep))

    def arguments(self, words: Sequence[str]) -> tuple[str, ...]:
        """The words of a command line with the new places: absolute paths, and relative ones that lead out of the
        project (those inside follow it)."""
        return tuple(self._rewritten(word)[0] for word in words)

    def variables(self, values: Mapping[str, str]) -> dict[str, str]:
        """The same for the values of environment variables."""
        return {name: self._rewritten(value)[0] for name, value in values.items()}

    def applied(self, plan: Plan) -> tuple[Plan, Moved]:
        """The plan with the new places in its command and variables, and itself with what these name."""
        named = {old for word in (*plan.arguments, *plan.variables.values()) for old in self._rewritten(word)[1]}
        changed = replace(plan, arguments=self.arguments(plan.arguments), variables=self.variables(plan.variables))
        return changed, replace(self, named=frozenset(named))

    def _rewritten(self, word: str) -> tuple[str, set[str]]:
        """The word with the new places, and the originals that it named."""
        named: set[str] = set()
        if not self.pairs:
            return word, named
        places = dict(self.pairs)

        def absolute(found: re.Match[str]) -> str:
            named.add(found[0])
            return places[found[0]]

        # One pass: what has been put in is not looked at again.
        originals = "|".join(re.escape(old) for old, _ in self.pairs)
        word = re.sub(f"{_BEFORE}(?:{originals}){_AFTER}", absolute, word)
        head, sign, value = word.rpartition("=")
        if self.cwd is not None and value.startswith(".."):
            path = os.path.normpath(os.path.join(self.cwd, value))
            old, now = self.old(path), self.place(path)
            if old is not None and now is not None and self.is_outside(old):
                named.add(old)
                return f"{head}{sign}{now}", named
        return word, named


def _split(words: str) -> tuple[str, str]:
    """OLD and NEW of `OLD=NEW`; where there are several signs, the first one behind which something exists counts."""
    parts = words.split("=")
    for cut in range(1, len(parts)):
        old, new = "=".join(parts[:cut]), "=".join(parts[cut:])
        place = os.path.abspath(os.path.expanduser(new))
        if old and new and os.path.exists(place):
            return old, place
    if len(parts) < 2 or not parts[0] or not "=".join(parts[1:]):
        raise ReproduceError(f"--data is {words!r}; expected OLD=NEW, two paths with '=' between them.")
    raise ReproduceError(
        f"--data {words!r} maps to {'='.join(parts[1:])}, which does not exist here. "
        "Expected the place where the data is now behind the '='."
    )
