"""Between which losses a model can be for one batch: the lowest there is, and that of answering everybody the same."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from ..drilling.subject import LossFacts, Subject

CLASSES = ("cross_entropy", "nll_loss")
BINARY = ("binary_cross_entropy", "binary_cross_entropy_with_logits")
SQUARED = ("mse_loss",)
DISTANCES = (*SQUARED, "l1_loss", "smooth_l1_loss", "huber_loss")
_ZERO = (*DISTANCES, "kl_div", "multi_margin_loss", "multilabel_margin_loss", "soft_margin_loss", "ctc_loss")
"""Losses of 0 for a perfect answer."""

MOST_SAMPLES = 4096
"""Samples that are compared with each other."""


@dataclass(frozen=True)
class Bounds:
    """Losses of the batch, in the scale of the loss itself; None where it is not known."""

    floor: float | None = None
    """The lowest that any model can reach."""
    guess: float | None = None
    """The lowest that the same answer for every sample can reach: the entropy of the labels, the variance."""
    by_token: float | None = None
    """The lowest that a model can reach which sees, for each target, the one token at its place."""
    answers: int | None = None
    """Numbers or labels to be learned by heart."""
    conflicts: int = 0
    """Samples with the same inputs as another one, and another target."""


def bounds_of(facts: LossFacts | None, subject: Subject) -> Bounds:
    """Bounds of a loss of one term; without any where the function or its targets are not known."""
    if facts is None or facts.terms > 1 or facts.scaled or facts.reduction not in ("mean", "sum"):
        return Bounds()
    if facts.targets is None or facts.outputs is None or not facts.targets.numel():
        return Bounds(0.0 if facts.function in _ZERO else None)
    inputs = [tensor.detach().cpu() for _, tensor in subject.inputs()]
    outputs, targets = facts.outputs.detach().cpu(), facts.targets.detach().cpu()
    if facts.function in CLASSES:
        _, shares, kept = class_rows(outputs, targets, facts)
        found = _of_classes(shares, kept, facts, inputs, targets)
        count = int(kept.sum())
    elif facts.function in BINARY:
        found, count = _of_binary(targets.double(), facts, inputs), outputs.numel()
    elif facts.function in DISTANCES:
        found, count = _of_distance(targets.double(), facts, inputs, broadcasts(facts)), outputs.numel()
    else:
        return Bounds(0.0 if facts.function in _ZERO else None)
    scale = float(count) if facts.reduction == "sum" else 1.0
    return replace(
        found,
        floor=_times(found.floor, scale),
        guess=_times(found.guess, scale),
        by_token=_times(found.by_token, scale),
    )


def _times(value: float | None, scale: float) -> float | None:
    return value * scale if value is not None and math.isfinite(value) else None


def class_rows(
    outputs: torch.Tensor, targets: torch.Tensor, facts: LossFacts
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Outputs and shares of the classes of each answer, both (answers, classes), and which of them count."""
    rows = outputs.unsqueeze(0) if outputs.dim() == 1 else outputs.movedim(1, -1).reshape(-1, outputs.shape[1])
    n_classes = rows.shape[1]
    if targets.is_floating_point():
        shares = targets.movedim(1, -1).reshape(-1, n_classes).double() if targets.dim() > 1 else targets[None].double()
        return rows, shares, torch.ones(len(shares), dtype=torch.bool)
    labels = targets.reshape(-1)
    kept = (labels != facts.ignored) & (labels >= 0) & (labels < n_classes)
    shares = torch.zeros(len(labels), n_classes, dtype=torch.float64)
    shares[kept.nonzero().flatten(), labels[kept].long()] = 1.0
    return rows, shares, kept


def accuracy_of(facts: LossFacts | None) -> float | None:
    """Share of right answers in the batch, 0 to 1; None where the targets are no classes."""
    if facts is None or facts.outputs is None or facts.targets is None:
        return None
    outputs, targets = facts.outputs.detach().cpu(), facts.targets.detach().cpu()
    if facts.function in CLASSES:
        rows, shares, kept = class_rows(outputs, targets, facts)
        if len(rows) != len(shares) or not kept.any():
            return None
        return float((rows.argmax(1) == shares.argmax(1))[kept].double().mean())
    if facts.function in BINARY and outputs.shape == targets.shape and outputs.numel():
        edge = 0.5 if facts.function == "binary_cross_entropy" else 0.0
        return float(((outputs > edge) == (targets > 0.5)).double().mean())
    return None


def broadcasts(facts: LossFacts) -> bool:
    """Whether the loss compares every prediction with every target: (N, 1) with (N,)."""
    outputs, targets = facts.outputs, facts.targets
    if outputs is None or targets is None or facts.function not in (*DISTANCES, *BINARY) or outputs.numel() < 2:
        return False
    if any(stride == 0 and n > 1 for stride, n in zip(outputs.stride(), outputs.shape, strict=True)):
        return outputs.dim() == 2 and outputs.shape[0] == outputs.shape[1]
    if outputs.shape == targets.shape:
        return False
    made: list[int] = list(torch.broadcast_shapes(outputs.shape, targets.shape))  # type: ignore[no-untyped-call]
    return math.prod(made) > max(outputs.numel(), targets.numel())


def _entropy(shares: torch.Tensor) -> torch.Tensor:
    made: torch.Tensor = -torch.special.xlogy(shares, shares).sum(-1)
    return made


