"""What a model is made of: its layers, and the parts of it that are frozen, unused or registered nowhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import nn

from ..rules.engine.records import Json
from .models import Model, parameters_of, submodules, topmost, walk
from .random_tables import is_as_constructed, is_random, was_trained_before

MOST_NAMES = 50
"""Names in one list of a fact; beside each list stands how many there are."""

CALLED_AFTER = 3
"""Training passes after which a module that was not called counts as unused."""

_MOST_ITEMS = 200
_OWN_KEYS = frozenset(nn.Module().__dict__)


class Seen(NamedTuple):
    """What was seen of a model in its passes, by the names of its modules."""

    shapes: Mapping[str, list[int]]
    """Shapes of outputs."""
    reached: set[str]
    """Modules with a parameter that had a gradient."""
    static: set[str]
    """Norm layers whose counter of batches stood still."""
    calls: Mapping[str, Mapping[str, Json]]
    """The first call of each layer with parameters."""
    is_owned: Callable[[torch.Tensor], bool]
    """Whether an optimizer has a parameter."""


def describe(model: Model, seen: Seen) -> dict[str, Json]:
    """A model as the fact `model` tells of it: see `modules.Modules`."""
    parts = model.parts()
    held = {name: parameters_of(part) for name, part in parts}
    sizes = {id(p): (p.numel(), p.requires_grad) for own in held.values() for p in own.values()}
    leaves: dict[str, Json] = {}
    for name, part in parts:
        if not submodules(part):
            leaf: dict[str, Json] = {
                "class": type(part).__name__, "parameters": sum(p.numel() for p in held[name].values())
            }  # fmt: skip
            if isinstance(part, nn.modules.dropout._DropoutNd):
                leaf["p"] = float(part.p)
            if is_norm(part) and isinstance(momentum := getattr(part, "momentum", None), float) and momentum != 0.1:
                leaf["momentum"] = momentum
            if isinstance(part, nn.Embedding) and not part.weight.requires_grad and is_random(part.weight):
                leaf["random"] = True
            if is_as_constructed(part):
                leaf["drawn"] = True
            if was_trained_before(part):
                leaf["trained_before"] = True
            if name in seen.shapes:
                leaf["output"] = list(seen.shapes[name])
            leaves[model.subject(name)] = leaf
    unregistered = list(_unregistered(model, parts, seen.is_owned))
    frozen = _frozen(parts, held)
    uncalled = _uncalled(model, parts, held, seen.reached)
    static = sorted(seen.static)
    core = model.core
    return {
        "class": type(core).__name__,
        "wrapper": model.wrapper,
        "parameters": sum(size for size, _ in sizes.values()),
        "trainable": sum(size for size, is_trained in sizes.values() if is_trained),
        "modules": len(parts),
        "layers": dict(list(leaves.items())[:MOST_NAMES]),
        "n_layers": len(leaves),
        **_in_sequence(model, parts, seen.shapes),
        **_listed("frozen", [model.subject(name) for name in frozen]),
        **_listed("uncalled", [model.subject(name) for name in uncalled]),
        "unregistered": list(unregistered[:MOST_NAMES]),
        "n_unregistered": len(unregistered),
        "calls": {model.subject(name): dict(about) for name, about in list(seen.calls.items())[:MOST_NAMES]},
        "dropout": sum(is_dropout(part) for _, part in parts),
        "norms": sum(is_norm(part) for _, part in parts),
        "static_norms": [model.subject(name) for name in static[:MOST_NAMES]],
    }


def _in_sequence(model: Model, parts: list[tuple[str, Any]], shapes: Mapping[str, list[int]]) -> dict[str, Json]:
    """Recurrent layers and attention whose outputs were seen; nothing where there are none."""
    found: dict[str, Json] = {
        model.subject(name): {
            "class": type(part).__name__, "batch_first": bool(part.batch_first), "output": list(shapes[name])
        }
        for name, part in parts
        if isinstance(part, (nn.RNNBase, nn.MultiheadAttention)) and name in shapes
    }  # fmt: skip
    return {"sequences": dict(list(found.items())[:MOST_NAMES])} if found else {}


def _frozen(parts: list[tuple[str, Any]], held: dict[str, dict[str, torch.Tensor]]) -> list[str]:
    """Topmost parts that hold parameters, none of which is trained."""
    holding, trained = set[str](), set[str]()
    for name, own in held.items():
        for above in _with_parents(name):
            if own:
                holding.add(above)
            if any(p.requires_grad for p in own.values()):
                trained.add(above)
    return topmost([name for name, _ in parts if name in holding and name not in trained])


def _uncalled(
    model: Model, parts: list[tuple[str, Any]], held: dict[str, dict[str, torch.Tensor]], reached: set[str]
) -> list[str]:
    """Topmost parts with trained parameters that nothing used."""
    if model.passes < CALLED_AFTER:
        return []
    used = {above for name in model.called for above in _with_parents(name)}
    # Attention uses the weights of its `out_proj` without calling it, others do the same: they had a gradient.
    for name in reached:
        used.update(_with_parents(name))
    trained = {
        above for name, own in held.items() if any(p.requires_grad for p in own.values())
        for above in _with_parents(name)
    }  # fmt: skip
    unused = [name for name, _ in parts if name in trained and name not in used]
    return topmost(unused)


def _unregistered(
    model: Model, parts: list[tuple[str, Any]], is_owned: Callable[[torch.Tensor], bool]
) -> Iterator[Json]:
    """Modules and parameters that a module keeps in a plain list, dictionary or attribute."""
    registered = {id(part) for _, part in parts} | {id(model.module)}
    parameters = {id(p) for _, part in parts for p in parameters_of(part).values()}
    told: set[int] = set()
    for name, part in parts:
        for key, value in list(part.__dict__.items()):
            if key in _OWN_KEYS:
                continue
            for path, found in _kept_in(value, f"{name}.{key}" if name else key, 0):
                if id(found) in told or id(found) in registered or id(found) in parameters:
                    continue
                told.add(id(found))
                if isinstance(found, nn.Module):
                    held = [p for _, inner in walk(found) for p in parameters_of(inner).values()]
                    held = [p for p in held if id(p) not in parameters]
                    told.update(id(inner) for _, inner in walk(found))
                else:
                    held = [found]
                if held:
                    yield {
                        "path": model.subject(path),
                        "class": type(found).__name__,
                        "parameters": sum(p.numel() for p in held),
                        "trainable": any(p.requires_grad for p in held),
                        "owned": all(is_owned(p) for p in held),
                    }


def _listed(key: str, names: list[str]) -> dict[str, Json]:
    listed: list[Json] = list(names[:MOST_NAMES])
    return {key: listed, f"n_{key}": len(names)}


def _with_parents(name: str) -> Iterator[str]:
    """A module's name, and those of the modules around it."""
    yield name
    while name:
        name = name.rpartition(".")[0]
        yield name


