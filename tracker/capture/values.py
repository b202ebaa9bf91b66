"""Any value of a script as bounded JSON, without running the script's code and without its secrets.

No method of the user's own classes is called (their `__repr__` or `__len__` may draw random numbers or read files) and
no tensor on a device is read.
"""

from __future__ import annotations

import enum
import math
import sys
from collections.abc import Mapping
from pathlib import PurePath
from types import FunctionType, MethodType, SimpleNamespace
from typing import TYPE_CHECKING, Any

from .secrets import redact, redact_value

if TYPE_CHECKING:
    from ..rules.engine.records import Json

MAX_DEPTH = 6
MAX_ITEMS = 1_000
MAX_TEXT = 1_000_000
"""Bounds of what `params.json` keeps of one value: levels, entries on a level, characters."""


def plain(value: Any, name: str = "") -> Json:
    """`value` as JSON: never raises, never runs user code, secrets hidden by name or form, sizes bounded.

    NaN and infinities become "nan", "inf", "-inf", for JSON has none; a small CPU tensor becomes its numbers, every
    other object the name of its class.
    """
    try:
        return _plain(value, name, 0)
    except Exception:
        return f"<{class_name(value)}>"


def _plain(value: Any, name: str, depth: int) -> Json:
    kind = type(value)
    if value is None or kind is bool:
        return value  # type: ignore[no-any-return]
    if kind in (int, float):
        return _hidden(name, value if kind is int and abs(value) < 1 << 63 else _number(value))
    if kind is str:
        return _string(value, name)
    if isinstance(value, enum.Enum):
        return _hidden(name, f"{kind.__name__}.{value._name_}")
    if kind in (bytes, bytearray):
        return f"<{len(value)} bytes>"
    if isinstance(value, PurePath):
        return _string(PurePath.__str__(value), name)
    if isinstance(value, str):  # of a subclass, whose own __str__ is not asked
        return _string(str.__str__(value), name)
    if isinstance(value, int):
        return _plain(int.__int__(value), name, depth)
    if isinstance(value, float):
        return _plain(float.__float__(value), name, depth)
    if depth >= MAX_DEPTH:
        return f"<{class_name(value)}>"
    if kind in (list, tuple, set, frozenset) or (isinstance(value, tuple) and hasattr(kind, "_fields")):
        return _sequence(value, name, depth)
    if isinstance(value, dict):
        return _mapping(value, depth)
    if isinstance(value, (FunctionType, MethodType, type)):
        return f"{value.__module__}.{value.__qualname__}"
    return _object(value, name, depth)


def _number(value: float) -> Json:
    if isinstance(value, int):
        return str(value) if value.bit_length() < 10_000 else f"<int of {value.bit_length()} bits>"
    return value if math.isfinite(value) else str(value)


def _hidden(name: str, value: Json) -> Json:
    """The value, or what the redaction shows for it when the name says that it is a secret."""
    text = str(value)
    shown = redact_value(name, text) if name else text
    return value if shown == text else shown


def _string(value: str, name: str) -> Json:
    text = value.encode("utf-8", "backslashreplace").decode("utf-8")  # a lone surrogate breaks every writer
    if len(text) > MAX_TEXT:
        text = f"{text[:MAX_TEXT]}… ({len(text)} characters)"
    return redact_value(name, text) if name else redact(text)


def _sequence(value: Any, name: str, depth: int) -> Json:
    items = list(value)
    if isinstance(value, (set, frozenset)):
        items.sort(key=lambda item: item if isinstance(item, str) else str(_plain(item, name, MAX_DEPTH)))
    found = [_plain(item, name, depth + 1) for item in items[:MAX_ITEMS]]
    return found if len(items) <= MAX_ITEMS else [*found, f"… ({len(items)} items)"]


def _mapping(value: Mapping[Any, Any], depth: int) -> Json:
    found: dict[str, Json] = {}
    for number, (key, item) in enumerate(dict.items(value) if isinstance(value, dict) else value.items()):
        if number >= MAX_ITEMS:
            found["…"] = f"({len(value)} items)"
            break
        label = key if type(key) is str else str(_plain(key, "", MAX_DEPTH))
        found[label] = _plain(item, label, depth + 1)
    return found


def _object(value: Any, name: str, depth: int) -> Json:
    module = type(value).__module__
    root = module.partition(".")[0]
    if root in ("torch", "numpy"):
        return _array(value, name, depth)
    if module == "omegaconf.dictconfig" or module == "omegaconf.listconfig":
        omegaconf: Any = sys.modules["omegaconf"]
        # Interpolations stay as written: resolving them may run the user's resolvers.
        return _plain(omegaconf.OmegaConf.to_container(value, resolve=False), name, depth)
    if module in ("datetime", "decimal", "fractions", "uuid") or isinstance(value, (range, slice, complex)):
        return str(value)
    settings = settings_of(value)
    return f"<{class_name(value)}>" if settings is None else _mapping(settings, depth)


def _array(value: Any, name: str, depth: int) -> Json:
    kind = type(value)
    if kind.__module__ == "torch" and kind.__name__ in ("device", "dtype", "Size", "layout", "memory_format"):
        return str(value)
    numpy: Any = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.generic):
        return _plain(value.item(), name, depth)
    if not (hasattr(value, "shape") and hasattr(value, "dtype")):
        return f"<{class_name(value)}>"
    count = math.prod(value.shape)
    on_cpu = str(getattr(value, "device", "cpu")) == "cpu"
    # Reading a tensor on a device would wait for it.
    if count <= 16 and on_cpu and kind.__name__ in ("Tensor", "Parameter", "ndarray"):
        return _plain(value.detach().tolist() if hasattr(value, "detach") else value.tolist(), name, depth)
    return f"<{kind.__name__} {tuple(value.shape)} {value.dtype}>"


def settings_of(value: Any) -> dict[str, Any] | None:
    """The fields of an object that is known to be a bag of settings, read from its `__dict__`; else None."""
    kind = type(value)
    argparse: Any = sys.modules.get("argparse")
    bags = (SimpleNamespace, *((argparse.Namespace,) if argparse else ()))
    if isinstance(value, bags):
        return dict(vars(value))
    fields = getattr(kind, "__dataclass_fields__", None) or getattr(kind, "__pydantic_fields__", None)
    if isinstance(fields, dict):
        kept = getattr(value, "__dict__", None)
        return {field: (kept or {}).get(field, getattr(kind, field, None)) for field in fields}
    return None


def class_name(value: Any) -> str:
    kind = type(value)
    return (
        kind.__qualname__ if kind.__module__ in ("builtins", "__main__") else f"{kind.__module__}.{kind.__qualname__}"
    )
