"""Checks a function with a backward of the user's own alone, with what it was called with in an iteration."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import torch

from ..rules.engine.records import Json
from .differences import DOUBLE, FLAT, SINGLE, WRONG, Entries, Precision, chosen, compare, entry_size
from .functions_met import PLAIN, Call, Met, own_tensor
from .in_double import in_double

ENTRIES = 24
"""Of each input."""
GATED = 0.1
"""Share of a gradient by which it is not the other's opposite."""


def check_alone(met: Met, held: Sequence[Any], repeat: Callable[[], None], deadline: float) -> dict[str, Json]:
    """The facts of one function; `held` are the models it may use, and `repeat` sets the random generators back.

    In float64, or in float32 where its code takes nothing else.
    """
    reason = ""
    given = [(call.args, met.upstream) for call in met.calls]
    for precision in (DOUBLE, SINGLE):
        try:
            with in_double(*held, given) if precision is DOUBLE else nullcontext():
                checks = [_Check(met, call, precision, repeat) for call in met.calls]
                if not all(check.is_repeatable for check in checks):
                    reason = "two calls with the same inputs gave different outputs"
                    continue
                for check in checks:
                    check.run(deadline)
                return {"name": met.name, **_facts(checks, precision)}
        except Exception as error:  # it takes float32 only, or the device has nothing else
            reason = reason or f"{type(error).__name__}: {error}"[:200]
    return {"name": met.name, "skipped": reason}


class _Check:
    """One call of a function, in one precision."""

    def __init__(self, met: Met, call: Call, precision: Precision, repeat: Callable[[], None]) -> None:
        self.met, self.call, self.precision, self.repeat = met, call, precision, repeat
        self.generator = torch.Generator().manual_seed(0)
        self.places = [index for index, needed in enumerate(call.needs) if needed and _is_float(call.args[index])]
        self.args = [own_tensor(one) for one in call.args]
        self.outputs = self.call_with(self.args)
        again = self.call_with(self.args)
        self.is_repeatable = all(_same(a, b) for a, b in zip(self.outputs, again, strict=True))
        self.gated: list[bool] = []
        """Of each entry at which nothing changes, whether its gradient depends on the sign of the one from behind."""
        self.found: dict[int, Entries] = {}
        self.of_own: dict[int, Entries] = {}

    def call_with(self, args: Sequence[Any]) -> list[torch.Tensor]:
        """What the function returns, float tensors with a gradient only."""
        self.repeat()
        given: list[Any] = [one.clone() if type(one) in PLAIN else one for one in args]
        with torch.enable_grad():
            for place in self.places:
                # Not a leaf: the function may write into what it is given.
                given[place] = given[place].requires_grad_(True).view_as(given[place])
            made = self.met.function.apply(*given)
        every = made if isinstance(made, (tuple, list)) else (made,)
        self.given = given
        return [one for one in every if isinstance(one, torch.Tensor) and one.requires_grad and _is_float(one)]

    def run(self, deadline: float) -> None:
        """Compares with a gradient from behind drawn by chance; where that fails, with the one it was given."""
        if not self.outputs:
            return
        own = self.upstream()
        drawn = [
            torch.randn(one.shape, generator=self.generator, dtype=torch.float64).to(one.device, one.dtype)
            for one in self.outputs
        ]
        # A loss ends the graph: the gradient from behind is 1, or what scales the loss, and nothing else.
        is_loss = len(self.outputs) == 1 and self.outputs[0].numel() == 1
        weights = own or [torch.ones_like(one) for one in self.outputs] if is_loss else drawn
        self.found = self.compare(weights, deadline)
        if own and not is_loss and any(one.count(WRONG) for one in self.found.values()):
            self.of_own = self.compare(own, deadline)

    def upstream(self) -> list[torch.Tensor] | None:
        """The gradient that the backward was given in the training loop, in the outputs' shapes."""
        for gradients in self.met.upstream:
            tensors = [one for one in gradients if isinstance(one, torch.Tensor) and _is_float(one)]
            if [one.shape for one in tensors] == [one.shape for one in self.outputs]:
                return [a.to(b.dtype) for a, b in zip(tensors, self.outputs, strict=True)]
        return None

    def compare(self, weights: Sequence[torch.Tensor], deadline: float) -> dict[int, Entries]:
        """Entries of every input, by its place."""
        outputs = self.call_with(self.args)
        inputs = [self.given[place] for place in self.places]
        gradients = torch.autograd.grad(outputs, inputs, list(weights), allow_unused=True)
        outputs = self.call_with(self.args)
        inputs = [self.given[place] for place in self.places]
        turned = torch.autograd.grad(outputs, inputs, [-one for one in weights], allow_unused=True)
        base = [one.detach() for one in outputs]
        size = max(float((w * one).abs().max()) if one.numel() else 0.0 for w, one in zip(weights, base, strict=True))
        rounding = self.precision.rounding * size
        found = {place: Entries() for place in self.places}
        for place, gradient, other in zip(self.places, gradients, turned, strict=True):
            tensor = self.args[place]
            flat = None if gradient is None else gradient.detach().reshape(-1)
            for entry in chosen(flat, tensor.numel(), ENTRIES, self.generator):
                if time.monotonic() > deadline:
                    return found

                def change(delta: float, place: int = place, entry: int = entry) -> float:
                    args = list(self.args)
                    args[place] = args[place].clone(memory_format=torch.contiguous_format)
                    args[place].view(-1)[entry] += delta
                    made = self.call_with(args)
                    pairs = zip(weights, made, base, strict=True)
                    return sum(float((w * (one.detach() - was)).double().sum()) for w, one, was in pairs)

                analytic = 0.0 if flat is None else float(flat[entry])
                size = entry_size(tensor, entry)
                one = compare(change, analytic, size, rounding, self.precision)
                found[place].entries.append(one)
                if one.kind == FLAT and other is not None:
                    # A derivative turns its sign with the gradient from behind.
                    self.gated.append(abs(float(other.reshape(-1)[entry]) + analytic) > GATED * abs(analytic))
        return found

    def is_identity(self) -> bool:
        """Whether it hands its input on, here and with the sign turned: only its backward does something."""
        try:
            turned = [-one if index in self.places else one for index, one in enumerate(self.args)]
            return bool(self.outputs) and all(
                any(_same(one, args[place]) for place in self.places)
                for args, made in ((self.args, self.outputs), (turned, self.call_with(turned)))
                for one in made
            )
        except Exception:  # it does not take these numbers
            return False


