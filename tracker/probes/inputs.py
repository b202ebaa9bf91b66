"""What the model is given: range and spread of each input, and the order of the labels."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import torch

from ..rules.engine.signals import (
    INPUT_HIGH,
    INPUT_LOW,
    INPUT_MEAN,
    INPUT_NONFINITE,
    INPUT_STD,
    INPUT_VARIED,
    LABEL_PADDING,
    LABEL_RUNS,
)
from .data import Data
from .loaders import TRAIN
from .nested import Aside, may_compute
from .probe import Pass, Probe
from .readback import Label

if TYPE_CHECKING:
    from ..rules.engine.records import Json

ELEMENTS = 1 << 15
"""Elements of an input that are measured; of a larger one, samples spread evenly over the batch. NaNs are looked for
in all of it."""

_MOST_ROWS = 64
_MOST_LABELS = 1 << 18
_MOST_INPUTS = 8
_SIGNALS = (INPUT_MEAN, INPUT_STD, INPUT_LOW, INPUT_HIGH, INPUT_NONFINITE)


class Inputs(Probe):
    """Floating-point inputs of the whole model, as it is given them: after augmentation, scaling and transfer.

    They are called by the parameter of `forward` they are given as (`train/x`); with several models, those of all but
    the first have its class in front (`train/Critic.x`). Of torch's own containers, such as `Sequential`, those with
    parameters of other shapes are other models (`train/Sequential2.input`). Where no pass of the model can be seen, the
    tensors of the loader's batch stand for them, by their place or key in it (`train/0`). Values that are not finite
    are counted, and left out of the rest. The held-out data is measured once in each evaluation that is looked at.

    Fact `inputs`: `{name: {"shape", "dtype"}}` of the first inputs of the training, of whatever dtype.

    LABEL_RUNS tells the order of integer labels (N,) in the loss, or of zeros and ones: shuffled data of k equal
    classes shows 1/k. LABEL_PADDING looks at integer labels of sequences, (N, T) or a row of N * T.
    """

    name = "inputs"

    def __init__(self, training: Any) -> None:
        super().__init__(training)
        self._models: list[str] = []
        self._labels: weakref.WeakKeyDictionary[torch.nn.Module, str] = weakref.WeakKeyDictionary()
        self._layouts: dict[str, list[tuple[torch.Size, ...]]] = {}
        self._passes = 0
        self._evaluated_at = -1
        self._samples = 0
        self._known: dict[str, Json] = {}

    def begin_close(self) -> None:
        self._passes = 0

    def root_forward(self, call: Pass) -> None:
        if not may_compute():
            return
        split = TRAIN
        if call.has_grad:
            if not self.training.close:
                return
            self._passes += 1
            self._tell(call)
        else:
            data = self.training.probe(Data)
            drawn = data.current if data is not None else None
            if drawn is None or drawn.loader.split in (None, TRAIN) or self._evaluated_at == self.training.done:
                return
            split, self._evaluated_at = str(drawn.loader.split), self.training.done
        with Aside():
            floating = [(name, tensor) for name, tensor in self._named(call) if tensor.is_floating_point()]
            for name, tensor in floating[:_MOST_INPUTS]:
                self._measure(f"{split}/{name}", tensor)

    def backward(self, tensor: torch.Tensor, loss: torch.Tensor) -> None:
        if not may_compute():
            return
        data = self.training.probe(Data)
        drawn = data.drawn if data is not None else None
        node = self.training.loss_node
        with Aside():
            if not self._passes and drawn is not None and drawn.step == self.training.done:
                for name, given in drawn.tensors()[:_MOST_INPUTS]:
                    self._measure(f"{TRAIN}/{name}", given)
            targets = node.targets if node is not None and node.is_supervised else None
            if node is not None and targets is not None:
                self._measure_labels(targets, node.ignored)

    def _tell(self, call: Pass) -> None:
        found = self._named(call)
        self._samples = next((len(tensor) for _, tensor in found if tensor.dim()), 0)
        if len(self._known) < _MOST_INPUTS and any(name not in self._known for name, _ in found):
            for name, tensor in found:
                about: dict[str, Json] = {
                    "shape": [int(n) for n in tensor.shape],
                    "dtype": str(tensor.dtype).removeprefix("torch."),
                }
                self._known.setdefault(name, about)
            self.training.fact("inputs", dict(self._known))

    def _named(self, call: Pass) -> list[tuple[str, torch.Tensor]]:
        model = self._label(call.module)
        if model not in self._models:
            self._models.append(model)
        prefix = f"{model}." if model != self._models[0] else ""
        return [(prefix + name, tensor) for name, tensor in call.given()]

    def _label(self, module: torch.nn.Module) -> str:
        """The class of a model; of torch's own, which say nothing of what it is, with a number for each layout."""
        name = type(module).__name__
        if not type(module).__module__.startswith("torch.nn.modules."):
            return name
        label = self._labels.get(module)
        if label is None:
            layouts = self._layouts.setdefault(name, [])
            layout = tuple(parameter.shape for parameter in module.parameters())
            if layout not in layouts:
                layouts.append(layout)
            place = layouts.index(layout)
            label = self._labels[module] = name if not place else f"{name}{place + 1}"
        return label

    def _measure(self, subject: str, tensor: torch.Tensor) -> None:
        if not tensor.is_floating_point() or not tensor.numel():
            return
        values = statistics(tensor.detach())
        labels = [Label(signal.name, subject, self.training.step) for signal in _SIGNALS]
        if values.is_cpu and not bool(torch.isfinite(values[0])):
            labels, values = labels[-1:], values[-1:]  # nothing finite is in it
        self.training.readback.add(labels, values)
        if tensor.dim() > 1 and len(tensor) > 1:
            self.training.measure(INPUT_VARIED, subject, variation(tensor.detach()))

    def _measure_labels(self, targets: torch.Tensor, ignored: int) -> None:
        row = targets.reshape(-1) if targets.dim() == 2 and targets.shape[1] == 1 else targets
        if row.dim() == 1 and len(row) > 1:
            if row.is_floating_point() and not (row.is_cpu and bool(((row == 0) | (row == 1)).all())):
                return  # a quantity: neighbours are equal by chance only
            self.training.measure(LABEL_RUNS, TRAIN, (row[1:] == row[:-1]).float().mean())
        if targets.is_floating_point():
            return
        n = self._samples
        if row.dim() == 1 and 1 < n < len(row) and len(row) % n == 0:
            row = row.reshape(n, -1)
        if row.dim() == 2 and row.is_cpu and row.numel() <= _MOST_LABELS and min(row.shape) > 1:
            self.training.measure(LABEL_PADDING, TRAIN, padding(row, ignored))


