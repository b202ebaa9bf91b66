"""Whether what a model is given has an effect on what comes out of it."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

import torch

from ..drilling.drill import Drill, Notes, Skip
from ..drilling.subject import Subject
from ..drilling.trials import Trials, effect, floating, given
from ..rules.engine.records import Json

_MOST_FEATURES = 64
"""Columns, or channels, that are looked at one by one."""
_START = 0.02
"""Spread of what stands in for weights that are all zero: their layer passes nothing on before the first step."""


class InputsReach(Drill):
    """Exchanges each input for that of other samples, and each feature too, and looks whether an output changes."""

    name = "inputs-reach"
    title = "inputs reach the output"
    seconds = 8.0

    def measure(self, subject: Subject, notes: Notes) -> None:
        ends = time.monotonic() + self.budget
        trials = Trials(subject)
        # A single number is no input of samples: a length, a temperature, by what the loss is to be divided.
        inputs = [(name, one) for name, one in given(subject, trials.compared()[2]) if one.numel() > 1]
        if not inputs:
            raise Skip("the model is given no tensor that could be changed")
        base = trials.outputs()
        changed = {name: _others(tensor) for name, tensor in inputs}
        told = {name: other for name, other in changed.items() if other is not None}
        if not told:
            raise Skip("every input is the same for all samples of the batch")
        effects = {name: effect(trials, {id(tensor): told[name]}, base) for name, tensor in inputs if name in told}
        together = {id(tensor): told[name] for name, tensor in inputs if name in told}
        known = [one for one in effects.values() if one is not None]
        whole = max([*known, effect(trials, together, base) or 0.0]) if known else effect(trials, together, base)
        if whole is None:
            raise Skip("the model does not take inputs that were exchanged between samples")
        values: dict[str, Json] = {
            "inputs": [{"name": name, "effect": effects.get(name)} for name, _ in inputs],
            "effect": whole,
            "started": None,
            "by_gradient": None,
        }
        name, main = max(inputs, key=lambda one: (one[0] in told and one[1].is_floating_point(), one[1].numel()))
        if whole == 0.0 or whole < 1e-6:
            values["started"] = self._started(trials, together)
            values["by_gradient"] = _by_gradient(trials, inputs, together)
        else:
            values |= self._features(trials, name, main, base, ends)
        said = f"inputs of other samples change the output by {whole:.2g} of its size"
        unused = sum(one == 0 for one in known)
        if values["started"]:
            said += f", and by {values['started']:.2g} when weights that are all zero are small numbers"
        elif values["by_gradient"]:
            said += f"; their gradient promises {values['by_gradient']:.2g}"
        elif unused:
            said += f"; {unused} of {len(inputs)} inputs have no effect"
        notes.fact(**values, summary=said)

    def _started(self, trials: Trials, changed: dict[int, torch.Tensor]) -> float | None:
        """The effect when weights that are all zero are so no longer."""
        generator = torch.Generator().manual_seed(0)
        zero = [one for one in trials.subject.model.parameters() if one.numel() and not bool(one.detach().any())]
        if not zero:
            return None
        values = [one.detach().clone() for one in zero]
        try:
            with torch.no_grad():
                for one in zero:
                    one.copy_((torch.randn(one.shape, generator=generator) * _START).to(one))
            return effect(Trials(trials.subject), changed, Trials(trials.subject).outputs())
        finally:
            with torch.no_grad():
                for one, value in zip(zero, values, strict=True):
                    one.copy_(value)

    def _features(
        self, trials: Trials, name: str, main: torch.Tensor, base: dict[str, torch.Tensor], ends: float
    ) -> dict[str, Json]:
        """The columns of a table, or channels of pictures, that change nothing."""
        if not main.is_floating_point() or main.dim() < 2 or not 1 < main.shape[1] <= _MOST_FEATURES:
            return {}
        dead, constant = [], 0
        for index in range(main.shape[1]):
            column = main.select(1, index)
            if time.monotonic() > ends:
                return {}
            if len(column) < 2 or torch.equal(column, column[:1].expand_as(column)):
                constant += 1
                continue
            other = main.clone()
            other.select(1, index).copy_(column[next(_rows(column))])
            if effect(trials, {id(main): other}, base) == 0.0:
                dead.append(index)
        return {"main": name, "features": int(main.shape[1]), "constant": constant, "dead": list(dead)}


def _by_gradient(
    trials: Trials, inputs: list[tuple[str, torch.Tensor]], changed: dict[int, torch.Tensor]
) -> float | None:
    """The change of the outputs that their gradient promises, as a share of their size; None where it has none.

    It is taken along one random direction of the outputs. Where a choice or a rounding stands between, as the code book
    of a VQ-VAE, a straight-through estimator has gradients, and one batch may well get the same code throughout.
    """
    generator = torch.Generator().manual_seed(0)
    leaves = {id(one): one.detach().clone().requires_grad_() for _, one in inputs if one.is_floating_point()}
    if not leaves:
        return None
    try:
        with trials.fresh(), torch.enable_grad():
            outputs = [one for one in floating(trials.call(leaves)).values() if one.dim() and one.requires_grad]
            drawn = [torch.randn(one.shape, generator=generator).to(one) for one in outputs]
            along = sum(((one * way).sum() for one, way in zip(outputs, drawn, strict=True)), torch.zeros(()))
            gradients = torch.autograd.grad(along, list(leaves.values()), allow_unused=True)
    except Exception:  # a model of the user's that takes no inputs with a gradient, say
        return None
    promised = sum(
        float(((changed[key] - leaf.detach()).double() * gradient.double()).sum())
        for (key, leaf), gradient in zip(leaves.items(), gradients, strict=True)
        if gradient is not None and key in changed
    )
    size = sum(float(one.detach().double().square().sum()) for one in outputs) ** 0.5
    return abs(promised) / size if size and math.isfinite(promised) else None


def _rows(tensor: torch.Tensor) -> Iterator[torch.Tensor]:
    """Half of the samples twice: in another order alone, the points of a set would say the same."""
    double = torch.arange(len(tensor), device=tensor.device) // 2
    yield len(tensor) // 2 + double
    yield double


def _others(tensor: torch.Tensor) -> torch.Tensor | None:
    """The input with the contents of other samples; None where all are the same, and nothing can be put for them."""
    if tensor.dim() and len(tensor) > 1:
        for rows in _rows(tensor):
            if not torch.equal(tensor[rows], tensor):
                return tensor[rows]
    if not tensor.is_floating_point():
        return None
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(tensor.shape, generator=generator).to(tensor)
    return tensor + noise * (float(tensor.double().std()) if tensor.numel() > 1 else 0.0) if tensor.any() else None
