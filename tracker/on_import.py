"""Calls back when a module is first imported, now or later, without importing it itself."""

from __future__ import annotations

import sys
from _thread import get_ident

# Under `tracker run` this is loaded at the start of every Python process: what is slow to import waits.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
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
        try:
            self._inner.exec_module(module)
        except BaseException as error:
            # An import that fails prints as without us: this frame leaves the traceback, and `raise` adds no other.
            error.__traceback__ = error.__traceback__ and error.__traceback__.tb_next
            raise
        for callback in self._finder.take(module.__name__):
            callback()


class _Finder:
    """Stands first among the finders while anyone waits; plain classes, as `importlib.abc` is slow to import."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[Callable[[], None]]] = {}
        self._asking: set[tuple[int, str]] = set()
        self._taken: set[str] = set()

    def add(self, name: str, callback: Callable[[], None]) -> None:
        """Has `callback` wait for module `name`."""
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)
        self._waiting.setdefault(name, []).append(callback)

    def take(self, name: str) -> list[Callable[[], None]]:
        """The callbacks that wait for a module, which now wait no more."""
        self._taken.add(name)
        found = self._waiting.pop(name, [])
        if not self._waiting and self in sys.meta_path:
            sys.meta_path.remove(self)
        return found

    def is_loaded(self, name: str) -> bool:
        """True for a module that is loaded, also while those who waited for it are called."""
        module = sys.modules.get(name)
        is_new = getattr(getattr(module, "__spec__", None), "_initializing", False)
        return module is not None and (not is_new or name in self._taken)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        # Many a library only asks whether a module is there: until it is really loaded, everybody keeps waiting.
        key = (get_ident(), fullname)
        if fullname not in self._waiting or key in self._asking:
            return None
        self._asking.add(key)
        try:
            spec = _asked_of_others(self, fullname, path, target)
        finally:
            self._asking.discard(key)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, self)  # type: ignore[assignment]
        return spec


def _asked_of_others(
    asking: _Finder, fullname: str, path: Sequence[str] | None, target: ModuleType | None
) -> ModuleSpec | None:
    for finder in list(sys.meta_path):
        find = getattr(finder, "find_spec", None) if finder is not asking else None
        spec = find(fullname, path, target) if find is not None else None
        if spec is not None:
            return spec  # type: ignore[no-any-return]
    return None


_finder = _Finder()


def when_imported(name: str, callback: Callable[[], None]) -> None:
    """Calls `callback` at once if module `name` is loaded, else right after it has been imported."""
    if _finder.is_loaded(name):
        callback()
    else:
        _finder.add(name, callback)
