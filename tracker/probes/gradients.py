"""Reads the norms of gradients, weights and true updates, of each parameter, on closely watched steps."""

from __future__ import annotations

from typing import Any

import torch

from ..rules.engine.signals import GRAD_NORM, UPDATE_RATIO, WEIGHT_NORM
from .parameters import SNAPSHOT_BYTES, is_real, norm_vectors
from .probe import Probe
from .readback import Label


class Gradients(Probe):
    """Gradients as the optimizer uses them, without a scaler's factor; steps that a scaler skips are left out."""

    name = "gradients"

    def __init__(self, training: Any) -> None:
        super().__init__(training)
        self._before: list[tuple[str, torch.Tensor, torch.Tensor]] = []

    def before_step(self, optimizer: Any, owned: Any) -> None:
        self._before = []  # left over when a step raises
        items = [(name, p) for name, p in owned.items() if p.grad is not None]
        if not items or not is_real(items[0][1]):
            return
        found_inf = getattr(optimizer, "found_inf", None)
        if found_inf is not None and found_inf.is_cpu and float(found_inf) > 0:
            return
        self._read_gradients(optimizer, owned.number, items)
        self._snapshot(items)

    def _read_gradients(self, optimizer: Any, number: int, items: list[tuple[str, torch.Tensor]]) -> None:
        scale = getattr(optimizer, "grad_scale", None)
        step = self.training.step
        squares = []
        for indices, norms in norm_vectors([p.grad for _, p in items if p.grad is not None]):
            unscaled = norms if scale is None else norms / scale.to(norms.device)
            self.training.readback.add([Label(GRAD_NORM.name, items[i][0], step) for i in indices], unscaled)
            # In float64: the squares of finite norms overflow float32 from 1.8e19 on.
            squares.append(unscaled.double().square().sum())
        if len({square.device for square in squares}) == 1:
            whole = torch.stack(squares).sum().sqrt()
            self.training.measure(GRAD_NORM, f"optimizer{number}" if number else "", whole)

    def _snapshot(self, items: list[tuple[str, torch.Tensor]]) -> None:
        room = SNAPSHOT_BYTES
        with torch.no_grad():
            for name, parameter in items:
                room -= parameter.numel() * parameter.element_size()
                if room < 0:
                    break
                self._before.append((name, parameter, parameter.detach().clone()))

    def after_step(self, optimizer: Any, owned: Any) -> None:
        before, self._before = self._before, []
        if not before:
            return
        step = self.training.step
        with torch.no_grad():
            now = [parameter.detach() for _, parameter, _ in before]
            changes = dict_of(norm_vectors(torch._foreach_sub(now, [old for _, _, old in before])))
            for indices, weights in norm_vectors([old for _, _, old in before]):
                self.training.readback.add([Label(WEIGHT_NORM.name, before[i][0], step) for i in indices], weights)
                ratios = changes[tuple(indices)] / weights
                # Of a weight of zero every change is infinitely large: there is no ratio to judge.
                known = (
                    [i for i, weight in zip(indices, weights.tolist(), strict=True) if weight > 0]
                    if (weights.is_cpu)
                    else indices
                )
                if len(known) < len(indices):
                    ratios = ratios[weights > 0]
                self.training.readback.add([Label(UPDATE_RATIO.name, before[i][0], step) for i in known], ratios)

    def end_close(self) -> None:
        self._before = []


def dict_of(vectors: list[tuple[list[int], torch.Tensor]]) -> dict[tuple[int, ...], torch.Tensor]:
    """The same vectors, by the indices they are about."""
    return {tuple(indices): values for indices, values in vectors}
