"""The seeds that torch's generators are given, and those that torch draws from the system: noted as they pass.

Loaded with torch. `torch.manual_seed` itself stays what it is where torch allows it: TorchScript and torch.compile know
that function by its identity.
"""

from __future__ import annotations

import contextlib
import functools
import json
import struct
import sys
from typing import Any

from .entropy import packed, unpacked
from .seedings import DRAWN, GENERATOR, STARTED, asked_by, from_text, seedings

_STATE = "state:"
_SEED = "seed:"

_known: list[Any] = []
"""Generators of loaders that were seen before: only the first look tells how they began."""


def watch() -> None:
    """Begin to note; torch is loaded."""
    torch: Any = sys.modules["torch"]
    seed_all = getattr(torch.random, "_manual_seed_impl", torch.random.manual_seed)
    if hasattr(torch.random, "_manual_seed_impl"):  # since torch 2.13
        _wrap(torch.random, "_manual_seed_impl", "torch.manual_seed")
    elif torch.manual_seed is torch.random.manual_seed:  # else torch.compile has wrapped it already
        _wrap(torch.random, "manual_seed", "torch.manual_seed", torch)
    for name in ("manual_seed", "manual_seed_all"):
        _wrap(torch.cuda.random, name, f"torch.cuda.{name}", torch.cuda)
    _wrap_drawing(torch, seed_all)
    _wrap_loaders(torch)
    if seedings.is_started_afresh:
        _note_start(torch)


def _note_start(torch: Any) -> None:
    """Notes how the generators are in this child, which began with generators of its own, not with its parent's."""
    import random

    found = json.dumps([packed(random.getstate()), torch.default_generator.initial_seed()])
    then = seedings.stored(STARTED, "torch")
    if then is not None:
        with contextlib.suppress(ValueError, TypeError, struct.error):
            state, seed = json.loads(then)
            random.setstate(unpacked(state))
            torch.default_generator.manual_seed(int(seed))
            found = then
    seedings.note(STARTED, "torch", found)


def _wrap(module: Any, name: str, told: str, also: Any = None) -> None:
    """Has the seeds noted that `module.name` is given; `also` is a second module with the same name for it."""
    original = getattr(module, name, None)
    if original is None:
        return

    @functools.wraps(original)
    def seeding(seed: Any) -> Any:
        caller = sys._getframe(1)
        # torch.manual_seed seeds every device by a call of its own, with what it was given itself.
        if caller.f_code.co_filename != torch_file or told == "torch.manual_seed":
            seed = seedings.given(told, asked_by(caller), seed)
        return original(seed)

    torch_file = sys.modules["torch.random"].__file__
    setattr(module, name, seeding)
    if also is not None and getattr(also, name, None) is original:
        setattr(also, name, seeding)
    _known_to_scripts(original, seeding)


def _known_to_scripts(original: Any, wrapper: Any) -> None:
    """Has TorchScript take the wrapper for the function it knows, if it has made its list already."""
    builtins: Any = sys.modules.get("torch.jit._builtins")
    table = getattr(builtins, "_builtin_table", None)
    if table and id(original) in table:
        table[id(wrapper)] = table[id(original)]


def _wrap_drawing(torch: Any, seed_all: Any) -> None:
    """Has the seed noted that `torch.seed` draws from the system; a re-run gives that of the original."""
    original = torch.random.seed

    @functools.wraps(original)
    def seed() -> int:
        drawn: int = original()
        line = asked_by(sys._getframe(1))
        stored = seedings.stored(DRAWN, line)
        then = from_text(stored) if stored is not None else None
        if isinstance(then, int) and 0 <= then < 1 << 64:
            seed_all(then)
            drawn = then
        seedings.note(DRAWN, line, str(drawn))
        return drawn

    torch.random.seed = seed
    if torch.seed is original:
        torch.seed = seed
    _known_to_scripts(original, seed)


def _wrap_loaders(torch: Any) -> None:
    """Has the own generator of a loader noted when it is first used: its methods are written in C, and cannot be."""
    kind: Any = torch.utils.data.dataloader._BaseDataLoaderIter
    original = kind.__init__

    @functools.wraps(original)
    def __init__(self: Any, loader: Any, *args: Any, **kwargs: Any) -> None:
        with contextlib.suppress(Exception):  # a loader of another kind: its iterator is the user's
            _note_generators(torch, loader, asked_by(sys._getframe(1)))
        original(self, loader, *args, **kwargs)

    kind.__init__ = __init__


def _note_generators(torch: Any, loader: Any, line: str) -> None:
    sampler = getattr(loader, "sampler", None)
    for generator in (getattr(loader, "generator", None), getattr(sampler, "generator", None)):
        if not isinstance(generator, torch.Generator) or generator.device.type != "cpu" or len(_known) > 100:
            continue
        if generator is torch.default_generator or any(generator is known for known in _known):
            continue
        _known.append(generator)
        found = _described(torch, generator)
        then = seedings.stored(GENERATOR, line)
        if then is not None and then != found and _put(torch, generator, then):
            seedings.tell(f"the generator of the loader ({line}) is as it was in the original.")
            found = then
        seedings.note(GENERATOR, line, found)


def _described(torch: Any, generator: Any) -> str:
    """`seed:number` for a generator that has drawn nothing since it was seeded, else its state of 5 KB."""
    import base64

    state = generator.get_state()
    fresh = torch.Generator()
    fresh.manual_seed(generator.initial_seed())
    if torch.equal(fresh.get_state(), state):
        return f"{_SEED}{generator.initial_seed()}"
    return _STATE + base64.b64encode(bytes(state.tolist())).decode("ascii")


def _put(torch: Any, generator: Any, stored: str) -> bool:
    """Puts a generator into a stored state; False when it is none."""
    import base64

    if stored.startswith(_SEED):
        seed = from_text(stored.removeprefix(_SEED))
        if not isinstance(seed, int) or not 0 <= seed < 1 << 64:
            return False
        generator.manual_seed(seed)
        return True
    if not stored.startswith(_STATE):
        return False
    data = base64.b64decode(stored.removeprefix(_STATE), validate=True)
    generator.set_state(torch.tensor(list(data), dtype=torch.uint8, device="cpu"))
    return True
