"""soundrun: an experiment tracker that debugs neural-network training.

::

    from tracker import Run, track

    with track(Run("resnet-8", params={"lr": 0.1})) as run:
        ...

See the README for the command line, and `tracker.rules` for rules of your own.
"""

from typing import TYPE_CHECKING, Any

from .run import Run, track

if TYPE_CHECKING:
    from .compare.models.comparing import compare_models
    from .compare.models.result import ModelComparison
    from .drilling.preflight import Preflight, preflight
    from .options import RunOptions

__all__ = [
    "ModelComparison",
    "Preflight",
    "Run",
    "RunOptions",
    "__version__",
    "compare_models",
    "preflight",
    "track",
]

_LATE = {
    "ModelComparison": ".compare.models.result",
    "Preflight": ".drilling.preflight",
    "RunOptions": ".options",
    "compare_models": ".compare.models.comparing",
    "preflight": ".drilling.preflight",
}
"""Seldom asked for and slow to load: `import tracker` is to cost little more than `import pydantic`."""


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("soundrun")
    if name in _LATE:
        from importlib import import_module

        return getattr(import_module(_LATE[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _begin() -> None:
    """Remembers the random generators as they are now, and begins to note which files are opened."""
    import os

    if os.environ.get("TRACKER_SIDECAR"):
        return
    from . import reproducing, rundir
    from .capture import entropy, opened, randomness
    from .on_import import when_imported

    reproducing.give_seeds_again()
    entropy.watch()
    when_imported("torch", _watch_torch)
    reproducing.restore_at_import()
    randomness.capture_at_import()
    if not opened.opened.active:  # under `tracker run` it has been since the process began
        opened.opened.start(ignore=[rundir.home()])


def _watch_torch() -> None:
    from .capture import torch_seeds

    torch_seeds.watch()


_begin()
