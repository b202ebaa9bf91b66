"""Hyperparameters found without asking: parsed arguments, configurations and constants, and their flat MLflow form.

Runs inside the training process; nothing is imported, nothing of the user's is called, nothing is ever raised.
"""

from __future__ import annotations

import enum
import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from types import FrameType, ModuleType
from typing import TYPE_CHECKING, Any

from ..frames import variables
from .described import describe_loader, describe_optimizer, describe_scheduler
from .values import plain, settings_of

if TYPE_CHECKING:
    from ..rules.engine.records import Json

__all__ = ["describe_loader", "describe_optimizer", "describe_scheduler", "flatten", "from_frames", "plain"]

MAX_PARAM = 500
"""Characters of one MLflow parameter: the limit of 3.x is 6000, older servers stop at 500."""

_CONFIG_NAMES = frozenset(
    {"args", "arguments", "cfg", "conf", "config", "configuration", "hparams", "hp", "hyperparameters", "hyperparams"}
)
"""Names under which a dict, dataclass or SimpleNamespace is taken as the script's configuration."""

_OPTIMIZED = 0x1  # inspect.CO_OPTIMIZED: a function's frame, whose locals are not a real namespace


def from_frames(frame: FrameType | None) -> dict[str, Json]:
    """`{"args": {...}, "const": {...}}`: what the frames from `frame` outward to `__main__` hold as configuration.

    argparse namespaces count under any name; dicts, dataclasses, SimpleNamespaces and hydra configurations under one
    of the usual names; `const` are the UPPER_CASE scalars of `__main__`. The inner frame wins. Never raises.
    """
    args: dict[str, Json] = {}
    for namespace in _namespaces(frame):
        for name, value in namespace.items():
            try:
                found = _configuration(name, value)
            except Exception:
                continue
            if isinstance(found, dict):
                for key, item in found.items():
                    args.setdefault(key, item)
    for key, item in _click().items():
        args.setdefault(key, item)
    return {"args": args, "const": _constants()}


def _namespaces(frame: FrameType | None) -> Iterator[Mapping[str, Any]]:
    seen: set[int] = set()
    while frame is not None:
        namespace = frame.f_globals
        if frame.f_code.co_flags & _OPTIMIZED and _is_users(frame):
            yield variables(frame)
        # Only the script's own globals: those of a library in between are not its configuration.
        if namespace.get("__name__") == "__main__" and id(namespace) not in seen:
            seen.add(id(namespace))
            yield dict(namespace)
        frame = frame.f_back
    main = sys.modules.get("__main__")
    if main is not None and id(vars(main)) not in seen:
        yield dict(vars(main))


_OURS = __name__.rpartition(".capture.")[0]  # not a literal: the package is also loaded under another name
_LIBRARIES = (os.path.dirname(os.__file__) + os.sep, "<frozen")


def _is_users(frame: FrameType) -> bool:
    """Whether the frame runs the user's code, neither ours nor an installed library's."""
    name, file = str(frame.f_globals.get("__name__", "")), frame.f_code.co_filename
    if name == _OURS or name.startswith(f"{_OURS}."):
        return False
    return not (file.startswith(_LIBRARIES) or "site-packages" in file or "dist-packages" in file)


def _configuration(name: str, value: Any) -> Json:
    argparse: Any = sys.modules.get("argparse")
    if argparse is not None and isinstance(value, argparse.Namespace):
        return plain(value)
    if isinstance(value, (ModuleType, type)):
        return None
    if type(value).__module__ == "omegaconf.dictconfig":
        return plain(value)
    if name.lower() in _CONFIG_NAMES and (isinstance(value, dict) or settings_of(value) is not None):
        return plain(value)
    return None


def _click() -> dict[str, Json]:
    click: Any = sys.modules.get("click")
    try:
        context = click.get_current_context(silent=True) if click is not None else None
        if context is None or str(getattr(context.command.callback, "__module__", "")).startswith(_OURS):
            return {}  # no command, or the command line of this package
        found = plain(dict(context.params))
    except Exception:
        return {}
    return found if isinstance(found, dict) else {}


def _constants() -> dict[str, Json]:
    main = sys.modules.get("__main__")
    found: dict[str, Json] = {}
    for name, value in list(vars(main).items()) if main is not None else ():
        if re.fullmatch(r"[A-Z][A-Z0-9_]*", name) and _is_setting(value):
            found[name] = plain(value, name)
    return found


def _is_setting(value: Any) -> bool:
    scalars = (bool, int, float, str, PurePath, enum.Enum)
    if isinstance(value, (tuple, list)):
        return len(value) <= 16 and all(isinstance(item, scalars) for item in value)
    return isinstance(value, scalars)


def flatten(params: Mapping[str, Json], prefix: str = "") -> dict[str, str]:
    """MLflow parameters `prefix/key`: valid unique keys, values of at most 500 characters (whole in params.json).

    `{"optimizer": {"groups": [{"lr": 0.1}]}}` becomes `optimizer/groups/0/lr`; a list of scalars stays one value.
    """
    flat: dict[str, str] = {}
    for path, value in _leaves(params, prefix.rstrip("/")):
        key = original = param_key(path)
        number = 2
        while key in flat:
            key, number = f"{original[:240]}_{number}", number + 1
        flat[key] = param_value(value)
    return flat


def _leaves(value: Json | Mapping[str, Json], path: str) -> Iterator[tuple[str, Json]]:
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _leaves(item, f"{path}/{name}" if path else str(name))
    elif isinstance(value, list) and any(isinstance(item, (dict, list)) for item in value):
        for number, item in enumerate(value):
            yield from _leaves(item, f"{path}/{number}")
    else:
        yield path, value


def param_key(path: str) -> str:
    """`path` as a key that MLflow accepts: alphanumerics and `_-. :/`, no empty or dotted parts, 250 characters."""
    parts = [re.sub(r"[^\w\-. :]", "_", part).strip(" ") for part in path.split("/")]
    key = "/".join(part for part in parts if part and not re.fullmatch(r"\.+", part)) or "_"
    return key if len(key) <= 250 else f"{key[:247]}..."


def param_value(value: Json) -> str:
    """`value` as one line of at most 500 characters that ends in "…" and the full length when it was shortened."""
    text = value if isinstance(value, str) else _compact(value)
    if len(text) <= MAX_PARAM:
        return text
    note = f"… ({len(text)} characters, whole in params.json)"
    return text[: MAX_PARAM - len(note)] + note


def _compact(value: Json) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_compact(item) for item in value) + "]"
    return str(value)
