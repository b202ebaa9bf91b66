"""The order of layers and what is known of parameters, as facts tell them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from .trace import Trace


def in_order(trace: Trace, names: Iterable[str]) -> list[str]:
    """Names of modules or parameters as the model registers them; names it does not know last, numbers by value."""
    places: dict[str, int] = {}
    model = trace.facts.get("model")
    for about in model.values() if isinstance(model, dict) else ():
        layers = about.get("layers") if isinstance(about, dict) else None
        for name in layers if isinstance(layers, dict) else ():
            places.setdefault(name, len(places))
    return sorted(names, key=lambda name: (_place(name, places), _natural(name)))


def _place(name: str, places: dict[str, int]) -> int:
    """The place of the layer that the name is, or belongs to: `fc1.weight`, `fc1.relu()`, `fc1#2`."""
    part = name.partition("#")[0]
    while part:
        if part in places:
            return places[part]
        part = part.rpartition(".")[0]
    return len(places)


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name) if part]


def is_matrix(trace: Trace, name: str) -> bool:
    """Whether a parameter has two dimensions and more; by its name where its shape is not known."""
    parameters = trace.facts.get("parameters")
    about = parameters.get(name) if isinstance(parameters, dict) else None
    shape = about.get("shape") if isinstance(about, dict) else None
    return len(shape) > 1 if isinstance(shape, list) else not name.endswith("bias")


def matrices(trace: Trace) -> dict[str, int]:
    """Number of elements of each trained parameter of two or more dimensions; embeddings are left out.

    Empty when shapes are not known.
    """
    parameters = trace.facts.get("parameters")
    found: dict[str, int] = {}
    for name, about in parameters.items() if isinstance(parameters, dict) else ():
        if not isinstance(about, dict) or about.get("trainable") is False or "emb" in name.lower():
            continue
        shape = about.get("shape")
        if not isinstance(shape, list) or len(shape) < 2:
            continue
        if all(isinstance(n, int) and n > 0 for n in shape):
            found[name] = math.prod(n for n in shape if isinstance(n, int))
    return found
