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
    from .options import RunOptions

__all__ = ["Run", "RunOptions", "__version__", "track"]


def __getattr__(name: str) -> Any:
    # Both are seldom asked for and slow to load; `import tracker` is to cost little more than `import pydantic`.
    if name == "__version__":
        from importlib.metadata import version

        return version("soundrun")
    if name == "RunOptions":
        from .options import RunOptions

        return RunOptions
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
