"""Which layer of one model is which of the other, and which of their calls belong together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

import torch

from .matches import Match
from .sizes import aligned
from .tracing import Call, Tensors


@dataclass(frozen=True)
class Pair:
    """A call in A and the call in B that does the same."""

    a: Call
    b: Call


def paired(ours: Tensors, theirs: Tensors) -> Iterator[tuple[tuple[str, torch.Tensor], tuple[str, torch.Tensor]]]:
    """Tensors of two nests that belong together: of the same path, else the next one whose shape fits."""
    left = [one for one in theirs if one[1].dtype is not torch.bool]
    known = {path for path, _ in left}
    for path, tensor in ours:
        if tensor.dtype is torch.bool:
            continue
        of_kind = [one for one in left if one[1].is_floating_point() == tensor.is_floating_point()]
        same = [one for one in of_kind if one[0] == path]
        free = [one for one in of_kind if one[0] not in {name for name, _ in ours} or path not in known]
        found = same or [one for one in free if aligned(tensor, one[1]) is not None]
        if found:
            left = [one for one in left if one is not found[0]]
            yield (path, tensor), found[0]


def pair_calls(
    a: Sequence[Call],
    b: Sequence[Call],
    modules_a: Mapping[str, str],
    modules_b: Mapping[str, str],
    matches: Sequence[Match],
) -> list[Pair]:
    """The pairs, in the order of A's calls: first of layers with matched parameters, then of those without any.

    `modules` are the classes of all modules by name. A layer that is called a different number of times in the two
    models has no pair.
    """
    partner = _partners(modules_a, modules_b, matches)
    calls: dict[str, dict[str, list[Call]]] = {"a": defaultdict(list), "b": defaultdict(list)}
    for side, made in (("a", a), ("b", b)):
        for call in made:
            calls[side][call.name].append(call)
    found: dict[int, Call] = {}
    for name, other in partner.items():
        ours, theirs = calls["a"].get(name, []), calls["b"].get(other, [])
        if len(ours) == len(theirs):
            found.update((one.index, two) for one, two in zip(ours, theirs, strict=True))
    if a and b and not a[0].name and not b[0].name:
        found[a[0].index] = b[0]
    owners = {name for match in matches for name in (*match.a,)}, {name for match in matches for name in match.b}
    for call in a:
        if call.index in found:
            _pair_children(call, found[call.index], found, owners)
    return [Pair(call, found[call.index]) for call in a if call.index in found]


def _partners(modules_a: Mapping[str, str], modules_b: Mapping[str, str], matches: Sequence[Match]) -> dict[str, str]:
    """Modules that hold exactly the same matched parameters; of nested ones the outer goes with the outer."""
    keys: list[dict[frozenset[int], list[str]]] = []
    for side, modules in (("a", modules_a), ("b", modules_b)):
        covered: dict[frozenset[int], list[str]] = defaultdict(list)
        for name in modules:
            below = f"{name}." if name else ""
            whole, part = set(), False
            for number, match in enumerate(matches):
                inside = [one.startswith(below) for one in (match.a if side == "a" else match.b)]
                if all(inside):
                    whole.add(number)
                part = part or (any(inside) and not all(inside))
            if whole and not part:
                covered[frozenset(whole)].append(name)
        keys.append(covered)
    found = {"": ""}
    for key, ours in keys[0].items():
        theirs = keys[1].get(key, [])
        ours, theirs = ([name for name in names if name] for names in (ours, theirs))
        if len(ours) != len(theirs):
            for name in list(ours):  # first those of the same name or class
                same = [other for other in theirs if other == name] or [
                    other for other in theirs if modules_b[other] == modules_a[name] and modules_a[name] != "Sequential"
                ]
                if same and len(same) == 1:
                    found[name] = same[0]
                    ours, theirs = [x for x in ours if x != name], [x for x in theirs if x != same[0]]
        for name, other in zip(ours, theirs, strict=False):
            found.setdefault(name, other)
    return found


def _pair_children(one: Call, other: Call, found: dict[int, Call], owners: tuple[set[str], set[str]]) -> None:
    """Pairs the layers without parameters that two calls make, between those that are paired already."""
    taken = {call.index for call in found.values()}
    ours, theirs = _visible(one, set(found)), _visible(other, taken)
    by_name = {_below(call, other): call for call in theirs if call.index not in taken and not call.nth}
    for call in ours:
        same = by_name.get(_below(call, one))
        if same is None or call.index in found or same.index in taken or same.kind != call.kind:
            continue
        if not (_owns(call, owners[0]) or _owns(same, owners[1])) and len(_named(ours, call)) == 1:
            found[call.index] = same
            taken.add(same.index)
    for mine, yours in _stretches(ours, theirs, found):
        mine = [call for call in mine if call.index not in found and not _owns(call, owners[0])]
        yours = [call for call in yours if call.index not in taken and not _owns(call, owners[1])]
        match = SequenceMatcher(None, [call.kind for call in mine], [call.kind for call in yours], autojunk=False)
        for tag, start, end, first, last in match.get_opcodes():
            if tag == "equal" or (tag == "replace" and end - start == last - first):
                for call, same in zip(mine[start:end], yours[first:last], strict=True):
                    if tag == "equal" or _shapes(call) == _shapes(same):
                        found[call.index] = same
                        taken.add(same.index)


def _visible(call: Call, known: set[int]) -> list[Call]:
    """The calls directly inside, and in place of a container without a partner those inside of it."""
    found = []
    for child in call.children:
        found += _visible(child, known) if child.children and child.index not in known else [child]
    return found


def _below(call: Call, above: Call) -> str:
    """The layer's name inside the other."""
    return call.name[len(above.name) + 1 :] if above.name else call.name


def _stretches(
    ours: Sequence[Call], theirs: Sequence[Call], found: Mapping[int, Call]
) -> Iterator[tuple[list[Call], list[Call]]]:
    """What lies between two neighbouring calls that are paired, on both sides."""
    places = {call.index: at for at, call in enumerate(theirs)}
    start = first = 0
    for at, call in enumerate(ours):
        same = found.get(call.index)
        if same is not None and same.index in places and places[same.index] >= first:
            yield list(ours[start:at]), list(theirs[first : places[same.index]])
            start, first = at + 1, places[same.index] + 1
    yield list(ours[start:]), list(theirs[first:])


def _named(calls: Sequence[Call], like: Call) -> list[Call]:
    return [call for call in calls if call.name == like.name]


def _owns(call: Call, names: set[str]) -> bool:
    """True for a layer with matched parameters in or below it."""
    return any(name.startswith(f"{call.name}.") for name in names) if call.name else bool(names)


def _shapes(call: Call) -> list[tuple[int, ...]]:
    return [tuple(tensor.shape) for _, tensor in call.outputs]
