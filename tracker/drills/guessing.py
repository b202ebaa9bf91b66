"""What a loss function gives for answers that know nothing: the function itself, asked with constants."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from ..probes.loss import LossNode

TOLERANCE = 2e-3
"""By which share a loss that is computed again may differ: sums in another order, half precision aside."""

CLASSES = ("cross_entropy", "nll_loss")
BINARY = ("binary_cross_entropy_with_logits", "binary_cross_entropy", "soft_margin_loss")
MARGINS = ("multi_margin_loss",)
DISTANCES = ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss")

_LEAST = 1e-12
"""A share of a class that stands for none, so that its logarithm is finite."""


@dataclass(frozen=True)
class Guesses:
    """Losses of constant answers, in the units of the function: its reduction, without a factor outside of it."""

    uniform: float | None = None
    """Of the same probability for each class, or a score of 0."""
    prior: float | None = None
    """Of the shares that the classes have in this batch, weighted as the loss weighs them."""
    zero: float | None = None
    """Of 0 for each target of a regression."""
    mean: float | None = None
    """Of the mean target: with a mean squared error, the variance of the targets."""
    unit: float | None = None
    """Of being off by 1 everywhere: outputs of an untrained network are about as large, whatever the targets."""
    present: int | None = None
    """Different classes in the batch; of a binary loss, different targets."""
    target_mean: float | None = None
    target_std: float | None = None


class Function:
    """A recognised loss function with its targets, which can be asked with other predictions."""

    def __init__(self, node: LossNode, fallback: tuple[torch.Tensor, torch.Tensor] | None = None) -> None:
        """`fallback` are predictions and targets of the same shape, for a function whose node kept none."""
        self.name = node.function
        self.node = node
        self.reduction = node.reduction if node.reduction in ("mean", "sum") else "mean"
        outputs, targets = node.outputs, node.targets
        if self.name in DISTANCES and not (isinstance(outputs, torch.Tensor) and isinstance(targets, torch.Tensor)):
            outputs, targets = fallback if fallback is not None else (None, None)
        self.outputs: torch.Tensor | None = outputs.detach() if isinstance(outputs, torch.Tensor) else None
        self.targets: torch.Tensor | None = targets.detach() if isinstance(targets, torch.Tensor) else None
        if node.is_soft and self.targets is not None:
            self.targets = self.targets.float()  # one-hot, perhaps: never labels

    @property
    def is_known(self) -> bool:
        """Whether it can be asked at all."""
        return (
            self.name in (*CLASSES, *BINARY, *MARGINS, *DISTANCES)
            and self.outputs is not None
            and self.targets is not None
            and self.outputs.numel() > 0
            and self.targets.numel() > 0
        )

    def of(self, outputs: torch.Tensor, targets: torch.Tensor | None = None) -> torch.Tensor:
        """The loss of other predictions, of shape (); what does not fit raises what torch raises."""
        node = self.node
        targets = self.targets if targets is None else targets
        assert targets is not None
        outputs = outputs.float()
        if self.name in CLASSES:
            weights = None if node.weights is None else node.weights.float()
            if not (node.by_hand or node.smoothing or targets.is_floating_point()):
                # Not `cross_entropy`, which would make probabilities of what was none.
                reduction = self.reduction
                return functional.nll_loss(outputs, targets, weights, ignore_index=node.ignored, reduction=reduction)
            if targets.is_floating_point():
                targets = targets.float()
            return functional.cross_entropy(
                outputs,
                targets,
                weights,
                ignore_index=node.ignored,
                reduction=self.reduction,
                label_smoothing=min(1.0, max(0.0, node.smoothing)),
            )
        if self.name in MARGINS:
            settings = node.settings
            margin, power = float(settings.get("margin") or 1.0), int(settings.get("p") or 1)
            return functional.multi_margin_loss(
                outputs, targets, p=power, margin=margin, weight=node.weights, reduction=self.reduction
            )
        targets = targets.float()
        if self.name == "binary_cross_entropy_with_logits":
            weights = node.weights
            return functional.binary_cross_entropy_with_logits(
                outputs, targets, pos_weight=None if weights is None else weights.float(), reduction=self.reduction
            )
        if self.name == "binary_cross_entropy":
            # By its formula: torch's own refuses targets and answers outside of 0 to 1, which are a finding.
            logs = (outputs.log().clamp(min=-100), (1 - outputs).log().clamp(min=-100))
            each = -(targets * logs[0] + (1 - targets) * logs[1])
            weights = node.weights
            return self._reduced(each if weights is None else each * weights.float())
        if self.name == "soft_margin_loss":
            return functional.soft_margin_loss(outputs, targets, reduction=self.reduction)
        if self.name == "smooth_l1_loss":
            beta = float(node.settings.get("beta") or 0.0)
            return functional.smooth_l1_loss(outputs, targets, reduction=self.reduction, beta=beta)
        if self.name == "huber_loss":
            delta = float(node.settings.get("delta") or 1.0)
            return functional.huber_loss(outputs, targets, reduction=self.reduction, delta=delta)
        distance = functional.l1_loss if self.name == "l1_loss" else functional.mse_loss
        return distance(outputs, targets, reduction=self.reduction)

    def value(self) -> float:
        """The loss of the model's own predictions, computed again; NaN where that cannot be done."""
        assert self.outputs is not None
        return _number(lambda: self.of(self.outputs))  # type: ignore[arg-type]

    def agrees_with(self, value: float) -> bool:
        """Whether it gives this number for the model's own predictions; tries what a graph may hide, and keeps it."""
        assert self.outputs is not None
        outputs, reduction = self.outputs, self.reduction
        slack = 2e-2 if outputs.dtype in (torch.float16, torch.bfloat16) else TOLERANCE
        # A loss written by hand hides whether it was a mean, and whether what it kept were probabilities.
        tried: list[tuple[torch.Tensor, str]] = [(outputs, reduction)]
        tried.append((outputs, "sum" if reduction == "mean" else "mean"))
        if self.name in CLASSES and self.node.by_hand:
            tried += [(outputs.float().clamp(min=_LEAST).log(), one) for one in ("mean", "sum")]
        for self.outputs, self.reduction in tried:
            if math.isclose(self.value(), value, rel_tol=slack, abs_tol=1e-6):
                return True
        self.outputs, self.reduction = outputs, reduction
        return False

    def mass(self) -> float | None:
        """What the probabilities of a sample's classes add up to, on average, of a function that takes logarithms."""
        outputs = self.outputs
        if self.name not in CLASSES or self.node.by_hand or self.node.is_soft or outputs is None or outputs.dim() < 2:
            return None
        return _told(lambda: outputs.float().exp().sum(1).mean())

    def doubled(self) -> float | None:
        """How many times the loss is for the batch put twice: 1 for a mean, 2 for a sum; None where it is 0."""
        outputs, targets = self.outputs, self.targets
        if outputs is None or targets is None:
            return None
        once = self.value()
        twice = _number(lambda: self.of(torch.cat([outputs, outputs]), torch.cat([targets, targets])))
        return twice / once if math.isfinite(twice) and math.isfinite(once) and abs(once) > 1e-9 else None

    def guesses(self) -> Guesses:
        """What constant answers would cost."""
        if self.outputs is None or self.targets is None:
            return Guesses()
        if self.name in CLASSES:
            return self._classes(self.outputs, self.targets)
        if self.name in MARGINS:
            present = len(torch.unique(self.targets))
            return Guesses(uniform=_told(lambda: self.of(torch.zeros_like(self._given))), present=present)
        if self.name in BINARY:
            return self._binary(self.outputs, self.targets.float())
        targets = self.targets.float()
        mean, std = targets.mean(), targets.std(correction=0)
        return Guesses(
            zero=_told(lambda: self.of(torch.zeros_like(targets))),
            mean=_told(lambda: self.of(mean.expand_as(targets))),
            unit=_told(lambda: self.of(targets + 1)),
            target_mean=_told(lambda: mean),
            target_std=_told(lambda: std),
        )

    @property
    def _given(self) -> torch.Tensor:
        assert self.outputs is not None
        return self.outputs

    def _reduced(self, each: torch.Tensor) -> torch.Tensor:
        return each.sum() if self.reduction == "sum" else each.mean()

    def _classes(self, outputs: torch.Tensor, targets: torch.Tensor) -> Guesses:
        shares = _shares(outputs, targets, self.node.ignored)
        classes = outputs.shape[1] if outputs.dim() > 1 else outputs.shape[0]
        uniform = _told(lambda: self.of(torch.full_like(outputs, -math.log(classes), dtype=torch.float32)))
        if shares is None:
            return Guesses(uniform=uniform)
        present = int((shares > 0).sum())
        weighted = shares if self.node.weights is None else shares * self.node.weights.float()
        weighted = weighted / weighted.sum().clamp(min=_LEAST)
        smoothing = self.node.smoothing
        logs = (weighted * (1 - smoothing) + smoothing / len(shares)).clamp(min=_LEAST).log()
        sizes = [1] * outputs.dim()
        sizes[1 if outputs.dim() > 1 else 0] = -1
        prior = _told(lambda: self.of(logs.reshape(sizes).expand_as(outputs)))
        return Guesses(uniform=uniform, prior=prior, present=present)

    def _binary(self, outputs: torch.Tensor, targets: torch.Tensor) -> Guesses:
        share = targets.mean(0, keepdim=True) if targets.dim() > 1 and targets.shape[-1] > 1 else targets.mean()
        present = int(targets.min() < 0.5) + int(targets.max() > 0.5)
        if self.name == "soft_margin_loss":
            return Guesses(uniform=_told(lambda: self.of(torch.zeros_like(outputs))), present=present)
        if self.name == "binary_cross_entropy":
            uniform = _told(lambda: self.of(torch.full_like(outputs, 0.5)))
            best = share.clamp(_LEAST, 1 - 1e-7)
            return Guesses(uniform, _told(lambda: self.of(best.expand_as(outputs))), present=present)
        weights = self.node.weights
        odds = share if weights is None else share * weights.float()
        logs = odds.clamp(min=_LEAST).log() - (1 - share).clamp(min=_LEAST).log()
        uniform = _told(lambda: self.of(torch.zeros_like(outputs)))
        return Guesses(uniform, _told(lambda: self.of(logs.expand_as(outputs))), present=present)


