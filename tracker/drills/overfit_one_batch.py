"""Trains on one batch until it is known by heart: what a model that is wired right can do, and a broken one cannot."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median
from typing import Any

import torch
from torch.nn.parameter import is_lazy
from torch.optim.optimizer import register_optimizer_step_post_hook

from ..drilling.drill import Drill, Drive, Notes, Skip
from ..drilling.subject import LossFacts, Subject
from ..rules.engine.records import Json
from .attempt import END, Curve, at_steps, attempt, cleared_gradients, learning_rate
from .loss_bounds import Bounds, accuracy_of, bounds_of, broadcasts
from .loss_heard import Ear, listening
from .regularisation_off import regularisation_off

ITERATIONS, AGAIN = 400, 150
"""Iterations of the training as it is, and of each further one; hundreds suffice (CS231n; Karpathy 2019)."""
REACHED = 0.01
"""Share of the way to the floor that may be left when there is nothing more to see."""
RATES = (0.1, 10.0, 100.0, 0.01)
"""Multiples of the learning rate that are tried when the floor was not reached: was it the rate, or anything else?"""
SHARE = 0.6
"""Of the budget, for the training as it is."""
FEW = 3
"""Parameters, the smallest ones, whose gradients are compared between two steps."""
LOOKED = 10
"""Steps from one look at the gradients to the next."""
TOLERANCE = 0.05
"""How far the loss of the loop may be from the one made again, for what is known of the latter to hold."""


@dataclass
class Watch:
    """What the steps of an attempt did to the parameters."""

    steps: int = 0
    """Of the optimizers that are known."""
    steps_of_others: int = 0
    without: int | None = None
    """Parameters without gradient, or with one of zero, at the first step."""
    without_at_end: int | None = None
    norm: float | None = None
    """Norm of the gradient at the first step."""
    norm_at_end: float | None = None
    moved: int = 0
    """Parameters with a value that differs from the one before."""
    movement: float | None = None
    """Median over parameters of the norm of the change, relative to the norm before."""
    before: list[tuple[torch.Tensor, torch.Tensor]] = field(default_factory=list)
    """Each parameter, and its values before."""
    gradients: list[list[torch.Tensor]] = field(default_factory=list)
    """Of a few parameters, at the first two steps."""


class Known:
    """What is known of the loss, from the first iteration and from one after the last."""

    def __init__(self, subject: Subject) -> None:
        self.facts: LossFacts | None = None
        self.bounds = Bounds()
        self.accuracy: float | None = None
        """Share of right answers, the latest."""
        self.squashed = ""
        self._subject = subject

    def learn(self, facts: LossFacts | None, squashed: str) -> None:
        """Takes what was heard of a loss."""
        if self.facts is None:
            self.facts, self.bounds = facts, bounds_of(facts, self._subject)
        self.accuracy, self.squashed = accuracy_of(facts), squashed

    def is_reached(self, curve: Curve) -> bool:
        """Whether the loss stays where hardly anything of the way to its floor is left; never without a floor."""
        floor, guess = self.bounds.floor, self.bounds.guess
        if floor is None or len(curve.losses) < END:
            return False
        top = curve.losses[0] if guess is None else min(curve.losses[0], guess)
        return max(curve.losses[-END:]) - floor < REACHED * (top - floor)


class OverfitOneBatch(Drill):
    """Repeats one batch, dropout, weight decay and label smoothing off, until the loss is at its floor or time is up.

    When it is not, the same is done with other learning rates: whether the rate was the reason is measured.
    """

    name = "overfit-one-batch"
    title = "overfit one batch"
    seconds = 25.0
    in_loop = True

    def __init__(self, seconds: float | None = None, *, regularised: bool = False) -> None:
        """With `regularised` dropout and the like stay on."""
        super().__init__(seconds)
        self.regularised = regularised

    def drive(self, subject: Subject, notes: Notes) -> Drive:
        began = time.monotonic()
        with ExitStack() as stack:
            off = set() if self.regularised else stack.enter_context(regularisation_off(subject))
            watch, ear, known = Watch(), Ear(), Known(subject)
            until = known.is_reached
            ear.tell = known.learn
            heard = [0]

            def ends(curve: Curve) -> bool:
                heard.append(ear.calls)
                return until(curve)

            with _watching(subject, watch), listening(subject, ear):
                curve = yield from attempt(
                    subject,
                    ITERATIONS,
                    began + SHARE * self.budget,
                    until=ends,
                    after=lambda: _look_back(subject, watch, ear),
                    forgives=False,
                )
            if curve.nonfinite_at is not None and ear.calls == heard[-1]:
                raise Skip("the loop made an iteration without sending a loss backward: its loss is not known")
            again_watch = Watch()
            if len(subject.optimizers) == 1 and len(watch.gradients) == 2:
                with _watching(subject, again_watch):
                    yield from attempt(subject, 2, began + self.budget, cleared_gradients(subject))
            trials: list[Json] = []
            if not until(curve) and not self._is_down(curve, known.bounds):
                for factor in RATES:
                    again: Curve = yield from attempt(
                        subject,
                        AGAIN,
                        min(time.monotonic() + (1 - SHARE) * self.budget / len(RATES), began + self.budget),
                        learning_rate(subject, factor),
                        until=until,
                    )
                    again.tell(notes, f"{self.name}/rate x{factor:g}")
                    trials.append({"rate": factor, **again.facts()})
            curve.tell(notes, self.name)
            self._say(subject, notes, curve, known, watch)
            notes.fact(trials=trials, keeps_gradients=_keep(watch.gradients, again_watch.gradients), off=[*sorted(off)])

    def _is_down(self, curve: Curve, bounds: Bounds) -> bool:
        """Whether the loss fell so far that no other rate need be tried."""
        guess = bounds.guess if bounds.guess is not None else curve.losses[0] if curve.losses else 0.0
        end, floor = curve.end, bounds.floor
        return (
            curve.nonfinite_at is None and floor is not None and end is not None and end - floor < (guess - floor) / 2
        )

    def _say(self, subject: Subject, notes: Notes, curve: Curve, known: Known, watch: Watch) -> None:
        bounds, facts = known.bounds, known.facts
        rates = curve.rates or [0.0]
        groups = [group for one in subject.optimizers for group in one.param_groups]
        trainable = [one for one in subject.model.parameters() if one.requires_grad and not is_lazy(one)]
        told = curve.facts()
        notes.fact(
            **{
                **told,
                "highest": max(curve.losses, default=None),
                "floor": bounds.floor,
                "guess": bounds.guess,
                "by_token": bounds.by_token,
                "answers": bounds.answers,
                "conflicts": bounds.conflicts,
                "cap": ITERATIONS,
                "seconds": round(curve.seconds, 3),
                "wobble": wobble(curve.losses),
                "accuracy": known.accuracy,
                "squashed": known.squashed,
                "broadcast": facts is not None and broadcasts(facts),
                "function": facts.function if facts is not None else None,
                "n_classes": facts.n_classes if facts is not None else None,
                "batch": subject.batch_size,
                "parameters": sum(one.numel() for one in trainable),
                "tensors": len(trainable),
                "frozen": sum(1 for one in subject.model.parameters() if not one.requires_grad),
                "steps": watch.steps,
                "steps_of_others": watch.steps_of_others,
                "without_gradient": watch.without,
                "without_gradient_at_end": watch.without_at_end,
                "norm": watch.norm,
                "norm_at_end": watch.norm_at_end,
                "moved": watch.moved,
                "movement": watch.movement,
                "rate": rates[0],
                "rate_at_end": rates[-1],
                "rate_peak": max(rates),
                "rate_begins": min(
                    (float(group["begins_at"]) for group in groups if "begins_at" in group), default=None
                ),
                "optimizers": len(subject.optimizers),
                "profile": subject.profile,
                "summary": _summary(curve, bounds, known.accuracy),
            }
        )


def wobble(losses: list[float]) -> float | None:
    """Median distance of neighbouring losses in the last quarter, in units of the loss; None for fewer than 8."""
    if len(losses) < 8:
        return None
    late = losses[-(len(losses) // 4) - 1 :]
    return median(abs(b - a) for a, b in pairwise(late))


@contextmanager
def _watching(subject: Subject, watch: Watch) -> Iterator[None]:
    """Keeps in `watch` what the first step and the latest ones find, and how far the parameters go."""
    parameters = [one for one in subject.model.parameters() if one.requires_grad and not is_lazy(one)]
    watch.before = [(one, one.detach().clone()) for one in parameters]

    few = sorted(parameters, key=torch.Tensor.numel)[:FEW]

    def look(optimizer: torch.optim.Optimizer) -> None:
        watch.steps += 1
        if len(watch.gradients) < 2:
            watch.gradients.append([_gradient(one) for one in few])
        if watch.steps > len(subject.optimizers) and watch.steps % LOOKED:
            return
        gradients = [one.grad for one in parameters if one.grad is not None]
        squares = [float(one.detach().double().square().sum()) for one in gradients if not one.is_sparse]
        without = len(parameters) - sum(square != 0 for square in squares) - (len(gradients) - len(squares))
        norm = math.sqrt(sum(squares))
        watch.norm_at_end = norm if math.isfinite(norm) else None
        watch.without_at_end = without
        if watch.without is None:
            watch.norm, watch.without = watch.norm_at_end, without

    ours = {id(one) for one in subject.optimizers}

    def count(optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        watch.steps_of_others += id(optimizer) not in ours

    handle = register_optimizer_step_post_hook(count)
    try:
        with at_steps(subject, look):
            yield
    finally:
        handle.remove()


def _gradient(parameter: torch.Tensor) -> torch.Tensor:
    found = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad.detach()
    return found.to_dense().clone().double()


def _keep(one: list[list[torch.Tensor]], cleared: list[list[torch.Tensor]]) -> bool:
    """Whether gradients of the first step are in those of the second: `cleared` is without them."""
    if len(one) < 2 or len(cleared) < 2 or not one[0]:
        return False
    first, second, fresh = (torch.cat([each.flatten() for each in them]) for them in (one[0], one[1], cleared[1]))
    size, rest = float(first.norm()), float((second - fresh - first).norm())
    return size > 0 and rest <= 1e-3 * size


def _look_back(subject: Subject, watch: Watch, ear: Ear) -> None:
    """Looks at the model as the training left it; the next iteration tells of its answers."""
    ear.listens = True
    ratios = []
    for after, before in watch.before:
        if before.shape != after.shape:
            continue
        change = float((after.detach().double() - before.double()).norm())
        watch.moved += change != 0
        size = float(before.double().norm())
        if size and math.isfinite(change):
            ratios.append(change / size)
    watch.movement = median(ratios) if ratios else None
    watch.before = []


def _summary(curve: Curve, bounds: Bounds, accuracy: float | None) -> str:
    if not curve.losses:
        return "the first loss was not finite"
    floor = "" if bounds.floor is None else f" (lowest possible {bounds.floor:.3g})"
    known = "" if accuracy is None else f"; {accuracy:.0%} of the batch is right"
    broke = "" if curve.nonfinite_at is None else f"; not finite at iteration {curve.nonfinite_at}"
    end = curve.end or 0.0
    return f"loss {curve.losses[0]:.3g} to {end:.3g} in {len(curve.losses)} iterations{floor}{known}{broke}"
