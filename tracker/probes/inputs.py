"""What the model is given: range and spread of each input, and the order of the labels."""

from __future__ import annotations

from typing import Any

import torch

from ..rules.engine.signals import INPUT_HIGH, INPUT_LOW, INPUT_MEAN, INPUT_NONFINITE, INPUT_STD, LABEL_RUNS
from .data import TRAIN, Data
from .nested import Aside, may_compute, tensors_in
from .probe import Pass, Probe
from .readback import Label

ELEMENTS = 1 << 15
"""Elements of an input that are measured; of a larger one, samples spread evenly over the batch. NaNs are looked for
in all of it."""

_MOST_INPUTS = 8
_SIGNALS = (INPUT_MEAN, INPUT_STD, INPUT_LOW, INPUT_HIGH, INPUT_NONFINITE)


class Inputs(Probe):
    """Floating-point inputs of the whole model, as it is given them: after augmentation, scaling and transfer.

    They are called by the parameter of `forward` they are given as (`train/x`); with several models, those of all but
    the first have its class in front (`train/Critic.x`). Where no pass of the model can be seen, the tensors of the
    loader's batch stand for them, by their place or key in it (`train/0`). Values that are not finite are
    counted, and left out of the rest. The held-out data is measured once in each evaluation that is looked at.

    LABEL_RUNS tells the order of integer labels (N,) in the loss: shuffled data of k equal classes shows 1/k.
    """

    name = "inputs"

    def __init__(self, training: Any) -> None:
        super().__init__(training)
        self._models: list[str] = []
        self._passes = 0
        self._evaluated_at = -1

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
        else:
            data = self.training.probe(Data)
            drawn = data.current if data is not None else None
            if drawn is None or drawn.loader.split in (None, TRAIN) or self._evaluated_at == self.training.done:
                return
            split, self._evaluated_at = str(drawn.loader.split), self.training.done
        with Aside():
            for name, tensor in self._named(call)[:_MOST_INPUTS]:
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
            if targets is not None:
                self._measure_labels(targets)

    def _named(self, call: Pass) -> list[tuple[str, torch.Tensor]]:
        model = type(call.module).__name__
        if model not in self._models:
            self._models.append(model)
        prefix = f"{model}." if model != self._models[0] else ""
        code = getattr(getattr(type(call.module), "forward", None), "__code__", None)
        names = code.co_varnames[1 : code.co_argcount] if code is not None else ()
        found = []
        for index, value in enumerate(call.args):
            found += tensors_in(value, names[index] if index < len(names) else str(index))
        for key, value in call.kwargs.items():
            found += tensors_in(value, key)
        return [(prefix + name, tensor) for name, tensor in found if tensor.is_floating_point()]

    def _measure(self, subject: str, tensor: torch.Tensor) -> None:
        if not tensor.is_floating_point() or not tensor.numel():
            return
        values = statistics(tensor.detach())
        labels = [Label(signal.name, subject, self.training.step) for signal in _SIGNALS]
        if values.is_cpu and not bool(torch.isfinite(values[0])):
            labels, values = labels[-1:], values[-1:]  # nothing finite is in it
        self.training.readback.add(labels, values)

    def _measure_labels(self, targets: torch.Tensor) -> None:
        if targets.is_floating_point() or targets.dim() != 1 or len(targets) < 2:
            return
        same = (targets[1:] == targets[:-1]).float().mean()
        self.training.measure(LABEL_RUNS, TRAIN, same)


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


def _sample(tensor: torch.Tensor) -> torch.Tensor:
    """The values that are measured, as a vector: of a large tensor, some of its samples, whole where they fit."""
    if tensor.numel() <= ELEMENTS or tensor.dim() == 0:
        return tensor.reshape(-1)
    width = tensor.numel() // len(tensor)
    rows = tensor[:: -(-len(tensor) // max(1, ELEMENTS // width))].reshape(-1)
    return rows if rows.numel() <= ELEMENTS else rows[:: -(-rows.numel() // ELEMENTS)]
