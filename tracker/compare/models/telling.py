"""What is said of a comparison: where it begins and why, a row for each layer, pictures, and notes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from .judging import OWN, Judge
from .locating import IN, OUT, Event, Located, Passes, dtypes, place_of, tensors_of
from .matches import Match, Matching, named_tensors
from .pairing import Pair
from .result import First, Picture, Row
from .settings import differing_settings
from .tracing import Call

_MOST_PICTURES = 3


class Teller:
    """Puts what was found into words, with what it knows of the two models."""

    def __init__(self, a: nn.Module, b: nn.Module, matching: Matching) -> None:
        self._modules = dict(a.named_modules()), dict(b.named_modules())
        self._tensors = named_tensors(a), named_tensors(b)
        self._matching = matching

    def first(self, located: Located, pairs: Sequence[Pair]) -> First:
        """Where a difference begins, with what may explain it."""
        pair, event = located.pair, located.event
        assert event.own is not None
        hints = [*self._settings(pair), *self._alone(pair), *_writing(pair, pairs)]
        if event.match is not None:
            hints += self._of_parameter(event.match)
        if pair.a.kind != pair.b.kind and not hints:
            hints.append(f"{pair.a.kind} in A, {pair.b.kind} in B")
        if located.is_own_code:
            hints += _called_between(located, pairs)
        return First(
            a=pair.a.name,
            b=pair.b.name,
            kind_a=pair.a.kind,
            kind_b=pair.b.kind,
            at=place_of(event),
            is_own_code=located.is_own_code,
            before="" if located.before is None else place_of(located.before),
            size=event.own,
            exact=None if event.double is None else event.double.relative,
            hints=tuple(hints),
        )

    def _settings(self, pair: Pair) -> list[str]:
        ours, theirs = self._modules[0].get(pair.a.name), self._modules[1].get(pair.b.name)
        return [] if ours is None or theirs is None else differing_settings(ours, theirs)

    def _alone(self, pair: Pair) -> list[str]:
        """Parameters of the layer that the other does not have."""
        found = []
        for side, left, name in (("A", self._matching.left_a, pair.a.name), ("B", self._matching.left_b, pair.b.name)):
            alone = [one for one in left if not name or one.startswith(f"{name}.")]
            found += [f"{one} of shape {list(left[one])} is in {side} only" for one in alone[:4]]
        return found

    def _of_parameter(self, match: Match) -> list[str]:
        found = []
        for other in self._matching.matches:
            tied = [self._tied(side, match, other) for side in (0, 1)]
            if other is not match and tied[0] != tied[1]:
                found.append(f"{match.name} and {other.name} are one tensor in {'A' if tied[0] else 'B'} only")
        needs = [self._tensors[side][names[0]].requires_grad for side, names in enumerate((match.a, match.b))]
        if needs[0] != needs[1]:
            found.append(f"{match.name} is frozen in {'B' if needs[0] else 'A'} only")
        return found

    def _tied(self, side: int, one: Match, other: Match) -> bool:
        names = [(match.a, match.b)[side][0] for match in (one, other)]
        return self._tensors[side][names[0]] is self._tensors[side][names[1]]


def rows_of(events: Sequence[Event], gradients: Sequence[Event]) -> tuple[Row, ...]:
    """A row for each pair of calls, in the order of A's."""
    by_call: dict[int, dict[str, Event]] = {}
    for event in events:
        by_call.setdefault(event.pair.a.index, {})[event.place] = event
    arriving = {event.pair.a.index: event for event in gradients if event.place == OUT}
    leaving: dict[int, list[Event]] = {}
    for event in gradients:
        if event.place != OUT:
            leaving.setdefault(event.pair.a.index, []).append(event)
    return tuple(
        _row(found[IN], found[OUT], arriving.get(index), leaving.get(index, []))
        for index, found in sorted(by_call.items())
    )


def _row(into: Event, out: Event, gradient: Event | None, passed: Sequence[Event]) -> Row:
    pair = into.pair
    sizes = [event.own for event in passed if event.own is not None]
    # A zero that is rounded otherwise is a hundred percent off: the largest of what is real, else the least.
    real = [event.own for event in passed if event.is_real and event.own is not None]
    return Row(
        a=pair.a.name,
        b=pair.b.name,
        kind_a=pair.a.kind,
        kind_b=pair.b.kind,
        call=pair.a.nth,
        input=into.own,
        output=out.own,
        gradient=None if gradient is None else gradient.own,
        passed_on=max(real, key=lambda size: size.relative)
        if real
        else min(sizes, key=lambda size: size.relative, default=None),
        exact_input=_exact(into),
        exact_output=_exact(out),
        exact_gradient=_exact(gradient),
        output_differs=out.is_real,
        gradient_differs=bool(real) or (gradient is not None and gradient.is_real),
    )


