"""What a model says of single samples: loss, answer and truth of each, from a batch as the loss takes it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from .criterion import BINARY, Criterion

if TYPE_CHECKING:
    from ..rules.engine.records import Json

TOP = 5
"""Classes that are told with their probabilities."""

MOST_VALUES, MOST_POSITIONS = 8, 32
"""Values, and positions of a sequence, that are told of an answer."""

MOST_ELEMENTS = 1 << 22
"""Elements of outputs whose losses are computed: of longer sequences, positions spread evenly; then fewer samples."""

NOTHING = -(1 << 62)
"""Fills up the answers of a short sequence."""


class SaidOfRows:
    """The answers of one batch, sample by sample.

    `kind` is what an answer is: `label`, with the probabilities of the likeliest; `labels`, one for each position of a
    sequence; `values`, few numbers (of yes-or-no questions, probabilities); `` where an answer is too large to be told.
    """

    def __init__(
        self, criterion: Criterion, outputs: torch.Tensor, targets: torch.Tensor, samples: int, dims: int
    ) -> None:
        """Takes outputs and targets as `Criterion.prepare` gives them, of so many samples; a model's output had `dims`
        dimensions. `samples` must divide the rows. Raises `Mismatch` where the loss does not take them."""
        each = len(outputs) // samples
        width = outputs.shape[-1] if outputs.dim() > 1 else 1
        self._criterion = criterion
        self._outputs = outputs.reshape(samples, each, width)
        self._targets = targets.reshape(samples, each, *targets.shape[1:])
        step = min(each, -(-samples * each * width // MOST_ELEMENTS))
        self.samples = min(samples, max(1, MOST_ELEMENTS // (-(-each // step) * width)))
        """Samples that are judged: the first ones."""
        self.kind = _kind(criterion, each, width, dims)
        self.losses = self._losses(step)
        """Loss of each (samples,): the mean over its positions."""

    def _losses(self, step: int) -> torch.Tensor:
        outputs, targets = self._outputs[: self.samples, ::step], self._targets[: self.samples, ::step]
        n, each = outputs.shape[:2]
        rows = targets.reshape(n * each, *targets.shape[2:])
        losses = self._criterion.losses(outputs.reshape(n * each, -1), rows).reshape(n, -1)
        if self._criterion.is_classifying and not targets.is_floating_point() and each > 1:
            counted = (targets != self._criterion.ignored).sum(1).clamp(min=1)
            return losses.sum(1) / counted
        return losses.mean(1)

    def fields(self, places: torch.Tensor) -> dict[str, torch.Tensor]:
        """Answers and truths of some samples, copied: (places, ...) each."""
        found = {"loss": self.losses[places]}
        if not self.kind:
            return found
        positions = MOST_ELEMENTS // (len(places) * self._outputs.shape[-1])
        upto = max(1, min(MOST_POSITIONS, positions))
        outputs, targets = self._outputs[places, :upto], self._targets[places, :upto]
        if self.kind == "values":
            shares = self._criterion.function in BINARY
            said = self._shares(outputs) if shares else outputs
            return {**found, "predicted": said.flatten(1), "target": targets.flatten(1)}
        if self._criterion.function in BINARY:
            yes = self._shares(outputs).reshape(-1, 1)
            top = torch.cat([1 - yes, yes], 1).topk(2)
            truth = (targets.reshape(-1, 1) >= 0.5).long()
            return {**found, "predicted": top.indices[:, :1], "target": truth, "top": top.indices, "shares": top.values}
        truth = targets.argmax(-1) if targets.is_floating_point() else targets
        if self.kind == "labels":
            counted = truth != self._criterion.ignored
            is_inside = counted.flip(1).cummax(1).values.flip(1)  # up to the last one that counts
            said = torch.where(is_inside, outputs.argmax(-1), NOTHING)
            return {**found, "predicted": _filled(said), "target": _filled(torch.where(is_inside, truth, NOTHING))}
        top = self._shares(outputs[:, 0]).topk(min(TOP, outputs.shape[-1]))
        return {**found, "predicted": top.indices[:, :1], "target": truth, "top": top.indices, "shares": top.values}

    def _shares(self, outputs: torch.Tensor) -> torch.Tensor:
        if self._criterion.function in BINARY:
            return outputs.sigmoid() if self._criterion.function.endswith("logits") else outputs
        if self._criterion.given == "logits":
            return outputs.softmax(-1)
        return outputs.exp() if self._criterion.given == "logarithms" else outputs


def _kind(criterion: Criterion, each: int, width: int, dims: int) -> str:
    if criterion.is_classifying:
        return "label" if each == 1 else "labels" if dims <= 3 else ""
    if criterion.function in BINARY and each * width == 1:
        return "label"
    return "values" if each * width <= MOST_VALUES else ""


def _filled(labels: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.pad(labels, (0, MOST_POSITIONS - labels.shape[1]), value=NOTHING)


def answer(kind: str, values: list[float] | list[int]) -> Json:
    """An answer, or a truth, as it is told: a class, classes, numbers; None where it is too large."""
    if kind == "label":
        return int(values[0])
    if kind == "labels":
        return [int(value) for value in values if value != NOTHING]
    if kind == "values":
        return [rounded(value) for value in values]
    return None


def rounded(value: float) -> float | None:
    """Six digits of a number; None for what is no finite one."""
    return float(f"{value:.6g}") if math.isfinite(value) else None
