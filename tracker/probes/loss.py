"""Reads the loss: its value at each backward, and on sampled steps what its autograd node saved."""

from __future__ import annotations

from typing import Any

_NODES = {
    "NllLossBackward0": "cross_entropy",
    "NllLoss2DBackward0": "cross_entropy",
    "BinaryCrossEntropyWithLogitsBackward0": "binary_cross_entropy_with_logits",
    "BinaryCrossEntropyBackward0": "binary_cross_entropy",
    "MseLossBackward0": "mse_loss",
    "SmoothL1LossBackward0": "smooth_l1_loss",
    "HuberLossBackward0": "huber_loss",
    "SoftMarginLossBackward0": "soft_margin_loss",
}
_REDUCTIONS = {0: "none", 1: "mean", 2: "sum"}
_MAX_NODES = 64
"""Nodes looked at between the loss and its loss function: `loss / n + a * penalty` has a handful."""


class LossNode:
    """One loss function in the graph of a loss, with what lies between the two: further terms, and a scale."""

    def __init__(self, node: Any, function: str, terms: int, scaled: bool, smoothing: bool) -> None:
        self.node = node
        self.function = function
        self.terms = terms
        self.scaled = scaled
        self.smoothing = smoothing

    @property
    def outputs(self) -> Any:
        """What the model gave the loss: log-probabilities (N, C, ...) for cross_entropy, else the predictions."""
        return self.node._saved_self.detach()

    @property
    def targets(self) -> Any:
        """What the loss compared it with."""
        return self.node._saved_target.detach()

    @property
    def weights(self) -> Any:
        """Class weights, or pos_weight of a binary loss; None when there are none."""
        name = "_saved_pos_weight" if self.function == "binary_cross_entropy_with_logits" else "_saved_weight"
        found = getattr(self.node, name, None)
        return None if found is None else found.detach()

    @property
    def ignored(self) -> int:
        """The label that the loss leaves out; one that no label can be, when it leaves none out."""
        return int(getattr(self.node, "_saved_ignore_index", -1))

    @property
    def n_classes(self) -> int | None:
        """Number of classes the outputs can name; None for a regression."""
        if self.function == "cross_entropy":
            return int(self.node._saved_self.shape[1 if self.node._saved_self.dim() > 1 else 0])
        if self.function.startswith("binary_cross_entropy"):
            outputs = self.node._saved_self
            # Several columns are several yes-or-no questions, not classes.
            return 2 if outputs.dim() < 2 or outputs.shape[-1] == 1 else None
        return None

    def describe(self) -> dict[str, Any]:
        """The fact `loss`: what is known of the loss function without running anything."""
        outputs = self.node._saved_self
        return {
            "function": self.function,
            "reduction": _REDUCTIONS.get(int(self.node._saved_reduction), "none"),
            "n_classes": self.n_classes,
            "weighted": self.weights is not None,
            "label_smoothing": self.smoothing,
            "terms": self.terms,
            "scaled": self.scaled,
            "outputs_shape": [int(n) for n in outputs.shape],
        }


def find_loss_node(root: Any) -> LossNode | None:
    """The first known loss function at or behind the node `root`, breadth first; None for a loss written by hand.

    It reads node names only; the saved tensors are read by `LossNode`. A loss function whose saved tensors have hooks
    (checkpointing, `saved_tensors_hooks`, `save_on_cpu`) is passed over: reading them would run the user's hooks.
    """
    queue = [(root, False, False)]
    seen, terms = 0, 1
    while queue and seen < _MAX_NODES:
        node, scaled, smoothing = queue.pop(0)
        if node is None:
            continue
        seen += 1
        name = node.name()
        function = _NODES.get(name)
        if function is not None:
            if not is_readable(node):
                return None
            # A mean over a loss that was not reduced is still a mean, of the same scale.
            return LossNode(node, function, terms, scaled, smoothing)
        if name.startswith("Add") and not smoothing:
            smoothing = _is_smoothing(node)
            terms += 0 if smoothing else 1
        scaled = scaled or (name.startswith(("Mul", "Div")) and not smoothing)
        queue += [(following, scaled, smoothing) for following, _ in node.next_functions]
    return None


def is_readable(node: Any) -> bool:
    """True when what a node saved can be read without running anything of the user's."""
    saved = node._raw_saved_self
    if hasattr(saved, "unpack_hook"):
        return saved.unpack_hook is None and node._raw_saved_target.unpack_hook is None
    # Older torch does not tell: then only while the process has never used such hooks.
    return not _hooks_were_used


_hooks_were_used = False


def note_hooks() -> None:
    """Saved-tensor hooks are in use in this process."""
    global _hooks_were_used
    _hooks_were_used = True


def unscaled(scaled: Any) -> Any:
    """The loss that a gradient scaler multiplied to get `scaled`: what its graph hangs on; None when there is none."""
    node = scaled.grad_fn
    return node.next_functions[0][0] if node is not None and node.next_functions else None


def _is_smoothing(node: Any) -> bool:
    """True for the sum that `cross_entropy(label_smoothing=...)` builds: both sides lead to one log-softmax."""
    branches = [following for following, _ in node.next_functions if following is not None]
    if len(branches) != 2:
        return False
    ends = [_log_softmax_below(branch) for branch in branches]
    return ends[0] is not None and ends[0] is ends[1]


def _log_softmax_below(node: Any) -> Any:
    queue, seen = [node], 0
    while queue and seen < _MAX_NODES // 4:
        at = queue.pop(0)
        if at is None:
            continue
        seen += 1
        if at.name().startswith("LogSoftmax"):
            return at
        queue += [following for following, _ in at.next_functions]
    return None
