"""Runs at the start of every Python process below `tracker run`; most of them train nothing and must not notice.

It notes opened files and random generators from the beginning, waits for torch, and then loads the package under a
private name, so that a user's own `tracker.py` or `rules/` is theirs. At the end it makes place for the `sitecustomize`
that it stands before. Only the standard library, nothing slow, no word: whatever goes wrong here, the process goes on
without us.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PRIVATE = "_soundrun"
PUBLIC = "tracker"


def _leaf(package: str, name: str) -> Any:
    """Loads one module of the package that needs nothing but the standard library, without the package itself."""
    from _frozen_importlib import ModuleSpec
    from _frozen_importlib_external import SourceFileLoader

    full = PRIVATE + "." + name
    path = package + "/" + name.replace(".", "/") + ".py"
    loader = SourceFileLoader(full, path)
    module = type(sys)(full)
    module.__file__, module.__loader__, module.__package__ = path, loader, full.rpartition(".")[0]
    module.__spec__ = ModuleSpec(full, loader, origin=path)
    module.__spec__.has_location = True
    sys.modules[full] = module
    loader.exec_module(module)
    return module


class _Alias:
    """Makes `import tracker` in user code the private package, where that name means us: there is one run, not two."""

    def __init__(self, package: str) -> None:
        self._package = package

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:
        if fullname == PUBLIC:
            if not self._is_ours(path, target):
                return None
        elif not fullname.startswith(PUBLIC + ".") or not self._is_loaded():
            return None
        from _frozen_importlib import ModuleSpec

        return ModuleSpec(fullname, self)  # type: ignore[arg-type]  # a loader by its methods

    def _is_loaded(self) -> bool:
        return sys.modules.get(PUBLIC) is not None and sys.modules[PUBLIC] is sys.modules.get(PRIVATE)

    def _is_ours(self, path: Any, target: Any) -> bool:
        import os

        for finder in list(sys.meta_path):
            find = getattr(finder, "find_spec", None)
            spec = find(PUBLIC, path, target) if finder is not self and find is not None else None
            if spec is not None:
                place = os.path.join(self._package, "__init__.py")
                return bool(spec.origin) and os.path.realpath(spec.origin) == os.path.realpath(place)
        return False

    def create_module(self, spec: Any) -> None:
        return None

    def exec_module(self, module: Any) -> None:
        from importlib import import_module

        name = module.__name__
        _load(self._package)
        if name == PUBLIC:
            import_module(PRIVATE + ".launched").stand_down()
        sys.modules[name] = import_module(PRIVATE + name[len(PUBLIC) :])


def _load(package: str) -> None:
    """Loads the whole package under its private name."""
    name = PRIVATE + "._sidecar_main"
    (sys.modules.get(name) or _leaf(package, "_sidecar_main")).load_package()


def _at_torch(package: str) -> None:
    """torch has just been imported: this process may train."""
    try:
        _load(package)
        from importlib import import_module

        import_module(PRIVATE + ".launched").arm()
    except Exception as error:
        import os

        if os.environ.get("TRACKER_STRICT") == "1":
            raise
        if os.environ.get("TRACKER_QUIET") != "1":
            sys.stderr.write(f"tracker: this process is not tracked: {type(error).__name__}: {error}\n")


def _begin(own: str) -> None:
    """Takes our folder out of the import path, and waits for what makes a process a training."""
    import os

    sys.path[:] = [entry for entry in sys.path if entry != own]
    sys.path_importer_cache.pop(own, None)
    launch = os.environ.get("TRACKER_LAUNCH")
    if not launch or os.environ.get("TRACKER_SIDECAR") or sys.version_info < (3, 10):
        return
    command = sys.orig_argv[1:2]
    if command and os.path.basename(command[0]) == PUBLIC:  # a command of ours
        return
    package = os.path.dirname(own)
    original = os.environ.get("TRACKER_PREFLIGHT_OF")
    if original:
        _leaf(package, "drilling.script.guarding").refuse_writes(original)
    when_imported = _leaf(package, "on_import").when_imported
    if os.environ.get("TRACKER_REPRODUCE"):
        _load(package)  # the generators are put back before anything draws from them
    else:
        _leaf(package, "capture.seedings")
        _leaf(package, "capture.entropy").watch()
        _leaf(package, "capture.early").note()
        home = os.path.dirname(os.path.dirname(launch))
        _leaf(package, "capture.opened").opened.start(ignore=[home])
    sys.meta_path.insert(0, _Alias(package))
    when_imported("torch", lambda: _at_torch(package))


try:  # noqa: SIM105 - contextlib is slow to import
    _begin(__file__.rpartition("/")[0])
except Exception:
    pass  # the process must start as without us

# Where there is none the error is the one that Python expects, and an error in it is told as Python tells it.
sys.modules.pop("sitecustomize", None)
import sitecustomize  # type: ignore[import-not-found]  # noqa: E402, F401
