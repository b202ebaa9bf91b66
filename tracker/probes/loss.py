"""Reads the function of a loss from the autograd node: what it is, how it is set, what it was given."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any, NamedTuple

import torch

from . import nodes
from .composed import Place, is_smoothing, recognise
from .nodes import SHAPES, below, inputs, kind
from .nodes import note_hooks as note_hooks
from .terms import Term, terms_of


class _Known(NamedTuple):
    function: str
    weights: str = ""
    settings: tuple[str, ...] = ()
    outputs: str = "self"
    targets: str = "target"


_NODES = {
    "NllLoss": _Known("cross_entropy", "weight"),
    "NllLoss2D": _Known("cross_entropy", "weight"),
    "BinaryCrossEntropyWithLogits": _Known("binary_cross_entropy_with_logits", "pos_weight"),
    "BinaryCrossEntropy": _Known("binary_cross_entropy", "weight"),
    "MseLoss": _Known("mse_loss"),
    "SmoothL1Loss": _Known("smooth_l1_loss", settings=("beta",)),
    "HuberLoss": _Known("huber_loss", settings=("delta",)),
    "SoftMarginLoss": _Known("soft_margin_loss"),
    "MultiMarginLoss": _Known("multi_margin_loss", "weight", ("margin", "p")),
    "MultilabelMarginLoss": _Known("multilabel_margin_loss"),
    "CtcLoss": _Known("ctc_loss", "", ("blank", "zero_infinity"), "log_probs", "targets"),
    "CudnnCtcLoss": _Known("ctc_loss", "", ("zero_infinity",), "result1", ""),
}
_REDUCTIONS = {0: "none", 1: "mean", 2: "sum"}
_MAX_NODES = 64
"""Nodes looked at within one term: masks and weights of samples lie between it and its function."""
_LOGARITHMS = frozenset({"LogSoftmax", "Log", "LogSigmoid", "Log1P", "Log2", "Logsumexp", "Logcumsumexp"})
_KEEP_MEANS = SHAPES | {"Mean", "Sum", "Neg", "Stack", "Cat", "Gather", "MaskedSelect", "Index", "ToCopy"}
"""Between a term and its function: whatever else is there scales it, or makes another number of it."""


class LossNode:
    """One loss function in the graph of a loss, with what lies between the two: further terms, and a scale.

    It keeps the graph alive: it is let go behind the `backward` moment.
    """

    def __init__(
        self,
        function: str,
        behind: Any,
        reduction: str,
        outputs: Place | None = None,
        targets: Place | None = None,
        weights: Place | None = None,
    ) -> None:
        self.function = function
        self.behind = behind
        """The node that made the outputs: the model's last operation, or one behind it; None for a leaf."""
        self.reduction = reduction
        self.terms = 1
        self.scaled = False
        self.smoothing = 0.0
        """Label smoothing, 0 to 1."""
        self.by_hand = False
        self.is_soft = False
        """Targets are shares of each class, shaped as the outputs."""
        self.weighs = False
        self.logarithms: bool | None = None
        """Whether `cross_entropy` was given logarithms: False for an `nll_loss` of logits; None where it is hidden."""
        self.settings: dict[str, Any] = {}
        self._outputs, self._targets, self._weights = outputs, targets, weights

    @cached_property
    def outputs(self) -> Any:
        """What the model gave the loss: log-probabilities (N, C, ...) for cross_entropy, else the predictions."""
        return self._outputs.read() if self._outputs is not None else None

    @cached_property
    def targets(self) -> Any:
        """What the loss compared it with."""
        if self._targets is None:
            return None
        found = self._targets.read()
        if found is not None and kind(self._targets.node) == "Gather":
            return found.squeeze(-1)
        return found

    @cached_property
    def weights(self) -> Any:
        """Class weights, or pos_weight of a binary loss; None when there are none."""
        return self._weights.read() if self._weights is not None else None

    @property
    def ignored(self) -> int:
        """The label that the loss leaves out; one that no label can be, when it leaves none out."""
        return int(self.settings.get("ignore_index", -100))

    @property
    def is_supervised(self) -> bool:
        """True when outputs and targets can be read, without running anything of the user's."""
        return isinstance(self.outputs, torch.Tensor) and isinstance(self.targets, torch.Tensor)

    @property
    def n_classes(self) -> int | None:
        """Number of classes the outputs can name; None for a regression, and where it is hidden."""
        sizes = self.outputs_shape
        if sizes is None:
            return None
        if self.function in ("cross_entropy", "nll_loss"):
            return (sizes[1] if len(sizes) > 1 else sizes[0]) if sizes else None
        if self.function.startswith("binary_cross_entropy"):
            # Several columns are several yes-or-no questions, not classes.
            return 2 if len(sizes) < 2 or sizes[-1] == 1 else None
        return None

    @cached_property
    def outputs_shape(self) -> list[int] | None:
        """Shape of what the loss was given."""
        outputs = self.outputs
        if outputs is not None:
            return [int(n) for n in outputs.shape]
        return nodes.shape(self.behind) if self.behind is not None else None

    def describe(self) -> dict[str, Any]:
        """The fact `loss`: what is known of the loss function without running anything."""
        targets = self.targets
        found: dict[str, Any] = {
            "function": self.function,
            "reduction": self.reduction,
            "n_classes": self.n_classes,
            "weighted": self.weights is not None or self.weighs,
            "label_smoothing": self.smoothing > 0,
            "terms": self.terms,
            "scaled": self.scaled,
            "outputs_shape": self.outputs_shape,
        }
        if targets is not None:
            found["targets_shape"] = [int(n) for n in targets.shape]
            found["targets_dtype"] = str(targets.dtype).removeprefix("torch.")
        if self.smoothing:
            found["smoothing"] = self.smoothing
        if self.by_hand:
            found["by_hand"] = True
        if self.is_soft:
            found["soft_targets"] = True
        if self.logarithms is not None:
            found["logarithms"] = self.logarithms
        settings = {key: value for key, value in self.settings.items() if value is not None}
        if settings.get("ignore_index") == -100:
            del settings["ignore_index"]  # as it is by default
        return found | ({"settings": settings} if settings else {})


