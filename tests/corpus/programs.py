"""The programs of the corpus: faulty scripts, each with its repaired twin, and healthy ones of many kinds.

::

    pairs/<name>/faulty.py repaired.py about.toml     fault, names (rules that name it rightly), task, taxonomy, source
    healthy/<name>/train.py about.toml                kind, why (what a careless rule would alarm on)

None of them knows of the tracker. All take `--seed`. The trainings of `histories` are programs too, run by `recipe`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tests.corpus.histories import FAULTY, HEALTHY

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Program:
    """One script, and what is to be said of it."""

    name: str
    path: Path
    names: Sequence[str] = ()
    """Rules that name its fault rightly; none for a program without one."""
    arguments: tuple[str, ...] = ()
    """What it is told on the command line, besides the seed."""
    about: str = ""
    """The fault, or the kind of training, in a sentence."""

    @property
    def is_faulty(self) -> bool:
        return bool(self.names)


@cache
def programs() -> tuple[Program, ...]:
    """All programs, sorted by name; raises `KeyError` for one of which something is not told."""
    found = []
    for place in sorted((HERE / "pairs").glob("*/")):
        about = _about(place)
        found.append(Program(f"{place.name}/faulty", place / "faulty.py", tuple(about["names"]), about=about["fault"]))
        found.append(Program(f"{place.name}/repaired", place / "repaired.py", about=f"repaired: {about['fault']}"))
    for place in sorted((HERE / "healthy").glob("*/")):
        found.append(Program(f"healthy/{place.name}", place / "train.py", about=_about(place)["kind"]))
    found += [Program(f"healthy/recipe {name}", HERE / "recipe.py", arguments=(name,)) for name in HEALTHY]
    for name, (_, names) in FAULTY.items():
        found.append(Program(f"recipe {name}/faulty", HERE / "recipe.py", tuple(sorted(names)), (name,)))
    return tuple(found)


def _about(place: Path) -> dict[str, Any]:
    return tomllib.loads((place / "about.toml").read_text(encoding="utf-8"))
