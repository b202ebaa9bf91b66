"""Learning rates of groups of parameters: which they are, and how they are held at others for a while."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from ..drilling.drill import Skip

_FREE = ("prodigy", "dadapt", "dog", "ldog", "mechanic")
"""Beginnings of the names of optimizers that find the rate themselves: theirs is a factor of 1."""


def swept_groups(optimizers: Sequence[torch.optim.Optimizer]) -> list[dict[str, Any]]:
    """The groups of all optimizers; raises `Skip` where they have no rate that could be swept."""
    if not optimizers:
        raise Skip("there is no optimizer")
    for optimizer in optimizers:
        kind, defaults = type(optimizer).__name__, getattr(optimizer, "defaults", {})
        if kind.lower().startswith(_FREE):
            raise Skip(f"{kind} finds the learning rate itself")
        relative = "adafactor" in kind.lower() and (defaults.get("relative_step") or defaults.get("lr") is None)
        if kind in ("LBFGS", "Rprop") or relative:
            raise Skip(f"{kind} chooses the size of its steps itself")
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    for group in groups:
        if group.get("lr") is None or not math.isfinite(_rate(group)) or _rate(group) < 0:
            raise Skip(f"a group of parameters has no learning rate that could be swept, but {group.get('lr')!r}"[:200])
    if not any(map(given, groups)):
        raise Skip("the learning rate is 0")
    return groups


def _rate(group: dict[str, Any]) -> float:
    try:
        return float(group["lr"])
    except (TypeError, ValueError, RuntimeError):
        return math.nan


def begins_at(group: dict[str, Any]) -> float:
    """The rate of the first step: of a group that was brought to the rate behind its warm-up, the one before."""
    noted = group.get("begins_at")
    return float(noted) if isinstance(noted, (int, float)) else _rate(group)


def given(group: dict[str, Any]) -> float:
    """The rate of a group; of one that a warm-up begins at zero, the one it had before its scheduler."""
    return _rate(group) or float(group.get("initial_lr") or 0.0)


def peak(group: dict[str, Any]) -> float:
    """The highest rate that is known of a group: schedulers note theirs in it."""
    return max(given(group), float(group.get("initial_lr") or 0.0), float(group.get("max_lr") or 0.0))


class Rates:
    """Sets the rates of groups, and holds them against a loop that sets its own before a step."""

    def __init__(self, groups: Sequence[dict[str, Any]], shares: Sequence[float]) -> None:
        self._groups = groups
        self._shares = shares
        self._rate: float | None = None
        self._before: list[torch.Tensor] = []
        self.steps = 0
        self.is_counted = True
        """Whether every optimizer tells of its steps."""

    def set(self, rate: float) -> None:
        """From now on this, for the group with the highest; the others keep their ratio to it."""
        self._rate = rate
        self._apply()

    def begin(self, rate: float) -> None:
        """Sets a rate, and remembers the weights for `moved`."""
        self._before = [one.detach().clone() for group in self._groups for one in group["params"]]
        self.set(rate)

    def _apply(self) -> None:
        for group, share in zip(self._groups, self._shares, strict=True):
            if self._rate is None:
                continue
            if isinstance(group["lr"], torch.Tensor):
                group["lr"].fill_(self._rate * share)  # the same tensor: a compiled step has it built in
            else:
                group["lr"] = self._rate * share

    def before_step(self, *_: object) -> None:
        """Hook of an optimizer: some loops set the rate by hand in every iteration."""
        self.steps += 1
        self._apply()

    def moved(self) -> float:
        """How far the weights have moved since `begin`; 0 where that is no number."""
        now = [one.detach() for group in self._groups for one in group["params"]]
        pairs = zip(self._before, now, strict=True)
        squares = sum(float((new - old).abs().double().square().sum()) for old, new in pairs)
        self._before = []
        return math.sqrt(squares) if math.isfinite(squares) else 0.0


@contextmanager
def held_rates(
    optimizers: Sequence[torch.optim.Optimizer], groups: Sequence[dict[str, Any]], shares: Sequence[float]
) -> Iterator[Rates]:
    """The rates for a while; afterwards no hook is left. Within it, `preserved` puts the rates back."""
    made = Rates(groups, shares)
    handles = []
    try:
        for optimizer in optimizers:
            if hasattr(optimizer, "register_step_pre_hook"):
                handles.append(optimizer.register_step_pre_hook(made.before_step))
            else:
                made.is_counted = False
        yield made
    finally:
        for handle in handles:
            handle.remove()
