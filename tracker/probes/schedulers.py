"""Counts how often learning-rate schedulers step, beside the steps of their optimizers and the epochs."""

from __future__ import annotations

import weakref
from math import isfinite
from typing import Any

import torch

from ..capture.described import describe_scheduler
from ..rules.engine.records import Json
from ..rules.engine.signals import SCHEDULER_STEPS
from .loop import Loop
from .probe import Probe, Tap

_MOST = 16
"""Schedulers that are told of."""
_MOST_WRAPPERS = 4
_WHERE = "torch.optim.lr_scheduler"
_NEAR = 0.02
"""Share by which two counts may differ and still be taken for the same: a first or last one may be missing."""


class _Counted:
    """One scheduler. It is not kept alive."""

    def __init__(self, scheduler: Any, number: int, optimizer: int | None) -> None:
        self.ref = weakref.ref(scheduler)
        self.kind = type(scheduler)
        self.number = number
        self.optimizer = optimizer
        self.settings: Json = describe_scheduler(scheduler)
        self.steps = 0
        self.in_epoch = 0
        self.optimizer_steps = 0
        self.before_optimizer = False
        self.is_heard = False
        self.last = _position(scheduler)
        self.watched: list[float] = []
        """What a plateau is looked for in: first, last, lowest and highest value."""
        self.lows = self.highs = 0

    def watch(self, value: float) -> None:
        """A number was given to `step`."""
        if not self.watched:
            self.watched = [value] * 4
            return
        _, _, low, high = self.watched
        self.lows += value < low
        self.highs += value > high
        self.watched[1:] = [value, min(low, value), max(high, value)]

    @property
    def told(self) -> Json:
        """The numbers that were given to `step`, in short."""
        return {"first": self.watched[0], "last": self.watched[1], "lows": self.lows, "highs": self.highs}


