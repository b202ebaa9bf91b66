"""A process that is a re-run knows it from `TRACKER_REPRODUCE`, the path of the plan that started it."""

from __future__ import annotations

import functools
import json
import os
import sys
from typing import TYPE_CHECKING, Any

from .capture.seedings import ENTROPY, seedings
from .on_import import when_imported

if TYPE_CHECKING:
    from .capture.random_state import RandomState

VARIABLE = "TRACKER_REPRODUCE"


@functools.cache
def plan() -> dict[str, Any]:
    """The plan of the re-run this process is; empty in every other process."""
    path = os.environ.get(VARIABLE)
    if not path:
        return {}
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _stored(rank: int | None = None) -> dict[str, Any]:
    """The random generators of the original: of its process of the same rank, where several trained together.

    `rank` is the variable that a launcher has set, unless given.
    """
    if rank is None:
        told = os.environ.get("RANK", "0")
        rank = int(told) if told.isdecimal() else 0
    ranks = plan().get("ranks") if rank else None
    found = ranks.get(str(rank)) if isinstance(ranks, dict) else None if rank else plan().get("randomness")
    return found if isinstance(found, dict) else {}


def give_seeds_again() -> None:
    """Has generators that are made without a seed, or seeded by what changes, begin as in the original."""
    stored = _stored()
    if stored:
        seedings.give_again(stored.get("seedings") or _older(stored.get("numpy_entropy")), stored.get("in_children"))


def _older(requests: object) -> dict[str, dict[str, list[str]]]:
    """What numpy had asked of the system, as runs stored it before the lines that asked were noted."""
    try:
        return {ENTROPY: {"": [f"{int(bits)}:{int(value)}" for bits, value in requests]}}  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        return {}


def restore_at_import() -> None:
    """Puts the generators back as they were when the original imported the tracker; what comes later, when it comes.

    Only in a re-run: in any other process nothing is ever seeded or set.
    """
    stored = _stored()
    if not stored.get("at_import") or seedings.is_started_afresh:
        return  # a worker that was started afresh began with generators of its own
    from .capture.random_state import RandomState, restore

    at_import = _state(stored["at_import"])
    if at_import is None:
        return
    restore(RandomState(python=at_import.python))
    if at_import.numpy is not None:
        # Not "numpy": its generators are a package of their own that is loaded when it is first asked for.
        when_imported("numpy.random", lambda: _note(restore(RandomState(numpy=at_import.numpy))))
    if at_import.torch is not None:
        when_imported("torch", lambda: _note(restore(RandomState(torch=at_import.torch, cuda=at_import.cuda))))
    elif (at_entry := _state(stored.get("at_entry"))) is not None and at_entry.torch is not None:
        # torch came after the tracker: it seeded itself, and that seed is all its first state depends on.
        seed = int(str(at_entry.torch["seed"]))
        when_imported("torch", lambda: sys.modules["torch"].default_generator.manual_seed(seed) and None)


def restore_at_entry(rank: int | None = None) -> None:
    """Puts the generators back as they were when the original, or its process of this rank, entered the block."""
    stored = _state(_stored(rank).get("at_entry"))
    if stored is not None:
        from .capture.random_state import restore

        _note(restore(stored))


def _state(stored: object) -> RandomState | None:
    """A stored state; None, and a word on stderr, for what cannot be read as one."""
    if not stored:
        return None
    from .capture.random_state import RandomState

    try:
        return RandomState.from_json(stored)  # type: ignore[arg-type]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        print(f"tracker: the stored random state cannot be read: {type(error).__name__}: {error}", file=sys.stderr)
        return None


def _note(missing: list[str]) -> None:
    if missing:
        print(f"tracker: the random state of {', '.join(missing)} could not be restored.", file=sys.stderr)
