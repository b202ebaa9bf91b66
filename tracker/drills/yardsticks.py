"""Simple models to measure others by: a constant answer, a linear model, and one with a hidden layer.

They are given the inputs standardised and laid flat, whole numbers as counts of each, and are trained by Adam with a
few learning rates, of which the best counts.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch.nn import functional

from ..drilling.drill import Skip
from ..drilling.subject import LossFacts, Subject

CLASSES, BINARY, VALUES = "classes", "yes or no", "values"

_KINDS = {
    "cross_entropy": CLASSES, "nll_loss": CLASSES,
    "binary_cross_entropy": BINARY, "binary_cross_entropy_with_logits": BINARY,
    "mse_loss": VALUES, "l1_loss": VALUES, "smooth_l1_loss": VALUES, "huber_loss": VALUES,
}  # fmt: skip

_MOST_FEATURES, _MOST_IDS, _HIDDEN = 2048, 8192, 64
_MOST_VALUES = 16
"""Numbers to be said of a sample: more of them are a picture, and no yardstick for it."""

RATES = (0.3, 0.03, 0.003)
"""Of Adam: the best of them counts."""
_CLIP = 10.0


@dataclass(frozen=True)
class Task:
    """What is learned of a batch: targets (M,) of classes or (M, K) of numbers, and how far from them a model is."""

    kind: str
    function: str
    targets: torch.Tensor
    width: int
    """Numbers that a model has to give for a sample."""

    def loss(self, predicted: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Of scores, or of values, (M, width): the mean over samples, as the user's loss without weights."""
        if self.kind == CLASSES:
            return functional.cross_entropy(predicted, targets)
        if self.kind == BINARY:
            return functional.binary_cross_entropy_with_logits(predicted, targets)
        named: Callable[..., torch.Tensor] = getattr(functional, self.function)
        return named(predicted, targets)

    def constant(self) -> float:
        """Loss of the best constant answer: the shares of the classes, the mean or the median."""
        targets = self.targets
        if self.kind == CLASSES:
            shares = torch.bincount(targets).double() / len(targets)
            shares = shares[shares > 0]
            return float(-(shares * shares.log()).sum())
        if self.kind == BINARY:
            share = targets.double().mean(0)
            return float(-(torch.xlogy(share, share) + torch.xlogy(1 - share, 1 - share)).mean())
        middle = targets.mean(0) if self.function == "mse_loss" else targets.median(0).values
        return float(self.loss(middle.expand_as(targets), targets))


def task_of(facts: LossFacts | None, subject: Subject) -> tuple[Task, torch.Tensor | None]:
    """(the task of a batch, which of the targets count; None for all); raises `Skip` where there is no yardstick."""
    kind = _KINDS.get(facts.function) if facts is not None else None
    if facts is None or kind is None:
        raise Skip("the loss is none of cross entropy, binary cross entropy, squared or absolute error")
    targets, outputs = facts.targets, facts.outputs
    if targets is None or outputs is None:
        raise Skip("what the loss compares could not be read")
    targets = targets.detach()
    if kind == CLASSES:
        if targets.is_floating_point() or facts.n_classes is None or outputs.dim() != targets.dim() + 1:
            raise Skip("the targets are no class labels")
        flat = targets.reshape(-1)
        counted = flat != facts.ignored
        return Task(kind, facts.function, flat[counted], facts.n_classes), None if bool(counted.all()) else counted
    if outputs.numel() != targets.numel() or not targets.dim():
        raise Skip(f"outputs {list(outputs.shape)} are compared with targets {list(targets.shape)}")
    if any(_is_same(one, targets) for _, one in subject.inputs()):
        raise Skip("the targets are the inputs: no yardstick for what is to be passed through")
    rows = targets.reshape(len(targets), -1).float()
    if rows.shape[1] > _MOST_VALUES or not bool(torch.isfinite(rows).all()):
        raise Skip(f"{rows.shape[1]} numbers are to be said of a sample; up to {_MOST_VALUES} have a yardstick")
    return Task(kind, facts.function, rows, rows.shape[1]), None


def _is_same(one: torch.Tensor, targets: torch.Tensor) -> bool:
    is_like = one.numel() == targets.numel() and one.dtype == targets.dtype and one.device == targets.device
    return is_like and one is not targets and torch.equal(one.reshape(-1), targets.reshape(-1))


def plain_loss(facts: LossFacts | None, task: Task, counted: torch.Tensor | None) -> float:
    """The user's model by the same measure: without weights, smoothing, or other terms."""
    if facts is None or facts.outputs is None:
        return math.nan
    outputs = facts.outputs.detach().float()
    if task.kind == CLASSES:
        outputs = outputs.movedim(1, -1).reshape(-1, task.width)
        outputs = outputs if counted is None else outputs[counted]
        if len(outputs) != len(task.targets):
            return math.nan
        if bool(torch.isfinite(outputs).all()) and float(outputs.logsumexp(1).abs().max()) > 1e-2:
            raise Skip("the loss is given scores where it takes logarithms of probabilities")
        return float(functional.nll_loss(outputs, task.targets.to(outputs.device)))
    outputs = outputs.reshape(task.targets.shape)
    targets = task.targets.to(outputs.device)
    if task.function == "binary_cross_entropy":
        return float(functional.binary_cross_entropy(outputs.clamp(0, 1), targets))
    return float(task.loss(outputs, targets))


