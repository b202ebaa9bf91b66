"""A training loop on one batch, for a model that came without its own."""

from __future__ import annotations

import inspect

import torch

from .drill import Skip
from .subject import Subject


class Loop:
    """Clears the gradients, computes the loss, goes backward, and steps: one iteration."""

    def __init__(self, subject: Subject) -> None:
        """Raises `Skip` where the loss is not known, or nothing can be trained."""
        if subject.loss is None:
            raise Skip(subject.without_loss)
        if not subject.optimizers:
            raise Skip("the model has no parameter that can be trained")
        self.subject = subject

    def iterate(self) -> float:
        """Makes one iteration; returns the loss before its step. Raises `Skip` for a loss without a graph."""
        losses: list[float] = []

        def closure() -> torch.Tensor:
            for optimizer in self.subject.optimizers:
                optimizer.zero_grad()
            with torch.enable_grad():
                loss = self.subject.compute()
                if not loss.requires_grad:
                    raise Skip("the loss has no gradient: nothing that can be trained leads to it")
                loss.backward()  # type: ignore[no-untyped-call]
            losses.append(float(loss.detach()))
            return loss

        if not any(map(_asks_again, self.subject.optimizers)):
            closure()
        for optimizer in self.subject.optimizers:
            if _asks_again(optimizer):
                optimizer.step(closure)  # type: ignore[arg-type]
            else:
                optimizer.step()
        return losses[0]


def _asks_again(optimizer: torch.optim.Optimizer) -> bool:
    """Whether a step needs to compute the loss itself, some times, as that of L-BFGS does."""
    found = inspect.signature(optimizer.step).parameters.get("closure")
    return found is not None and found.default is found.empty
