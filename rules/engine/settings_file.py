"""Where settings come from: a project's `pyproject.toml`, a TOML file, or a mapping."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .errors import ConfigError


def read_table(source: Path | str | Mapping[str, Any] | None) -> tuple[Mapping[str, Any], Path | None]:
    """The `[tool.tracker]` table of the source and the file it stands in; an empty table where there is none.

    A TOML file without a `[tool.tracker]` table is taken as that table itself, unless it is a `pyproject.toml`.
    """
    if source is None:
        return {}, None
    if isinstance(source, Mapping):
        return _own_table(source, source), None
    path = Path(source).expanduser().resolve()
    if path.is_dir():
        return _search(path)
    if not path.exists():
        raise ConfigError(
            f"There are no settings at {path}; expected a TOML file or a directory. Correct the path.",
            value=str(source),
            path=path,
        )
    document = _parse(path)
    return _own_table(document, {} if path.name == "pyproject.toml" else document, path), path


def _search(start: Path) -> tuple[Mapping[str, Any], Path | None]:
    """The nearest `pyproject.toml`, at `start` or above, that has the table."""
    for directory in (start, *start.parents):
        path = directory / "pyproject.toml"
        try:
            if not path.is_file():
                continue
        except OSError:  # a directory above that may not be looked into
            continue
        table = _own_table(_parse(path), {}, path)
        if table:
            return table, path
    return {}, None


def _parse(path: Path) -> Mapping[str, Any]:
    # Imported here: runs without a settings file, the most common ones, do not need it.
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}. Correct the file.", path=path) from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}. Check its permissions.", path=path) from error


def _own_table(
    document: Mapping[str, Any], otherwise: Mapping[str, Any], path: Path | None = None
) -> Mapping[str, Any]:
    tool = document.get("tool")
    if not isinstance(tool, Mapping) or "tracker" not in tool:
        return otherwise
    table = tool["tracker"]
    if not isinstance(table, Mapping):
        raise ConfigError(
            f"[tool.tracker] is {table!r}; expected a table. Write its keys below a line [tool.tracker].",
            where="[tool.tracker]",
            value=table,
            path=path,
        )
    return table
