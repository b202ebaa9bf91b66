"""What the drills look at: a model, one batch of its training, and the loss that is made of the two."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from ..probes.loss import find_loss_node
from ..probes.nested import tensors_in


@dataclass(frozen=True)
class LossFacts:
    """What is known of a loss function, read from its graph."""

    function: str
    """`cross_entropy`, `nll_loss`, `binary_cross_entropy`, `binary_cross_entropy_with_logits`, `mse_loss`, ..."""
    n_classes: int | None = None
    reduction: str = "mean"
    smoothing: float = 0.0
    """Label smoothing, 0 to 1."""
    ignored: int = -100
    """The label that is left out."""
    weights: torch.Tensor | None = None
    """Class weights, or `pos_weight` of a binary loss."""
    terms: int = 1
    """Terms of the loss, this function being one of them."""
    scaled: bool = False
    """Whether something between the function and the loss scales it."""
    outputs: torch.Tensor | None = None
    """What the function was given, without its graph."""
    targets: torch.Tensor | None = None
    """What it was compared with."""


@dataclass
class Subject:
    """A model with one batch. The drills call it, train it and change it; `preserved` puts everything back."""

    model: torch.nn.Module
    args: tuple[Any, ...]
    """What the model is called with for the batch; tensors of our own, which nobody else writes to."""
    kwargs: dict[str, Any] = field(default_factory=dict)
    loss: Callable[[Any], torch.Tensor] | None = None
    """The loss, of shape (), of an output of the model for the batch; None where it is not known."""
    targets: torch.Tensor | None = None
    """What the loss compares with, of the batch; None where it is not known."""
    optimizers: list[torch.optim.Optimizer] = field(default_factory=list)
    """Empty when there is none yet."""
    loaders: Mapping[str, Any] = field(default_factory=dict)
    """By split (`train`, `val`, `test`): what gives batches in the form of the training's. The drills may draw from
    them."""
    profile: str = "unknown"
    """Task profile, as the rules know it."""
    without_loss: str = "the loss could not be made again from the model's output"
    """Why there is no loss, where there is none."""
    criteria: list[torch.nn.Module] = field(default_factory=list)
    """Modules that the loss uses, which may have weights or counters of their own."""
    is_script: bool = False
    """Whether it was met in a script of the user's: its copy is a process of its own."""

    @property
    def modules(self) -> list[torch.nn.Module]:
        """The model, and what the loss uses."""
        return [self.model, *self.criteria]

    @property
    def others(self) -> list[Any]:
        """What else a drill may change: the batch, if the model writes into it, and the generators of the loaders."""
        return [self.args, self.kwargs, self.targets, *self.loaders.values()]

    def output(self) -> Any:
        """The model's output for the batch, in the mode the model is in."""
        return self.model(*self.args, **self.kwargs)

    def compute(self) -> torch.Tensor:
        """The loss for the batch, with its graph; raises `Skip` where the loss is not known."""
        from .drill import Skip

        if self.loss is None:
            raise Skip(self.without_loss)
        return self.loss(self.output())

    def loss_facts(self) -> LossFacts | None:
        """What is known of the loss function; None when it is not recognised. Computes the loss once."""
        if self.loss is None:
            return None
        with torch.enable_grad():
            node = find_loss_node(self.compute().grad_fn)
        if node is None:
            return None
        outputs, targets, weights = node.outputs, node.targets, node.weights
        return LossFacts(
            node.function,
            node.n_classes,
            node.reduction,
            node.smoothing,
            node.ignored,
            weights,
            node.terms,
            node.scaled,
            outputs.detach() if isinstance(outputs, torch.Tensor) else None,
            targets if targets is not None else self.targets,
        )

    def inputs(self) -> list[tuple[str, torch.Tensor]]:
        """(path, tensor) of each tensor that the model is called with."""
        return tensors_in((list(self.args), self.kwargs))

    @property
    def batch_size(self) -> int | None:
        """Samples in the batch: the length that most inputs begin with; None without any."""
        sizes = [len(tensor) for _, tensor in self.inputs() if tensor.dim()]
        return max(set(sizes), key=sizes.count) if sizes else None
