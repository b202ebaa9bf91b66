"""Measures how much of a gradient is zero."""

from typing import Any

import torch

from tracker.probes.probe import Probe

from .signals import ZEROS


class GradientZeros(Probe):
    """The share of zeros in the gradient of each weight matrix, before its optimizer steps."""

    name = "sparse gradients"
    signals = (ZEROS,)

    def before_step(self, optimizer: Any, owned: Any) -> None:
        for subject, parameter in owned.items():
            gradient = parameter.grad
            if gradient is not None and gradient.dim() > 1 and gradient.layout == torch.strided:
                # A number on a GPU is read back later, together with others: `measure` never waits for it.
                self.training.measure(ZEROS, subject, 1 - gradient.count_nonzero() / gradient.numel())
