"""Random generators: Python's, NumPy's, torch's on every device, and those that somebody holds of their own."""

from __future__ import annotations

import pickle
import random
import sys
from typing import Any

import torch

from .part import Part


def global_generators() -> list[tuple[str, Any]]:
    """(name, generator) of those that everybody draws from. None is initialised that is not yet."""
    found: list[tuple[str, Any]] = [
        ("random numbers of Python", getattr(random, "_inst", None)),
        ("random numbers of NumPy", getattr(sys.modules.get("numpy.random.mtrand"), "_rand", None)),
        ("random numbers of torch", torch.default_generator),
    ]
    for device in ("cuda", "xpu"):
        backend = getattr(torch, device, None)
        if backend is not None and backend.is_available() and backend.is_initialized():
            found += [
                (f"random numbers of {device}:{index}", one) for index, one in enumerate(backend.default_generators)
            ]
    if torch.backends.mps.is_available():
        found.append(("random numbers of mps", torch.mps._get_default_mps_generator()))
    return [(name, one) for name, one in found if one is not None]


class TorchGenerator(Part):
    """A `torch.Generator`."""

    __slots__ = ("_kept", "_thing")

    def __init__(self, thing: torch.Generator) -> None:
        self._thing = thing
        self._kept = thing.get_state()

    def restore(self) -> None:
        self._thing.set_state(self._kept)

    @staticmethod
    def digests(thing: torch.Generator) -> dict[str, str]:
        return {"state": str(hash(bytes(thing.get_state().tolist())))}


class PythonGenerator(Part):
    """A `random.Random`."""

    __slots__ = ("_kept", "_thing")

    def __init__(self, thing: random.Random) -> None:
        self._thing = thing
        self._kept = thing.getstate()

    def restore(self) -> None:
        self._thing.setstate(self._kept)

    @staticmethod
    def digests(thing: random.Random) -> dict[str, str]:
        return {"state": str(hash(thing.getstate()))}


class NumpyRandomState(Part):
    """A `numpy.random.RandomState`."""

    __slots__ = ("_kept", "_thing")

    def __init__(self, thing: Any) -> None:
        self._thing = thing
        self._kept = thing.get_state(legacy=False)

    def restore(self) -> None:
        self._thing.set_state(self._kept)

    @staticmethod
    def digests(thing: Any) -> dict[str, str]:
        return {"state": str(hash(pickle.dumps(thing.get_state(legacy=False))))}


class NumpyGenerator(Part):
    """A `numpy.random.Generator`, or the `BitGenerator` below one."""

    __slots__ = ("_bits", "_kept")

    def __init__(self, thing: Any) -> None:
        self._bits = getattr(thing, "bit_generator", thing)
        self._kept = self._bits.state

    def restore(self) -> None:
        self._bits.state = self._kept

    @staticmethod
    def digests(thing: Any) -> dict[str, str]:
        return {"state": str(hash(pickle.dumps(getattr(thing, "bit_generator", thing).state)))}


def _uses_cuda() -> bool:
    return bool(torch.cuda.is_initialized())  # type: ignore[no-untyped-call]


class Generators:
    """The global generators as they stand, and nothing else."""

    def __init__(self) -> None:
        self._parts = [part(one) for _, one in global_generators() for part in generator_parts(type(one))]

    def restore(self) -> None:
        """Has each give the same numbers again."""
        for part in self._parts:
            part.restore()


def generator_parts(kind: type) -> tuple[type[Part], ...]:
    """The part that keeps a generator of a class; none for anything else."""
    if issubclass(kind, torch.Generator):
        return (TorchGenerator,)
    if issubclass(kind, random.Random):
        return () if issubclass(kind, random.SystemRandom) else (PythonGenerator,)
    numpy = sys.modules.get("numpy.random")
    if numpy is None:
        return ()
    if issubclass(kind, numpy.RandomState):
        return (NumpyRandomState,)
    return (NumpyGenerator,) if issubclass(kind, (numpy.Generator, numpy.BitGenerator)) else ()


class FreshCuda(Part):
    """A CUDA that nobody has used yet: if a drill does, its generators begin again where they would have begun."""

    __slots__ = ("_was_initialized",)

    def __init__(self, thing: Any) -> None:
        self._was_initialized = _uses_cuda()

    def restore(self) -> None:
        if not self._was_initialized and _uses_cuda():
            for one in torch.cuda.default_generators:
                one.manual_seed(one.initial_seed())

    @staticmethod
    def digests(thing: Any) -> dict[str, str]:
        return {}
