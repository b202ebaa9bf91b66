"""Where two passes part: the first layer whose output differs, and, from behind, the first whose gradients do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from .judging import Judge, largest
from .matches import Match
from .pairing import Pair, paired
from .parts import parent
from .sizes import Size, Tolerance, eps_of, size_of
from .tracing import Call, Tensors, Trace

SAME_IN_DOUBLE = 1e-11
"""Relative difference of two ways to compute one thing in float64, a hundred thousand roundings later."""
OUT, IN, OF_WEIGHTS = "output", "input", "weights"


@dataclass(frozen=True)
class Passes:
    """The passes of both models that belong together: in their own precision, and in float64 where that can be."""

    a: Trace
    b: Trace
    double_a: Trace | None = None
    double_b: Trace | None = None
    noise: Trace | None = None
    """A with every weight rounded another way, where float64 cannot be used."""


@dataclass(frozen=True)
class Event:
    """One place where the two can be compared: what goes into a call, or comes out of it."""

    pair: Pair
    place: str
    own: Size | None
    double: Size | None
    is_real: bool
    time: float
    match: Match | None = None
    """With `weights`: the parameters whose gradients these are."""


@dataclass(frozen=True)
class Located:
    """Where a difference begins."""

    pair: Pair
    event: Event
    is_own_code: bool
    """Whether it is what the layer itself does between the layers in it, on the way into or behind `event`."""
    before: Event | None = None
    """The last place that still agrees."""


def forward_events(pairs: Sequence[Pair], passes: Passes, judge: Judge) -> list[Event]:
    """What went in and came out of every pair of calls, in the order of time in A."""
    events = []
    for pair in pairs:
        sizes = {}
        for place in (IN, OUT):
            own = _size(pair, place, judge.tolerance)
            double = _of_double(pair, passes, place)
            noise = _noise(pair.a, passes, place)
            sizes[place] = own, double, noise
        around = largest([sizes[IN][1] if judge.has_double else sizes[IN][0]])
        for place, time in ((IN, pair.a.entered), (OUT, pair.a.left)):
            own, double, noise = sizes[place]
            real = judge.is_real(own, double, around if place == OUT else 0.0, noise)
            events.append(Event(pair, place, own, double, real, time))
    return sorted(events, key=lambda event: event.time)


def backward_events(
    pairs: Sequence[Pair], passes: Passes, judge: Judge, matches: Sequence[Match], tied: Mapping[str, int]
) -> list[Event]:
    """The gradients of the same places and of the matched parameters, from the last to the first.

    `tied` is a number for each parameter of A by name: the same for names of one tensor.
    """
    raw: list[tuple[Pair, str, Size | None, Size | None, float, float, Match | None]] = []
    by_name: dict[str, Pair] = {}
    for pair in pairs:
        by_name.setdefault(pair.a.name, pair)
        for place, time in ((IN, pair.a.entered), (OUT, pair.a.left)):
            if place == OUT and not (pair.a.has_graph or pair.b.has_graph):
                continue
            own = _gradient_size(pair.a, pair.b, place, judge.tolerance)
            ones = _calls_in_double(pair, passes)
            double = _gradient_size(*ones, place, Tolerance()) if ones else None
            noise = _calls_of(pair.a, passes.noise)
            shake = _gradient_size(pair.a, noise, place, Tolerance()) if noise else None
            raw.append((pair, place, own, double, time, shake.relative if shake else 0.0, None))
    if not passes.a.no_gradients and not passes.b.no_gradients:
        for match, owners in _unshared(matches, tied):
            found = [one for name in owners if (one := _owner(name, by_name)) is not None]
            if not found:
                continue
            # What several layers share gets gradients from all: it is looked at behind the last of them.
            owner = min(found, key=lambda one: one.a.entered)
            own = _of_weights(match, passes.a, passes.b, judge.tolerance)
            double = None
            if passes.double_a is not None and passes.double_b is not None:
                double = _of_weights(match, passes.double_a, passes.double_b, Tolerance())
            shake = _of_weights(match, passes.a, passes.noise, Tolerance(), same_side=True) if passes.noise else None
            first = owner.a.entered - 0.5
            raw.append((owner, OF_WEIGHTS, own, double, first, shake.relative if shake else 0.0, match))
    around = largest([double if judge.has_double else own for _, _, own, double, *_ in raw])
    events = [
        Event(pair, place, own, double, judge.is_real(own, double, around, noise), time, match)
        for pair, place, own, double, time, noise, match in raw
    ]
    return sorted(events, key=lambda event: -event.time)


def equivalent(events: Sequence[Event], judge: Judge) -> bool:
    """True where the model's outputs agree to the last digits of float64, whatever lies in between."""
    ends = [one for one in events if one.place == OUT and not one.pair.a.name and one.pair.a.parent is None]
    return (
        judge.has_double
        and bool(ends)
        and all(one.double is not None and one.double.relative <= SAME_IN_DOUBLE and not one.is_real for one in ends)
    )


