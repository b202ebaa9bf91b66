"""What the training loop sends backward: its loss, with the graph that says which function it is and what it got."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from ..drilling.subject import LossFacts, Subject
from ..probes.loss import LossNode, find_loss_node, unscaled
from ..probes.nodes import SHAPES, below, kind

_SQUASHES = {
    "cross_entropy": {"Softmax": "softmax", "Sigmoid": "sigmoid"},
    "nll_loss": {},
    "binary_cross_entropy_with_logits": {"Sigmoid": "sigmoid", "Softmax": "softmax"},
}
"""What must not be applied ahead of a loss function that does it itself."""


class Ear:
    """Hears the first loss of an iteration, when it is asked to."""

    def __init__(self) -> None:
        self.listens = True
        self.calls = 0
        """Losses sent backward so far."""
        self.tell: Callable[[LossFacts | None, str], None] = lambda facts, squashed: None
        """Is called with what is known of the loss, None where its function is not recognised, and with `softmax` or
        `sigmoid` where it applies one to what already are probabilities."""

    def hear(self, loss: torch.Tensor, subject: Subject) -> None:
        """Reads the graph of the loss."""
        self.listens = False
        node = find_loss_node(loss.grad_fn)
        if node is not None and node.scaled and node.terms == 1:
            inner = find_loss_node(unscaled(loss)) if kind(loss.grad_fn) == "Mul" else None
            node = inner if inner is not None and not inner.scaled else node
        if node is None:
            self.tell(None, "")
        else:
            before = kind(below(node.behind, SHAPES))
            self.tell(_facts(node, subject), _SQUASHES.get(node.function, {}).get(before, ""))


@contextmanager
def listening(subject: Subject, ear: Ear) -> Iterator[None]:
    """`ear` hears the losses that are sent backward in the block."""

    def hear(loss: torch.Tensor | None) -> None:
        ear.calls += 1
        if ear.listens and loss is not None:
            ear.hear(loss, subject)

    with hearing(hear):
        yield


@contextmanager
def hearing(hear: Callable[[torch.Tensor | None], None]) -> Iterator[None]:
    """`hear` is called ahead of each backward in the block, with the loss; None for what is no single number."""
    original = torch.autograd.backward

    def heard(tensors: Any, *args: Any, **kwargs: Any) -> Any:
        loss = tensors if isinstance(tensors, torch.Tensor) else tensors[0] if len(tensors) == 1 else None
        hear(loss if isinstance(loss, torch.Tensor) and loss.numel() == 1 else None)
        return original(tensors, *args, **kwargs)

    torch.autograd.backward = heard
    try:
        yield
    finally:
        torch.autograd.backward = original


def _facts(node: LossNode, subject: Subject) -> LossFacts:
    outputs, targets = node.outputs, node.targets
    return LossFacts(
        node.function,
        node.n_classes,
        node.reduction,
        node.smoothing,
        node.ignored,
        node.weights,
        node.terms,
        node.scaled,
        outputs.detach() if isinstance(outputs, torch.Tensor) else None,
        targets if isinstance(targets, torch.Tensor) else subject.targets,
    )
