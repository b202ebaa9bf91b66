"""What installed plug-ins bring: entry points, and the name under which they find this package.

=================== ==================================================================================
`tracker.rules`     a module or package with rules in it
`tracker.probes`    a module or package with probes in it, for a signal that nobody measures yet
=================== ==================================================================================
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

RULES, PROBES = "tracker.rules", "tracker.probes"
"""Groups of entry points."""

NO_PLUGINS = "TRACKER_NO_PLUGINS"
"""Environment variable that, set to 1, leaves installed plug-ins alone."""

_OWN_PACKAGE = __name__.rsplit(".", 3)[0]  # `tracker`, or the private name the package was loaded under
_PUBLIC_PACKAGE = "tracker"


def entry_points(group: str) -> list[EntryPoint]:
    """The entry points of a group, sorted; none when plug-ins are switched off."""
    if os.environ.get(NO_PLUGINS) == "1":
        return []
    return sorted(_installed(tuple(sys.path)).select(group=group), key=lambda point: (point.name, point.value))


@cache
def _installed(path: tuple[str, ...]) -> Any:
    """Those of all groups: to read them takes 45 ms, which only a run with rules has to pay, and once."""
    from importlib.metadata import entry_points as find

    return find()


@contextmanager
def public_name() -> Iterator[None]:
    """While a stranger's rules are imported, `tracker.rules` is this very package, whatever name it was loaded under.

    `tracker run` loads the package under a private name, so that a user's own `tracker.py` stays theirs. A plug-in says
    `from tracker.rules import Rule` and has to meet the same class.
    """
    if _OWN_PACKAGE == _PUBLIC_PACKAGE:
        yield
        return

    def public(name: str) -> bool:
        return name == _PUBLIC_PACKAGE or name.startswith(_PUBLIC_PACKAGE + ".")

    theirs = {name: module for name, module in sys.modules.items() if public(name)}
    for name in theirs:
        del sys.modules[name]
    for name, module in list(sys.modules.items()):
        if name == _OWN_PACKAGE or name.startswith(_OWN_PACKAGE + "."):
            sys.modules[_PUBLIC_PACKAGE + name[len(_OWN_PACKAGE) :]] = module
    try:
        yield
    finally:
        for name in [name for name in sys.modules if public(name)]:
            del sys.modules[name]
        sys.modules.update(theirs)
