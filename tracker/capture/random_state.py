"""The state of every random generator of the process, so that even an unseeded run can be run again.

Runs inside the training process. Reading a state draws nothing from it; CUDA is looked at only once it is in use;
only `restore`, which a re-run calls, writes.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import os
import random
import struct
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ..on_import import when_imported
from . import early

if TYPE_CHECKING:
    from ..rules.engine.records import Json

SCHEMA = 1


@dataclass(frozen=True)
class RandomState:
    """The generators at one moment; a generator that was not there is None, `failed` names unreadable ones."""

    python: dict[str, Json] | None = None
    numpy: dict[str, Json] | None = None
    torch: dict[str, Json] | None = None
    cuda: dict[str, dict[str, Json]] = field(default_factory=dict)
    hash_seed: str | None = None
    hash_randomization: bool = True
    failed: tuple[str, ...] = ()

    @classmethod
    def capture(cls) -> RandomState:
        """Read every generator that exists; about 0.3 ms, draws nothing, imports nothing, raises nothing."""
        failed: list[str] = []
        found: dict[str, Any] = {}
        for name, read in (("python", _python), ("numpy", _numpy), ("torch", _torch), ("cuda", _cuda)):
            try:
                found[name] = read()
            except Exception:
                failed.append(name)
        return cls(
            **found,
            hash_seed=os.environ.get("PYTHONHASHSEED"),
            hash_randomization=bool(sys.flags.hash_randomization),
            failed=tuple(failed),
        )

    def as_json(self) -> dict[str, Json]:
        """The state for `randomness.json`, about 14 KB; `from_json` reads it back."""
        return {
            "schema": SCHEMA,
            "python": self.python,
            "numpy": self.numpy,
            "torch": self.torch,
            "cuda": dict(self.cuda),
            "hash_seed": self.hash_seed,
            "hash_randomization": self.hash_randomization,
            "failed": list(self.failed),
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> RandomState:
        """The state that `as_json` wrote; raises ValueError for another schema."""
        if stored.get("schema") != SCHEMA:
            raise ValueError(
                f"Stored random state has schema {stored.get('schema')!r}; this version reads {SCHEMA}. "
                "Use the version of soundrun that recorded the run."
            )
        return cls(
            python=stored["python"],
            numpy=stored["numpy"],
            torch=stored["torch"],
            cuda=dict(stored["cuda"]),
            hash_seed=stored["hash_seed"],
            hash_randomization=stored["hash_randomization"],
            failed=tuple(stored["failed"]),
        )

    def digests(self) -> dict[str, str]:
        """A short digest of each generator's state, for comparing two moments or two runs."""
        states: dict[str, Any] = {"python": self.python, "numpy": self.numpy, "torch": self.torch}
        states.update({f"cuda:{device}": state for device, state in self.cuda.items()})
        return {name: _digest(state) for name, state in states.items() if state is not None}

    def with_cuda_since(self, later: RandomState) -> RandomState:
        """This state with the CUDA generators that came up only afterwards, as they were when they did.

        A Philox generator is a seed and an offset that starts at zero, so its beginning follows from its later state
        as long as nobody seeded it in between (a re-run repeats such a seeding by itself).
        """
        added = {
            device: {"seed": state["seed"], "state": _text(struct.pack("<Qq", int(str(state["seed"])), 0))}
            for device, state in later.cuda.items()
            if device not in self.cuda
        }
        return replace(self, cuda={**self.cuda, **added})


def _digest(state: Any) -> str:
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()[:16]


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _python(state: tuple[Any, ...] | None = None) -> dict[str, Json]:
    version, words, gauss = random.getstate() if state is None else state
    return {"version": version, "words": _text(struct.pack(f"<{len(words)}I", *words)), "gauss": gauss}


def _numpy(noted: tuple[Any, Any] | None = None) -> dict[str, Json] | None:
    module: Any = sys.modules.get("numpy.random")
    if module is None:
        return None
    state, generator = noted or (module.get_state(legacy=False), getattr(module.mtrand._rand, "_bit_generator", None))
    # A seed sequence is there as long as the generator was never seeded by `numpy.random.seed`.
    sequence = getattr(generator, "seed_seq", getattr(generator, "_seed_seq", None))
    entropy = getattr(sequence, "entropy", None)
    return {"state": _pack(state), "entropy": None if entropy is None else str(entropy)}


def _pack(value: Any) -> Json:
    """numpy's nested state as JSON: arrays and integers beyond 64 bits as tagged text."""
    if isinstance(value, dict):
        return {str(name): _pack(item) for name, item in value.items()}
    if hasattr(value, "dtype") and hasattr(value, "tobytes"):
        return {"array": _text(value.tobytes()), "dtype": str(value.dtype)}
    if isinstance(value, int) and abs(value) >= 1 << 63:
        return {"integer": str(value)}
    return value  # type: ignore[no-any-return]


