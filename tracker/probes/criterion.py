"""The loss of a training as it can be computed again: its function, its settings, and where its two sides come from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch.nn import functional

from . import nodes
from .nodes import SHAPES, kind, only_input

if TYPE_CHECKING:
    from .loss import LossNode

CLASSIFYING = ("cross_entropy", "nll_loss")
BINARY = ("binary_cross_entropy", "binary_cross_entropy_with_logits")
REGRESSING = ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss")

_REPEATED = ("LogSoftmax", "Softmax", "Sigmoid", "Tanh", "Relu")
"""Operations between a model's output and its loss that are made again for held-out data."""
_MAX_NODES = 32

_HALF = (torch.float16, torch.bfloat16)


class Place(NamedTuple):
    """An output of the model, by the node that made it."""

    path: str
    shape: tuple[int, ...]


Outputs = dict[tuple[str, int], Place]
"""Outputs of a pass, by kind and number of their nodes: what tells a node apart without keeping its graph alive."""


class Mismatch(Exception):
    """Outputs and targets do not fit together as they did in training."""


class Target(NamedTuple):
    """Where the targets come from, and what was done to them before the loss."""

    source: str
    """`batch`: an element of the loader's batch; `pass`: an argument of the model; `frame`: a variable."""
    path: str
    change: str = "same"
    """`same` but for dtype and shape; `shift`: all but the first of each row; `shift_pad`: the same, and an ignored one
    behind; `one_hot`: a share for each class; `argmax`: the place of the largest."""
    dtype: torch.dtype | None = None
    dims: int = 0
    is_indexed: bool = False
    """Whether the targets have no variable of their own, and are rows of one."""


