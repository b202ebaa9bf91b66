"""Two checkpoint files without a model: their tensors by name."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ...errors import ConfigError
from .comparing import NotComparable
from .matching import Matcher
from .result import ModelComparison
from .tables import Names, apply_table
from .weights import weight_differences

_WRAPPERS = ("module.", "_orig_mod.", "model.")
"""What data-parallel, compiled and trained-by-a-framework models put in front of every name."""
_DEPTH = 4


def compare_checkpoints(
    a: Mapping[str, torch.Tensor], b: Mapping[str, torch.Tensor], names: Names | None = None
) -> ModelComparison:
    """Which tensors of two state dictionaries differ, the most different first; nothing is run.

    Tensors go together by the table, by name, by the end of their name, then by order and shape. Raises
    `NotComparable` where none do.
    """
    ours, theirs = ({name: nn.Parameter(one, requires_grad=False) for name, one in of.items()} for of in (a, b))
    matcher = Matcher(ours, theirs)
    apply_table(matcher, names or {})
    matcher.automatic()
    matching = matcher.finished()
    if not matching.matches:
        raise NotComparable(
            f"No tensor of A could be matched with one of B: A has {len(a)}, such as {', '.join(list(a)[:3])}; B has "
            f'{len(b)}, such as {", ".join(list(b)[:3])}. Give names={{"name in A": "name in B"}}.'
        )
    return ModelComparison(
        rows=(),
        first_output=None,
        first_gradient=None,
        weights=weight_differences(matching, ours, theirs),
        matching=matching,
        judged_by=f"{len(matching.matches)} tensors were compared, bit for bit",
    )


def load_file(path: Path, trust: bool = False) -> Any:
    """What a file of `torch.save` holds; raises `ConfigError` for one that cannot be read.

    Only tensors and plain containers, unless it is trusted: a pickled model runs code as it is loaded.
    """
    if not path.is_file():
        raise ConfigError(f"There is no file {path}.")
    try:
        return torch.load(path, map_location="cpu", weights_only=not trust)
    except pickle.UnpicklingError as error:
        raise ConfigError(
            f"{path} holds more than tensors, and loading it would run code that is stored in it. Save a state_dict, "
            f"or add --trust if you know where the file is from. ({_first_line(error)})"
        ) from error
    except Exception as error:
        raise ConfigError(
            f"{path} could not be loaded ({type(error).__name__}: {_first_line(error)}); expected a file of torch.save."
        ) from error


def state_of(loaded: Any, path: Path) -> dict[str, torch.Tensor]:
    """The tensors by name in what was loaded: the largest dictionary of tensors in it, or the state of a model.

    Prefixes that wrappers put in front of every name are left out. Raises `ConfigError` where there is none.
    """
    if isinstance(loaded, nn.Module):
        loaded = loaded.state_dict()
    found = max(_states(loaded, 0), key=len, default={})
    if not found:
        seen = f"a {type(loaded).__name__}" + (
            f" with {', '.join(map(str, list(loaded)[:5]))}" if isinstance(loaded, Mapping) else ""
        )
        raise ConfigError(f"{path} holds {seen}; expected a state_dict: tensors by name, maybe inside of a dictionary.")
    for prefix in _WRAPPERS:
        if all(name.startswith(prefix) for name in found):
            found = {name[len(prefix) :]: tensor for name, tensor in found.items()}
    return found


def _states(loaded: Any, depth: int) -> list[dict[str, torch.Tensor]]:
    if not isinstance(loaded, Mapping) or depth > _DEPTH:
        return []
    here = {key: one for key, one in loaded.items() if isinstance(key, str) and isinstance(one, torch.Tensor)}
    inner = [state for one in loaded.values() if isinstance(one, (Mapping, nn.Module)) for state in _inner(one, depth)]
    return [here, *inner]


def _inner(one: Any, depth: int) -> list[dict[str, torch.Tensor]]:
    return _states(one.state_dict() if isinstance(one, nn.Module) else one, depth + 1)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [""])[0][:120]