def _kept_in(value: Any, path: str, depth: int) -> Iterator[tuple[str, Any]]:
    """Modules, parameters and other trained tensors in a value of an attribute: itself, or in containers."""
    if isinstance(value, nn.Module) or (isinstance(value, torch.Tensor) and value.is_leaf and value.requires_grad):
        yield path, value
    elif depth < 3 and len(value if type(value) in (list, tuple, set, dict) else ()) <= _MOST_ITEMS:
        if type(value) is dict:
            for key, item in list(value.items()):
                yield from _kept_in(item, f"{path}[{key!r}]", depth + 1)
        elif type(value) in (list, tuple, set):
            for index, item in enumerate(list(value)):
                yield from _kept_in(item, f"{path}[{index}]", depth + 1)


def is_dropout(module: Any) -> bool:
    """Whether a module leaves out a part at random while it trains."""
    if isinstance(module, nn.modules.dropout._DropoutNd):
        return module.p > 0
    if isinstance(module, (nn.MultiheadAttention, nn.RNNBase)):
        return module.dropout > 0
    return any(part in type(module).__name__ for part in ("DropPath", "Dropout", "StochasticDepth"))


def is_norm(module: Any) -> bool:
    """Whether a module keeps statistics of the batches it has seen."""
    return (module.__dict__.get("_buffers") or {}).get("running_mean") is not None
