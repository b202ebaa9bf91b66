"""Reads what the loss was given: the range of outputs and targets, and what kind of numbers the targets are."""

from __future__ import annotations

import itertools
import sys
from typing import Any

import torch

from ..frames import user_frames, variables
from ..rules.engine.records import Json
from . import nodes
from .data import Data
from .differences import compared_by
from .loss import LossNode, unscaled
from .probe import Probe

MOST_VALUES = 64
"""Different target values that are listed; with more, `values` is null."""

MOST_ELEMENTS = 1 << 18
"""Elements of targets and of outputs that are looked at in a step: a larger batch is thinned by samples."""

FIRST, EVERY = 24, 8
"""Backwards on closely watched steps that are all looked at, and of the later ones one in how many: a look costs as
much as half of what else is done on such a step, and ranges hardly change."""

MOST_FUNCTIONS = 8

_PROBABILITIES = ("cross_entropy", "nll_loss")
_DISTANCES = ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss")
_INTEGERS = (torch.int64, torch.int32, torch.int16, torch.uint8)
_LOOKS = 3
_MAX_FRAMES = 3


class Targets(Probe):
    """What the loss compared, on closely watched steps. On the CPU only: a range of values is no series to read back.

    Fact `targets`, told on the watched steps 1, 2, 4, 8 ... and at the end: a list, one table for
    each function of a loss, of

        {"function", "steps": looked at, "samples": target elements seen, "low", "high", "mean", "std": of the targets,
         "whole": all of them were whole numbers, "values": the different ones, at most 64, else null, "counts": how
         often each was there, "labels": whether the same numbers are at hand as integers, or null,
         "outputs_low", "outputs_high": of what the model gave the loss,
         "outputs": shape of the latest outputs, "targets": shape of the latest targets,
         "row_low", "row_high": sums of the rows of targets shaped as the outputs (soft or one-hot), else null,
         "output_row_low", "output_row_high": sums of the rows of the outputs (with more than one column), else null,
         "ignored": the label that is left out, or null, "n_ignored": how many of the targets had it}

    Outputs of `cross_entropy` are logarithms of probabilities. Labels that are left out count for nothing else.
    """

    name = "targets"

    def __init__(self, training: Any) -> None:
        super().__init__(training)
        self._seen: dict[str, _Seen] = {}
        self._steps = self._backwards = 0
        self._is_new = False

    def backward(self, tensor: torch.Tensor, loss: torch.Tensor) -> None:
        self._backwards += 1
        if (self._backwards > FIRST and self._backwards % EVERY) or not nodes.is_apart():
            return
        node: LossNode | None = self.training.loss_node
        with torch.no_grad(), torch._C.DisableTorchFunction():
            if node is not None:
                self._take(node.function, node.outputs, node.targets, node)
            else:
                compared = compared_by(tensor.grad_fn if loss is tensor else unscaled(tensor))
                if compared is not None:
                    self._take(*compared, None)

    def _take(self, function: str, outputs: torch.Tensor, targets: torch.Tensor, node: LossNode | None) -> None:
        if not (outputs.is_cpu and targets.is_cpu) or not targets.numel() or not outputs.numel():
            return
        if function not in self._seen and len(self._seen) >= MOST_FUNCTIONS:
            return
        seen = self._seen.setdefault(function, _Seen())
        seen.take(node, outputs, targets)
        if function in _DISTANCES and seen.is_whole and seen.steps <= _LOOKS and seen.are_labels is not True:
            seen.are_labels = self._are_integers(targets)
        self._is_new = True

    def _are_integers(self, targets: torch.Tensor) -> bool:
        """Whether the batch, or a variable of the user's, holds the same numbers as integers: class labels."""
        data = self.training.probe(Data)
        drawn = data.drawn if data is not None else None
        at_hand: list[Any] = [tensor for _, tensor in drawn.tensors()] if drawn is not None else []
        for frame in itertools.islice(user_frames(sys._getframe()), _MAX_FRAMES):
            at_hand += variables(frame).values()
        return any(
            type(one) is torch.Tensor
            and one.is_cpu
            and one.dtype in _INTEGERS
            and one.numel() == targets.numel()
            and bool((one.reshape(-1) == targets.reshape(-1)).all())
            for one in at_hand
        )

    def end_close(self) -> None:
        if self._is_new:
            self._steps += 1
            if not self._steps & (self._steps - 1):
                self._tell()

    def finish(self) -> None:
        self._tell()

    def begin_another(self) -> None:
        self._seen, self._steps, self._backwards = {}, 0, 0

    def _tell(self) -> None:
        if self._is_new:
            self._is_new = False
            told: list[Json] = [{"function": name, **seen.told()} for name, seen in self._seen.items()]
            self.training.fact("targets", told)