def statistics(tensor: torch.Tensor) -> torch.Tensor:
    """Mean, standard deviation (n - 1), smallest and largest of the finite values, and the number of others: (5,).

    In float32 at least; where nothing is finite the first four are no numbers. Values on a device stay there.
    """
    wide = torch.float64 if tensor.dtype is torch.float64 else torch.float32
    # The sum of all is finite when each is, or overflows: then the values are counted, and that is all that is lost.
    is_clean = tensor.is_cpu and bool(torch.isfinite(tensor.sum(dtype=wide)))
    others = torch.zeros((), dtype=wide) if is_clean else tensor.isfinite().logical_not().sum().to(wide)
    part = _sample(tensor).to(wide)
    if tensor.is_cpu and not is_clean and bool(others):
        part = part[part.isfinite()]
        if not part.numel():
            return torch.stack([torch.full_like(others, float("nan"))] * 4 + [others])
    if tensor.is_cpu:
        mean, n = part.mean(), part.numel()
        # `std` is twenty times as slow as this on the CPU.
        std = torch.linalg.vector_norm(part - mean) / max(n - 1, 1) ** 0.5
        return torch.stack([mean, std, *part.aminmax(), others])
    finite = part.isfinite()
    n_finite = finite.sum()
    mean = torch.where(finite, part, 0.0).sum() / n_finite
    std = torch.linalg.vector_norm(torch.where(finite, part - mean, 0.0)) / (n_finite - 1).clamp(min=1).sqrt()
    low = torch.where(finite, part, float("inf")).amin()
    return torch.stack([mean, std, low, torch.where(finite, part, float("-inf")).amax(), others])


def variation(tensor: torch.Tensor) -> torch.Tensor:
    """Standard deviation over the samples, mean over their values: of shape (), on the tensor's device.

    0 when all samples of the batch are the same. Values that are not finite make it so.
    """
    rows = tensor.reshape(len(tensor), -1)
    rows = rows[:_MOST_ROWS, :: -(-rows.shape[1] // (ELEMENTS // _MOST_ROWS))]
    rows = rows.to(torch.float64 if tensor.dtype is torch.float64 else torch.float32)
    # From the first sample: equal ones come out as exactly 0, which around a rounded mean they would not.
    away = rows - rows[:1]
    return ((away - away.mean(0)).square().sum(0) / (len(rows) - 1)).sqrt().mean()


def padding(labels: torch.Tensor, ignored: int) -> float:
    """Share of the labels (N, T) in the run of one label that rows end with: the same one in all of them, 0 to 1.

    A row of one label alone counts as none: it may be meant. The label that is left out by the loss is no padding.
    """
    last = labels[:, -1]
    filler = last.mode().values
    if int(filler) == ignored:
        return 0.0
    is_end = (labels == filler).flip(1).long().cumprod(1)
    lengths = is_end.sum(1)
    lengths = torch.where(lengths < labels.shape[1], lengths, 0)
    return float(lengths.sum()) / labels.numel()


def _sample(tensor: torch.Tensor) -> torch.Tensor:
    """The values that are measured, as a vector: of a large tensor, some of its samples, whole where they fit."""
    if tensor.numel() <= ELEMENTS or tensor.dim() == 0:
        return tensor.reshape(-1)
    width = tensor.numel() // len(tensor)
    rows = tensor[:: -(-len(tensor) // max(1, ELEMENTS // width))].reshape(-1)
    return rows if rows.numel() <= ELEMENTS else rows[:: -(-rows.numel() // ELEMENTS)]
