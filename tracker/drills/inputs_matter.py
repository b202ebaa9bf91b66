"""Whether training on the inputs does better than training without them."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from statistics import fmean
from typing import Any

import torch

from ..drilling.drill import Drill, Drive, Notes, Skip
from ..drilling.preserved import preserved
from ..drilling.samples import Samples, readings
from ..drilling.subject import Subject
from ..drilling.trials import Trials, effect, named, replaced
from ..rules.engine.records import Json
from ..rules.engine.signals import DRILL_LOSS

_SHORT, _LONG = 30, 120
"""Iterations of a first look, and of a second one where the first does not tell."""
_TAIL = 5
"""Last losses of which the mean is taken."""
_CLEAR = 0.05
"""Gap, as a share of the first loss, at which the first look is enough."""


class InputsMatter(Drill):
    """Trains twice on the same batch from the same state: on its inputs, and with one sample's inputs for all samples.

    Without inputs a model can learn how often each answer is right, and nothing else.
    """

    name = "inputs-matter"
    title = "better than without inputs"
    seconds = 10.0
    in_loop = True

    def drive(self, subject: Subject, notes: Notes) -> Drive:
        ends = time.monotonic() + self.budget
        targets = Trials(subject).compared()[2]
        samples = _samples(subject, targets)
        dims = {name: dim for name, _, dim in samples.inputs}
        before = _effect(subject, samples)
        after: float | None = None
        if targets is not None and _is_same(targets):
            raise Skip("every sample of the batch has the same target")
        real: list[float] = []
        without: list[float] = []
        for most in (_SHORT, _LONG):
            half = time.monotonic() + (ends - time.monotonic()) / 2
            with preserved(subject.modules, subject.optimizers, subject.others), _hidden(subject.model, dims):
                without = yield from _train(most, half, -math.inf)
            floor = _tail(without) - 2 * _CLEAR * abs(without[0]) if without else -math.inf
            with preserved(subject.modules, subject.optimizers, subject.others):
                real = yield from _train(most, ends, floor)
                after = _effect(subject, samples)
            if not real or not without or not all(map(math.isfinite, (*real, *without))):
                raise Skip("a loss was not finite")
            if _tail(without) - _tail(real) > _CLEAR * abs(without[0]) or time.monotonic() > ends:
                break
        for variant, losses in (("real", real), ("without", without)):
            for iteration, loss in enumerate(losses):
                notes.reading(DRILL_LOSS, f"{self.name}/{variant}", iteration, loss)
        values: dict[str, Json] = {
            "iterations": min(len(real), len(without)),
            "real_first": real[0],
            "real_last": _tail(real),
            "without_first": without[0],
            "without_last": _tail(without),
            "effect_before": before,
            "effect_after": after,
        }
        said = f"loss {real[0]:.4g} to {_tail(real):.4g} in {len(real)} iterations on the inputs, "
        notes.fact(**values, summary=said + f"to {_tail(without):.4g} in {len(without)} with one sample's for all")


def _samples(subject: Subject, targets: torch.Tensor | None) -> Samples:
    """The samples of the batch; raises `Skip` where there are none, or where their inputs are all the same."""
    samples = readings(subject, targets)[0]
    if all(_is_same(one.movedim(dim, 0)) for _, one, dim in samples.inputs):
        raise Skip("every sample of the batch has the same inputs")
    return samples


def _effect(subject: Subject, samples: Samples) -> float | None:
    """What the inputs of other samples change of the output, as a share of its size."""
    trials = Trials(subject)
    try:
        return effect(trials, samples.with_rows(torch.arange(samples.count).roll(1)), trials.outputs())
    except Skip:
        return None


def _is_same(tensor: torch.Tensor) -> bool:
    return tensor.dim() > 0 and torch.equal(tensor, tensor[:1].expand_as(tensor))


@contextmanager
def _hidden(model: torch.nn.Module, dims: dict[str, int]) -> Iterator[None]:
    """Inside, the model is given the inputs of the first sample for all samples."""

    def hide(module: torch.nn.Module, args: Any, kwargs: Any) -> Any:
        changed = {}
        for name, one in named(module, args, kwargs):
            dim = dims.get(name)
            if dim is not None and dim < one.dim() and one.shape[dim] > 1:
                changed[id(one)] = one.narrow(dim, 0, 1).expand_as(one).clone()
        return replaced((tuple(args), dict(kwargs)), changed)

    try:
        handle = model.register_forward_pre_hook(hide, with_kwargs=True)
    except RuntimeError as error:
        raise Skip("the model is a compiled script, which takes no hooks") from error
    try:
        yield
    finally:
        handle.remove()


def _train(most: int, ends: float, floor: float) -> Generator[None, float, list[float]]:
    """Losses of at most so many iterations; it ends early below `floor`."""
    losses: list[float] = []
    while len(losses) < most and (time.monotonic() < ends or len(losses) < _TAIL):
        loss = yield
        losses.append(float(loss))
        if not math.isfinite(losses[-1]) or (len(losses) > _TAIL and _tail(losses) < min(floor, losses[0])):
            break
    return losses


def _tail(losses: list[float]) -> float:
    return fmean(losses[-_TAIL:])
