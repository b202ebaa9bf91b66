"""What Python's and numpy's generators begin with: the system's entropy where they were made without a seed, and seeds.

`numpy.random.default_rng()` and its kin begin with 128 bits that `numpy.random.bit_generator` asks of the system;
`random.Random()` fills its state from the system in C, which can be read afterwards. They are passed on as they are: no
generator that a user can see is drawn from. Only a re-run is given what the original had.
"""

from __future__ import annotations

import sys

from ..on_import import when_imported
from .seedings import ENTROPY, FRESH, MOST, STARTED, asked_by, seedings

# Under `tracker run` this is loaded at the start of every Python process: what is slow to import waits.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_BITS = "numpy.random.bit_generator"

_is_watched = False


def watch() -> None:
    """Begin to note, as soon as the generators' modules are loaded."""
    global _is_watched
    if not _is_watched:
        _is_watched = True
        when_imported("random", _wrap_random)
        when_imported(_BITS, _wrap_bits)
        when_imported("numpy.random", _wrap_numpy_seed)
        when_imported("multiprocessing.util", _watch_children)


def packed(state: tuple[Any, ...]) -> str:
    """The state of a `random.Random` that has drawn nothing yet, as text."""
    import base64
    import struct

    words = state[1]
    return base64.b64encode(struct.pack(f"<{len(words)}I", *words)).decode("ascii")


def unpacked(text: str) -> tuple[Any, ...]:
    """The state that `packed` wrote; raises ValueError or struct.error for anything else."""
    import base64
    import struct

    data = base64.b64decode(text, validate=True)
    return 3, struct.unpack(f"<{len(data) // 4}I", data), None


def _wrap_random() -> None:
    """Has `random.Random.seed` noted, which also runs whenever one is made; and `random.seed`, bound from it."""
    random: Any = sys.modules["random"]
    kind: Any = getattr(random, "Random", None)
    original = getattr(kind, "seed", None)
    hidden: Any = getattr(random, "_inst", None)
    if original is None or type(hidden) is not kind:  # a module of the user's with this name
        return

    def seed(self: Any, a: Any = None, version: int = 2) -> None:
        line = asked_by(sys._getframe(1))
        if a is not None and not isinstance(a, (bytes, bytearray)):
            original(self, seedings.given("random.seed", line, a), version)
            return
        original(self, a, version)  # bytes are from the system, mostly, and kept as the state that they lead to
        if not line:
            return
        try:
            then = seedings.stored(FRESH, line)
            if then is not None:
                kind.setstate(self, unpacked(then))
            seedings.note(FRESH, line, packed(kind.getstate(self)))
        except Exception:
            return  # the user's own kind of generator

    kind.seed = _as(original, seed)
    random.seed = hidden.seed
    for name in ("random", "getrandbits"):
        _watch_system(random.SystemRandom, name)


def _watch_children() -> None:
    """Has it noted what `random` begins with in a child: Python seeds it anew from the system after a fork."""
    util: Any = sys.modules["multiprocessing.util"]
    util.register_after_fork(seedings, _note_child)


def _note_child(_: object) -> None:
    process: Any = sys.modules["multiprocessing.process"].current_process()
    random: Any = sys.modules.get("random")
    of_loader = getattr(getattr(process, "_target", None), "__module__", None) == "torch.utils.data._utils.worker"
    if random is None or of_loader:  # a loader seeds its workers
        return
    try:
        then = seedings.stored(STARTED, "random")
        if then is not None:
            random.setstate(unpacked(then))
        seedings.note(STARTED, "random", packed(random.getstate()))
    except Exception:
        return  # a damaged note; or a module of the user's with this name


def _watch_system(kind: Any, name: str) -> None:
    """Has it noted where a script draws from the system itself, by `secrets` as well; never which numbers."""
    original = getattr(kind, name)

    def draw(self: Any, *args: Any, **kwargs: Any) -> Any:
        caller = sys._getframe(1)
        line = asked_by(caller) if caller.f_globals is not globals() else ""  # what numpy asks for is noted below
        number = original(self, *args, **kwargs)
        if line:
            seedings.from_system(line, number)
        return number

    setattr(kind, name, _as(original, draw))


def _as(original: Any, wrapper: Callable[..., Any]) -> Callable[..., Any]:
    """The wrapper, looking as the original does; `functools` would be slow to load."""
    for name in ("__module__", "__name__", "__qualname__", "__doc__"):
        setattr(wrapper, name, getattr(original, name, None))
    wrapper.__wrapped__ = original  # type: ignore[attr-defined]
    return wrapper


def _wrap_bits() -> None:
    module: Any = sys.modules[_BITS]
    given: Callable[[int], int] | None = getattr(module, "randbits", None)
    if given is None:  # another version of numpy: its generators are not repeatable, and nothing is touched
        return
    from_system: set[int] = set()

    def randbits(k: int) -> int:
        line = asked_by(sys._getframe(1))
        then = seedings.stored(ENTROPY, line)
        value = _entropy(then, k) if then is not None else None
        if value is None:
            value = given(k)
        seedings.note(ENTROPY, line, f"{k}:{value}")
        if len(from_system) < MOST[ENTROPY]:
            from_system.add(value)
        return value

    module.randbits = randbits
    coerced: Callable[[Any], Any] | None = getattr(module, "_coerce_to_uint32_array", None)
    if coerced is None:
        return

    def coerce(x: Any) -> Any:
        # Every seed sequence comes by with its seed, and once more with the numbers that its kin are told apart by.
        if type(x) is int and x not in from_system:
            x = seedings.given("numpy.seed_sequence", asked_by(sys._getframe(1)), x)
        return coerced(x)

    module._coerce_to_uint32_array = coerce


def _entropy(text: str, bits: int) -> int | None:
    """The number in `bits:number`, if it is one of so many bits."""
    asked, _, number = text.partition(":")
    if asked != str(bits) or not number.isdecimal() or len(number) > bits:
        return None
    value = int(number)
    return value if value.bit_length() <= bits else None


def _wrap_numpy_seed() -> None:
    module: Any = sys.modules["numpy.random"]
    original = getattr(module, "seed", None)
    if original is None:
        return

    def seed(seed: Any = None) -> None:
        if seed is not None:
            seed = seedings.given("numpy.random.seed", asked_by(sys._getframe(1)), seed)
        original(seed)

    module.seed = _as(original, seed)
    legacy: Any = getattr(module, "mtrand", None)
    if getattr(legacy, "seed", None) is original:
        legacy.seed = module.seed
