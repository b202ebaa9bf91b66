"""Settings of two layers that are not the same: `eps`, `padding`, `approximate`; they often are the explanation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from .pairing import Pair

_PLAIN = (int, float, str, bool, type(None))
_NOT = {"training", "num_batches_tracked"}


def differing_settings(a: nn.Module, b: nn.Module) -> list[str]:
    """`eps is 1e-05 in A and 1e-06 in B`, for plain attributes that both layers have."""
    ours, theirs = _plain(a), _plain(b)
    return [
        f"{name} is {ours[name]!r} in A and {theirs[name]!r} in B"
        for name in ours
        if name in theirs and ours[name] != theirs[name]
    ]


def settings_of(pairs: Sequence[Pair], a: Mapping[str, nn.Module], b: Mapping[str, nn.Module]) -> list[str]:
    """The same for all pairs of layers of one class, with the name of the layer in front."""
    found = []
    for pair in pairs:
        if pair.a.kind == pair.b.kind and not pair.a.nth and pair.a.name in a and pair.b.name in b:
            found += [f"{pair.a.title}: {one}" for one in differing_settings(a[pair.a.name], b[pair.b.name])]
    return found


def _plain(module: nn.Module) -> dict[str, Any]:
    return {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_") and name not in _NOT and _is_plain(value)
    }


def _is_plain(value: object) -> bool:
    return isinstance(value, _PLAIN) or (
        isinstance(value, (tuple, list)) and len(value) <= 8 and all(isinstance(one, _PLAIN) for one in value)
    )
