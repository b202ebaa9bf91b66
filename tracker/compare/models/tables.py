"""The user's own table of names: {name in A: name in B}, of tensors, of modules, or with `*` for what varies."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import TypeAlias

from ...errors import ConfigError
from .matches import fit
from .matching import Matcher

Names: TypeAlias = Mapping[str, "str | Sequence[str] | None"]

_FLIP = ".T"
_EXPECTED = (
    'Expected {"name in A": "name in B"}: a parameter or buffer, a module (its parameters then by their names below '
    'it), "layers.*.fc" for many, a list or "q.weight, k.weight" for tensors that are joined, "w.T" for a transposed '
    "one."
)


def apply_table(matcher: Matcher, names: Names) -> None:
    """Matches what the table says; raises `ConfigError` for names that there are not, and shapes that do not fit."""
    if not isinstance(names, Mapping):
        raise ConfigError(f"names is of type {type(names).__name__}. {_EXPECTED}")
    for key, value in names.items():
        texts = [value] if isinstance(value, str) or value is None else value
        if (
            not isinstance(key, str)
            or not isinstance(texts, Sequence)
            or not all(isinstance(one, str | None) for one in texts)
        ):
            raise ConfigError(f"names has the entry {key!r}: {value!r}. {_EXPECTED}")
        theirs = [part.strip() for one in texts if one is not None for part in one.split(",")]
        ours = [part.strip() for part in key.split(",")]
        if value is None:
            _leave_out(matcher, key)
        elif "*" in key:
            _pattern(matcher, key, theirs)
        else:
            _entry(matcher, ours, theirs)


def _entry(matcher: Matcher, ours: list[str], theirs: list[str]) -> None:
    flips = [[name.endswith(_FLIP) for name in names] for names in (ours, theirs)]
    ours, theirs = ([name.removesuffix(_FLIP).rstrip(".") for name in names] for names in (ours, theirs))
    if all(name in matcher.shapes["a"] for name in ours) and all(name in matcher.shapes["b"] for name in theirs):
        _tensors(matcher, ours, theirs, any(flips[0]), any(flips[1]))
    elif len(ours) == len(theirs) == 1 and _is_module(matcher, "a", ours[0]) and _is_module(matcher, "b", theirs[0]):
        matcher.automatic(ours[0], theirs[0])
    else:
        for side, names in (("a", ours), ("b", theirs)):
            for name in names:
                if name not in matcher.shapes[side] and not _is_module(matcher, side, name):
                    raise ConfigError(_unknown(matcher, side, name))
        raise ConfigError(
            f"names puts {', '.join(ours)} beside {', '.join(theirs)}: a tensor and a module. {_EXPECTED}"
        )


def _tensors(matcher: Matcher, ours: list[str], theirs: list[str], flips_a: bool, flips_b: bool) -> None:
    one, other = matcher.shapes["a"][ours[0]], matcher.shapes["b"][theirs[0]]
    if len(ours) == len(theirs) == 1 and not flips_a and not flips_b:
        if not fit(one, other):
            raise ConfigError(_unfit(ours, theirs, one, other))
        matcher.add(ours, theirs, "table")
        return
    joined = []
    for side, names, flips in (("a", ours, flips_a), ("b", theirs, flips_b)):
        shapes = [matcher.shapes[side][name] for name in names]
        shapes = [shape[::-1] for shape in shapes] if flips else shapes
        if any(not shape or shape[1:] != shapes[0][1:] for shape in shapes) and len(shapes) > 1:
            raise ConfigError(f"{', '.join(names)} cannot be joined: their shapes are {[list(one) for one in shapes]}.")
        joined.append((sum(shape[0] for shape in shapes), *shapes[0][1:]) if len(shapes) > 1 else shapes[0])
    if joined[0] != joined[1]:
        raise ConfigError(_unfit(ours, theirs, *joined))
    matcher.add(ours, theirs, "table", flips_a=flips_a, flips_b=flips_b)


def _pattern(matcher: Matcher, key: str, theirs: list[str]) -> None:
    """Each `*` stands for the same text on both sides, in order; a pattern of modules holds for what is below them."""
    expression = re.compile(re.escape(key.rstrip(".")).replace(r"\*", "([^,]+?)"))
    modules = dict.fromkeys(part for name in matcher.shapes["a"] for part in _modules_of(name))
    found = [(name, hit) for name in [*matcher.shapes["a"], *modules] if (hit := expression.fullmatch(name))]
    known = [(name, hit) for name, hit in found if name in matcher.shapes["a"]] or found
    if not known:
        raise ConfigError(f"names has the pattern {key!r}, and nothing in A is named so. {_EXPECTED}")
    for name, hit in known:
        others = []
        for one in theirs:
            filled = one
            for text in hit.groups():
                filled = filled.replace("*", text, 1)
            others.append(filled)
        _entry(matcher, [name], others)


def _leave_out(matcher: Matcher, name: str) -> None:
    left = [one for one in matcher.left["a"] if one != name and not one.startswith(f"{name}.")]
    if len(left) == len(matcher.left["a"]):
        raise ConfigError(_unknown(matcher, "a", name))
    matcher.left["a"] = left


def _modules_of(name: str) -> Iterable[str]:
    parts = name.split(".")[:-1]
    return (".".join(parts[:count]) for count in range(1, len(parts) + 1))


def _is_module(matcher: Matcher, side: str, name: str) -> bool:
    return not name or any(one.startswith(f"{name}.") for one in matcher.shapes[side])


def _unknown(matcher: Matcher, side: str, name: str) -> str:
    known = [*matcher.shapes[side], *dict.fromkeys(part for one in matcher.shapes[side] for part in _modules_of(one))]
    close = get_close_matches(name, known, 1)
    hint = f" Did you mean {close[0]!r}?" if close else f" There are, for example: {', '.join(known[:4])}."
    return f"names speaks of {name!r}, which model {side.upper()} does not have.{hint}"


def _unfit(ours: list[str], theirs: list[str], one: Sequence[int], other: Sequence[int]) -> str:
    return (
        f"names puts {', '.join(ours)} of shape {list(one)} beside {', '.join(theirs)} of shape {list(other)}: the "
        "values of one do not fit into the other."
    )
