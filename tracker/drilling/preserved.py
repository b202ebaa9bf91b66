"""Leaves everything as it was found: parameters, buffers, gradients, optimizers, modes, hooks, random generators."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any

import torch

from .preserving.containers import GlobalHooksPart
from .preserving.generators import FreshCuda, global_generators
from .preserving.interrupts import defer, deliver, release, unbroken
from .preserving.part import Part
from .preserving.reach import Reached
from .preserving.settings import SettingsPart
from .preserving.tensors import Memory, Versions

_GLOBAL_HOOKS = {
    name: one
    for kind in (torch.nn.Module, torch.optim.Optimizer)
    for name, one in vars(sys.modules[kind.__module__]).items()
    if name.startswith("_global_") and isinstance(one, dict)
}
"""Hooks of all modules and of all optimizers."""

_TRIES = 3
"""How often a part is begun that is interrupted again and again."""


class NotRestored(RuntimeError):
    """Something could not be put back; the message says what. It is a fault of ours."""


class preserved:  # used like a function
    """Everything of `modules` and `optimizers`, and all that is global, is afterwards bit for bit as before.

    Also when the block raises, or is interrupted: Ctrl-C waits until everything is back. Nothing is replaced: tensors
    and containers keep their identity, and values are written back into them. `others` are further things that the
    block may change, such as its batch, or loaders with generators of their own. Global are the generators of random
    numbers and the settings of torch. Raises `NotRestored` for what could not be put back.
    """

    def __init__(
        self,
        modules: Sequence[torch.nn.Module],
        optimizers: Sequence[torch.optim.Optimizer] = (),
        others: Iterable[Any] = (),
    ) -> None:
        self._roots = modules, optimizers, others
        self._kept: Kept | None = None
        self._defers = False

    @unbroken
    def __enter__(self) -> None:
        self._defers = defer()
        try:
            self._kept = Kept(*self._roots)
            deliver(sys._getframe(1))
        except BaseException:
            if self._defers:
                release()
            raise

    @unbroken
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        kept, self._kept = self._kept, None
        faults = kept.restore() if kept is not None else []
        if self._defers:
            release()
        deliver(sys._getframe(1))
        if faults and (error is None or isinstance(error, Exception)):
            raise NotRestored(f"A drill could not put back {'; '.join(faults)[:500]}.")


class Kept:
    """A copy of the state, and the way back to it."""

    def __init__(
        self,
        modules: Sequence[torch.nn.Module],
        optimizers: Sequence[torch.optim.Optimizer] = (),
        others: Iterable[Any] = (),
    ) -> None:
        with torch._C.DisableTorchFunctionSubclass(), torch.no_grad():
            self._reached = _reached(modules, optimizers, others)
            parts = zip(self._reached.things, self._reached.kinds, strict=True)
            made = [(index, part(thing)) for index, (thing, kinds) in enumerate(parts) for part in kinds]
            tensors = self._reached.tensors
            memory = Memory(tensors)
            hooks = [(-1, GlobalHooksPart(one)) for one in _GLOBAL_HOOKS.values()]
            # Places before what lies there; generators and settings last, as putting back may draw or switch.
            self._parts: list[tuple[int, Part]] = [
                *made,
                *hooks,
                (-1, memory),
                (-1, Versions(tensors)),
                (-1, FreshCuda(None)),
            ]
        self._settings = SettingsPart()
        self.nbytes = memory.nbytes
        """Bytes of the copies of tensors."""

    @unbroken
    def restore(self) -> list[str]:
        """Puts everything back, whatever comes in between; says what could not be.

        An interruption that comes in the middle is raised when the rest is done.
        """
        faults: list[str] = []
        interruption: BaseException | None = None
        at = tries = 0
        while at < len(self._parts):
            try:
                with torch._C.DisableTorchFunctionSubclass(), torch.no_grad():
                    while at < len(self._parts):
                        self._parts[at][1].restore()
                        at += 1
            except Exception as error:
                faults.append(f"{self._name(at)} ({type(error).__name__}: {error})")
                at += 1
            except BaseException as error:
                interruption, tries = error, tries + 1
                at += tries % _TRIES == 0
        try:
            self._settings.restore()
        except Exception as error:
            faults.append(f"the settings of torch ({type(error).__name__}: {error})")
        if interruption is not None:
            raise interruption
        return faults

    def _name(self, at: int) -> str:
        index, part = self._parts[at]
        return self._reached.name(index) if index >= 0 else type(part).__name__.lower()


def fingerprint(
    modules: Sequence[torch.nn.Module],
    optimizers: Sequence[torch.optim.Optimizer] = (),
    others: Iterable[Any] = (),
) -> dict[str, str]:
    """A digest of each part of the state by its name, `model.0.weight values`; to be compared within this process."""
    found: dict[str, str] = {f"torch's {name}": one for name, one in SettingsPart.digests(None).items()}
    for name, hooks in _GLOBAL_HOOKS.items():
        found[name] = GlobalHooksPart.digests(hooks)["items"]
    with torch._C.DisableTorchFunctionSubclass(), torch.no_grad():
        reached = _reached(modules, optimizers, others)
        for index, (thing, kinds) in enumerate(zip(reached.things, reached.kinds, strict=True)):
            for part in kinds:
                for aspect, digest in part.digests(thing).items():
                    found[f"{reached.name(index)}{'' if aspect[0] == '.' else ' '}{aspect}"] = digest
    return found


def changed(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Names of the parts that differ between two fingerprints."""
    return [name for name in dict.fromkeys([*before, *after]) if before.get(name) != after.get(name)]


def _reached(
    modules: Sequence[torch.nn.Module], optimizers: Sequence[torch.optim.Optimizer], others: Iterable[Any]
) -> Reached:
    reached = Reached()
    reached.follow(
        [
            *((_numbered("model", index), one) for index, one in enumerate(modules)),
            *((_numbered("optimizer", index), one) for index, one in enumerate(optimizers)),
            *((_numbered("other", index), one) for index, one in enumerate(others)),
            *global_generators(),
        ]
    )
    return reached


def _numbered(name: str, index: int) -> str:
    return f"{name} {index + 1}" if index else name


__all__ = ["Kept", "NotRestored", "changed", "fingerprint", "preserved"]
