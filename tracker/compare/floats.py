"""What makes two floating-point numbers equal, close, or a countable number of bits apart."""

from __future__ import annotations

import math
import struct

_DOUBLE, _QUAD = struct.Struct("<d"), struct.Struct("<q")
_FLOAT, _LONG = struct.Struct("<f"), struct.Struct("<i")


def ulp_distance(a: float, b: float) -> int | None:
    """How many representable numbers two values are apart: 0 when they are equal, 1 when they are neighbours.

    Counted in single precision when both are single-precision numbers, as the losses of most trainings are: a double
    has 2**29 numbers between two neighbours of theirs. None when one is NaN, or only one is infinite.
    """
    if math.isnan(a) or math.isnan(b):
        return 0 if math.isnan(a) and math.isnan(b) else None
    if math.isinf(a) or math.isinf(b):
        return 0 if a == b else None
    single = is_single(a) and is_single(b)
    return abs(_ordinal(a, single) - _ordinal(b, single))


def _ordinal(value: float, single: bool) -> int:
    """The place of a float among all floats: neighbours are one apart, both zeros are 0."""
    bits: int = (_LONG.unpack(_FLOAT.pack(value)) if single else _QUAD.unpack(_DOUBLE.pack(value)))[0]
    return bits if bits >= 0 else (-0x80000000 if single else -0x8000000000000000) - bits


def is_single(value: float) -> bool:
    """True for a number that single precision holds exactly."""
    try:
        return bool(_FLOAT.unpack(_FLOAT.pack(value))[0] == value)
    except OverflowError:
        return False


def same_bits(a: float, b: float) -> bool:
    """True when the 64 bits are the same; NaN equals NaN, and the two zeros differ."""
    if a == b:
        return a != 0 or math.copysign(1, a) == math.copysign(1, b)
    return a != a and b != b


def close(a: float, b: float, rtol: float, atol: float) -> bool:
    """True when |a - b| <= atol + rtol * max(|a|, |b|); NaN equals NaN, an infinity itself."""
    if a == b or same_bits(a, b):
        return True
    if not (math.isfinite(a) and math.isfinite(b)):
        return False
    return abs(a - b) <= atol + rtol * max(abs(a), abs(b))
