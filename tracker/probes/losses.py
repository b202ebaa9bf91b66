"""Reads the loss of each backward, and on closely watched steps what its function was given."""

from __future__ import annotations

import ctypes
import math
import sys
from typing import Any

import torch

from ..rules.engine.records import Json
from ..rules.engine.signals import CLASS_COUNT, LOSS, TRAIN_ACCURACY
from . import nodes
from .batches_seen import BatchesSeen
from .by_hand import Variables
from .data import Data
from .loss import LossNode, first_function, last_operations, unscaled
from .nested import Aside
from .origin import MOST_ELEMENTS, origin_of
from .parameters import names_of
from .probe import Probe
from .terms import Term, terms_of

_MAX_CLASSES = 1000
"""Classes that are counted one by one."""
_MOST = 1_000_000
"""Outputs that are compared with their targets in a step; of a larger batch, every n-th sample is."""
_MAX_LOSSES = 8
_MAX_ORIGINS = 3
_MAX_SPIKES = 8
"""Losses far above those before them whose batches are told."""
_SPIKE, _PULL, _SETTLED = 3.0, 0.02, 50
"""Times the running mean from which on a loss counts as one of them, share of a loss that the mean takes over, and
losses before it is trusted."""
_profiler = torch.autograd.profiler
_dispatch_modes = torch._C._len_torch_dispatch_stack
_RAW = {torch.float32: ctypes.c_float, torch.float64: ctypes.c_double}


class Losses(Probe):
    """The value of every loss that is sent backward.

    Event `loss_detached`, once for each kind, when a loss hangs on no parameter: ``{"kind": ..., "raises": bool}``.
    `kind` is `leaf` for a tensor made anew with `requires_grad=True`, whose backward does nothing; else backward
    raises, and it is `inference_mode`, `no_grad` (gradients are off where backward is called), `frozen` (no parameter
    that an optimizer owns is trained) or `detached` (by `detach`, `item`, `data`, numpy, or `no_grad` around the
    forward pass).

    Event `loss_spiked`, for the first losses on the CPU far above the running mean: ``{"loss", "level",
    "batch_indices"}``.

    Event `nonfinite_origin`, for the first losses on the CPU that are not finite: ``{"kind": "operation" | "weight" |
    "input", "op": operation, as torch calls it, "module": the layer it is in or behind, "parameter": its weight,
    "certain": bool, "low", "high": range of what the operation was given, "batch_indices": those of the batch that the
    loader gave last, at most 64, "data_finite": whether the batch and the user's tensors without a graph are}``; what
    is not known is null, and all but the batch and its data where the graph tells nothing.
    """

    name = "loss"
    every_step = frozenset({"backward"})
    is_unheard = True

    def __init__(self, training: Any) -> None:
        super().__init__(training)
        self._cut: set[str] = set()
        self._origins = 0
        self._spikes = self._losses = 0
        self._level, self._bar = 0.0, math.inf

    def backward(self, tensor: torch.Tensor, loss: torch.Tensor) -> None:
        if tensor.is_leaf:  # it has no `grad_fn`; to ask for that makes an object
            self._tell_cut(tensor)
        if not loss.is_cpu:
            self.training.measure_in_round(LOSS, loss.detach())
            return
        # Of what `nodes.is_apart` asks, the rest costs more than all else that is done here.
        is_heard = _profiler._is_profiler_enabled or _dispatch_modes()
        value = _unheard(loss) if is_heard else loss.item()
        if type(value) is not complex:
            number = float(value)
            if number - number != 0.0 and self._origins < _MAX_ORIGINS and nodes.is_apart():
                self._tell_origin(tensor, loss)
            elif number > self._bar and self._spikes < _MAX_SPIKES:
                self._tell_spike(number)
            self._level += _PULL * (min(number, self._bar) - self._level)
            self._losses += 1
            if self._losses >= _SETTLED:
                self._bar = _SPIKE * self._level if self._level > 0.0 else math.inf
            elif self._losses == 1:
                self._level = number
            self.training.measure_in_round(LOSS, number)

    def _tell_spike(self, loss: float) -> None:
        """A loss stands far above those before it: says with which batch."""
        self._spikes += 1
        told: dict[str, Json] = {"loss": loss, "level": self._level, "batch_indices": self._batch()}
        self.journal.event("loss_spiked", self.training.done, told)

    def _batch(self) -> list[Json] | None:
        batches = self.training.probe(BatchesSeen)
        indices = batches.indices() if batches is not None else None
        return list[Json](indices) if indices is not None else None

    def _tell_origin(self, tensor: torch.Tensor, loss: torch.Tensor) -> None:
        """A loss is not finite: says where that came from, and with which batch."""
        self._origins += 1
        root = tensor.grad_fn if loss is tensor else unscaled(tensor)
        with torch.no_grad(), torch._C.DisableTorchFunction():
            found = origin_of(root) if root is not None else None
        told: dict[str, Json] = dict.fromkeys(("kind", "op", "module", "parameter", "certain", "low", "high"))
        if found is not None:
            name = self._name_of(found.parameter) if found.parameter is not None else None
            told.update(kind=found.kind, op=found.op, parameter=name, certain=found.is_certain)
            told.update(module=name.rpartition(".")[0] or name if name else None, low=found.low, high=found.high)
        told["batch_indices"] = self._batch()
        told["data_finite"] = self._is_data_finite()
        self.journal.event("nonfinite_origin", self.training.done, told)

    def _is_data_finite(self) -> bool | None:
        """Whether the batch is finite, and all tensors without a graph among the user's variables; None without any.

        What a model makes of its input ahead of its first layer has no graph either, but is in no variable any more.
        """
        data = self.training.probe(Data)
        drawn = data.drawn if data is not None else None
        with Aside():
            held = drawn.tensors() if drawn is not None and drawn.step == self.training.done else []
            found = [tensor for _, tensor in [*held, *Variables().around(sys._getframe())]]
            found = [one for one in found if one.is_floating_point() and one.dim() and not one.requires_grad]
            if not found or not all(one.is_cpu and one.numel() <= MOST_ELEMENTS for one in found):
                return None
            return all(bool(torch.isfinite(one.detach()).all()) for one in found)

    def _name_of(self, parameter: torch.Tensor) -> str | None:
        """As its optimizer calls it; ahead of the first step, as the modules in sight do."""
        return self.training.name_of(parameter) or names_of([parameter], sys._getframe()).get(id(parameter))

    def _tell_cut(self, tensor: torch.Tensor) -> None:
        kind = "leaf" if tensor.requires_grad else self._reason(tensor)
        if kind not in self._cut:
            self._cut.add(kind)
            self.journal.event("loss_detached", self.training.step, {"kind": kind, "raises": kind != "leaf"})

    def _reason(self, tensor: torch.Tensor) -> str:
        if tensor.is_inference():
            return "inference_mode"
        if not torch.is_grad_enabled():
            return "no_grad"
        held = [p for owned in self.training.owned for _, p in owned.items()]
        return "frozen" if held and not any(p.requires_grad for p in held) else "detached"