def features_of(inputs: Sequence[torch.Tensor], task: Task, counted: torch.Tensor | None) -> torch.Tensor:
    """Rows (M, F) of the inputs for the targets of a task: of samples, or of the positions of sequences."""
    m = len(task.targets) if counted is None else len(counted)
    parts = [part for one in inputs if (part := _rows(one.detach(), m)) is not None]
    if not parts:
        raise Skip(f"no input has a row for each of the {m} targets")
    rows = torch.cat(parts, 1)[:, : 2 * _MOST_FEATURES + _MOST_IDS]
    rows = rows if counted is None else rows[counted.to(rows.device)]
    std, mean = torch.std_mean(rows, 0, correction=0)
    return ((rows - mean) / torch.where(std > 1e-6 * mean.abs() + 1e-12, std, 1.0)).clamp(-_CLIP, _CLIP)


def _rows(one: torch.Tensor, m: int) -> torch.Tensor | None:
    if one.is_complex() or not one.dim() or not one.numel():
        return None
    if not one.is_floating_point() and one.dtype is not torch.bool:
        return _counts(one, m)
    one = one.float().nan_to_num(0.0, 0.0, 0.0)
    if len(one) != m:
        if one.dim() < 3 or one.shape[0] * one.shape[1] != m:
            return None
        one = one.flatten(0, 1)
    if one.dim() == 4 and one[0].numel() > _MOST_FEATURES:
        side = max(2, int(math.sqrt(_MOST_FEATURES / max(1, one.shape[1]))))
        one = functional.adaptive_avg_pool2d(one, (min(side, one.shape[2]), min(side, one.shape[3])))
    flat = one.reshape(m, -1)
    return flat[:, :: -(-flat.shape[1] // _MOST_FEATURES)]


def _counts(one: torch.Tensor, m: int) -> torch.Tensor | None:
    """How often each whole number is in a row; where there is a target for each, which one it is."""
    ids = one.reshape(m, 1) if one.numel() == m else one.reshape(m, -1) if len(one) == m else None
    if ids is None:
        return None
    _, ids = torch.unique(ids, return_inverse=True)
    found = torch.zeros(m, min(int(ids.max()) + 1, _MOST_IDS), device=one.device)
    return found.scatter_add_(1, ids % found.shape[1], torch.ones_like(ids, dtype=torch.float32))


class Yardstick:
    """A linear model, or one with a hidden layer; its targets are standardised, where they are values."""

    def __init__(self, width: int, task: Task, hidden: int, rate: float) -> None:
        made = torch.Generator().manual_seed(0)
        sizes = [width, hidden, task.width] if hidden else [width, task.width]
        self._task, device = task, task.targets.device
        self._weights = []
        for at, (n, k) in enumerate(pairwise(sizes)):
            is_last = at == len(sizes) - 2
            start = torch.zeros(n, k) if is_last else torch.randn(n, k, generator=made) * math.sqrt(2 / n)
            self._weights += [start.to(device).requires_grad_(), torch.zeros(k, device=device).requires_grad_()]
        if task.kind == VALUES:
            std, self._mean = torch.std_mean(task.targets, 0, correction=0)
            self._std = torch.where(std > 0, std, 1.0)
        self._optimizer = torch.optim.Adam(self._weights, rate)

    def predict(self, rows: torch.Tensor) -> torch.Tensor:
        """(M, width)."""
        for weight, bias in zip(self._weights[::2], self._weights[1::2], strict=True):
            rows = rows @ weight + bias
            rows = rows.relu() if weight is not self._weights[-2] else rows
        return rows * self._std + self._mean if self._task.kind == VALUES else rows

    def step(self, rows: torch.Tensor, targets: torch.Tensor) -> float:
        """One step of Adam; returns the loss before it."""
        self._optimizer.zero_grad()
        loss = self._task.loss(self.predict(rows), targets)
        scale = float(self._std.mean()) if self._task.kind == VALUES else 1.0
        (loss / scale).backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        return float(loss.detach())


def best_of(rows: torch.Tensor, task: Task, hidden: int, steps: int, seconds: float) -> float:
    """Loss that a yardstick comes to on a batch, in so many steps; infinite when no rate could be tried in time."""
    deadline = time.monotonic() + seconds
    best = math.inf
    with torch.enable_grad():
        for rate in RATES:
            model = Yardstick(rows.shape[1], task, hidden, rate)
            for _ in range(steps):
                model.step(rows, task.targets)
            final = float(task.loss(model.predict(rows), task.targets).detach())
            best = min(best, final) if math.isfinite(final) else best
            if time.monotonic() > deadline:
                break
    return best


HIDDEN = _HIDDEN
"""Units of the hidden layer."""
