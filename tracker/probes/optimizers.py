"""Which optimizers a run has: their numbers, whose parameters they own, and which of them stands in for another."""

from __future__ import annotations

import sys
import weakref
from types import FrameType
from typing import Any

import torch

from ..frames import objects_in
from .parameters import Owned

_STEP_FILE, _STEP_WRAPPER = "optimizer.py", "wrapper"
"""File and name of the function that torch puts around every `step`: it is on the stack once for each that runs."""
_MAX_DEPTH = 200


class Entry:
    """One optimizer of the run. It is not kept alive."""

    __slots__ = ("described", "key", "number", "owned", "ref", "start", "steps")

    def __init__(self, optimizer: Any, owned: Owned, described: Any) -> None:
        self.key = id(optimizer)
        self.ref = weakref.ref(optimizer)
        self.owned = owned
        self.number = owned.number
        self.steps = 0
        """Steps it was seen to make, and those of the optimizers it took over from."""
        self.start = _count_in(optimizer) - self.steps
        """Steps it had made before, as its own state tells."""
        self.described = described
        """Its class and settings, to tell whether a successor is anything new."""


class Optimizers:
    """The optimizers that have stepped in a run, in the order of their first steps.

    An optimizer that is made anew (each epoch, each step) continues the one that owned its parameters and is gone: it
    keeps the number and the names, and nothing grows.
    """

    def __init__(self) -> None:
        self._entries: dict[int, Entry] = {}
        self.find = self._entries.get
        """`find(id(optimizer))`: the entry at this address; its `ref()` may be another optimizer, or gone."""

    def __iter__(self) -> Any:
        return iter(self._entries.values())

    def __len__(self) -> int:
        return len(self._entries)

    def entry_of(self, optimizer: Any) -> Entry | None:
        """The entry of an optimizer; None before its first step."""
        entry = self.find(id(optimizer))
        return entry if entry is not None and entry.ref() is optimizer else None

    def add(self, optimizer: Any, frame: FrameType, is_first: bool) -> tuple[Entry, Entry | None]:
        """Takes an optimizer in; returns its entry, and that of the one it continues, if any."""
        before = self._predecessor(optimizer)
        if before is not None:
            del self._entries[before.key]
        self._make_room(id(optimizer))
        if before is not None and before.owned.holds(optimizer):
            owned = before.owned
        else:
            number = before.number if before is not None else self._free_number()
            beside = [o for entry in self if (o := entry.ref()) is not None]
            beside += waiting(frame, optimizer) if is_first else []
            owned = Owned(optimizer, frame, number, [o for o in beside if o is not optimizer])
        entry = Entry(optimizer, owned, settings_of(optimizer))
        if before is not None:
            entry.steps = before.steps
            entry.start -= before.steps
        self._entries[entry.key] = entry
        return entry, before

    def _make_room(self, key: int) -> None:
        """Forgets optimizers that are gone with all their parameters.

        One that is gone while its parameters live keeps its number and its place, whatever is at its address now: that
        depends on the memory, and numbers are to be the same when a run is done again.
        """
        kept = [entry for entry in self if entry.ref() is not None or entry.owned.items()]
        self._entries.clear()
        for entry in kept:
            if entry.key == key:
                entry.key = -1 - entry.number  # no address
            self._entries[entry.key] = entry

    def drop(self, entry: Entry) -> None:
        """Forgets an optimizer."""
        self._entries.pop(entry.key, None)

    def _predecessor(self, optimizer: Any) -> Entry | None:
        """A dead optimizer that owned a parameter of this one."""
        own = {id(p) for group in optimizer.param_groups for p in group["params"]}
        for entry in self._entries.values():
            if entry.ref() is None and any(id(p) in own for _, p in entry.owned.items()):
                return entry
        return None

    def _free_number(self) -> int:
        taken = {entry.number for entry in self}
        return next(number for number in range(len(taken) + 1) if number not in taken)


def waiting(frame: FrameType, optimizer: Any) -> list[Any]:
    """The optimizers in the running frames that have not stepped yet, this one among them.

    Those with parameters of this one are left out: they wrap it, or are wrapped in it.
    """
    own = parameters_of(optimizer)
    found = [o for o in objects_in(frame, torch.optim.Optimizer).values() if o is not optimizer]
    # One whose class does not call its base's has none of the usual attributes.
    others = [o for o in found if not getattr(o, "state", None)]
    return [optimizer, *(o for o in others if not own & parameters_of(o))]


def is_heard(optimizer: Any) -> bool:
    """Whether torch hooks the steps of an optimizer: it does so in the `__init__` of the base class.

    A wrapper that never calls that, such as Accelerate's, may step unheard, through the one that it wraps.
    """
    return "_optimizer_step_pre_hooks" in vars(optimizer)


def parameters_of(optimizer: Any) -> set[int]:
    """All parameters of an optimizer, by `id`."""
    return {id(p) for group in getattr(optimizer, "param_groups", ()) for p in group["params"]}


def settings_of(optimizer: Any) -> Any:
    """Class, number of groups and defaults without the rate, to be compared."""
    defaults = getattr(optimizer, "defaults", None)
    known = dict(defaults) if isinstance(defaults, dict) else {}
    known.pop("lr", None)
    return type(optimizer), len(optimizer.param_groups), repr(sorted(known.items(), key=lambda item: str(item[0])))


def _count_in(optimizer: Any) -> int:
    """Steps that the state of an optimizer counts, where it does, on the CPU."""
    try:
        state: Any = next(iter(optimizer.state.values()), {})
        count = state.get("step", 0)
        return int(count) if not isinstance(count, torch.Tensor) or count.is_cpu else 0
    except Exception:
        return 0  # a state of another shape


def steps_running() -> int:
    """How many optimizers' steps are running in this thread, one inside the other."""
    frame, depth, found = sys._getframe(1), 0, 0
    at: FrameType | None = frame
    while at is not None and depth < _MAX_DEPTH:
        code = at.f_code
        if code.co_name == _STEP_WRAPPER and code.co_filename.endswith(_STEP_FILE):
            found += 1
        at, depth = at.f_back, depth + 1
    return found