class Criterion:
    """One loss function with its settings, and the way to it from an output of the model."""

    def __init__(self, loss: LossNode, place: Place, between: Sequence[str], is_reshaped: bool) -> None:
        """`between` are the operations from the loss back to the output. Raises `Mismatch` for what is not known."""
        if loss.function not in (*CLASSIFYING, *BINARY, *REGRESSING) or loss.weighs:
            raise Mismatch(f"{loss.function} is not computed for held-out data")
        self.function = loss.function
        self.path = place.path
        self.between = list(between)
        self.n_classes = loss.n_classes
        weights = loss.weights
        self.weights: torch.Tensor | None = None if weights is None else weights.clone()
        self.ignored = loss.ignored
        self.reduction = "sum" if loss.reduction == "sum" else "mean"
        self.smoothing = loss.smoothing
        settings = [loss.settings.get(name) for name in ("beta", "delta")]
        self.setting = next((float(value) for value in settings if value is not None), 1.0)
        self.is_part = loss.terms != 1
        self.is_scaled = loss.scaled
        self.given = "logits"
        """What the way from the model leads to: `logits`, `logarithms` or `shares` of classes."""
        self.class_dim = 0
        self.n_columns = place.shape[-1] if len(place.shape) > 1 and not is_reshaped else 1
        self.target: Target | None = None
        if self.is_classifying:
            self._set_classes(loss, place, is_reshaped)

    def _set_classes(self, loss: LossNode, place: Place, is_reshaped: bool) -> None:
        n = self.n_classes or 0
        if not is_reshaped:
            self.class_dim = 1 if len(place.shape) > 1 else 0
        else:
            self.class_dim = -1 if place.shape[-1:] == (n,) else 1
        if len(place.shape) <= self.class_dim or place.shape[self.class_dim] != n:
            raise Mismatch(f"no dimension of the output, of shape {list(place.shape)}, is that of {n} classes")
        last = self.between[0] if self.between else ""
        if last == "LogSoftmax" or (last == "Softmax" and loss.by_hand):
            del self.between[0]  # the logarithm is taken with the loss
        else:
            self.given = "shares" if loss.by_hand and not is_log(loss) else "logarithms"

    @property
    def is_classifying(self) -> bool:
        """Whether targets are labels, or shares of classes."""
        return self.function in CLASSIFYING

    @property
    def is_plain(self) -> bool:
        """True when the loss of several batches together is the mean of theirs, weighted by their sizes."""
        return self.reduction == "mean" and self.weights is None

    def prepare(
        self, outputs: torch.Tensor, targets: torch.Tensor, keeps_graph: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Outputs as (rows, classes) or (rows, columns), targets as (rows,) or of the outputs' shape.

        The outputs have no graph any more, unless it is to be kept. Raises `Mismatch` when the two do not fit together.
        """
        change = self.target.change if self.target is not None else "same"
        outputs = outputs if keeps_graph else outputs.detach()
        outputs = outputs.float() if outputs.dtype in _HALF else outputs
        if self.is_classifying:
            if change == "shift" and outputs.dim() == 3:
                outputs = outputs[:, :-1] if self.class_dim == -1 else outputs[:, :, :-1]
            if outputs.dim() <= max(self.class_dim, 0) or outputs.shape[self.class_dim] != self.n_classes:
                raise Mismatch(f"outputs of the shape {list(outputs.shape)} have no dimension of {self.n_classes}")
            outputs = outputs.movedim(self.class_dim, -1).reshape(-1, self.n_classes or 1)
        else:
            outputs = outputs.reshape(-1, self.n_columns if outputs.numel() % self.n_columns == 0 else 1)
        for what in reversed(self.between):
            outputs = _apply(what, outputs)
        targets = changed(targets.detach(), change, self.n_classes, self.ignored)
        if self.is_classifying and targets.numel() == outputs.shape[0]:
            return outputs, targets.reshape(-1).long()
        if targets.numel() != outputs.numel():
            raise Mismatch(f"{targets.numel()} targets for outputs of the shape {list(outputs.shape)}")
        return outputs, targets.reshape(outputs.shape).to(outputs.dtype)

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The loss of prepared rows: of shape (), on their device.

        Raises `Mismatch` where the function does not take them: what was found are not its targets then.
        """
        return self._checked_loss(outputs, targets, self.reduction)

    def losses(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The loss of each prepared row: (rows,), or (rows, columns) where each column has one.

        Raises `Mismatch` as `loss` does.
        """
        return self._checked_loss(outputs, targets, "none")

    def _checked_loss(self, outputs: torch.Tensor, targets: torch.Tensor, reduction: str) -> torch.Tensor:
        try:
            return self._loss(outputs, targets, reduction)
        except (RuntimeError, IndexError, ValueError) as error:
            raise Mismatch(f"{self.function} does not take what was found: {error}") from None

    def _loss(self, outputs: torch.Tensor, targets: torch.Tensor, reduction: str) -> torch.Tensor:
        weights = self.weights
        if weights is not None and weights.device != outputs.device:
            weights = weights.to(outputs.device)
        if self.is_classifying:
            if self.given != "logits":
                outputs = outputs.log() if self.given == "shares" else outputs
                if targets.is_floating_point():
                    rows = -(outputs * targets).sum(-1)
                    return rows if reduction == "none" else rows.sum() if reduction == "sum" else rows.mean()
                return functional.nll_loss(outputs, targets, weights, ignore_index=self.ignored, reduction=reduction)
            if targets.is_floating_point():
                return functional.cross_entropy(outputs, targets, weights, reduction=reduction)
            return functional.cross_entropy(
                outputs,
                targets,
                weights,
                ignore_index=self.ignored,
                reduction=reduction,
                label_smoothing=self.smoothing,
            )
        if self.function == "binary_cross_entropy":
            # A loss written by hand may be given `labels > 0` where the labels were found; torch raises for those.
            if targets.is_cpu and targets.numel() and not 0 <= targets.min() <= targets.max() <= 1:
                raise Mismatch("the targets of a binary loss are not between 0 and 1")
            return functional.binary_cross_entropy(outputs, targets, weights, reduction=reduction)
        if self.function == "binary_cross_entropy_with_logits":
            return functional.binary_cross_entropy_with_logits(
                outputs, targets, pos_weight=weights, reduction=reduction
            )
        if self.function == "smooth_l1_loss":
            return functional.smooth_l1_loss(outputs, targets, reduction=reduction, beta=self.setting)
        if self.function == "huber_loss":
            return functional.huber_loss(outputs, targets, reduction=reduction, delta=self.setting)
        function = functional.l1_loss if self.function == "l1_loss" else functional.mse_loss
        return function(outputs, targets, reduction=reduction)

    def threshold(self) -> float:
        """Above it, a binary output means yes."""
        return 0.0 if self.function.endswith("logits") else 0.5


def start_of(loss: LossNode) -> Any:
    """The node that made what the loss function itself was given; None when it is not known."""
    place = loss._outputs
    if place is None:
        return loss.behind
    # A softmax keeps its result: there it is the node itself.
    return place.node if place.name == "result" else next((n for n in nodes.inputs(place.node) if n is not None), None)


def is_log(loss: LossNode) -> bool:
    """Whether a loss of classes was given logarithms, not shares."""
    return loss._outputs is None or kind(loss._outputs.node) != "Softmax"


def way(start: Any, outputs: Outputs) -> tuple[Place, list[str], bool] | str:
    """From the node that a loss was given back to an output of the model: (output, operations between, reshaped).

    Or why there is none.
    """
    between: list[str] = []
    is_reshaped = False
    node = start
    for _ in range(_MAX_NODES):
        if node is None:
            return "the loss does not come from one output of the model"
        what = kind(node)
        place = outputs.get((what, node._sequence_nr()))
        if place is not None:
            return place, between, is_reshaped
        if what in SHAPES:
            is_reshaped = True
        elif what in _REPEATED:
            between.append(what)
        else:
            return f"between the model's output and its loss lies {what}, which is not repeated for held-out data"
        node = only_input(node)
    return "the way from the loss to an output of the model is too long"


def changed(targets: torch.Tensor, change: str, n_classes: int | None, ignored: int) -> torch.Tensor:
    """Targets after what was done to them between the batch and the loss."""
    if change == "shift":
        return targets[:, 1:]
    if change == "shift_pad":
        return functional.pad(targets[:, 1:], (0, 1), value=ignored)
    if change == "one_hot" and n_classes:
        places = torch.arange(n_classes, device=targets.device, dtype=targets.dtype)
        return (targets.reshape(-1, 1) == places).to(torch.float32)
    if change == "argmax":
        return targets.argmax(-1)
    return targets


def change_between(given: torch.Tensor, used: torch.Tensor, ignored: int) -> str | None:
    """What turns `given` into the targets `used`; None when nothing known does. Values are compared on the CPU only.

    On a device the shapes decide.
    """
    for change, n in _possible(given, used):
        made = changed(given, change, n, ignored)
        if made.numel() != used.numel():
            continue
        if not (made.is_cpu and used.is_cpu):
            if change == "same" and made.is_floating_point() == used.is_floating_point():
                return change
        elif torch.equal(made.reshape(-1).to(used.dtype), used.reshape(-1)):
            return change
    return None


def _possible(given: torch.Tensor, used: torch.Tensor) -> list[tuple[str, int | None]]:
    is_whole = not given.is_floating_point()
    found: list[tuple[str, int | None]] = [("same", None)]
    if is_whole and given.dim() == 2 and given.shape[1] > 1:
        found += [("shift", None), ("shift_pad", None)]
    if is_whole and used.dim() == 2 and used.is_floating_point() and given.numel() == len(used):
        found.append(("one_hot", used.shape[1]))
    if given.dim() == 2 and not used.is_floating_point() and given.is_floating_point() and len(given) == used.numel():
        found.append(("argmax", None))
    return found


def _apply(what: str, rows: torch.Tensor) -> torch.Tensor:
    if what == "LogSoftmax":
        return rows.log_softmax(-1)
    if what == "Softmax":
        return rows.softmax(-1)
    return {"Sigmoid": torch.sigmoid, "Tanh": torch.tanh, "Relu": torch.relu}[what](rows)