def _together(found: Sequence[Entries]) -> Entries:
    return Entries([entry for one in found for entry in one.entries])


def _facts(checks: Sequence[_Check], precision: Precision) -> dict[str, Json]:
    gated = [one for check in checks for one in check.gated]
    return {
        "dtype": str(precision.dtype).removeprefix("torch."),
        "calls": len(checks),
        "identity": all(check.is_identity() for check in checks),
        "own_upstream": _of_own(checks),
        **_together([one for check in checks for one in check.found.values()]).facts(),
        "gated": bool(gated) and all(gated),
        "inputs": [
            {"input": place, **_counts(_together([check.found.get(place, Entries()) for check in checks]))}
            for place in dict.fromkeys(place for check in checks for place in check.places)
        ],
    }


def _counts(found: Entries) -> dict[str, Json]:
    facts = found.facts()
    return {name: facts[name] for name in ("error", "entries", "flat", "moving", "sloped")}


def _of_own(checks: Sequence[_Check]) -> Json:
    """The largest error with the gradients it was given in the loop; None where that was not tried, or says nothing."""
    entries = _together([one for check in checks for one in check.of_own.values()])
    worst = entries.worst
    says = any(one.numeric != 0.0 for one in entries.entries)
    return worst.error if worst is not None and says else None


def _is_float(tensor: torch.Tensor) -> bool:
    return tensor.is_floating_point()


def _same(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.shape == b.shape and torch.equal(a.detach().nan_to_num(), b.detach().nan_to_num())
