"""Where the runs are kept: which store an address means, and how it is first opened."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

LOCK_SECONDS = 60.0
"""How long the first access waits for another process that is creating the same database."""

_SQLITE = re.compile(r"(sqlite(?:\+\w+)?)://(/.*)", re.DOTALL)


def absolute_uri(uri: str, cwd: Path) -> str:
    """`uri` with relative paths of local stores resolved against `cwd`, so that it means the same everywhere."""
    match = _SQLITE.fullmatch(uri)
    if match:
        path, _, query = match[2][1:].partition("?")
        if path and path != ":memory:" and not path.startswith(("/", "file:")):
            path = os.path.normpath(cwd / path)
        return f"{match[1]}:///{path}" + (f"?{query}" if query else "")
    if "://" in uri or uri in ("databricks", "uc") or uri.startswith(("databricks", "file:")):
        return uri
    return os.path.normpath(cwd / uri)


def shown_uri(uri: str) -> str:
    """`uri` as it may be shown and stored: without a password."""
    parts = urlsplit(uri)
    if parts.password is None:
        return uri
    host = f"{parts.username or ''}:***@{parts.hostname or ''}" + (f":{parts.port}" if parts.port else "")
    return urlunsplit(parts._replace(netloc=host))


def database_of(uri: str) -> Path | None:
    """The SQLite file of a store, or None when the store is something else."""
    match = _SQLITE.fullmatch(uri)
    path = match[2][1:].partition("?")[0] if match else ""
    return Path(path) if path and path != ":memory:" and not path.startswith("file:") else None


@contextlib.contextmanager
def alone(uri: str) -> Iterator[None]:
    """Holds a lock on the folder of a SQLite store, as two first accesses at once destroy each other's migration.

    The folder itself is locked, so that no lock file is left beside the user's database. Other stores need no lock.
    """
    database = database_of(uri)
    descriptor = None
    if database is not None:
        with contextlib.suppress(OSError):
            database.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(database.parent, os.O_RDONLY)
    try:
        if descriptor is not None:
            deadline = time.monotonic() + LOCK_SECONDS
            while time.monotonic() < deadline:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    time.sleep(0.05)
                except OSError:  # a file system without locks
                    break
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def has_old_file_store(cwd: Path) -> bool:
    """True when `cwd` holds runs in MLflow's former file format, which MLflow no longer opens by default."""
    try:
        return any(entry.name.isdigit() and (entry / "meta.yaml").exists() for entry in (cwd / "mlruns").iterdir())
    except OSError:
        return False