def find_loss_node(root: Any) -> LossNode | None:
    """The first known loss function among the terms of the loss at node `root`; None for one that is not recognised.

    A loss function whose saved tensors have hooks (checkpointing, `saved_tensors_hooks`, `save_on_cpu`) is passed
    over: reading them would run the user's hooks.
    """
    if root is None:
        return None
    return first_function(terms_of(root))


def first_function(terms: list[Term]) -> LossNode | None:
    """The first known loss function among the terms of a loss; a penalty only when there is no other."""
    found = None
    for term in terms:
        function = function_of(term)
        if function is not None:
            function.terms = len(terms)
            if not is_penalty(function.function):
                return function
            found = found or function
    return found


def is_penalty(function: str) -> bool:
    """True for what looks at parameters only: it is added to a loss."""
    return function.endswith(("_penalty", "weight_norm", "gaussian_kl"))


def function_of(term: Term) -> LossNode | None:
    """The loss function of a term; None for one that is not recognised, or must not be read."""
    node, factor = term.node, 1.0 if term.factor is None else term.factor
    composed = recognise(node, factor < 0)
    if composed is not None:
        found = LossNode(composed.function, composed.behind, composed.reduction, composed.outputs, composed.targets)
        found.by_hand, found.is_soft, found.weighs = composed.by_hand, composed.is_soft, composed.weighted
        factor = abs(factor) if composed.by_hand or composed.is_soft else factor
    else:
        known = _search(node)
        if known is None:
            return None
        found = known
    _normalise(found, factor if term.factor is not None and term.coefficient is None else None)
    return found


def _normalise(found: LossNode, factor: float | None) -> None:
    """A sum that is divided by the number of its samples is a mean."""
    sizes = found.outputs_shape or []
    if factor is not None and found.reduction == "sum" and factor != 1 and sizes:
        samples = math.prod(sizes) // max(1, found.n_classes or 1) if found.n_classes != 2 else math.prod(sizes)
        if math.isclose(1 / factor, samples) if factor else False:
            factor, found.reduction = 1.0, "mean"
        elif found.function == "kl_div" and math.isclose(1 / factor, sizes[0]) if factor else False:
            factor, found.reduction = 1.0, "batchmean"
    found.scaled = found.scaled or factor != 1