class Schedulers(Probe):
    """Steps of each scheduler in the epoch, and the fact `schedulers`.

    `schedulers` is a list: `{"class", "settings", "optimizer": number or null, "steps", "optimizer_steps", "backwards",
    "epochs", "before_optimizer": its first step came before the first of its optimizer, "per": "step" | "backward" |
    "epoch" | "other" | "never"}`. `per` says what it steps with, judged by the counts. Told when any of the words
    changes, after the epochs 1, 2, 4, 8 ... and at the end. The step that a scheduler makes while it is made is not
    counted; one that drives others (`SequentialLR`, `ChainedScheduler`) stands for them.

    One that waits for a plateau has `"watched": {"first", "last", "lows", "highs"}`: the first and the last number it
    was given, and how many were lower, and higher, than all before.
    """

    name = "schedulers"
    # `step` itself stays bare: its warnings name the line that called it. It calls these by name.
    taps = (
        Tap(f"{_WHERE}:_enable_get_lr_call", "__exit__", before="updated"),
        Tap(f"{_WHERE}:ReduceLROnPlateau", "_is_better", before="compared"),
        Tap(f"{_WHERE}:SequentialLR", "step", after="drove"),
        Tap(f"{_WHERE}:ChainedScheduler", "step", after="drove"),
        Tap(f"{_WHERE}:LRScheduler", "__init__", after="made"),
    )

    def __init__(self, training: Any) -> None:
        super().__init__(training)
        self._known: dict[int, _Counted] = {}
        self._inner: weakref.WeakSet[Any] = weakref.WeakSet()
        self._epochs = 0
        self._said: list[tuple[Any, ...]] = []

    # -- calls -----------------------------------------------------------------------------------------------------

    def made(self, args: Any, kwargs: Any, result: Any) -> None:
        """A scheduler is made: one whose `step` calls nothing of torch's is heard of in no other way."""
        self._find(args[0])

    def updated(self, args: Any, kwargs: Any) -> None:
        """A scheduler has computed its rates, unless that raised."""
        region, *error = args
        scheduler = getattr(region, "o", None)
        # A scheduler steps once when it is made; until then it has no last rates.
        is_initial = getattr(scheduler, "_is_initial", False) or "_last_lr" not in vars(scheduler)
        if not is_initial and not any(error) and scheduler not in self._inner:
            self._count(scheduler)

    def compared(self, args: Any, kwargs: Any) -> None:
        """ReduceLROnPlateau steps, with a number that it has made a float of."""
        self._count(args[0])
        found = self._find(args[0])
        value = args[1] if len(args) > 1 else None
        if found is not None and type(value) is float and isfinite(value):
            found.watch(value)

    def drove(self, args: Any, kwargs: Any, result: Any) -> None:
        """A scheduler that steps others has stepped; those are its own, and are not counted."""
        outer = args[0]
        for inner in getattr(outer, "_schedulers", ()):
            if inner not in self._inner:
                self._inner.add(inner)
                self._known.pop(id(inner), None)
        if outer not in self._inner:
            self._count(outer)

    # -- counts ----------------------------------------------------------------------------------------------------

    def _find(self, scheduler: Any) -> _Counted | None:
        known = self._known.get(id(scheduler))
        if known is not None and known.ref() is scheduler:
            return known
        number: int | None = None
        before: _Counted | None = None
        for key, other in list(self._known.items()):
            if other.ref() is None and number is None and (other.kind is type(scheduler) or not other.steps):
                number = other.number  # made anew, each epoch say: it continues this one
                before = self._known.pop(key)
        if number is None:
            if len(self._known) >= _MOST:
                return None
            taken = {other.number for other in self._known.values()}
            number = next(n for n in range(len(taken) + 1) if n not in taken)
        optimizer = self.training.number_of(self._optimizer_of(scheduler))
        found = self._known[id(scheduler)] = _Counted(scheduler, number, optimizer)
        if before is not None:
            found.steps, found.in_epoch = before.steps, before.in_epoch
            found.before_optimizer, found.optimizer_steps = before.before_optimizer, before.optimizer_steps
            found.watched, found.lows, found.highs = before.watched, before.lows, before.highs
        return found

    def _count(self, scheduler: Any) -> None:
        found = self._find(scheduler)
        loop = self.training.probe(Loop)
        if loop is not None:
            loop.note("scheduler")
        if found is not None:
            if not found.steps:
                found.before_optimizer = not self.training.steps_of(self._optimizer_of(scheduler))
            found.steps += 1
            found.in_epoch += 1
            found.is_heard = True

    # -- epochs ----------------------------------------------------------------------------------------------------

    def end_epoch(self) -> None:
        self._epochs += 1
        self._poll()
        for counted in self._known.values():
            self.journal.reading(SCHEDULER_STEPS.name, str(counted.number), self.training.last_step, counted.in_epoch)
            counted.in_epoch = 0
        self._tell(self._epochs & (self._epochs - 1) == 0)

    def finish(self) -> None:
        self._poll()
        self._tell(True)

    def _optimizer_of(self, scheduler: Any) -> Any:
        """The optimizer that a scheduler drives; behind a wrapper, such as Accelerate's, the one that steps."""
        found = getattr(scheduler, "optimizer", None)
        for _ in range(_MOST_WRAPPERS):
            inner = getattr(found, "optimizer", None)
            if self.training.number_of(found) is not None or not isinstance(inner, torch.optim.Optimizer):
                break
            found = inner
        return found

    def _poll(self) -> None:
        """Looks at the optimizers' steps, and at schedulers whose `step` calls nothing that is heard of."""
        for counted in self._known.values():
            scheduler = counted.ref()
            optimizer = self._optimizer_of(scheduler)
            if scheduler is None or optimizer is None:
                continue
            counted.optimizer = self.training.number_of(optimizer)
            counted.optimizer_steps = self.training.steps_of(optimizer)
            moved = _position(scheduler) - counted.last
            if moved > 0 and not counted.is_heard:
                counted.steps += moved
                counted.in_epoch += moved
                counted.last += moved

    def _tell(self, is_due: bool) -> None:
        rows: list[Json] = []
        for counted in sorted(self._known.values(), key=lambda counted: counted.number):
            row: dict[str, Json] = {
                "class": counted.kind.__name__,
                "settings": counted.settings,
                "optimizer": counted.optimizer,
                "steps": counted.steps,
                "optimizer_steps": counted.optimizer_steps,
                "backwards": self.training.backwards,
                "epochs": self._epochs,
                "before_optimizer": counted.before_optimizer,
                "per": per(counted.steps, counted.optimizer_steps, self.training.backwards, self._epochs),
            }  # fmt: skip
            rows.append(row | {"watched": counted.told} if counted.watched else row)
        words = [(row["class"], row["before_optimizer"], row["per"]) for row in rows if isinstance(row, dict)]
        if rows and (is_due or words != self._said):
            self._said = words
            self.training.fact("schedulers", rows)


def per(steps: int, optimizer_steps: int, backwards: int, epochs: int) -> str:
    """What a scheduler steps with: the count that its own is nearest to, if one is near at all.

    Where an epoch is a single step, that is a step.
    """
    if not steps:
        return "never"
    for count, name in ((optimizer_steps, "step"), (backwards, "backward"), (epochs, "epoch")):
        if abs(steps - count) <= max(1.0, _NEAR * count) and (name == "epoch" or count > 2 * epochs or count == steps):
            return name
    return "other"


def _position(scheduler: Any) -> int:
    """Where a scheduler says that it is; 0 for one that does not."""
    at = getattr(scheduler, "last_epoch", 0)
    return at if isinstance(at, int) else 0
