"""When something has failed: a few dozen iterations with one thing changed at a time, to see which one helps."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from ..drilling.drill import Drill, Drive, Notes, Skip
from ..drilling.subject import LossFacts, Subject
from ..rules.engine.records import Json
from .attempt import attempt, cleared_gradients, learning_rate
from .changes import (
    clipped,
    drawn_anew,
    every_parameter_trained,
    in_shape_of_targets,
    in_training_mode,
    is_normalised,
    last_activation,
    left_out,
    normalised_inputs,
    without_last_activation,
)
from .loss_bounds import bounds_of, broadcasts
from .loss_heard import Ear, listening
from .regularisation_off import regularisation_off

ITERATIONS = 80
"""Of each variant: a few dozen show whether a loss falls."""
_AS_IT_IS = "as it is"
_BEHIND = {
    "learning rate x0.001": "learning rate x0.01",
    "learning rate x10000": "learning rate x100",
    "learning rate x1000000": "learning rate x10000",
}
"""Learning rates that are far away, and the one that must have been better than as it is for them to be tried."""

Change = Callable[[], AbstractContextManager[Any]]


class Ablation(Drill):
    """Trains on the batch as it is, then with one change at a time, each from the same state and random numbers."""

    name = "ablation"
    title = "what makes it work"
    seconds = 25.0
    in_loop = True
    after_failure = True

    def drive(self, subject: Subject, notes: Notes) -> Drive:
        if not subject.optimizers:
            raise Skip("no optimizer was found: nothing can be changed about its steps")
        deadline = time.monotonic() + self.budget
        heard: list[LossFacts | None] = []
        ear = Ear()
        ear.tell = lambda facts, squashed: heard.append(facts)
        with listening(subject, ear):
            yield from attempt(subject, 1, deadline)
        facts = heard[0] if heard else None
        bounds = bounds_of(facts, subject)
        changes = variants(subject, facts)
        variety: list[Json] = []
        ends: dict[str, float] = {}
        untried = [name for name, _ in changes]
        for at, (name, change) in enumerate(changes):
            if at and time.monotonic() >= deadline:
                break
            if not self._is_worth(name, ends):
                untried.remove(name)
                continue
            share = (deadline - time.monotonic()) / (len(changes) - at)
            curve = yield from attempt(subject, ITERATIONS, time.monotonic() + max(share, 0.0), change())
            curve.tell(notes, f"{self.name}/{name}")
            variety.append({"variant": name, **curve.facts()})
            untried.remove(name)
            if curve.end is not None and curve.nonfinite_at is None:
                ends[name] = curve.end
            if curve.raised and at == 0:
                raise Skip(f"the loop raised {curve.raised}")
        notes.fact(
            variants=variety,
            floor=bounds.floor,
            guess=bounds.guess,
            function=None if facts is None else facts.function,
            untried=[*untried],
            summary=_summary(variety, untried),
        )

    def _is_worth(self, name: str, ends: dict[str, float]) -> bool:
        """Whether a learning rate far away is to be tried: when the one before it was better than as it is."""
        before = _BEHIND.get(name)
        if before is None or _AS_IT_IS not in ends:
            return True
        return before in ends and ends[before] < ends[_AS_IT_IS]


def variants(subject: Subject, facts: LossFacts | None) -> list[tuple[str, Change]]:
    """(name, change) of what is tried, as it is first, then what is most telling; what changes nothing is left out."""
    found: list[tuple[str, Change]] = [(_AS_IT_IS, nullcontext)]
    activation = last_activation(subject, None if facts is None else facts.function)
    if activation:
        found.append((f"without the last {activation}", lambda: without_last_activation(subject)))
    if facts is not None and broadcasts(facts):
        found.append(("outputs in the shape of the targets", lambda: in_shape_of_targets(subject)))
    found += [
        ("learning rate x0.1", lambda: learning_rate(subject, 0.1)),
        ("learning rate x10", lambda: learning_rate(subject, 10.0)),
        ("gradients cleared at every step", lambda: cleared_gradients(subject)),
    ]
    if is_normalised(subject) is False:
        found.append(("normalised inputs", lambda: normalised_inputs(subject)))
    if left_out(subject):
        found.append(("every parameter trained", lambda: every_parameter_trained(subject)))
    found += [
        ("weights drawn anew", lambda: drawn_anew(subject)),
        ("no dropout, weight decay, label smoothing", lambda: regularisation_off(subject)),
        ("gradients clipped at norm 1", lambda: clipped(subject)),
        ("training mode", lambda: in_training_mode(subject)),
        ("learning rate x0.01", lambda: learning_rate(subject, 0.01)),
        ("learning rate x100", lambda: learning_rate(subject, 100.0)),
        ("learning rate x0.001", lambda: learning_rate(subject, 0.001)),
        ("learning rate x10000", lambda: learning_rate(subject, 1e4)),
        ("learning rate x1000000", lambda: learning_rate(subject, 1e6)),
    ]
    return found


def _summary(variety: list[Json], untried: list[str]) -> str:
    ends = {str(one["variant"]): one.get("last") for one in variety if isinstance(one, dict)}
    last = ends.pop(_AS_IT_IS, None)
    lows = [(value, name) for name, value in ends.items() if isinstance(value, float)]
    as_it_is = f"{last:.3g}" if isinstance(last, float) else "not finite"
    with_best = f"; lowest {min(lows)[0]:.3g} ({min(lows)[1]})" if lows else ""
    late = f"; no time for {len(untried)} more" if untried else ""
    return f"loss after up to {ITERATIONS} iterations: {as_it_is} as it is{with_best}{late}"