def _search(root: Any) -> LossNode | None:
    queue: list[tuple[Any, bool, tuple[str, ...]]] = [(root, False, ())]
    smoothed: Any = None
    for _ in range(_MAX_NODES):
        if not queue:
            return None
        node, scaled, path = queue.pop(0)
        what = kind(node)
        if what in _NODES:
            return _read(node, _NODES[what], scaled, path, smoothed)
        if what == "Add" and smoothed is None and is_smoothing(node):
            smoothed = node
        elif what not in _KEEP_MEANS and smoothed is None:
            scaled = True
        path = (*path, what)
        queue += [(following, scaled, path) for following in inputs(node) if following is not None]
    return None


def _read(node: Any, known: _Known, scaled: bool, path: tuple[str, ...], smoothed: Any) -> LossNode | None:
    if not nodes.is_readable(node, known.outputs, known.targets):
        return None
    reduction = _REDUCTIONS.get(int(getattr(node, "_saved_reduction", 0)), "none")
    if reduction == "none":  # a mean over a loss that was not reduced is still a mean, of the same scale
        reduction = "sum" if "Sum" in path else "mean" if "Mean" in path else "none"
    behind = next((following for following in inputs(node) if following is not None), None)
    outputs, targets = Place(node, known.outputs), Place(node, known.targets) if known.targets else None
    found = LossNode(
        known.function, behind, reduction, outputs, targets, Place(node, known.weights) if known.weights else None
    )
    found.scaled = scaled
    for name in known.settings:
        value = getattr(node, nodes.attribute("_saved_", name), None)
        found.settings[name] = nodes.signed(value) if isinstance(value, int) else value
    if known.function == "cross_entropy":
        found.settings["ignore_index"] = nodes.signed(int(node._saved_ignore_index))
        found.smoothing = _smoothing(smoothed)
        _look_for_logarithms(found)
    return found


def _smoothing(node: Any) -> float:
    """The label smoothing in the sum that `cross_entropy` builds: (1 - smoothing) * nll + smoothing / n * rest."""
    if node is None:
        return 0.0
    kept = next((nodes.number(f, "other") for f in inputs(node) if f is not None and kind(f) == "Mul"), None)
    return round(1.0 - kept, 6) if isinstance(kept, float) else 1.0


def _look_for_logarithms(found: LossNode) -> None:
    """Tells `nll_loss` of what is no logarithm, a mistake, from `cross_entropy`."""
    at = below(found.behind, SHAPES | {"Index", "MaskedSelect", "Cat"})
    if at is None or nodes.is_opaque(at):
        return
    if kind(at) == "LogSoftmax":
        found.behind = next(iter(inputs(at)), None)
        found.logarithms = True
    elif kind(at) in _LOGARITHMS or (kind(at) == "Sub" and any(i is not None and _is_lse(i) for i in inputs(at))):
        found.logarithms = True
    elif kind(at) in nodes.LAYERS or kind(at) in ("Softmax", "Sigmoid", "Relu", "Tanh", "AccumulateGrad"):
        found.logarithms = False
        found.function = "nll_loss"


def _is_lse(node: Any) -> bool:
    return kind(below(node)) in _LOGARITHMS


def unscaled(scaled: Any) -> Any:
    """The node of the loss that a gradient scaler multiplied to get `scaled`; None when there is none."""
    node = scaled.grad_fn
    return node.next_functions[0][0] if node is not None and node.next_functions else None


def last_operations(root: Any, limit: int = 8) -> list[str]:
    """What an unrecognised loss ends in, outermost first, down to the first layer or fork: `["mean", "pow", "sub"]`."""
    found: list[str] = []
    node = root
    while node is not None and len(found) < limit:
        what = kind(node)
        if what in nodes.LAYERS or what == "AccumulateGrad":
            break
        if what not in SHAPES:
            found.append(what.lower())
        node = nodes.only_input(node)
    return found
