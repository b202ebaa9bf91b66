"""Calls back when a module is first imported, now or later, without importing it itself."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any


class _Loader:
    """Runs a module's own loader, then the callbacks that wait for it; in all else it is that loader."""

    def __init__(self, inner: Any, finder: _Finder) -> None:
        self._inner = inner
        self._finder = finder

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        found: ModuleType | None = self._inner.create_module(spec)
        return found

    def exec_module(self, module: ModuleType) -> None:
        # The module keeps its own loader, so that nothing of ours is left on it.
        module.__loader__ = self._inner
        if module.__spec__ is not None:
            module.__spec__.loader = self._inner
        self._inner.exec_module(module)
        for callback in self._finder.take(module.__name__):
            callback()


class _Finder:
    """Stands first among the finders while anyone waits; plain classes, as `importlib.abc` is slow to import."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[Callable[[], None]]] = {}
        self._asking: set[tuple[int, str]] = set()

    def add(self, name: str, callback: Callable[[], None]) -> None:
        """Has `callback` wait for module `name`."""
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)
        self._waiting.setdefault(name, []).append(callback)

    def take(self, name: str) -> list[Callable[[], None]]:
        """The callbacks that wait for a module, which now wait no more."""
        found = self._waiting.pop(name, [])
        if not self._waiting and self in sys.meta_path:
            sys.meta_path.remove(self)
        return found

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        # Many a library only asks whether a module is there: until it is really loaded, everybody keeps waiting.
        key = (threading.get_ident(), fullname)
        if fullname not in self._waiting or key in self._asking:
            return None
        self._asking.add(key)
        try:
            spec = find_spec(fullname)
        finally:
            self._asking.discard(key)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, self)  # type: ignore[assignment]
        return spec


_finder = _Finder()


def when_imported(name: str, callback: Callable[[], None]) -> None:
    """Calls `callback` at once if module `name` is loaded, else right after it has been imported."""
    module = sys.modules.get(name)
    if module is not None and not getattr(module.__spec__, "_initializing", False):
        callback()
    else:
        _finder.add(name, callback)
