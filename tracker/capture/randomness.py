"""Which generators a script seeded, and with what, judged from two stored states; what a re-run cannot repeat.

Arithmetic on `RandomState` values: no generator is read or touched, so it works in the sidecar process as well.
"""

from __future__ import annotations

import base64
import os
import random
import struct
import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from .captured import Captured, Gap
from .entropy import packed
from .random_state import RandomState, capture_at_import, restore
from .seedings import ENTROPY, FRESH, MOST, SYSTEM, seedings
from .seeds import SeedOrigin, numpy_origin, python_origin

if TYPE_CHECKING:
    from ..rules.engine.records import Json

__all__ = ["RandomState", "capture_at_import", "capture_randomness", "restore", "seeded_facts"]

PART = "randomness"
DRAWN_BEFORE = "random had been drawn from before the tracker was imported, from an unknown seed"

_LARGEST_GIVEN_SEED = 1 << 32
"""torch seeds itself with 64 random bits; fewer than 33 of them come by chance once in 2**32 runs."""

_UNSEEDED_CUDA = 67280421310721  # c10::detail::default_rng_seed_val, before anything seeded a CUDA generator


def seeded_facts(at_import: RandomState, at_entry: RandomState, max_generations: int = 4) -> dict[str, Json]:
    """Which generators the script seeded, and with which number: True, False, or None where it cannot be known.

    `max_generations` bounds how many blocks of 624 draws are undone to find a Mersenne Twister's seed (about 0.5 ms
    each): small inside the training, generous outside of it. A generator that is not loaded is None.
    """
    python = _python_seeded(at_import, at_entry, max_generations)
    numpy = _numpy_seeded(at_entry, max_generations)
    torch = _torch_seeded(at_import, at_entry)
    known: dict[str, Json] = {}
    for name, origin in (("python", python), ("numpy", numpy), ("torch", torch)):
        known[f"{name}_seeded"] = origin.seeded
        # A number of more than 128 bits is the hash of a string given as seed: of no use to a reader.
        short = origin.seed is not None and origin.seed.bit_length() <= 128
        known[f"{name}_seed"] = str(origin.seed) if short else None
    known.update(
        hash_seed=at_entry.hash_seed,
        hash_fixed=not at_entry.hash_randomization or (at_entry.hash_seed or "random") != "random",
        state_captured=not at_entry.failed and at_entry.python is not None,
        digests=dict(at_entry.digests()),
    )
    return known


def _words(stored: Mapping[str, Any] | None) -> tuple[int, ...]:
    """The 624 words of Python's state, without the position."""
    data = base64.b64decode(stored["words"]) if stored else b""
    return struct.unpack(f"<{len(data) // 4}I", data)[:-1]


def _python_seeded(at_import: RandomState, at_entry: RandomState, max_generations: int) -> SeedOrigin:
    words, before = _words(at_entry.python), _words(at_import.python)
    origin = python_origin(words, max_generations)
    if origin.seeded is not None:
        return origin
    # Neither a seed nor fresh entropy: perhaps the state at the import, further on by draws alone.
    if _is_further_on(before, words, max_generations):
        return python_origin(before, 0)
    return SeedOrigin(None)


def _is_further_on(before: tuple[int, ...], words: tuple[int, ...], max_generations: int) -> bool:
    if not before:
        return False
    private = random.Random()  # of our own: the script's generator is not touched
    private.setstate((3, (*before, 624), None))
    for _ in range(max_generations + 1):
        if private.getstate()[1][:-1] == words:
            return True
        private.getrandbits(32 * 624)
    return False


def _numpy_seeded(at_entry: RandomState, max_generations: int) -> SeedOrigin:
    stored = at_entry.numpy
    if stored is None:
        return SeedOrigin(None)
    if stored.get("entropy") is not None:
        return SeedOrigin(False)
    state: Any = stored["state"]
    if not isinstance(state, dict) or state.get("bit_generator") != "MT19937":
        return SeedOrigin(None)
    data = base64.b64decode(state["state"]["key"]["array"])
    return numpy_origin(struct.unpack(f"<{len(data) // 4}I", data), max_generations)


def _torch_seeded(at_import: RandomState, at_entry: RandomState) -> SeedOrigin:
    if at_entry.torch is None:
        return SeedOrigin(None)
    seed = int(str(at_entry.torch["seed"]))
    if seed == _UNSEEDED_CUDA:
        return SeedOrigin(False)
    if 0 <= seed < _LARGEST_GIVEN_SEED:
        return SeedOrigin(True, seed)
    if at_import.torch is not None and at_import.torch["seed"] == at_entry.torch["seed"]:
        return SeedOrigin(False)
    # A large number: torch's own at its import, `torch.seed()`, or a large seed of the script.
    return SeedOrigin(None, seed)


def capture_randomness(
    at_import: RandomState, at_entry: RandomState, max_generations: int = 4, is_rerun: bool = False
) -> Captured:
    """The facts of `seeded_facts`, with what a re-run cannot repeat as gaps (advisory where a state was kept).

    In a re-run (`is_rerun`) the states were put back at the import: what was drawn before it changes nothing.
    """
    facts = seeded_facts(at_import, at_entry, max_generations)
    gaps: list[Gap] = []
    for name in at_entry.failed:
        gaps.append(Gap(PART, f"the state of {name}'s generator could not be read", f"seed {name} in the script"))
    before = _words(at_import.python)
    if before and not is_rerun and facts["python_seeded"] is not True and python_origin(before, 0).seeded is None:
        gaps.append(
            Gap(
                PART,
                DRAWN_BEFORE,
                "call random.seed(...) first, or import the tracker before other packages",
                blocking=False,
            )
        )
    if not is_rerun:
        gaps += _drawn_unseeded(at_import, facts)
    if not facts["hash_fixed"]:
        gaps.append(
            Gap(
                PART,
                "string hashes are random in this process, so the order of sets of strings cannot be repeated",
                "start it by `tracker run`, which picks a seed for them, or set PYTHONHASHSEED before Python starts",
                blocking=False,
            )
        )
    return Captured(facts=facts, gaps=gaps)