def _of_classes(
    shares: torch.Tensor, kept: torch.Tensor, facts: LossFacts, inputs: list[torch.Tensor], targets: torch.Tensor
) -> Bounds:
    if not kept.any():
        return Bounds()
    n_classes = shares.shape[1]
    smoothed = shares * (1 - facts.smoothing) + facts.smoothing / n_classes
    weights = torch.ones(n_classes, dtype=torch.float64)
    if facts.weights is not None and facts.weights.numel() == n_classes:
        weights = facts.weights.detach().cpu().double().flatten()
    weighted = shares[kept] * weights
    total = weighted.sum(0)
    prior = total / total.sum().clamp_min(1e-300)
    prior = prior * (1 - facts.smoothing) + facts.smoothing / n_classes
    found = Bounds(float(_entropy(smoothed[kept]).mean()), float(_entropy(prior)), answers=int(kept.sum()))
    if targets.is_floating_point() or facts.smoothing:
        return found
    by_token = None
    token = next((one for one in inputs if not one.is_floating_point() and one.numel() == len(kept)), None)
    if token is not None and targets.dim() and len(kept) > 1:
        by_token = _within(torch.unique(token.reshape(-1), return_inverse=True)[1][kept], shares[kept])
    conflicts, floor = 0, found.floor
    groups = _groups(inputs, len(kept))
    if groups is not None:
        apart = _within(groups[kept], shares[kept])
        conflicts = _conflicting(groups[kept], shares[kept])
        floor = max(apart, found.floor or 0.0)
    return replace(found, floor=floor, by_token=by_token, conflicts=conflicts)


def _of_binary(targets: torch.Tensor, facts: LossFacts, inputs: list[torch.Tensor]) -> Bounds:
    if facts.weights is not None:
        return Bounds(0.0 if bool(((targets == 0) | (targets == 1)).all()) else None, answers=targets.numel())
    both = torch.stack([targets, 1 - targets], -1).clamp(0, 1)
    columns = both.reshape(len(targets), -1, 2) if targets.dim() else both.reshape(1, 1, 2)
    found = Bounds(float(_entropy(both).mean()), float(_entropy(columns.mean(0)).mean()), answers=targets.numel())
    groups = _groups(inputs, len(columns))
    if groups is None:
        return found
    floor = max(found.floor or 0.0, sum(_within(groups, column) for column in columns.unbind(1)) / columns.shape[1])
    return replace(found, floor=floor, conflicts=_conflicting(groups, columns.flatten(1)))


def _of_distance(targets: torch.Tensor, facts: LossFacts, inputs: list[torch.Tensor], is_broadcast: bool) -> Bounds:
    if is_broadcast:
        guess = float(targets.var(unbiased=False)) if facts.function in SQUARED else None
        return Bounds(0.0, guess, answers=targets.numel())
    columns = targets.reshape(len(targets), -1) if targets.dim() else targets.reshape(1, 1)
    guess = None
    if facts.function in SQUARED:
        guess = float(columns.var(0, unbiased=False).mean())
    elif facts.function == "l1_loss":
        guess = float((columns - columns.median(0).values).abs().mean())
    found = Bounds(0.0, guess, answers=targets.numel())
    groups = _groups(inputs, len(columns))
    if groups is None:
        return found
    conflicts = _conflicting(groups, columns)
    if facts.function not in SQUARED:
        return replace(found, floor=None if conflicts else 0.0, conflicts=conflicts)
    means = torch.zeros(int(groups.max()) + 1, columns.shape[1], dtype=torch.float64)
    counts = torch.bincount(groups).double().unsqueeze(1)
    means = means.index_add_(0, groups, columns) / counts
    return replace(found, floor=float((columns - means[groups]).square().mean()), conflicts=conflicts)


def _groups(inputs: Sequence[torch.Tensor], count: int) -> torch.Tensor | None:
    """For each sample the number of the first one with the same inputs; None when all differ, or cannot be told."""
    mine = [one for one in inputs if one.dim() and len(one) == count]
    if not mine or not 1 < count <= MOST_SAMPLES or any(one.dim() and len(one) != count for one in inputs):
        return None
    known: dict[bytes, int] = {}
    parts = [one.resolve_conj().reshape(count, -1).contiguous().view(torch.uint8).numpy() for one in mine]
    groups = [known.setdefault(b"".join(part[at].tobytes() for part in parts), len(known)) for at in range(count)]
    return torch.tensor(groups) if len(known) < count else None


def _within(groups: torch.Tensor, shares: torch.Tensor) -> float:
    """Mean entropy of the targets, (samples, classes), within groups of the same inputs."""
    if not len(groups):
        return 0.0
    totals = torch.zeros(int(groups.max()) + 1, shares.shape[1], dtype=torch.float64).index_add_(0, groups, shares)
    counts = totals.sum(1, keepdim=True)
    entropy = _entropy(totals / counts.clamp_min(1e-300)) * counts.squeeze(1)
    return max(0.0, float(entropy.sum() / len(groups)))


def _conflicting(groups: torch.Tensor, targets: torch.Tensor) -> int:
    first: dict[int, torch.Tensor] = {}
    clashing = 0
    for group, target in zip(groups.tolist(), targets, strict=True):
        clashing += not torch.equal(first.setdefault(group, target), target)
    return clashing


__all__ = [
    "Bounds",
    "accuracy_of",
    "bounds_of",
    "broadcasts",
    "class_rows",
]