class _Range:
    """The smallest and largest of the numbers seen so far; those that are not finite are left out."""

    def __init__(self) -> None:
        self.low: float | None = None
        self.high: float | None = None

    def take(self, values: torch.Tensor) -> None:
        low, high = values.aminmax()
        lowest, highest = float(low), float(high)
        if not (lowest - lowest == 0.0 and highest - highest == 0.0):
            values = values[torch.isfinite(values)]
            if not values.numel():
                return
            lowest, highest = float(values.min()), float(values.max())
        self.low = lowest if self.low is None else min(self.low, lowest)
        self.high = highest if self.high is None else max(self.high, highest)


class _Seen:
    """What one function of a loss was given so far."""

    def __init__(self) -> None:
        self.steps = self.samples = self.n_ignored = 0
        self.ignored: int | None = None
        self.is_whole = True
        self.values: dict[float, int] | None = {}
        self.are_labels: bool | None = None
        self.total = self.squares = 0.0
        self.targets, self.outputs, self.rows, self.output_rows = _Range(), _Range(), _Range(), _Range()
        self.shapes: tuple[list[int], list[int]] = ([], [])

    def take(self, node: LossNode | None, outputs: torch.Tensor, targets: torch.Tensor) -> None:
        """Takes the outputs and targets of one step in."""
        self.steps += 1
        self.shapes = ([int(n) for n in outputs.shape], [int(n) for n in targets.shape])
        same_shape = outputs.shape == targets.shape
        is_classifying = node is not None and node.function in _PROBABILITIES
        outputs, targets = _thinned(outputs), _thinned(targets)
        self.outputs.take(outputs)
        if outputs.dim() > 1 and outputs.shape[1] > 1:
            are_logarithms = is_classifying and node is not None and node.logarithms is not False
            self.output_rows.take((outputs.exp() if are_logarithms else outputs).sum(1))
            if same_shape and targets.is_floating_point():
                self.rows.take(targets.sum(1))
        if not targets.is_floating_point() and targets.dtype is not torch.bool and is_classifying and node is not None:
            kept = targets != node.ignored
            self.ignored = node.ignored
            self.n_ignored += int(targets.numel() - kept.sum())
            targets = targets[kept]
        values = targets.double()
        values = values[torch.isfinite(values)].reshape(-1)
        if values.numel():
            self._take_values(values)

    def _take_values(self, values: torch.Tensor) -> None:
        self.samples += values.numel()
        self.targets.take(values)
        self.total += float(values.sum())
        self.squares += float(values.square().sum())
        self.is_whole = self.is_whole and bool((values == values.round()).all())
        # Of many different numbers a few are enough to tell that there are many.
        if self.values is not None and len(set(values[: 2 * MOST_VALUES].tolist())) <= MOST_VALUES:
            different, counts = torch.unique(values, return_counts=True)
            for value, count in zip(different.tolist(), counts.tolist(), strict=True):
                self.values[value] = self.values.get(value, 0) + count
            if len(self.values) <= MOST_VALUES:
                return
        self.values = None

    def told(self) -> dict[str, Json]:
        """The table of the fact."""
        mean = self.total / self.samples if self.samples else None
        spread = max(0.0, self.squares / self.samples - mean * mean) ** 0.5 if mean is not None else None
        values = sorted(self.values.items()) if self.values is not None else None
        return {
            "steps": self.steps,
            "samples": self.samples,
            "low": self.targets.low,
            "high": self.targets.high,
            "mean": mean,
            "std": spread,
            "whole": self.is_whole and self.samples > 0,
            "values": [value for value, _ in values] if values is not None else None,
            "counts": [count for _, count in values] if values is not None else None,
            "labels": self.are_labels,
            "outputs_low": self.outputs.low,
            "outputs_high": self.outputs.high,
            "outputs": list[Json](self.shapes[0]),
            "targets": list[Json](self.shapes[1]),
            "row_low": self.rows.low,
            "row_high": self.rows.high,
            "output_row_low": self.output_rows.low,
            "output_row_high": self.output_rows.high,
            "ignored": self.ignored if self.ignored is not None and self.ignored != -100 else None,
            "n_ignored": self.n_ignored,
        }


def _thinned(values: torch.Tensor) -> torch.Tensor:
    """The same with fewer samples, evenly chosen, at most about `MOST_ELEMENTS` elements."""
    stride = -(-values.numel() // MOST_ELEMENTS)
    if stride <= 1 or values.dim() == 0:
        return values
    return values[:: min(stride, values.shape[0])]