def _drawn_unseeded(at_import: RandomState, facts: Mapping[str, Json]) -> list[Gap]:
    """Name the generators that fed themselves from the system and were drawn from before the tracker was imported.

    Python's generator is told of elsewhere: libraries draw from it while they are imported. They leave these two alone,
    so that it was the script, whose numbers a re-run cannot have. With a seed given later, they may not matter.
    """
    found = []
    for name, is_fresh in (("numpy", _is_fresh_numpy(at_import)), ("torch", _is_fresh_torch(at_import))):
        if is_fresh is False:
            found.append(
                Gap(
                    PART,
                    f"{name}'s generator had been drawn from, unseeded, before the tracker was imported",
                    f"seed {name} first, or import the tracker before the first draw",
                    blocking=facts.get(f"{name}_seeded") is not True,
                )
            )
    return found


_TOO_MANY = {
    ENTROPY: ("generators of numpy", "rng = numpy.random.default_rng(seed)"),
    FRESH: ("generators like random.Random()", "rng = random.Random(seed)"),
}


def seeding_gaps(is_launched: bool) -> list[Gap]:
    """What a re-run cannot give again of what the generators of this process, and of its children, began with."""
    gaps = overflow_gaps(seedings.overflowed)
    lines = [line for line in seedings.as_json().get(SYSTEM, {}).get("lines", ()) if _is_of_the_project(line)]
    if lines:
        shown = ", ".join(lines[:3]) + (f" and {len(lines) - 3} more" if len(lines) > 3 else "")
        gaps.append(
            Gap(
                PART,
                f"numbers were drawn from the system itself ({shown}): they cannot be repeated",
                "draw what the training depends on from random.Random or numpy",
                blocking=False,
            )
        )
    if not is_launched and "multiprocessing.popen_spawn_posix" in sys.modules:
        gaps.append(
            Gap(
                PART,
                "generators that were made without a seed in processes started by 'spawn' are not known",
                "start the script by `tracker run`, or seed them",
                blocking=False,
            )
        )
    return gaps


def _is_of_the_project(line: str) -> bool:
    """Whether a line, as `asked_by` names it, is in a file that is no installed package's."""
    file = getattr(sys.modules.get(line.split(":")[0]), "__file__", None) or ""
    return "site-packages" not in file and not file.startswith(os.path.dirname(os.__file__))


def overflow_gaps(kinds: Iterable[str]) -> list[Gap]:
    """The gaps of a process that made more generators without a seed than are kept, by the kinds of `seedings`."""
    return [
        Gap(
            PART,
            f"more than {MOST[kind]} {_TOO_MANY[kind][0]} were made without a seed: what the later ones began with "
            "is not stored",
            f"make one, with a seed, and draw from it: {_TOO_MANY[kind][1]}",
        )
        for kind in dict.fromkeys(kinds)
        if kind in _TOO_MANY
    ]


def own_generator_gap(name: str, generator: random.Random) -> Gap | None:
    """A gap for a `random.Random()` of the script's that fed itself from the system; None where it was seeded."""
    try:
        words = generator.getstate()[1][:-1]
    except NotImplementedError:  # random.SystemRandom has no state at all
        words = ()
    if words and (python_origin(words).seeded is not False or seedings.has(FRESH, packed((3, (*words, 624))))):
        return None  # it was seeded, or a re-run can begin it the same way
    return Gap(
        PART,
        f"the generator {name} ({type(generator).__name__}) was made without a seed: its numbers cannot be repeated",
        f"give it a seed: {name} = random.Random(0)",
    )


def _is_fresh_numpy(state: RandomState) -> bool | None:
    """Whether numpy's generator is as its entropy made it; None where it was seeded or is not there."""
    module: Any = sys.modules.get("numpy.random")
    stored = state.numpy
    if module is None or stored is None or stored.get("entropy") is None:
        return None
    private = module.MT19937(module.SeedSequence(int(str(stored["entropy"]))))
    kept: Any = stored["state"]
    if not isinstance(kept, dict) or kept.get("bit_generator") != "MT19937":
        return None
    fresh = private.state["state"]
    return bool(
        base64.b64decode(kept["state"]["key"]["array"]) == fresh["key"].tobytes()
        and int(kept["state"]["pos"]) == int(fresh["pos"])
    )


def _is_fresh_torch(state: RandomState) -> bool | None:
    """Whether torch's generator is as its own seed made it; None where a small number was given as seed."""
    torch: Any = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "Generator") or state.torch is None:
        return None
    seed = int(str(state.torch["seed"]))
    if 0 <= seed < _LARGEST_GIVEN_SEED:
        return None
    private = torch.Generator()
    private.manual_seed(seed)
    return bool(bytes(private.get_state().tolist()) == base64.b64decode(str(state.torch["state"])))
