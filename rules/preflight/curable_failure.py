"""A failing training that one change makes work."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from pydantic import Field, PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.profiles import ONE_OBJECTIVE
from ..engine.tables import number, table, tables, text

_AS_IT_IS = "as it is"
_ADVICE = {
    "gradients cleared": "Call optimizer.zero_grad() ahead of every loss.backward().",
    "every parameter": "Give the optimizer every parameter, and undo the freezing that is not meant.",
    "outputs in": "Give predictions and targets the same shape, such as predictions.squeeze(-1).",
    "without the last": "Remove the activation at the end of the model: the loss takes what comes before it.",
    "weights drawn": "Initialise the weights as torch does, or draw them at random with a scale that fits.",
    "normalised inputs": "Standardise the inputs with the mean and deviation of the training data.",
    "training mode": "Call model.train() ahead of the training.",
    "no dropout": "Take less dropout, weight decay or label smoothing, or leave them out at first.",
    "gradients clipped": "Clip the norm of the gradient at 1, between loss.backward() and optimizer.step().",
    "learning rate": "Multiply the learning rate as measured, then run the range test.",
}
"""By the beginning of a variant's name, the more specific first: a smaller learning rate eases many faults, and is the
cause of few."""


class _Variant(NamedTuple):
    name: str
    left: float
    """Distance of the loss at the end from its floor; infinite where it is not finite."""
    last: float | None
    iterations: int

    @property
    def place(self) -> tuple[int, float]:
        """How specific it is; of learning rates, how far from the one that was chosen."""
        at = next((place for place, known in enumerate(_ADVICE) if self.name.startswith(known)), len(_ADVICE))
        factor = self.name.rpartition("x")[2]
        is_factor = self.name.startswith("learning rate") and factor.replace(".", "", 1).isdigit()
        return at, abs(math.log(float(factor))) if is_factor and float(factor) else 0.0


class CurableFailure(Rule):
    """One change to the training, tried for a few dozen iterations on one batch, made its loss fall.

    ## Why it matters
    What ails a training is easier to measure than to guess: the change that helps points at the fault.

    ## What to try
    - Make the change that is named, then begin again with the first drill that failed.
    - Where a smaller learning rate helps as well, look for the other cause first: it hides many faults.

    ## When it is wrong
    A larger learning rate makes many a training faster in its first steps that is in order. A few dozen iterations on
    one batch say nothing of how well the model does elsewhere.

    ## References
    - CS231n, Neural Networks Part 3: babysitting the learning process, one change at a time.
    - AUTOTRAINER (Zhang et al. 2021): repairs are tried one after another, and kept when the symptom is gone.
    """

    phases = (Phase.PREFLIGHT,)
    severity = Severity.INFO
    level = Level.SETTING
    needs_facts = ("drill/ablation",)
    waits_for_warmup = False
    profiles = ONE_OBJECTIVE

    ratio: float = Field(0.5, gt=0, lt=1)
    """Loss above its floor with the change, as a share of the same as it is and at the start, at most."""

    min_gain: float = Field(0.1, gt=0, lt=1)
    """Share of the way to the floor that is gained with the change, at least, where as it is not a tenth of that is."""

    tolerance: float = Field(0.1, gt=0, lt=1)
    """Share of the way to the floor that is left where a training is in order as it is."""

    factor: float = Field(3.0, ge=1)
    """Times the lowest up to which a variant counts as being as good: of those the most specific is named."""

    min_steps: PositiveInt = 20
    """Iterations of a variant needed."""

    healthy = {
        "facts": {
            "drill/ablation": {
                "floor": 0.0,
                "variants": [
                    {"variant": "as it is", "first": 2.3, "last": 0.9, "lowest": 0.9, "iterations": 60},
                    {"variant": "learning rate x10", "first": 2.3, "last": 0.7, "lowest": 0.6, "iterations": 60},
                ],
            }
        }
    }
    faulty = {
        "facts": {
            "drill/ablation": {
                "floor": 0.0,
                "variants": [
                    {"variant": "as it is", "first": 2.3, "last": 1.7, "lowest": 1.7, "iterations": 60},
                    {"variant": "without the last softmax", "first": 2.3, "last": 0.1, "lowest": 0.1, "iterations": 60},
                ],
            }
        }
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        fact = table(trace.facts.get("drill/ablation"))
        told = {text(one.get("variant")): one for one in tables(fact.get("variants"))}
        lows = [low for low in (number(one.get("lowest")) for one in told.values()) if low is not None]
        first = number(told.get(_AS_IT_IS, {}).get("first"))
        if _AS_IT_IS not in told or not lows:
            raise NotApplicable("no variant was measured")
        floor = number(fact.get("floor"))
        if floor is None and min(lows) < 0:
            raise NotApplicable("the loss falls below 0 and has no known floor: variants cannot be compared")
        lowest = floor or 0.0
        found = {name: self._read(name, one, lowest) for name, one in told.items()}
        base = found.pop(_AS_IT_IS)
        guess = number(fact.get("guess"))
        start = min(math.inf if one is None else one - lowest for one in (first, guess))
        if base.left <= self.tolerance * start and base.last is not None:
            return
        bar = self.ratio * min(base.left, start)
        helping = [one for one in found.values() if one.iterations >= self.min_steps]
        helping = [
            one for one in helping if one.left < bar or self._is_gain(start - one.left, start - base.left, start)
        ]
        if not helping:
            return
        best = min(one.left for one in helping)
        as_good = [
            one for one in helping if one.left <= max(self.factor * best, self.tolerance * min(start, base.left))
        ]
        named = min(as_good, key=lambda one: (one.place, one.left))
        others = sorted((one for one in helping if one is not named), key=lambda one: one.left)
        came = "is not finite" if base.last is None or base.left == math.inf else f"came to {base.last:.4g}"
        also = f"; also {', '.join(f'{one.name} ({one.last:.3g})' for one in others[:3])}" if others else ""
        yield Finding(
            message=f"{named.name}: loss {named.last:.4g} after {named.iterations} iterations, as it is it {came}"
            + also,
            advice=tuple(advice for known, advice in _ADVICE.items() if named.name.startswith(known))
            or (f"Make the change: {named.name}.",),
            evidence={"last": named.last or 0.0, **({} if base.last is None else {"as_it_is": base.last})},
        )

    def _is_gain(self, gained: float, as_it_is: float, way: float) -> bool:
        return gained > self.min_gain * way and as_it_is < gained / 10

    def _read(self, name: str, one: object, floor: float) -> _Variant:
        last, iterations = number(table(one).get("last")), number(table(one).get("iterations"))
        broke = number(table(one).get("nonfinite_at")) is not None or bool(text(table(one).get("raised")))
        # Below its floor it is another loss: the change has taken from the loss function what it needs.
        left = math.inf if last is None or broke or last < floor - 1e-3 else max(last - floor, 0.0)
        return _Variant(name, left, last, int(iterations or 0))