def _unheard(loss: torch.Tensor) -> Any:
    """The value of a loss on the CPU, read from memory: a profiler or dispatch mode would hear `item`."""
    raw = _RAW.get(loss.dtype)
    address = loss.data_ptr() if raw is not None and type(loss) is torch.Tensor else 0
    return raw.from_address(address).value if raw is not None and address else loss.item()


class LossFunction(Probe):
    """The function of the loss, its settings and class weights; labels and training accuracy.

    Fact `loss`: one table for a loss that is one function; a list of one table for the first function of a sum, or
    of what is scaled, as its value is not that of the loss; a list of several (at most 8) when losses of several
    kinds are sent backward. A table is what `LossNode.describe` tells, or ``{"function": "unknown", "ops": [...]}``
    with the last operations, outermost first.
    """

    name = "loss-node"

    def __init__(self, training: Any) -> None:
        super().__init__(training)
        self._known: dict[tuple[object, ...], Json] = {}
        self._is_pure = True
        self._has_weights = False
        self._counts: torch.Tensor | None = None
        self._right: torch.Tensor | None = None
        self._judged: torch.Tensor | None = None

    @property
    def label_counts(self) -> dict[str, int]:
        """Labels of each class in the batches that were looked at closely; waits for the device they are on."""
        counts = [] if self._counts is None else self._counts.tolist()
        return {str(label): count for label, count in enumerate(counts) if count}

    def backward(self, tensor: torch.Tensor, loss: torch.Tensor) -> None:
        root = tensor.grad_fn if loss is tensor else unscaled(tensor)
        if root is None or not nodes.is_apart():
            return
        with torch.no_grad(), torch._C.DisableTorchFunction():
            terms = terms_of(root)
            node = first_function(terms)
            if node is not None and node.is_supervised:
                self.training.loss_node = node
            if len(self._known) < _MAX_LOSSES:
                self._tell(node, terms, root)
            if node is not None:
                self._count(node)

    def _tell(self, node: LossNode | None, terms: list[Term], root: Any) -> None:
        # How many terms a sum has may change with each batch: a loss summed over the steps of a sequence.
        key: tuple[object, ...] = (len(terms) > 1,)
        if node is not None:
            key += (node.function, node.reduction, node.scaled, node.by_hand, node.logarithms, node.smoothing > 0)
            key += (node.weighs or node.weights is not None,)
        else:
            key += tuple(last_operations(root))
        if key in self._known:
            return
        described: dict[str, Json] = {"function": "unknown", "ops": list[Json](key[1:])}  # type: ignore[arg-type]
        if node is not None:
            described = node.describe()
        elif len(terms) > 1:
            described["terms"] = len(terms)
        self._known[key] = described
        # One pure loss is a table; what is part of a sum, or scaled, is a list: its value is not the loss's.
        self._is_pure = self._is_pure and (node is None or (node.terms == 1 and not node.scaled))
        losses: list[Json] = list(self._known.values())
        self.training.fact("loss", losses[0] if len(losses) == 1 and self._is_pure else losses)
        weights = node.weights if node is not None and not self._has_weights else None
        if weights is not None and node is not None and weights.numel() <= _MAX_CLASSES:
            self._has_weights = True
            self.training.session.note_class_weights(weights, node.function)

    def _count(self, node: LossNode) -> None:
        n = node.n_classes
        outputs, targets = (node.outputs, node.targets) if node.is_supervised else (None, None)
        if n is None or n > _MAX_CLASSES or n < 1 or outputs is None or targets is None or not outputs.numel():
            return
        if outputs.numel() > _MOST and outputs.dim() > 1 and len(outputs) == len(targets):
            every = -(-outputs.numel() // _MOST)
            outputs, targets = outputs[::every], targets[::every]
        if not node.function.startswith("binary"):
            at = 1 if outputs.dim() > 1 else 0
            predicted = outputs.argmax(at).reshape(-1)
            labels = (targets.argmax(at) if node.is_soft else targets).reshape(-1).long()
        else:
            labels = (targets.reshape(-1) >= 0.5).long()
            threshold = 0.0 if node.function.endswith("logits") else 0.5
            predicted = (outputs.reshape(-1) >= threshold).long()
        if labels.shape != predicted.shape:
            return
        inside = (labels >= 0) & (labels < n) & (labels != node.ignored)
        counts = _counts(torch.where(inside, labels, n), n)
        right, judged = ((labels == predicted) & inside).sum(), inside.sum()
        if self._counts is None or len(self._counts) != n or self._counts.device != counts.device:
            self._counts = counts
        else:
            self._counts = self._counts + counts
        self._right = right if self._right is None else self._right.to(right.device) + right
        self._judged = judged if self._judged is None else self._judged.to(judged.device) + judged

    def begin_another(self) -> None:
        self._known, self._is_pure = {}, True
        self._counts = self._right = self._judged = None

    def end_epoch(self) -> None:
        # Here the numbers are read: once in an epoch a device may be waited for.
        right, judged, self._right, self._judged = self._right, self._judged, None, None
        if right is not None and judged is not None and int(judged):
            step = self.training.last_step
            for label, count in self.label_counts.items():
                self.journal.reading(CLASS_COUNT.name, label, step, count)
            self.journal.reading(TRAIN_ACCURACY.name, "", step, int(right) / int(judged))


def _counts(labels: torch.Tensor, n: int) -> torch.Tensor:
    """How often each of 0 to n - 1 is among `labels`; what is n is left out. No number of a device is read."""
    if labels.is_cpu:
        return torch.bincount(labels, minlength=n + 1)[:n]
    # There `bincount` would wait for the device, and its order of additions is not fixed.
    return torch.searchsorted(labels.sort().values, torch.arange(n + 1, device=labels.device)).diff()
