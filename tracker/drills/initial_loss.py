"""The loss of the untouched model, beside that of answers that know nothing."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import Any

import torch

from ..drilling.drill import Drill, Drive, Notes, Skip
from ..drilling.preserved import preserved
from ..drilling.subject import Subject
from ..probes import nodes
from ..probes.loss import LossNode, function_of, is_penalty
from ..probes.nested import tensors_in
from ..probes.terms import Term, terms_of
from ..probes.values import value_of
from ..rules.engine.records import Json
from .dropout import without_dropout
from .guessing import TOLERANCE, Function, Guesses, guesses_of
from .loss_heard import hearing

MOST_TERMS = 20


class InitialLoss(Drill):
    """Computes the first loss, takes it apart into its terms, and asks each loss function what guessing would cost.

    The fact::

        {"loss": with dropout off, "in_loop": as the training loop computes it,
         "terms": [{"name", "function", "value", "factor", "reduction", "n_classes", "weighted", "smoothing", "behind",
                    "doubled", "mass", "uniform", "prior", "zero", "mean", "unit", "present", "target_mean",
                    "target_std"}]}

    `behind` is the operation that made what the function was given, as autograd calls it; further names are those of
    `Guesses`, `doubled` and `mass` those of `Function`. `value` and the guesses of a term have its factor in them; what
    is not known is None. The guesses are computed by the loss function itself from the targets of the batch, so that
    weights, smoothing, reduction and labels that are left out are in them.
    """

    name = "initial-loss"
    title = "first loss"
    in_loop = True

    def drive(self, subject: Subject, notes: Notes) -> Drive:
        live = _Live(subject)
        try:
            with preserved(subject.modules, subject.optimizers, subject.others), hearing(live.hear):
                seen = yield
        except Skip:
            raise
        except Exception as error:
            raise Skip(f"no step could be made: {type(error).__name__}: {error}"[:300]) from None
        if live.is_of(seen) and len(live.terms) > 1:
            # What is made again from the model's output is one of them.
            notes.fact(
                loss=_finite(seen), in_loop=_finite(seen), terms=list(live.terms), summary=_summary(seen, live.terms)
            )
            return
        if subject.loss is None:
            raise Skip(f"the first loss is {seen:.4g}; its function is not known, nor what guessing would give")
        without_dropout(subject.model)
        output, loss = _forward(subject)
        total = float(loss.detach())
        terms = _terms(loss, output, subject) if loss.grad_fn is not None and math.isfinite(total) else []
        if math.isfinite(total) and not any(one["uniform"] or one["zero"] is not None for one in terms):
            raise Skip(f"the first loss is {total:.4g}; it is not one whose first value is known beforehand")
        notes.fact(
            loss=_finite(total),
            in_loop=_finite(seen),
            terms=list(terms),
            summary=_summary(total, terms),
        )


class _Live:
    """The terms of the first loss that the loop itself sends backward."""

    def __init__(self, subject: Subject) -> None:
        self.terms: list[dict[str, Json]] = []
        self._subject = subject
        self._value: float | None = None

    def hear(self, loss: torch.Tensor | None) -> None:
        """A loss is about to be sent backward."""
        if self._value is not None or loss is None or loss.grad_fn is None:
            return
        self._value = float(loss.detach())
        if math.isfinite(self._value):
            with suppress(Exception):  # the loop is the script's: it does not end for what we cannot read
                self.terms = _terms(loss, None, self._subject)

    def is_of(self, seen: float) -> bool:
        """Whether it is the loss of the iteration: no scaled one, and not the first of several."""
        return self._value is not None and math.isclose(self._value, seen, rel_tol=TOLERANCE)


def _forward(subject: Subject) -> tuple[Any, torch.Tensor]:
    assert subject.loss is not None
    with torch.enable_grad():
        output = subject.output()
        return output, subject.loss(output).reshape(())


def _terms(loss: torch.Tensor, output: Any, subject: Subject) -> list[dict[str, Json]]:
    """Each term of the loss; what a function gives is only told where it gives the loss that was seen."""
    parts = terms_of(loss.grad_fn)[:MOST_TERMS]
    total = float(loss.detach())
    found = [_Part(term, output, subject, len(parts)) for term in parts]
    if len(found) == 1:
        found[0].value = total
    unknown = [one for one in found if one.value is None]
    if len(unknown) == 1:
        unknown[0].value = total - sum(one.value for one in found if one.value is not None)
        unknown = []
    is_whole = not unknown and math.isclose(sum(one.value or 0.0 for one in found), total, rel_tol=TOLERANCE)
    told = [one.described(is_whole) for one in found]
    if len(told) == 1 and told[0]["uniform"] is None and told[0]["zero"] is None:
        _ask_whole(told[0], total, output, subject)
    return told


class _Part:
    """One term of the loss, and the function it is made of, if that is known."""

    def __init__(self, term: Term, output: Any, subject: Subject, n_terms: int) -> None:
        self.factor = term.factor
        if term.factor is not None and term.coefficient is not None:
            self.factor = term.factor * float(term.coefficient)
        is_negative = self.factor is not None and self.factor < 0
        plain = term._replace(factor=-1.0 if is_negative else 1.0, coefficient=None)
        self.node = function_of(plain)
        if is_negative and self.factor and self.node is not None and (self.node.by_hand or self.node.is_soft):
            self.factor = -self.factor  # the minus of -log p is part of the function
        elif self.node is None and self.factor:
            # A log-likelihood without its minus is the function times -1.
            self.node = function_of(plain._replace(factor=-(plain.factor or 1.0)))
            self.factor = -self.factor
        self.function = _function(self.node, output, subject, n_terms) if self.node is not None else None
        value = _finite(value_of(term.node))
        self.value: float | None = None
        """With the factor."""
        if value is not None and term.factor is not None and self.factor is not None:
            self.value = value * (abs(self.factor) if term.factor > 0 else -abs(self.factor))
        elif self.function is not None and self.node is not None and not self.node.scaled and self.factor:
            value = _finite(self.function.value())
            self.value = None if value is None else value * self.factor

    def described(self, is_whole: bool) -> dict[str, Json]:
        """The table of it; `is_whole` when the values of all terms make up the loss."""
        node, function, factor, value = self.node, self.function, self.factor, self.value
        name = node.function if node is not None else "unknown"
        found: dict[str, Json] = dict.fromkeys((*_GUESSED, "present", "target_mean", "target_std", "doubled", "mass"))
        found |= {
            "name": name,
            "function": name,
            "value": _finite(value),
            "factor": _finite(factor),
            "penalty": node is not None and is_penalty(name),
            "n_classes": node.n_classes if node is not None else None,
            "weighted": node is not None and (node.weights is not None or node.weighs),
            "smoothing": node.smoothing if node is not None else 0.0,
            "reduction": node.reduction if node is not None else None,
            "logarithms": node.logarithms if node is not None else None,
            "behind": _made_by(node.behind) if node is not None else None,
        }
        if function is None or value is None or not factor or not is_whole or not function.agrees_with(value / factor):
            return found
        _tell(found, function.guesses(), abs(factor))
        return found | {"reduction": function.reduction, "doubled": function.doubled(), "mass": function.mass()}


_GUESSED = ("uniform", "prior", "zero", "mean", "unit")


def _tell(found: dict[str, Json], guesses: Guesses, factor: float) -> None:
    """Writes the guesses down; a factor below zero is a matter of its own, and not in them."""
    for key in _GUESSED:
        guess = getattr(guesses, key)
        found[key] = None if guess is None else guess * factor
    found |= {"present": guesses.present, "target_mean": guesses.target_mean, "target_std": guesses.target_std}


def _ask_whole(found: dict[str, Json], total: float, output: Any, subject: Subject) -> None:
    """Asks the loss itself with constant outputs, where its function is known and something else weighs it."""
    given = [tensor for _, tensor in tensors_in(output)]
    if found["function"] == "unknown" or subject.loss is None or len(given) != 1 or given[0] is not output:
        return
    if not output.is_floating_point():
        return
    try:
        with torch.no_grad():
            again = float(subject.loss(output.detach()))
    except (RuntimeError, ValueError, IndexError, TypeError, AttributeError):
        return
    if math.isclose(again, total, rel_tol=TOLERANCE):
        _tell(found, guesses_of(str(found["function"]), subject.loss, output, subject.targets), 1.0)


def _made_by(node: Any) -> str | None:
    at = nodes.below(node)
    return nodes.kind(at) if at is not None else None


def _function(node: LossNode, output: Any, subject: Subject, n_terms: int) -> Function | None:
    fallback = None
    found = [tensor for _, tensor in tensors_in(output)]
    if n_terms == 1 and len(found) == 1 and isinstance(subject.targets, torch.Tensor):
        predictions, targets = found[0].detach(), subject.targets.detach()
        if predictions.numel() == targets.numel():
            fallback = predictions, targets.reshape(predictions.shape)
    function = Function(node, fallback)
    return function if function.is_known else None


def _summary(total: float, terms: list[dict[str, Json]]) -> str:
    said, sums = [f"first loss {total:.4g}"], dict[str, float]()
    for term in terms:
        if isinstance(term["value"], float) and term["penalty"]:
            sums[str(term["name"])] = sums.get(str(term["name"]), 0.0) + term["value"]
            continue
        value, guesses = term["value"], []
        for key, words in (("uniform", "guessing"), ("prior", "class shares"), ("zero", "zeros"), ("mean", "the mean")):
            if isinstance(term[key], float):
                guesses.append(f"{words} {term[key]:.4g}")
        own = f"{term['name']} {value:.4g}" if len(terms) > 1 and isinstance(value, float) else ""
        if own or guesses:
            said.append(f"{own}{', ' if own and guesses else ''}{'by ' if guesses else ''}{', '.join(guesses)}")
    said += [f"{name} {value:.4g}" for name, value in sums.items()]
    return "; ".join(said)[:300]


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


__all__ = ["InitialLoss"]
