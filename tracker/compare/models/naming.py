"""Models that are named on a command line: `models/mine.py:Net@weights.pt`. Naming one runs the code of its module."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from ...errors import ConfigError
from .checkpoints import load_file, state_of

EXPECTED = (
    "Expected FILE.py:ATTRIBUTE or package.module:ATTRIBUTE, where the attribute is a model, or a class or function "
    "that makes one without arguments; @CHECKPOINT.pt behind it loads its weights. Two checkpoints alone: A.pt B.pt."
)
_CHECKPOINTS = (".pt", ".pth", ".bin", ".ckpt", ".tar")


@dataclass(frozen=True)
class Named:
    """What was given for one model."""

    text: str
    module: str
    """File or dotted name; empty for a checkpoint alone."""
    attribute: str
    checkpoint: Path | None

    @property
    def says(self) -> str:
        """What will be executed or read."""
        read = f"reads {self.checkpoint}" if self.checkpoint else ""
        run = f"executes {self.module} and makes {self.attribute}" if self.module else ""
        return " and ".join(part for part in (run, read) if part)


def parse(text: str) -> Named:
    """The parts of an argument; raises `ConfigError` where it is none."""
    if text.lower().endswith(_CHECKPOINTS) and ":" not in _without_drive(text):
        return Named(text, "", "", Path(text))
    place, _, checkpoint = text.partition("@")
    module, colon, attribute = place.rpartition(":")
    if not colon or not module or not all(part.isidentifier() for part in attribute.split(".")):
        raise ConfigError(f"{text!r} names no model. {EXPECTED}")
    return Named(text, module, attribute, Path(checkpoint) if checkpoint else None)


def model_of(named: Named, trust: bool = False) -> nn.Module:
    """The model: its module is executed, its factory called, its checkpoint loaded. Raises `ConfigError`."""
    found = attribute_of(named)
    if inspect.isclass(found) or (callable(found) and not isinstance(found, nn.Module)):
        try:
            found = found()
        except Exception as error:
            raise ConfigError(
                f"{named.attribute}() of {named.module} failed: {type(error).__name__}: {error}. Expected a class or a "
                "function that makes the model without arguments; write one that fills them in."
            ) from error
    if not isinstance(found, nn.Module):
        raise ConfigError(f"{named.attribute} of {named.module} is of type {type(found).__name__}. {EXPECTED}")
    if named.checkpoint is not None:
        _load(found, named.checkpoint, trust)
    return found


def attribute_of(named: Named) -> Any:
    """What the module has under that name."""
    found: Any = _module(named.module)
    for part in named.attribute.split("."):
        if not hasattr(found, part):
            names = [name for name, one in vars(found).items() if not name.startswith("_") and callable(one)]
            raise ConfigError(
                f"{named.module} has no {named.attribute!r}. It has: {', '.join(names[:8]) or 'nothing to call'}."
            )
        found = getattr(found, part)
    return found


def _load(model: nn.Module, path: Path, trust: bool) -> None:
    state = state_of(load_file(path, trust), path)
    try:
        missing, unexpected = model.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise ConfigError(f"{path} does not fit the model: {' '.join(str(error).split())[:300]}") from error
    if missing or unexpected:
        raise ConfigError(
            f"{path} does not fit the model: without {', '.join(missing[:5]) or 'nothing'}; with "
            f"{', '.join(unexpected[:5]) or 'nothing'} too many ({len(missing)} and {len(unexpected)} names)."
        )


def _module(name: str) -> ModuleType:
    """Executes a file, with its folder first on the path as Python has it for a script, or imports a module."""
    path = Path(name)
    is_file = name.endswith(".py")
    if is_file and not path.is_file():
        raise ConfigError(f"There is no file {name}. {EXPECTED}")
    try:
        with _first_on_path(path.absolute().parent if is_file else Path.cwd()):
            if not is_file:
                return importlib.import_module(name)
            own = f"_compared_{path.stem}_{abs(hash(str(path.absolute())))}"
            if own in sys.modules:
                return sys.modules[own]
            spec = importlib.util.spec_from_file_location(own, path)
            if spec is None or spec.loader is None:
                raise ConfigError(f"{name} cannot be executed as Python.")
            module = importlib.util.module_from_spec(spec)
            sys.modules[own] = module  # dataclasses and pickles look their module up
            try:
                spec.loader.exec_module(module)
            except BaseException:
                del sys.modules[own]
                raise
            return module
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(f"{name} failed as it was executed: {type(error).__name__}: {error}") from error


@contextmanager
def _first_on_path(folder: Path) -> Iterator[None]:
    text = str(folder)
    sys.path.insert(0, text)
    try:
        yield
    finally:
        if text in sys.path:
            sys.path.remove(text)


def batch_of(text: str, trust: bool = False) -> Any:
    """A batch from a file of `torch.save`, or `FILE.py:ATTRIBUTE` with a batch or a function that makes one."""
    if ":" not in _without_drive(text):
        return load_file(Path(text), trust)
    named = parse(text)
    found = attribute_of(named)
    return found() if callable(found) and not isinstance(found, torch.Tensor) else found


def _without_drive(text: str) -> str:
    """Without the `C:` of another system."""
    return text[2:] if text[1:2] == ":" and text[:1].isalpha() else text
