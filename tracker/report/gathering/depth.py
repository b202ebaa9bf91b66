"""Layers and parameters in the order of the model, with their sizes, and which of them a finding is about."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from .found import found_in
from .gathered import Gathered
from .sources import Source


def in_depth(gathered: Gathered, names: Iterable[str]) -> list[str]:
    """The names in the order of the model's layers, as far as it is known; else as they came.

    A name that is not known stands behind the one it came after.
    """
    places = _places(gathered)
    keyed = []
    place = -1
    for came, name in enumerate(names):
        place = places.get(name, places.get(name.rpartition(".")[0], place))
        keyed.append((place, came, name))
    return [name for _, _, name in sorted(keyed)]


def _places(gathered: Gathered) -> dict[str, int]:
    """Place of each layer and parameter, from what is stored of the model, else from the order of the parameters."""
    layers: list[str] = []
    is_whole = True
    for label, model in _mapping(gathered.facts.get("model")).items():
        named = _mapping(_mapping(model).get("layers"))
        count = _mapping(model).get("n_layers")
        is_whole = is_whole and isinstance(count, int) and len(named) >= count
        layers += [f"{label}.{name}" if label else name for name in named]
    names = layers if layers and is_whole else _mapping(gathered.facts.get("parameters"))
    return {name: place for place, name in enumerate(names)}


def sizes_of(gathered: Gathered) -> dict[str, int]:
    """Number of elements of each parameter whose shape is known."""
    sizes = {}
    for name, about in _mapping(gathered.facts.get("parameters")).items():
        shape = _shape(about)
        if shape is not None and math.prod(shape) > 0:
            sizes[name] = math.prod(shape)
    return sizes


def is_vector(gathered: Gathered, name: str) -> bool:
    """Whether the parameter is a bias or a scale: it has one dimension, or, where that is not known, is called so."""
    shape = _shape(_mapping(gathered.facts.get("parameters")).get(name))
    return len(shape) < 2 if shape is not None else name.rpartition(".")[2].startswith("bias")


def named_by_findings(source: Source) -> set[str]:
    """Subjects of the findings: what a picture with little room must not leave out."""
    return {subject for one in found_in(source.verdict.get("findings")) for subject in one.subjects}


def _shape(about: Any) -> list[int] | None:
    shape = _mapping(about).get("shape")
    if isinstance(shape, (list, tuple)) and all(type(one) is int and one >= 0 for one in shape):
        return list(shape)
    return None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
