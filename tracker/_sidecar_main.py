"""Entry of the sidecar process: loads this package under a private name and runs it on a run's folder.

Run by path, as `python -I _sidecar_main.py <folder of a run> ...`. The private name keeps a user's own module called
`tracker` apart from ours, whichever of the two is found first. The bootstrap of `tracker run` loads it the same way.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path

PRIVATE = "_soundrun"


def load_package() -> None:
    """Loads the package this file is in as `_soundrun`, unless it is loaded."""
    if PRIVATE in sys.modules:
        return
    folder = Path(__file__).absolute().parent
    spec = importlib.util.spec_from_file_location(
        PRIVATE, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"The package in {folder} cannot be loaded: it has no __init__.py.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[PRIVATE] = module
    spec.loader.exec_module(module)


if __name__ == "__main__":
    load_package()
    sys.exit(importlib.import_module(f"{PRIVATE}.sidecar").main(sys.argv[1:]))