def _shares(outputs: torch.Tensor, targets: torch.Tensor, ignored: int) -> torch.Tensor | None:
    """The share of each class among the targets of a batch, those left out aside; None where there are none."""
    classes = outputs.shape[1] if outputs.dim() > 1 else outputs.shape[0]
    if targets.is_floating_point():
        dims = [dim for dim in range(targets.dim()) if dim != (1 if targets.dim() > 1 else 0)]
        counts = targets.float().sum(dims) if dims else targets.float()
    else:
        kept = targets[targets != ignored].reshape(-1)
        if not len(kept) or int(kept.min()) < 0 or int(kept.max()) >= classes:
            return None
        counts = torch.bincount(kept, minlength=classes).float()
    total = counts.sum()
    return counts / total if float(total) > 0 else None


def _number(compute: Callable[[], torch.Tensor]) -> float:
    try:
        with torch.no_grad():
            return float(compute())
    except (RuntimeError, ValueError, IndexError, TypeError):
        return math.nan  # what was read does not fit together: it is not what the loss was computed of


def _told(compute: Callable[[], torch.Tensor]) -> float | None:
    found = _number(compute)
    return found if math.isfinite(found) else None


def guesses_of(
    name: str, loss: Callable[[Any], torch.Tensor], output: torch.Tensor, targets: torch.Tensor | None
) -> Guesses:
    """The same, asked of a whole loss that weighs samples or masks them: it is given constants for the output.

    The loss must give for `output` what it gave; whoever calls this has seen to it.
    """
    output = output.detach()

    def constant(value: float) -> float | None:
        return _told(lambda: loss(torch.full_like(output, value)))

    if name in CLASSES:
        looks = scores_like(output)
        dim = 1 if looks == "scores" or output.dim() == 2 else -1
        classes = output.shape[dim] if output.dim() > 1 else 1
        return Guesses(uniform=constant({"scores": 0.0, "probabilities": 1 / classes}.get(looks, -math.log(classes))))
    if name in BINARY:
        return Guesses(uniform=constant(0.5 if name == "binary_cross_entropy" else 0.0))
    if name not in DISTANCES:
        return Guesses()
    if targets is None or targets.numel() != output.numel():
        return Guesses(zero=constant(0.0))
    aimed = targets.detach().float()
    mean, std = float(aimed.mean()), float(aimed.std(correction=0))
    unit = _told(lambda: loss((aimed.reshape(output.shape) + 1).to(output.dtype)))
    return Guesses(zero=constant(0.0), mean=constant(mean), unit=unit, target_mean=mean, target_std=std)


def scores_like(outputs: Any) -> str:
    """What the scores of classes look like: `probabilities`, `logarithms` of them, or `scores`.

    Judged along the last dimension, and the second; of a single column nothing can be said.
    """
    if not isinstance(outputs, torch.Tensor) or outputs.dim() < 2 or not outputs.is_floating_point():
        return "scores"
    values = outputs.detach().float()
    for dim in dict.fromkeys((1, values.dim() - 1)):
        if values.shape[dim] < 2:
            continue
        if float(values.min()) >= 0 and bool(((values.sum(dim) - 1).abs() < 1e-3).all()):
            return "probabilities"
        if float(values.max()) <= 1e-4 and bool(((values.exp().sum(dim) - 1).abs() < 1e-3).all()):
            return "logarithms"
    return "scores"
