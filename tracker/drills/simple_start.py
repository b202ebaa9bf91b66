"""A model beside the simplest ones: a constant answer, a linear model, one hidden layer."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Generator

import torch

from ..drilling.drill import Drill, Drive, Notes, Skip
from ..drilling.loop import Loop
from ..drilling.preserved import preserved
from ..drilling.subject import Subject
from ..rules.engine.records import Json
from ..rules.engine.signals import DRILL_LOSS
from .first_samples import on_first_samples
from .yardsticks import HIDDEN, Task, best_of, features_of, plain_loss, task_of

_STEPS, _LEAST_STEPS = 60, 15
_LEAST_SAMPLES = 8
_FACTORS = (1.0, 10.0, 100.0)
"""Multiples of the learning rate: with the wrong one a model is behind, and nothing is wrong with it."""

_ADAM = (1e-3, 1e-2)
"""Rates of an Adam of ours, which says whether the model can learn the batch at all."""

_NEAR, _BEHIND = 0.9, 1.5
"""Of the constant answer's loss, and of the linear model's: what is above both is tried with other rates as well."""


class SimpleStart(Drill):
    """Trains the model and the simple ones for the same number of steps on the same batch.

    The fact has `constant`, `linear`, `hidden` (losses that these come to, by the loss function alone), `first` (the
    model's own, untrained), `tried`: `[{"factor": of the learning rate, "rate": afterwards, "half", "last": losses,
    "moved": largest change of a weight}]` (further factors only where the model is behind with its own), `adam`: the
    same of an Adam of ours at `"rate"`, where it was asked, `steps`, `samples`, `features`, `function`, and with a
    loader `held_out`: what `on_first_samples` tells, or `no_loader`, why it does not.
    """

    name = "simple-start"
    title = "beside simple models"
    seconds = 25.0
    in_loop = True

    def drive(self, subject: Subject, notes: Notes) -> Drive:
        began = time.monotonic()
        if not any(one.requires_grad and one.numel() for one in subject.model.parameters()):
            raise Skip("the model has no parameter that can be trained")
        facts = subject.loss_facts()
        task, counted = task_of(facts, subject)
        known = {id(subject.targets)}
        inputs = [one for _, one in subject.inputs() if id(one) not in known]
        rows = features_of(inputs, task, counted)
        constant = task.constant() + 0.0  # of equal targets it is -0.0
        if len(task.targets) < _LEAST_SAMPLES or not constant > 1e-6:
            raise Skip(f"{len(task.targets)} targets, for which a constant answer has a loss of {constant:.3g}")
        first = plain_loss(facts, task, counted)
        linear = hidden = math.inf
        tried: list[Json] = []
        adam: list[Json] = []
        steps = 0
        for factor in _FACTORS:
            with preserved(subject.modules, subject.optimizers, subject.others):
                most = steps or _STEPS
                trial = _Trial(subject, task, notes, factor)
                yield from trial.run(most, self.budget * (0.35 if factor == 1 else 0.15))
            if trial.steps < _LEAST_STEPS:
                if factor > 1:
                    break
                raise Skip(f"{trial.steps} steps took {time.monotonic() - began:.1f} s; {_LEAST_STEPS} are needed")
            tried.append(trial.told())
            if factor == 1:
                steps = trial.steps
                linear = best_of(rows, task, 0, steps, 0.15 * self.budget)
                hidden = best_of(rows, task, HIDDEN, steps, 0.15 * self.budget)
            is_behind = not trial.last <= max(_NEAR * constant, _BEHIND * linear)
            adam = self._with_adam(subject, task, notes, steps) if is_behind and factor == _FACTORS[-1] else []
            if not is_behind or time.monotonic() - began > 0.8 * self.budget:
                break
        own = trial_of(tried[0])
        notes.fact(
            constant=_finite(constant),
            linear=_finite(linear),
            hidden=_finite(hidden),
            first=_finite(first),
            tried=tried,
            adam=adam,
            steps=steps,
            samples=len(task.targets),
            features=rows.shape[1],
            function=task.function,
            summary=f"after {steps} steps on one batch: loss {own}; constant answer {constant:.4g}, linear model "
            f"{linear:.4g}, one hidden layer {hidden:.4g}",
        )
        left = self.budget - (time.monotonic() - began)
        if subject.loaders and counted is None and left > 0.2 * self.budget:
            self._on_loader(subject, task, notes, left)

    def _on_loader(self, subject: Subject, task: Task, notes: Notes, seconds: float) -> None:
        """The same with other samples in each step, measured on samples that none of them has seen."""
        told = on_first_samples(subject, task, seconds)
        if isinstance(told, str):
            notes.fact(no_loader=told)
            return
        losses = [told[key] for key in ("own", "constant", "linear", "hidden")]
        if all(isinstance(one, float) for one in losses):
            own, constant, linear, hidden = losses
            summary = (
                f"{notes.value['summary']}; after {told['samples']} samples, held-out loss {own:.4g}; {constant:.4g}, "
                f"{linear:.4g}, {hidden:.4g}"
            )
            notes.fact(held_out=told, summary=summary)

    def _with_adam(self, subject: Subject, task: Task, notes: Notes, steps: int) -> list[Json]:
        """The same steps by an optimizer that nearly every network learns with."""
        found: list[Json] = []
        for rate in _ADAM:
            with preserved(subject.modules, subject.optimizers, subject.others):
                weights = [one for one in subject.model.parameters() if one.requires_grad]
                if not weights:
                    return found
                own = dataclasses.replace(subject, optimizers=[torch.optim.Adam(weights, rate)])
                trial = _Trial(own, task, notes, 1.0, f"adam-{rate:g}")
                try:
                    loop = Loop(own)
                    asked = trial.run(steps, 0.15 * self.budget)
                    next(asked, None)
                    while True:
                        asked.send(loop.iterate())
                except StopIteration:
                    found.append(trial.told())
                except Exception:
                    return found  # such as gradients that Adam does not take
        return found


class _Trial:
    """One training of the user's model, at a multiple of its learning rates."""

    def __init__(self, subject: Subject, task: Task, notes: Notes, factor: float, name: str = "") -> None:
        self._name = f"simple-start/{name or f'{factor:g}'}"
        self._subject, self._task, self._notes, self._factor = subject, task, notes, factor
        self.steps = 0
        self.half = self.last = math.nan
        self._rates: list[float] = []
        self._moved = math.nan

    def run(self, most: int, seconds: float) -> Generator[None, float, None]:
        """Asks for at most so many iterations; measures half way, and at the end."""
        deadline = time.monotonic() + seconds
        weights = [one for one in self._subject.model.parameters() if one.requires_grad]
        before = [one.detach().clone() for one in weights]
        groups = [group for optimizer in self._subject.optimizers for group in optimizer.param_groups]
        if self._factor != 1:
            for group in groups:
                group["lr"] = group["lr"] * self._factor
        while self.steps < most and time.monotonic() < deadline:
            loss = yield
            if math.isfinite(loss):
                self._notes.reading(DRILL_LOSS, self._name, self.steps, loss)
            self.steps += 1
            if self.steps == most // 2:
                self.half = self._measured()
        self.last = self._measured()
        changes = [float((a.detach() - b).abs().max()) for a, b in zip(weights, before, strict=True) if a.numel()]
        self._moved = max(changes, default=0.0)
        self._rates = [float(group["lr"]) for group in groups]

    def _measured(self) -> float:
        try:
            facts = self._subject.loss_facts()
            task, counted = task_of(facts, self._subject)
            return plain_loss(facts, task, counted)
        except Exception:  # such as a probability that is no number, which torch refuses
            return math.nan

    def told(self) -> dict[str, Json]:
        return {
            "factor": self._factor,
            "rate": _finite(max(self._rates, default=math.nan)),
            "half": _finite(self.half),
            "last": _finite(self.last),
            "moved": _finite(self._moved),
        }


def trial_of(told: Json) -> str:
    """The loss that a trial came to, in words."""
    last = told.get("last") if isinstance(told, dict) else None
    return f"{last:.4g}" if isinstance(last, float) else "no number"


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
