"""What a model, or a loss, can be called with: read from its signature, never tried."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch

_ANY = 1 << 30
"""As many arguments as one likes."""


def positions(called: Any) -> tuple[int, int] | None:
    """The least and the most arguments that go by position; None where the signature is not known."""
    found = _parameters(called)
    if found is None:
        return None
    if any(one.kind is inspect.Parameter.VAR_POSITIONAL for one in found):
        most = _ANY
    else:
        most = sum(one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD) for one in found)
    ordered = [one for one in found if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    return sum(one.default is one.empty for one in ordered), most


def takes_one_by_one(called: Any, values: Sequence[Any]) -> bool:
    """Whether several values go as several arguments: it takes more than one, and this many.

    Of a list all have to be asked for: one argument may be a list of anything, such as images of several sizes.
    """
    known = positions(called)
    if known is None or known[1] < 2:
        return False
    least, most = known
    if isinstance(values, list) and most != _ANY:
        return least == len(values)
    return least <= len(values) <= most


def takes_by_name(called: Any, values: Mapping[str, Any]) -> list[str]:
    """Which of the values go as keywords: those it has parameters for, if these are all that it needs."""
    found = _parameters(called)
    if found is None:
        return []
    if any(one.kind is one.POSITIONAL_ONLY and one.default is one.empty for one in found):
        return []
    named = [one for one in found if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)]
    if not {one.name for one in named if one.default is one.empty} <= set(values):
        return []
    if any(one.kind is one.VAR_KEYWORD for one in found):
        return list(values)
    known = {one.name for one in named}
    return [name for name in values if name in known]


def _parameters(called: Any) -> list[inspect.Parameter] | None:
    """Without `self`; of a model that is wrapped, such as by `DataParallel` or `torch.compile`, those of the inner."""
    if isinstance(called, torch.nn.Module):
        for _ in range(8):
            inner = getattr(called, "_orig_mod", None)
            if inner is None and isinstance(called, (torch.nn.DataParallel, torch.nn.parallel.DistributedDataParallel)):
                inner = called.module
            if not isinstance(inner, torch.nn.Module):
                break
            called = inner
        called = called.forward
    schema = getattr(called, "schema", None)
    if schema is not None and hasattr(schema, "arguments"):  # of TorchScript
        kind, empty = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.empty
        given = [one for one in schema.arguments if one.name != "self"]
        return [
            inspect.Parameter(one.name, kind, default=one.default_value if one.has_default_value() else empty)
            for one in given
        ]
    try:
        return list(inspect.signature(called).parameters.values())
    except (TypeError, ValueError):
        return None
