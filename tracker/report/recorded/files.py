"""Reads the files of a capture."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

LARGEST_TEXT = 400_000
"""Bytes of a text that are read; the rest is in the file."""
LARGEST_JSON = 16_000_000
"""Bytes of a JSON file that is read; a larger one is none that a reader would look through."""
_TEXTS = frozenset({".txt", ".patch", ".toml"})


def captured_in(folder: Path | None) -> dict[str, Any]:
    """Content of the files of a capture, by name: JSON parsed, other text as it is; what cannot be read is left out."""
    found: dict[str, Any] = {}
    for path in sorted(folder.iterdir()) if folder is not None and folder.is_dir() else ():
        with contextlib.suppress(OSError, ValueError, RecursionError):
            if path.suffix == ".json" and path.stat().st_size <= LARGEST_JSON:
                found[path.name] = json.loads(path.read_text("utf-8"))
            elif path.suffix in _TEXTS and path.is_file():
                with path.open("rb") as file:
                    found[path.name] = file.read(LARGEST_TEXT).decode("utf-8", "replace")
    return found
