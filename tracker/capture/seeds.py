"""Which seed a Mersenne Twister state came from: arithmetic on stored states, no generator is touched.

Python's `random` and numpy's legacy generator are MT19937. Its seeding and its steps can be undone, so a stored state
tells whether it was seeded by a number (and which), or from the system's entropy. Recurrences: Matsumoto & Nishimura,
"Mersenne Twister", ACM TOMACS 8(1), 1998, and their reference code `init_genrand` / `init_by_array` (2002).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

N, M = 624, 397
_MASK = 0xFFFFFFFF
_UPPER, _LOWER = 0x80000000, 0x7FFFFFFF
_MATRIX = 0x9908B0DF
_INIT_INVERSE = pow(1812433253, -1, 1 << 32)


@dataclass(frozen=True)
class SeedOrigin:
    """Where a state came from: `seeded` by the program, with `seed` if it was one number; None means unknown."""

    seeded: bool | None
    seed: int | None = None
    generations: int | None = None
    """How many blocks of 624 draws lie between the seeding and the state."""


def python_origin(words: Sequence[int], max_generations: int = 4) -> SeedOrigin:
    """The origin of a `random` state (624 words), looking back at most 624 * `max_generations` draws.

    `random.seed(int)` uses `init_by_array` with the number's 32-bit words, `seed(str)` with those of a hash: a short
    key, which shows as a period. The start of the interpreter and `seed()` use 624 words of entropy, which have none.
    Undoing one block takes about 0.4 ms.
    """
    return _origin(words, max_generations, legacy=False)


def numpy_origin(words: Sequence[int], max_generations: int = 4) -> SeedOrigin:
    """The origin of a `numpy.random` legacy state; `numpy.random.seed(int)` uses `init_genrand`."""
    return _origin(words, max_generations, legacy=True)


def _origin(words: Sequence[int], max_generations: int, legacy: bool) -> SeedOrigin:
    if len(words) != N:
        return SeedOrigin(None)
    state = list(words)
    for generation in range(max_generations + 1):
        if legacy:
            seed = _genrand_seed(state)
            if seed is not None:
                return SeedOrigin(True, seed, generation)
        key = _array_key(state)
        if key is not None:
            return SeedOrigin(True, sum(word << 32 * place for place, word in enumerate(key)), generation)
        # `init_by_array` always leaves this word; entropy seeding does too, and with it the search has an end.
        if state[0] == _UPPER and generation == 0:
            return SeedOrigin(False, None, 0)
        state = _previous(state)
    return SeedOrigin(None)


def _previous(words: list[int]) -> list[int]:
    """The block before: every word but the lower 31 bits of the first, which no later state depends on."""
    state = list(words)
    for i in range(N - 1, -1, -1):
        upper = _untwist(state[i] ^ state[(i + M) % N]) & _UPPER
        lower = _untwist(state[i - 1] ^ state[(i + M - 1) % N]) & _LOWER
        state[i] = upper | lower
    return state


def _untwist(word: int) -> int:
    return (word ^ _MATRIX) << 1 | 1 if word & _UPPER else word << 1


def _mix(word: int) -> int:
    return word ^ word >> 30


def _genrand_seed(state: list[int]) -> int | None:
    """The 32-bit seed if every word follows from the one before as `init_genrand` makes it, else None."""
    if any(state[i] != (1812433253 * _mix(state[i - 1]) + i) & _MASK for i in range(2, N)):
        return None
    # The first word is lost after a step; it follows from the second.
    mixed = (state[1] - 1) * _INIT_INVERSE & _MASK
    return mixed ^ mixed >> 30


def _base() -> list[int]:
    state = [19650218]
    for i in range(1, N):
        state.append((1812433253 * _mix(state[i - 1]) + i) & _MASK)
    return state


_BASE = _base()


def _key_word(state: Sequence[int], i: int) -> int:
    """key[j] + j of the i-th step of `init_by_array`'s first loop, for i from 4 on: both loops undone locally."""
    first = [((state[k] + k) & _MASK) ^ (_mix(state[k - 1]) * 1566083941 & _MASK) for k in (i - 1, i)]
    return (first[1] - (_BASE[i] ^ (_mix(first[0]) * 1664525 & _MASK))) & _MASK


def _array_key(state: Sequence[int], longest: int = 64) -> list[int] | None:
    """The key of `init_by_array` if it has at most `longest` words, else None.

    The words of the key repeat over the 624 steps, so a short key is a period that chance does not make.
    """
    head = [_key_word(state, i) for i in range(4, 4 + 2 * longest)]
    for length in range(1, longest + 1):
        if head[:longest] == head[length : length + longest]:
            key = [0] * length
            for offset in range(length):
                place = (4 + offset - 1) % length
                key[place] = (head[offset] - place) & _MASK
            return key
    return None