def _exact(event: Event | None) -> float | None:
    return None if event is None or event.double is None else event.double.relative


def _writing(pair: Pair, pairs: Sequence[Pair]) -> list[str]:
    """Layers in this one that write into what they are given, in one of the two models only."""
    found = []
    for one in pairs:
        inside = not pair.a.name or one.a.name == pair.a.name or one.a.name.startswith(f"{pair.a.name}.")
        if inside and one.a.writes != one.b.writes:
            side, call = ("B", one.b) if one.b.writes else ("A", one.a)
            found.append(f"{call.title} of {side} writes into what it is given; the other does not")
    return found


def _called_between(located: Located, pairs: Sequence[Pair]) -> list[str]:
    """Layers without a partner that are called between the last place that agrees and the first that does not."""
    found = []
    for side in ("a", "b"):
        known = {(one.a if side == "a" else one.b).index for one in pairs}
        ends = sorted(_moment(one, side) for one in (located.before, located.event) if one is not None)
        start, end = (ends[0] if len(ends) > 1 else 0, ends[-1])
        call: Call = located.pair.a if side == "a" else located.pair.b
        alone = [one for one in call.children if one.index not in known and start < one.left and one.entered < end]
        if alone:
            listed = ", ".join(f"{one.title} ({one.kind})" for one in alone[:4])
            found.append(f"in between {side.upper()} calls {listed}{', ...' if len(alone) > 4 else ''}")
    return found


def _moment(event: Event, side: str) -> int:
    call = event.pair.a if side == "a" else event.pair.b
    return call.left if event.place == OUT else call.entered


def pictures_of(events: Sequence[Event]) -> tuple[Picture, ...]:
    """The first outputs that differ."""
    made: list[Picture] = []
    for event in events:
        if event.is_real and len(made) < _MOST_PICTURES and (event.place == OUT or not made):
            found = tensors_of(event)
            if found is not None:
                ours, theirs = (one.detach().to("cpu", torch.float64) for one in found)
                if any(one.a.shape == ours.shape and torch.equal(one.a, ours) for one in made):
                    continue  # a container gives what its last layer has given
                made.append(Picture(place_of(event), ours, theirs))
    return tuple(made)


def notes_of(passes: Passes, pairs: Sequence[Pair], matching: Matching, copies: bool) -> list[str]:
    """What was left out, and what is not of one kind."""
    said = []
    for side, left, own in (
        ("A", matching.left_a, ""),
        ("B", matching.left_b, "; B keeps its own values there" if copies else ""),
    ):
        if left:
            said.append(f"Without a partner in {side}: {listed(left)}{own}.")
    for reason, side in ((passes.a.no_gradients, "A"), (passes.b.no_gradients, "B")):
        if reason:
            said.append(f"{side} has no gradients: {reason}.")
    kinds = list(dtypes(pairs))
    if kinds:
        pair, ours, theirs = kinds[0]
        more = f" and {len(kinds) - 1} more" if len(kinds) > 1 else ""
        said.append(f"The output of {pair.a.title}{more} is {ours} in A and {theirs} in B.")
    if len(pairs) < 2:
        said.append("No layer of A has a partner in B: only what the models give back was compared.")
    return said


def note_of_rounding(events: Sequence[Event], judge: Judge) -> list[str]:
    """Where models that are the same are further apart than one layer's rounding."""
    if judge.given is not None or not judge.has_double:
        return []
    known = [(one.own.relative, one) for one in events if one.own is not None and one.own.kind == "values"]
    most, worst = max(known, key=lambda one: one[0], default=(0.0, None))
    if worst is None or most <= OWN * judge.eps:
        return []
    return [
        f"In their own precision {place_of(worst)} differs by {most:.2g} of the rms, in float64 by "
        f"{_exact(worst) or 0.0:.2g}: rounding that grows through the layers."
    ]


def listed(shapes: Mapping[str, tuple[int, ...]], most: int = 6) -> str:
    """`fc.weight [3, 4], fc.bias [3] and 2 more`."""
    found = [f"{name} {list(shape)}" for name, shape in shapes.items()]
    more = f" and {len(found) - most} more" if len(found) > most else ""
    return ", ".join(found[:most]) + more if found else "none"
