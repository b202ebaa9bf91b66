"""Reads the terms of a loss that is a sum, on closely watched steps."""

from __future__ import annotations

import math
import sys
from typing import Any

import torch

from ..rules.engine.records import Json
from ..rules.engine.signals import LOSS_TERM
from . import nodes
from .codes import penalises_a_code
from .loss import function_of, unscaled
from .probe import Probe
from .terms import Term, has_addend, scalars_in, terms_of
from .values import value_of

CODE_PENALTY = "code_penalty"
"""Function of a term that is the size of what is inside a model: the L1 norm of the code of a sparse autoencoder."""

_PENALTIES = frozenset({"l2_penalty", "l1_penalty", "weight_norm"})

_MAX_TERMS = 20
_SAME = 1e-3
"""Share of a loss by which it may differ from the sum of its terms, which are computed once more."""


class LossTerms(Probe):
    """The terms of a loss that is a sum, on closely watched steps: fact `loss_terms` and readings `loss/term`.

    The fact is a list of ``{"name": ..., "function": ..., "factor": ..., "count": ...}``, at most 20, of all losses
    that are sums. `name` is the user's variable, if the term is one, else its function; `function` is `unknown` where
    it is not recognised and `sum` where a variable holds several, unless all are penalties of one kind on weights;
    `factor` is what the term is multiplied with;
    `count` is there for unnamed terms of one function, which are told as one. Factor and count are None where they
    are on a device, or change from step to step.

    Fact `addend`, where the loss is more than its terms, as a number without a graph was added: `{"value": at first,
    "varies": whether it was another one at a later step, so that it is computed}`. On the CPU only.

    A value is read where it is at hand: a variable of the user's, a result that its node saved, what a penalty or a
    common function saved to compute it from, or, when all others are known, what is left of the loss.
    """

    name = "loss-terms"

    def __init__(self, training: Any) -> None:
        super().__init__(training)
        self._known: dict[str, dict[str, Json]] = {}
        self._rest: float | None = None
        self._rest_varies = False

    def backward(self, tensor: torch.Tensor, loss: torch.Tensor) -> None:
        root = tensor.grad_fn if loss is tensor else unscaled(tensor)
        if root is None or not nodes.is_apart():
            return
        with torch.no_grad(), torch._C.DisableTorchFunction():
            if loss.is_cpu and loss.numel() == 1 and has_addend(root):
                self._look_for_rest(root, float(loss))
            if len(terms_of(root)) < 2:
                return
            found = terms_of(root, scalars_in(sys._getframe()))
            if len(found) < 2:
                found = terms_of(root)
            self._tell(found, loss)

    def _tell(self, found: list[Term], loss: torch.Tensor) -> None:
        groups: dict[str, list[Term]] = {}
        functions: dict[str, str] = {}
        for term in found:
            function = self._function(term)
            if function == "unknown" and penalises_a_code(term.node, [one.node for one in found if one is not term]):
                function = CODE_PENALTY
            name = term.variable.name if term.variable is not None else function
            while name in functions and (functions[name] != function or term.variable is not None):
                name += "'"
            functions[name] = function
            groups.setdefault(name, []).append(term)
        values: dict[str, float | torch.Tensor | None] = {}
        for name, terms in list(groups.items())[:_MAX_TERMS]:
            self._describe(name, functions[name], terms)
            values[name] = _total([_value(term) for term in terms])
        self.training.fact("loss_terms", [dict(one) for one in self._known.values()])
        missing = [name for name, value in values.items() if value is None]
        if len(missing) == 1 and len(groups) == len(values):
            known = _total([value for value in values.values() if value is not None])
            values[missing[0]] = (loss.item() if loss.is_cpu else loss.detach().reshape(())) - known
        for name, value in values.items():
            if value is not None:
                self.training.measure(LOSS_TERM, name, value)

    def _look_for_rest(self, root: Any, loss: float) -> None:
        """What the loss is more than its terms: a number, or a term without a graph, was added to them."""
        total = _total([_value(term) for term in terms_of(root, scalars_in(sys._getframe()))])
        if total is None or isinstance(total, torch.Tensor):
            return
        rest, tolerance = loss - total, _SAME * max(abs(loss), abs(total))
        if not math.isfinite(rest):
            return
        if self._rest is None:
            if abs(rest) > tolerance:
                self._rest = rest
                self.training.fact("addend", {"value": rest, "varies": False})
        elif not self._rest_varies and abs(rest - self._rest) > tolerance:
            self._rest_varies = True
            self.training.fact("addend", {"value": self._rest, "varies": True})

    def _describe(self, name: str, function: str, terms: list[Term]) -> None:
        first = terms[0]
        now: dict[str, Json] = {"name": name, "function": function, "factor": None}
        if first.coefficient is None and all(term.factor == first.factor for term in terms):
            now["factor"] = first.factor
        if len(terms) > 1:
            now["count"] = len(terms)
        before = self._known.get(name, now)
        if len(self._known) < _MAX_TERMS or name in self._known:
            # What has changed once is not told again: a fact at every step would tell nothing more.
            self._known[name] = {key: now.get(key) if before.get(key) == now.get(key) else None for key in before | now}

    def _function(self, term: Term) -> str:
        parts = terms_of(term.node)
        found = [function_of(part) for part in parts]
        known = {one.function if one is not None else "unknown" for one in found}
        # A penalty on each of the weights, added up in a variable, is one on all of them.
        if len(known) == 1 and (len(parts) == 1 or known <= _PENALTIES):
            return known.pop()
        return "sum"


def _value(term: Term) -> float | torch.Tensor | None:
    """The value of a term, with its factor; None when it is not at hand."""
    if term.factor is None:
        return None
    if term.variable is not None:
        value: Any = term.variable.tensor.detach()
        value = value.item() if value.is_cpu else value.reshape(())
    else:
        value = nodes.number(term.node, "result")
        if value is None and nodes.kind(term.node) == "Mul":  # of two parts with a gradient each: both are saved
            sides = [nodes.number(term.node, "self"), nodes.number(term.node, "other")]
            value = None if None in sides else sides[0] * sides[1]  # type: ignore[operator]
        if value is None:
            value = value_of(term.node)
    if value is None:
        return None
    scaled: float | torch.Tensor = value * term.factor
    return scaled if term.coefficient is None else term.coefficient * scaled


def _total(values: list[float | torch.Tensor | None]) -> Any:
    total: Any = 0.0
    for value in values:
        if value is None:
            return None
        total = total + value
    return total