def dismissed(events: Sequence[Event]) -> list[Event]:
    """The events with none counted as real."""
    return [replace(one, is_real=False) for one in events]


def locate(event: Event, events: Sequence[Event], pairs: Sequence[Pair], *, backward: bool = False) -> Located:
    """The layer that makes the first real difference."""
    at = events.index(event)
    before = next((one for one in reversed(events[:at]) if one.own is not None), None)
    if backward:
        if event.own is not None and event.own.kind == "shape":
            return Located(event.pair, event, not _is_leaf(event.pair), before)
        cut = _cut(event, pairs)
        if cut is not None:
            return Located(cut, event, not _is_leaf(cut), before)
        if event.place in (IN, OF_WEIGHTS) and not _cuts_before(event):
            return Located(event.pair, event, event.place == IN and not _is_leaf(event.pair), before)
    elif event.place == OUT:
        return Located(event.pair, event, not _is_leaf(event.pair), before)
    return Located(_above(event.pair, pairs), event, True, before)


def _cuts_before(event: Event) -> bool:
    """True where the graph ends ahead of the layer in one of the two: what goes in has none."""
    return event.place == IN and event.pair.a.takes_graph != event.pair.b.takes_graph


def _cut(event: Event, pairs: Sequence[Pair]) -> Pair | None:
    """The first and innermost layer whose output has no graph in one of the two, if gradients are missing for that."""
    if event.own is None or event.own.kind != "missing":
        return None
    cut = [one for one in pairs if one.a.has_graph != one.b.has_graph and one.a.left <= event.time]
    return min(cut, key=lambda one: one.a.left) if cut else None


def _is_leaf(pair: Pair) -> bool:
    return not pair.a.children and not pair.b.children


def _above(pair: Pair, pairs: Sequence[Pair]) -> Pair:
    """The innermost pair of calls that this one is made in; itself without any."""
    by_index = {one.a.index: one for one in pairs}
    above = pair.a.parent
    while above is not None:
        if above.index in by_index:
            return by_index[above.index]
        above = above.parent
    return pair


def _unshared(matches: Sequence[Match], tied: Mapping[str, int]) -> list[tuple[Match, list[str]]]:
    """Each match once, with the modules of A that own it; of a shared tensor all of them."""
    found: dict[tuple[int, ...], tuple[Match, list[str]]] = {}
    for match in matches:
        key = tuple(tied.get(name, -1) for name in match.a)
        if -1 not in key:
            found.setdefault(key, (match, []))[1].append(parent(match.a[0]))
    return list(found.values())


def _owner(name: str, by_name: Mapping[str, Pair]) -> Pair | None:
    while name and name not in by_name:
        name = parent(name)
    return by_name.get(name)


def place_of(event: Event) -> str:
    """`the output of blocks.0.act`."""
    if event.match is not None:
        return f"the gradient of {event.match.name}"
    return f"the {event.place} of {event.pair.a.title}"


def tensors_of(event: Event) -> tuple[torch.Tensor, torch.Tensor] | None:
    """The two largest tensors that belong together of a forward event, B's in the shape of A's; None where none fit."""
    from .sizes import aligned

    a, b = event.pair.a, event.pair.b
    ours, theirs = (a.outputs, b.outputs) if event.place == OUT else (a.inputs, b.inputs)
    found = [
        (one, fitting) for (_, one), (_, two) in paired(ours, theirs) if (fitting := aligned(one, two)) is not None
    ]
    found = [pair for pair in found if pair[0].is_floating_point()]
    return max(found, key=lambda pair: pair[0].numel()) if found else None


