"""A few iterations of the training loop from one state, with one thing changed: the curve of its loss."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from ..drilling.drill import Notes, Skip
from ..drilling.preserved import preserved
from ..drilling.subject import Subject
from ..rules.engine.records import Json
from ..rules.engine.signals import DRILL_LOSS, DRILL_LR

END = 5
"""Losses whose median is the loss at the end: one that oscillates has no last value worth the name."""


@dataclass
class Curve:
    """What an attempt came to."""

    losses: list[float] = field(default_factory=list)
    """Before the step of each iteration; finite."""
    rates: list[float] = field(default_factory=list)
    """The largest learning rate of each iteration."""
    nonfinite_at: int | None = None
    """The iteration whose loss was not finite: the attempt ended there."""
    raised: str = ""
    """What the loop raised: the attempt ended there."""
    seconds: float = 0.0

    @property
    def end(self) -> float | None:
        """The loss at the end; None without any."""
        return median(self.losses[-END:]) if self.losses else None

    def facts(self) -> dict[str, Json]:
        """The curve in a few numbers."""
        return {
            "first": self.losses[0] if self.losses else None,
            "last": self.end,
            "lowest": min(self.losses, default=None),
            "falls": falling(self.losses),
            "iterations": len(self.losses),
            "nonfinite_at": self.nonfinite_at,
            "raised": self.raised,
        }

    def tell(self, notes: Notes, subject: str) -> None:
        """Writes the curve."""
        for iteration, (loss, rate) in enumerate(zip(self.losses, self.rates, strict=True)):
            notes.reading(DRILL_LOSS, subject, iteration, loss)
            notes.reading(DRILL_LR, subject, iteration, rate)


def falling(losses: list[float]) -> float | None:
    """By how much the loss falls from the third quarter to the last, in units of the loss; None for fewer than 8."""
    if len(losses) < 8:
        return None
    quarter = len(losses) // 4
    return median(losses[-2 * quarter : -quarter]) - median(losses[-quarter:])


def attempt(
    subject: Subject,
    iterations: int,
    deadline: float,
    change: AbstractContextManager[Any] | None = None,
    *,
    until: Callable[[Curve], bool] = lambda curve: False,
    after: Callable[[], None] | None = None,
    forgives: bool = True,
) -> Generator[None, float, Curve]:
    """Makes iterations, each with the same random numbers, and puts everything back: its state, and `change`.

    It ends with a loss that is not finite, when `until` says so, and at the `deadline` (of `time.monotonic`). With
    `forgives` what the loop raises ends it, too. `after` is called behind the last iteration, before one more that is
    not part of the curve.
    """
    curve, began = Curve(), time.monotonic()
    with preserved(subject.modules, subject.optimizers, subject.others), ExitStack() as stack:
        try:
            stack.enter_context(change or nullcontext())
        except Exception as error:  # such as a module that cannot draw its weights again
            if not forgives:
                raise
            curve.raised, iterations = f"{type(error).__name__}: {error}"[:200], 0
        while len(curve.losses) < iterations and (time.monotonic() < deadline or not curve.losses):
            try:
                with preserved(()):  # the random generators: dropout and augmentation are the same each time
                    loss = yield
            except Skip:
                raise
            except Exception as error:
                if not forgives:
                    raise
                curve.raised = f"{type(error).__name__}: {error}"[:200]
                break
            if not math.isfinite(loss):
                curve.nonfinite_at = len(curve.losses)
                break
            curve.losses.append(loss)
            curve.rates.append(rate_of(subject))
            if until(curve):
                break
        if after is not None and curve.nonfinite_at is None and not curve.raised:
            after()
            with preserved(()):
                yield
    curve.seconds = time.monotonic() - began
    return curve


def rate_of(subject: Subject) -> float:
    """The largest learning rate there is."""
    rates = [float(group.get("lr", 0.0)) for one in subject.optimizers for group in one.param_groups]
    return max(rates, default=0.0)


@contextmanager
def at_steps(
    subject: Subject,
    before: Callable[[torch.optim.Optimizer], None] = lambda optimizer: None,
    behind: Callable[[torch.optim.Optimizer], None] = lambda optimizer: None,
) -> Iterator[None]:
    """Calls the two around each step of one of the subject's optimizers, wherever the loop makes it."""
    ours = {id(one) for one in subject.optimizers}

    def first(optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        if id(optimizer) in ours:
            before(optimizer)

    def then(optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        if id(optimizer) in ours:
            behind(optimizer)

    handles = [register_optimizer_step_pre_hook(first)]
    try:
        handles.append(register_optimizer_step_post_hook(then))
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def learning_rate(subject: Subject, factor: float) -> Iterator[None]:
    """Every step is made with `factor` times its learning rate; a scheduler goes on with the rate of its own."""
    kept: dict[int, list[Any]] = {}

    def scale(optimizer: torch.optim.Optimizer) -> None:
        kept[id(optimizer)] = [group.get("lr") for group in optimizer.param_groups]
        for group in optimizer.param_groups:
            if group.get("lr") is not None:
                group["lr"] = group["lr"] * factor

    def unscale(optimizer: torch.optim.Optimizer) -> None:
        for group, rate in zip(optimizer.param_groups, kept.pop(id(optimizer), []), strict=False):
            if rate is not None:
                group["lr"] = rate

    with at_steps(subject, scale, unscale):
        yield


@contextmanager
def cleared_gradients(subject: Subject) -> Iterator[None]:
    """Nothing of the gradients of one step is there at the next."""

    def clear(optimizer: torch.optim.Optimizer) -> None:
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = None

    with at_steps(subject, behind=clear):
        yield