def _unpack(value: Any) -> Any:
    if isinstance(value, dict):
        if set(value) == {"array", "dtype"}:
            numpy: Any = sys.modules["numpy"]
            return numpy.frombuffer(base64.b64decode(value["array"]), dtype=value["dtype"]).copy()
        if set(value) == {"integer"}:
            return int(value["integer"])
        return {name: _unpack(item) for name, item in value.items()}
    return value


def _torch() -> dict[str, Json] | None:
    torch: Any = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "default_generator"):
        return None  # not there, or still being imported
    state = torch.default_generator.get_state()
    return {"seed": int(torch.default_generator.initial_seed()), "state": _text(bytes(state.tolist()))}


def _cuda() -> dict[str, dict[str, Json]]:
    torch: Any = sys.modules.get("torch")
    cuda: Any = getattr(torch, "cuda", None)
    if cuda is None or not cuda.is_initialized():
        return {}
    return {
        str(index): {"seed": int(generator.initial_seed()), "state": _text(bytes(generator.get_state().tolist()))}
        for index, generator in enumerate(cuda.default_generators)
    }


_at_import: RandomState | None = None

_LATE = {"numpy": "numpy.random", "torch": "torch"}
"""The module that makes each generator. numpy loads its own only when it is first asked for, often inside the block."""


def capture_at_import() -> RandomState:
    """The state when the package was imported, kept from the first call on: later draws of a script are after it.

    A generator that is not there yet is taken in the moment its module has been imported: it seeds itself from the
    system, and nothing has been drawn from it.
    """
    global _at_import
    if _at_import is None:
        _at_import = _with_noted(RandomState.capture())
        for name, module in _LATE.items():
            if getattr(_at_import, name) is None and name not in _at_import.failed:
                when_imported(module, functools.partial(_take_late, name))
    return _at_import


def _with_noted(now: RandomState) -> RandomState:
    """The state with the generators that were noted when they came up, before the package was loaded, as they were."""
    noted: dict[str, Any] = {}
    if "random" in early.states:
        noted["python"] = _python(early.states["random"])
    if "numpy.random" in early.states:
        noted["numpy"] = _numpy(early.states["numpy.random"])
    return replace(now, **noted)


def _take_late(name: str) -> None:
    global _at_import
    if _at_import is None:
        return
    try:
        _at_import = replace(_at_import, **{name: _numpy() if name == "numpy" else _torch()})  # type: ignore[arg-type]
    except Exception:  # inside the user's import: it must not fail because of us
        _at_import = replace(_at_import, failed=(*_at_import.failed, name))


def restore(state: RandomState) -> list[str]:
    """Put every generator back, in a re-run only; return the names of those that could not be.

    numpy and torch are set when they are loaded, CUDA devices when they exist.
    """
    missing = list(state.failed)
    for name, stored, put in (
        ("python", state.python, _put_python),
        ("numpy", state.numpy, _put_numpy),
        ("torch", state.torch, _put_torch),
        *((f"cuda:{device}", stored, _put_cuda(device)) for device, stored in state.cuda.items()),
    ):
        if stored is None:
            continue
        try:
            put(stored)
        except Exception:
            missing.append(name)
    return missing


def _put_python(stored: Mapping[str, Any]) -> None:
    data = base64.b64decode(stored["words"])
    random.setstate((stored["version"], struct.unpack(f"<{len(data) // 4}I", data), stored["gauss"]))


def _put_numpy(stored: Mapping[str, Any]) -> None:
    module: Any = sys.modules["numpy.random"]
    module.set_state(_unpack(stored["state"]))


def _put_torch(stored: Mapping[str, Any]) -> None:
    torch: Any = sys.modules["torch"]
    # The seed is part of the state, so initial_seed() is the original's again as well.
    torch.default_generator.set_state(_bytes_tensor(torch, stored["state"]))


def _put_cuda(name: str) -> Any:
    def put(stored: Mapping[str, Any]) -> None:
        torch: Any = sys.modules["torch"]
        device = int(name)
        if not torch.cuda.is_available() or device >= torch.cuda.device_count():
            raise RuntimeError(f"CUDA device {device} is not here")
        torch.cuda.set_rng_state(_bytes_tensor(torch, stored["state"]), device)

    return put


def _bytes_tensor(torch: Any, text: str) -> Any:
    return torch.tensor(list(base64.b64decode(text)), dtype=torch.uint8, device="cpu")