def _size(pair: Pair, place: str, tolerance: Tolerance) -> Size | None:
    a, b = pair.a, pair.b
    ours, theirs = (a.outputs, b.outputs) if place == OUT else (a.inputs, b.inputs)
    found = _of_nests(ours, theirs, tolerance, a.kind == b.kind or (place == OUT and not a.name))
    if found is not None and found.kind == "shape" and place == IN and a.kind != b.kind:
        return None  # a linear layer on patches, and a convolution: what they are given are different things
    return found


def _of_nests(ours: Tensors, theirs: Tensors, tolerance: Tolerance, is_strict: bool) -> Size | None:
    pairs = list(paired(ours, theirs))
    if not pairs:
        ours, theirs = ([one for one in nest if one[1].is_floating_point()] for nest in (ours, theirs))
        if not ours or not theirs:
            return None
        pairs = [(ours[0], theirs[0])]
    found = size_of([(one[1], other[1]) for one, other in pairs], tolerance)
    elements = [sum(one[1].numel() for one in side) for side in zip(*pairs, strict=True)]
    if found.kind == "shape" and not is_strict and elements[0] == elements[1]:
        return None  # another layout of the same: nothing says which element is which
    return found


def _calls_of(call: Call, trace: Trace | None) -> Call | None:
    if trace is None or call.index >= len(trace.calls) or trace.calls[call.index].name != call.name:
        return None
    return trace.calls[call.index]


def _calls_in_double(pair: Pair, passes: Passes) -> tuple[Call, Call] | None:
    ones = _calls_of(pair.a, passes.double_a), _calls_of(pair.b, passes.double_b)
    return (ones[0], ones[1]) if ones[0] is not None and ones[1] is not None else None


def _of_double(pair: Pair, passes: Passes, place: str) -> Size | None:
    ones = _calls_in_double(pair, passes)
    return _size(Pair(*ones), place, Tolerance()) if ones else None


def _noise(call: Call, passes: Passes, place: str) -> float:
    other = _calls_of(call, passes.noise)
    size = _size(Pair(call, other), place, Tolerance()) if other is not None else None
    return size.relative if size is not None else 0.0


def _gradient_size(a: Call, b: Call, place: str, tolerance: Tolerance) -> Size | None:
    ours, theirs = (list((one.output_gradients if place == OUT else one.input_gradients).items()) for one in (a, b))
    if place == IN and (a.writes or b.writes) and bool(ours) != bool(theirs):
        return None  # autograd does not tell the gradient of what was written over
    return _or_missing(ours, theirs, tolerance)


def _or_missing(ours: Tensors, theirs: Tensors, tolerance: Tolerance) -> Size | None:
    if ours and theirs:
        return _of_nests(ours, theirs, tolerance, False)
    if not ours and not theirs:
        return None
    size = size_of([(one, torch.zeros_like(one)) for _, one in ours or theirs], tolerance)
    if not size.rms:
        return size  # no gradient, and a gradient of zero
    a, b = ("a gradient", "none") if ours else ("none", "a gradient")
    return Size(1.0, size.max_abs, 1.0, None, size.scale if ours else 0.0, size.rms, "missing", a, b)


def _of_weights(match: Match, a: Trace, b: Trace, tolerance: Tolerance, same_side: bool = False) -> Size | None:
    one = match.gradient("a", a.gradients)
    other = match.gradient("a" if same_side else "b", b.gradients)
    if one is not None and other is not None and one.shape != other.shape and one.numel() == other.numel():
        other = other.reshape(one.shape)
    ours: Tensors = [] if one is None else [("", one)]
    theirs: Tensors = [] if other is None else [("", other)]
    return _or_missing(ours, theirs, tolerance)


def precision(pairs: Sequence[Pair]) -> float:
    """The coarsest distance of 1 to the next number among what comes out of the layers."""
    return max(
        (eps_of(tensor.dtype) for pair in pairs for call in (pair.a, pair.b) for _, tensor in call.outputs),
        default=eps_of(torch.get_default_dtype()),
    )


def dtypes(pairs: Sequence[Pair]) -> Iterator[tuple[Pair, str, str]]:
    """Pairs whose outputs are of different dtypes, and these."""
    for pair in pairs:
        for ours, theirs in paired(pair.a.outputs, pair.b.outputs):
            if ours[1].dtype != theirs[1].dtype:
                yield pair, str(ours[1].dtype).removeprefix("torch."), str(theirs[1].dtype).removeprefix("torch.")
                break
