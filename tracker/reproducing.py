"""A process that is a re-run knows it from `TRACKER_REPRODUCE`, the path of the plan that started it."""

from __future__ import annotations

import functools
import json
import os
import sys
from typing import Any

from .on_import import when_imported

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


def stored_entropy() -> list[list[int | str]]:
    """What numpy was given in the original for generators made without a seed; empty in every other process."""
    stored = (plan().get("randomness") or {}).get("numpy_entropy")
    return stored if isinstance(stored, list) else []


def restore_at_import() -> None:
    """Puts the generators back as they were when the original imported the tracker; what comes later, when it comes.

    Only in a re-run: in any other process nothing is ever seeded or set.
    """
    stored = plan().get("randomness") or {}
    if not stored.get("at_import"):
        return
    from .capture.randomness import RandomState, restore

    at_import = RandomState.from_json(stored["at_import"])
    restore(RandomState(python=at_import.python))
    if at_import.numpy is not None:
        # Not "numpy": its generators are a package of their own that is loaded when it is first asked for.
        when_imported("numpy.random", lambda: _note(restore(RandomState(numpy=at_import.numpy))))
    if at_import.torch is not None:
        when_imported("torch", lambda: _note(restore(RandomState(torch=at_import.torch, cuda=at_import.cuda))))
    elif stored.get("at_entry", {}).get("torch"):
        # torch came after the tracker: it seeded itself, and that seed is all its first state depends on.
        seed = int(stored["at_entry"]["torch"]["seed"])
        when_imported("torch", lambda: sys.modules["torch"].default_generator.manual_seed(seed) and None)


def restore_at_entry() -> None:
    """Puts the generators back as they were when the original entered the block."""
    stored = (plan().get("randomness") or {}).get("at_entry")
    if stored:
        from .capture.randomness import RandomState, restore

        _note(restore(RandomState.from_json(stored)))


def _note(missing: list[str]) -> None:
    if missing:
        print(f"tracker: the random state of {', '.join(missing)} could not be restored.", file=sys.stderr)
