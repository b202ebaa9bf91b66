"""How noisy the gradient of a batch is, and with that how large a batch is worth its time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from ..drilling.drill import Drill, Notes, Skip
from ..drilling.subject import Subject
from ..probes.nested import tensors_in

FEWEST = 8
"""Samples; of fewer, parts are too small to tell noise from gradient."""
PARTS = 8
"""Of the batch, at most: each costs a pass backward. A part has at least two samples."""
_BY_SAMPLE = frozenset(
    {
        "cross_entropy", "nll_loss", "binary_cross_entropy", "binary_cross_entropy_with_logits", "mse_loss", "l1_loss",
        "smooth_l1_loss", "huber_loss", "soft_margin_loss", "multi_margin_loss", "multilabel_margin_loss",
        "poisson_nll_loss", "gaussian_nll_loss", "kl_div",
    }
)  # fmt: skip
"""Losses that are a mean, or a sum, over what each sample has alone."""


class NoiseScale(Drill):
    """Compares gradients of parts of the batch with that of the whole: the simple noise scale at the start.

    McCandlish et al. 2018, "An Empirical Model of Large-Batch Training", section 2.2 and appendix A.1: with the mean
    gradient G of B samples and those of parts of b samples, (B |G_B|² - b |G_b|²) / (B - b) is the square of the true
    gradient, (|G_b|² - |G_B|²) / (1/b - 1/B) the trace of the covariance of one sample's, both without bias; the scale
    is the second over the first. A factor for the whole loss, as a sum has against a mean, does not matter.
    """

    name = "noise-scale"
    title = "batch size and noise"
    seconds = 10.0

    def measure(self, subject: Subject, notes: Notes) -> None:
        weights = [one for one in subject.model.parameters() if one.requires_grad]
        if not weights:
            raise Skip("the model has no parameter that can be trained")
        facts = subject.loss_facts()
        if subject.loss is None or facts is None or facts.function not in _BY_SAMPLE:
            what = f"the loss ({facts.function})" if facts is not None else "the loss function"
            raise Skip(f"{what} is not known as one of which every sample has a share of its own")
        batch = subject.batch_size
        if batch is None or batch < FEWEST:
            raise Skip(f"the batch has {batch or 'no known number of'} samples; {FEWEST} are the fewest")
        try:
            with torch.enable_grad():
                small, whole, parts, size = _squares(subject, weights, batch)
        except RuntimeError as error:  # checkpointing, recurrent layers on a GPU in evaluation mode
            raise Skip(f"the gradient of a part of the batch could not be had: {error}"[:300]) from error
        used = parts * size
        gradient = (used * whole - size * small) / (used - size)
        variance = (small - whole) / (1 / size - 1 / used)
        if not (math.isfinite(gradient) and math.isfinite(variance)) or small <= 0:
            raise Skip("the gradient is 0 or not finite")
        scale = max(0.0, variance) / gradient if gradient > 0 else None
        told = f"about {_rounded(scale)}" if scale is not None else f"far above {used}"
        mixes = any(isinstance(one, torch.nn.modules.batchnorm._BatchNorm) for one in subject.model.modules())
        notes.fact(
            batch=batch,
            used=used,
            parts=parts,
            scale=scale,
            gradient=gradient,
            variance=variance,
            mixes=mixes,
            summary=f"gradient noise scale {told} at the start, batch of {batch}"
            + (" (batch normalisation mixes the samples: a rough number)" if mixes else ""),
        )


def _squares(subject: Subject, weights: Sequence[torch.Tensor], batch: int) -> tuple[float, float, int, int]:
    """Mean of the squared norms of the gradients of parts, that of the whole, how many parts, and their size.

    The gradient of a part is that of the whole loss with the other samples' rows of the model's output taken out.
    """
    output = subject.output()
    found = [one for _, one in tensors_in(output) if one.requires_grad and one.is_floating_point()]
    if not found or subject.loss is None:
        raise Skip("the model has no output with a gradient")
    slopes = torch.autograd.grad(subject.loss(output), found, retain_graph=True, allow_unused=True)
    rows = [(one, slope) for one, slope in zip(found, slopes, strict=True) if slope is not None and one.dim()]
    if not rows or any(len(one) != batch for one, _ in rows):
        raise Skip(f"the outputs have no row for each of the {batch} samples")
    parts = min(PARTS, batch // 2)
    size = batch // parts
    order = torch.randperm(batch, generator=torch.Generator().manual_seed(0))
    squares, total = 0.0, None
    for place in range(parts):
        chosen = order[place * size : (place + 1) * size]
        gradient = _gradient(rows, weights, chosen, parts)
        squares += _square(gradient) / parts
        total = gradient if total is None else [a + b for a, b in zip(total, gradient, strict=True)]
    return squares, _square(total or []) / parts**2, parts, size


def _gradient(
    rows: list[tuple[torch.Tensor, torch.Tensor]], weights: Sequence[torch.Tensor], chosen: torch.Tensor, factor: int
) -> list[torch.Tensor]:
    """The gradient of the mean loss of the chosen samples, each weight's in turn."""
    masked: list[Any] = []
    for _, slope in rows:
        kept = torch.zeros_like(slope)
        where = chosen.to(slope.device)
        kept[where] = slope[where] * factor
        masked.append(kept)
    made = torch.autograd.grad([one for one, _ in rows], weights, masked, retain_graph=True, allow_unused=True)
    return [
        torch.zeros_like(one) if grad is None else grad.to_dense() if grad.is_sparse else grad
        for one, grad in zip(weights, made, strict=True)
    ]


def _square(gradient: list[torch.Tensor]) -> float:
    return sum(float(one.detach().abs().double().square().sum()) for one in gradient)


def _rounded(value: float) -> str:
    """Two digits that matter: more were not measured."""
    return f"{float(f'{value:.2g}'):,g}"
