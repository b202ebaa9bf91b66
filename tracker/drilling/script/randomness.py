"""Every random generator of a process, put back so that an iteration draws the same numbers again."""

from __future__ import annotations

import random
import sys
from typing import Any

import torch

from ...probes.nested import tensors_in
from ..preserving.generators import Generators
from .objects import alive


class Randomness:
    """How every random generator stands, those that the script has made included."""

    def __init__(self) -> None:
        self._global = Generators()
        self._own = [(one, one.get_state()) for one in alive(torch.Generator)]
        numpy: Any = sys.modules.get("numpy")
        made = alive(numpy.random.Generator) if numpy is not None else []
        self._numpy = [(one, one.bit_generator.state) for one in made]
        own = [one for one in alive(random.Random) if not isinstance(one, random.SystemRandom)]
        self._python = [(one, one.getstate()) for one in own]

    def put_back(self) -> None:
        """Has every generator give the same numbers again."""
        self._global.restore()
        for one, state in self._own:
            one.set_state(state)
        for one, state in self._numpy:
            one.bit_generator.state = state
        for one, state in self._python:
            one.setstate(state)


def print_of(args: Any) -> Any:
    """Numbers by which what a model is called with is known again."""
    return [
        (path, tuple(one.shape), float(one.detach().double().sum()), float(one.detach().double().square().sum()))
        for path, one in tensors_in(args)
        if not one.is_complex()
    ]
