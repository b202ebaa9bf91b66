"""Reads what a script counts while it goes over data: right answers, and accuracies that are summed up.

A function that returns `correct / total` and whose result is only printed leaves no variable behind that is called an
accuracy. What it counted stands among its variables when the loader has no more batches for it.
"""

from __future__ import annotations

import itertools
import re
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from types import FrameType
from typing import Any, NamedTuple

import torch

from ..frames import user_frames, variables
from .scores import number_of, plain_name, set_from_themselves, set_in_loop

MOST = 8
"""Variables that are told of in one pass."""

_WHOLE = 1e-2
"""Difference of a sum in float32 from a whole number."""

_MOST_FRAMES, _MOST_ITEMS, _MOST_ATTRIBUTES = 4, 32, 100
_CALLED = re.compile(r"(?:^|_)[tv]?(?:acc|accs|accuracy|accuracies|correct|corrects|hits|right)(?:$|_)")
_METER = {"sum", "count"}
_LIBRARIES = (sysconfig.get_paths()["purelib"], sysconfig.get_paths()["stdlib"], "<frozen")


class Counter(NamedTuple):
    """A number among the user's variables that grows, or a list."""

    value: float
    """Of a list, the sum of what was appended since the pass began."""
    length: int = -1
    """Of a list, how long it is."""
    is_whole: bool = True
    is_called: bool = True
    """Whether its name says that it counts what is right."""
    is_in_loop: bool = False
    """Whether the loop over the batches itself adds to it, and does not reset it."""


class Gain(NamedTuple):
    """What a counter gained in a pass."""

    name: str
    value: float
    is_whole: bool
    is_of_samples: bool
    """Whether it is a number of samples, or may be divided by one."""


def counters_in(frame: FrameType | None, before: Mapping[str, Counter] | None = None) -> dict[str, Counter]:
    """Counters in the running frames, innermost frame first; `before` are those of the beginning of the pass."""
    found: dict[str, Counter] = {}
    inner = (at for at in user_frames(frame) if not at.f_code.co_filename.startswith(_LIBRARIES))
    for at in itertools.islice(inner, _MOST_FRAMES):
        grown, in_loop = set_from_themselves(at.f_code), set_in_loop(at.f_code, at.f_lasti)
        for name, value, is_grown in _numbers(variables(at), grown):
            is_called = _CALLED.search(plain_name(name)) is not None and not name.endswith((".count", ".n"))
            if isinstance(value, list):
                if is_called:
                    known = (before or {}).get(name)
                    found.setdefault(name, _of_list(value, len(value) if known is None else known.length))
            elif is_grown and (number := number_of(value)) is not None:
                whole = not isinstance(number, float)
                if is_called or number % 1 == 0:
                    here = name.rpartition(".")[2] in in_loop
                    found.setdefault(name, Counter(float(number), -1, whole, is_called, here))
    return found


def gains(
    before: Mapping[str, Counter], after: Mapping[str, Counter], samples: Sequence[int], batches: int, of_training: bool
) -> list[Gain]:
    """What was counted in a pass in `batches` batches, with one of these numbers of samples.

    In training, counters are often reset now and then: there, one must have counted all of the samples meanwhile.
    """
    found = []
    others = [(name, now) for name, now in after.items() if name in before and not now.is_called]
    grown = [gain for name, now in others if (gain := now.value - before[name].value)]
    grown_here = [now.value - before[name].value for name, now in others if now.is_in_loop]
    has_counted = any(other in samples for other in grown)
    for name, now in after.items():
        start = before.get(name)
        if start is None or not now.is_called or (start.length < 0) != (now.length < 0):
            continue
        if now.length - start.length != batches if now.length >= 0 else of_training and not has_counted:
            continue
        if of_training and now.length < 0 and not now.is_in_loop and not name.endswith(".sum"):
            continue
        value = now.value - (start.value if now.length < 0 else 0.0)
        if value < 0 or (value == 0 and (start.value or not now.is_in_loop)):
            continue  # what stays nothing may be counted later on
        fewer = grown_here if not value else grown
        if now.is_whole and any(value <= other < min(samples) and other != batches for other in fewer):
            continue  # of fewer samples than there are: those that the model is sure of, say
        # Right answers are whole numbers of them, also where shares are weighted with the size of the batch.
        is_of_samples = now.is_whole or has_counted or abs(value - round(value)) < _WHOLE
        found.append(Gain(name, value, now.is_whole, is_of_samples))
    return found[:MOST]


def _numbers(scope: Mapping[str, Any], grown: frozenset[str]) -> Iterator[tuple[str, Any, bool]]:
    """Name, value, and whether it is added to: variables, and what dictionaries and plain objects among them hold."""
    for name, value in scope.items():
        if name.startswith("__"):
            continue
        if type(value) is dict:
            if len(value) <= _MOST_ITEMS:
                for key, item in list(value.items()):
                    if type(key) is str and type(item) in (int, list):
                        yield f"{name}.{key}", item, True
        elif isinstance(value, (int, float, list, torch.Tensor)) or type(value).__module__ == "numpy":
            yield name, value, name in grown
        elif type(value).__module__.partition(".")[0] not in ("builtins", "torch") and not isinstance(value, type):
            attributes = getattr(value, "__dict__", None)
            if type(attributes) is dict and len(attributes) <= _MOST_ATTRIBUTES:
                for key, item in list(attributes.items()):
                    yield f"{name}.{key}", item, key in grown or (key in _METER and attributes.keys() >= _METER)


def _of_list(value: list[Any], since: int) -> Counter:
    new = [number_of(item) for item in value[since:]]
    if any(number is None for number in new):
        return Counter(0.0, -1, is_called=False)
    return Counter(float(sum(n for n in new if n is not None)), len(value),
                   is_whole=bool(new) and all(isinstance(number, int) for number in new))  # fmt: skip
