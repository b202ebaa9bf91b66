"""The generators as they came up, noted before user code draws from them, at next to no cost.

Under `tracker run` this is loaded at the start of every Python process, most of which train nothing: it only keeps what
the generators say of themselves. `random_state` makes sense of it once the process turns out to be a training.
"""

from __future__ import annotations

import sys

from ..on_import import when_imported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

states: dict[str, Any] = {}
"""By module: the state of `random`, and (state, bit generator) of `numpy.random`, as they were after the import."""


def note() -> None:
    """Begins to wait for the generators; one that is there already is noted as it is now."""
    when_imported("random", _note_python)
    when_imported("numpy.random", _note_numpy)


def _note_python() -> None:
    try:
        states["random"] = sys.modules["random"].getstate()
    except Exception:  # a module of the user's with this name
        return


def _note_numpy() -> None:
    module: Any = sys.modules["numpy.random"]
    try:
        states["numpy.random"] = module.get_state(legacy=False), getattr(module.mtrand._rand, "_bit_generator", None)
    except Exception:  # another version of numpy
        return
