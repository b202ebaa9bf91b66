"""Which tensor of one model is which of the other: by a table, by name, by order and shape, fused or transposed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import torch

from .matches import Match, Matching, Shape, fit, product_of
from .parts import container, leaf, parent, place_in_fused, role

MOST_JOINED = 8
"""Tensors that may together be one of the other model: q, k and v, or the gates of a recurrent layer."""


class Matcher:
    """Finds the matches, the surest first; what is matched is no longer looked at."""

    def __init__(
        self,
        a: Mapping[str, torch.Tensor],
        b: Mapping[str, torch.Tensor],
        kinds_a: Mapping[str, str] | None = None,
        kinds_b: Mapping[str, str] | None = None,
        order_a: Mapping[str, int] | None = None,
        order_b: Mapping[str, int] | None = None,
    ) -> None:
        """`kinds` are the classes of modules by name, `orders` their places in the forward pass where they are called
        there."""
        self.tensors = {"a": dict(a), "b": dict(b)}
        self.shapes = {side: {name: tuple(one.shape) for name, one in of.items()} for side, of in self.tensors.items()}
        self.left = {side: list(of) for side, of in self.tensors.items()}
        self._kinds = {"a": kinds_a or {}, "b": kinds_b or {}}
        self._orders = {"a": order_a or {}, "b": order_b or {}}
        self.matches: list[Match] = []

    def add(self, a: Sequence[str], b: Sequence[str], by: str, **flags: bool) -> None:
        """Keeps a match; a single pair of transposed shapes is flipped."""
        if len(a) == len(b) == 1 and not flags:
            flags["flips_b"] = fit(self.shapes["a"][a[0]], self.shapes["b"][b[0]]) == "transposed"
        self.matches.append(Match(tuple(a), tuple(b), by, **flags))
        for side, names in (("a", a), ("b", b)):
            gone = set(names)
            self.left[side] = [name for name in self.left[side] if name not in gone]

    def automatic(self, below_a: str = "", below_b: str = "") -> None:
        """Matches what is left below two modules, the whole models without any."""
        self._by_name(below_a, below_b)
        self._by_end(below_a, below_b)
        before = -1
        while before != len(self.matches):
            before = len(self.matches)
            for form in (tuple, _squeezed, _sorted, _flat):
                self._by_owner(below_a, below_b, form)
            self._joined(below_a, below_b)
        self._summed(below_a, below_b)
        for form in (tuple, _squeezed, _sorted, _flat):
            self._by_shape(below_a, below_b, form)

    def finished(self) -> Matching:
        """The result. Square matrices are transposed where the others of their kind of layer are."""
        flipped = {self._kind(one) for one in self.matches if one.flips_a != one.flips_b and not self._is_square(one)}
        matches = [
            replace(one, flips_b=True)
            if one.by != "table" and not one.is_sum and len(one.a) == len(one.b) == 1 and self._is_square(one)
            and (self._kind(one) in flipped or sorted(self._kind(one)) == ["Conv1D", "Linear"])
            else one
            for one in self.matches
        ]  # fmt: skip
        made = Matching(matches)
        for side, parameters, buffers in (("a", made.left_a, made.buffers_a), ("b", made.left_b, made.buffers_b)):
            for name in self.left[side]:
                into = parameters if isinstance(self.tensors[side][name], torch.nn.Parameter) else buffers
                into[name] = self.shapes[side][name]
        return made

    def _kind(self, match: Match) -> tuple[str, str]:
        return self._kinds["a"].get(parent(match.a[0]), ""), self._kinds["b"].get(parent(match.b[0]), "")

    def _is_square(self, match: Match) -> bool:
        shape = self.shapes["a"][match.a[0]]
        return len(shape) == 2 and shape[0] == shape[1]

    def _below(self, side: str, prefix: str) -> list[str]:
        return [name for name in self.left[side] if not prefix or name.startswith(f"{prefix}.") or name == prefix]

    def _is_parameter(self, side: str, name: str) -> bool:
        return isinstance(self.tensors[side][name], torch.nn.Parameter)

    def _by_name(self, below_a: str, below_b: str) -> None:
        known = set(self._below("b", below_b))
        for name in self._below("a", below_a):
            rest = name[len(below_a) + 1 :] if below_a else name
            other = f"{below_b}.{rest}" if below_b else rest
            if other in known and fit(self.shapes["a"][name], self.shapes["b"][other]):
                self.add([name], [other], "name")

    def _by_end(self, below_a: str, below_b: str) -> None:
        """`model.encoder.fc.weight` and `encoder.fc.weight`: the longest common end, where only one has it."""
        longest = max((name.count(".") for side in "ab" for name in self.left[side]), default=0)
        for parts in range(longest, 1, -1):
            ends: dict[str, dict[str, list[str]]] = {"a": defaultdict(list), "b": defaultdict(list)}
            for side, below in (("a", below_a), ("b", below_b)):
                for name in self._below(side, below):
                    end = name.split(".")[-parts:]
                    if len(end) == parts and not all(part.isdigit() for part in end[:-1]):
                        ends[side][".".join(end)].append(name)
            for shared, found in ends["a"].items():
                others = ends["b"].get(shared, [])
                if len(found) == len(others) == 1 and self.shapes["a"][found[0]] == self.shapes["b"][others[0]]:
                    self.add(found, others, "end of name")

    def _by_owner(self, below_a: str, below_b: str, form: Callable[[Shape], Shape]) -> None:
        """Modules that own tensors of the same shapes, in the order of the forward pass, or of the definition."""
        groups: dict[str, dict[Any, list[str]]] = {}
        owned: dict[str, dict[str, list[str]]] = {}
        for side, below in (("a", below_a), ("b", below_b)):
            owned[side] = defaultdict(list)
            for name in self._below(side, below):
                owned[side][parent(name)].append(name)
            groups[side] = defaultdict(list)
            for owner, names in owned[side].items():
                shapes = sorted((self._is_parameter(side, one), form(self.shapes[side][one])) for one in names)
                groups[side][tuple(shapes)].append(owner)
        for signature in groups["a"]:
            for ours, theirs in self._even(groups["a"][signature], groups["b"].get(signature, [])):
                for one, other in zip(
                    self._in_order("a", ours, theirs), self._in_order("b", theirs, ours), strict=True
                ):
                    self._pair_up(owned["a"][one], owned["b"][other], form)

    def _even(self, ours: list[str], theirs: list[str]) -> Iterator[tuple[list[str], list[str]]]:
        """The parts of two groups that have as many members on both sides: by role, else as a whole."""
        roles: dict[str, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
        for at, group in enumerate((ours, theirs)):
            for owner in group:
                roles[role(f"{owner}.weight")][at].append(owner)
        if all(len(one) == len(other) for one, other in roles.values()):
            yield from roles.values()
        elif len(ours) == len(theirs):
            yield ours, theirs
        else:
            yield from ((one, other) for key, (one, other) in roles.items() if key and len(one) == len(other))

    def _in_order(self, side: str, owners: list[str], others: list[str]) -> list[str]:
        """By place in the forward pass where both sides have one, else as they stand."""
        other = self._orders["b" if side == "a" else "a"]
        mine = self._orders[side]
        if all(one in mine for one in owners) and all(one in other for one in others):
            return sorted(owners, key=lambda owner: mine[owner])
        return owners

    def _pair_up(self, ours: list[str], theirs: list[str], form: Callable[[Shape], Shape]) -> None:
        """The tensors of two owners: by what torch calls them, then by shape in their order."""
        for key in (leaf, lambda _: ""):
            for one in list(ours):
                fitting = [
                    other
                    for other in theirs
                    if key(one) == key(other)
                    and form(self.shapes["a"][one]) == form(self.shapes["b"][other])
                    and fit(self.shapes["a"][one], self.shapes["b"][other])
                    and self._is_parameter("a", one) == self._is_parameter("b", other)
                ]
                if fitting:
                    self.add([one], [fitting[0]], "order and shape")
                    ours, theirs = [x for x in ours if x != one], [x for x in theirs if x != fitting[0]]

    def _joined(self, below_a: str, below_b: str) -> None:
        """One tensor that holds several of the other model: `in_proj_weight` for q, k and v, gates for each gate."""
        for side, below, other, other_below in (("a", below_a, "b", below_b), ("b", below_b, "a", below_a)):
            for name in self._below(side, below):
                shape = self.shapes[side][name]
                forms = [(shape, False)] + ([(shape[::-1], True)] if len(shape) == 2 and shape[0] != shape[1] else [])
                found = next(
                    ((parts, flip) for form, flip in forms if (parts := self._parts_of(form, other, other_below))), None
                )
                if found is not None and self._is_parameter(side, name):
                    parts, flip = found
                    ours, theirs = ([name], parts) if side == "a" else (parts, [name])
                    self.add(ours, theirs, "joined", flips_a=flip and side == "a", flips_b=flip and side == "b")

    def _parts_of(self, shape: Shape, side: str, below: str) -> list[str] | None:
        groups: dict[str, list[str]] = defaultdict(list)
        for name in self._below(side, below):
            one = self.shapes[side][name]
            if len(one) == len(shape) > 0 and one[1:] == shape[1:] and one[0] < shape[0]:
                groups[container(name)].append(name)
        for names in groups.values():
            known = [name for name in names if role(name) in ("q", "k", "v")]
            runs = [known] + [
                names[first : first + count]
                for count, first in product(range(2, MOST_JOINED + 1), range(len(names)))
                if first + count <= len(names)
            ]
            for run in runs:
                placed = place_in_fused(run) or (run if len(run) == len(names) <= MOST_JOINED else None)
                if placed and len(placed) > 1 and sum(self.shapes[side][one][0] for one in placed) == shape[0]:
                    return placed
        return None

    def _summed(self, below_a: str, below_b: str) -> None:
        """The two biases of torch's recurrent layers, for the one of a hand-written layer."""
        for side, below, other, other_below in (("a", below_a, "b", below_b), ("b", below_b, "a", below_a)):
            names = self._below(side, below)
            pairs = [(one, two) for one in names if (two := one.replace("bias_ih", "bias_hh")) != one and two in names]
            for shape in {self.shapes[side][one] for one, _ in pairs}:
                here = [pair for pair in pairs if self.shapes[side][pair[0]] == shape]
                there = [one for one in self._below(other, other_below) if self.shapes[other][one] == shape]
                for pair, one in zip(here, there, strict=True) if len(here) == len(there) else ():
                    ours, theirs = (list(pair), [one]) if side == "a" else ([one], list(pair))
                    self.add(ours, theirs, "summed", is_sum=True)

    def _by_shape(self, below_a: str, below_b: str, form: Callable[[Shape], Shape]) -> None:
        """What is left: as many tensors of a shape on both sides, in their order."""
        groups: dict[Any, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
        for at, (side, below) in enumerate((("a", below_a), ("b", below_b))):
            for name in self._below(side, below):
                groups[self._is_parameter(side, name), form(self.shapes[side][name])][at].append(name)
        for ours, theirs in groups.values():
            if len(ours) == len(theirs):
                for one, other in zip(ours, theirs, strict=True):
                    if fit(self.shapes["a"][one], self.shapes["b"][other]):
                        self.add([one], [other], "order and shape")


def _squeezed(shape: Shape) -> Shape:
    return tuple(size for size in shape if size != 1)


def _sorted(shape: Shape) -> Shape:
    return tuple(sorted(shape)) if len(shape) == 2 else shape


def _flat(shape: Shape) -> Shape:
    return (shape[0], product_of(shape[1:])) if shape else shape
