"""Distributions whose code was in a folder of the project: their code comes back with it, and is found there again.

What was installed in place is not built again: the run had imported the files of the folder, and those are restored,
compiled extensions among them. What only an installation leaves, name, version and entry points, is written beside. A
folder that had been installed as a copy is installed as a copy.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..rundir import home
from .installer import run_uv
from .pins import Pin, is_version

if sys.version_info >= (3, 11):
    import tomllib
else:  # pragma: no cover
    import tomli as tomllib

_BUILD_SECONDS = 600.0


def place_of(pin: Pin, project: Path | None) -> Path | None:
    """The folder of a local distribution as seen from the root of the project; None when it was outside."""
    if project is None or not Path(pin.source).is_absolute():
        return None
    try:
        inside = Path(pin.source).relative_to(project)
    except ValueError:
        return None
    return None if ".." in inside.parts else inside


def search_path(
    pins: Sequence[Pin], project: Path | None, root: Path, python: Path, say: Callable[[str], None]
) -> list[str]:
    """Folders that make local distributions importable below the restored `root`, with what is known of each.

    The last one is ours: it holds their metadata, and copies that were built for `python`. `say` is told of those that
    cannot be built, whose code is then taken from the folder itself.
    """
    found: list[str] = []
    ours = home() / "environments" / "local" / hashlib.sha256(str(root).encode()).hexdigest()[:24]
    shutil.rmtree(ours, ignore_errors=True)
    for pin in pins:
        inside = place_of(pin, project)
        folder = None if inside is None or pin.problem else root / inside
        if folder is None or not folder.resolve().is_relative_to(root.resolve()) or not folder.is_dir():
            continue
        if pin.kind == "directory":
            problem = _install_copy(folder, ours, python)
            if not problem:
                continue
            say(f"environment: {pin.text} cannot be built from {folder} ({problem}); its code is taken from there")
        declared = _declared(folder / "pyproject.toml")
        found += [str(place) for place in _sources(folder, declared)]
        _write_metadata(ours, pin, folder, declared)
    return [*dict.fromkeys(found), *([str(ours)] if ours.is_dir() else [])]


def _install_copy(folder: Path, into: Path, python: Path) -> str:
    """Builds a folder and puts what comes out into another; returns why not, if that fails."""
    with tempfile.TemporaryDirectory(prefix="soundrun-build-") as place:
        # Of a copy: a build leaves folders beside the sources, and those are as they were recorded.
        copy = Path(place) / folder.name
        try:
            shutil.copytree(folder, copy, symlinks=True, ignore=shutil.ignore_patterns(".git", ".venv"))
        except (OSError, shutil.Error) as error:
            return str(error)[:200]
        command = ["pip", "install", "--no-deps", "--python", str(python), "--target", str(into), str(copy)]
        answer = run_uv(command, Path(place), _BUILD_SECONDS)
        if not answer.is_fine:  # what a build needs may be in the environment, and in no index
            answer = run_uv([*command, "--no-build-isolation"], Path(place), _BUILD_SECONDS)
        return "" if answer.is_fine else answer.telling


def _declared(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _table(content: Mapping[str, Any], *names: str) -> dict[str, Any]:
    value: Any = content
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return dict(value) if isinstance(value, Mapping) else {}


def _sources(folder: Path, declared: Mapping[str, Any]) -> Iterator[Path]:
    """Where a project keeps its packages: as it declares, in `src`, or at its top."""
    tools = _table(declared, "tool", "setuptools")
    where = _table(tools, "packages", "find").get("where")
    named = [str(item) for item in where] if isinstance(where, list) else []
    named += [str(value) for name, value in _table(tools, "package-dir").items() if not name]
    places = [folder / name for name in named] or [folder / "src"]
    for place in places:
        if place.is_dir() and place.resolve().is_relative_to(folder.resolve()):
            yield place
            return
    yield folder


def _write_metadata(into: Path, pin: Pin, code: Path, declared: Mapping[str, Any]) -> None:
    if pin.problem or not is_version(pin.version):
        return  # it would become part of a path
    folder = into / f"{pin.name.replace('-', '_')}-{pin.version}.dist-info"
    folder.mkdir(parents=True, exist_ok=True)
    head = f"Metadata-Version: 2.1\nName: {pin.name}\nVersion: {pin.version}\n"
    (folder / "METADATA").write_text(head, encoding="utf-8")
    direct = {"url": code.as_uri(), "dir_info": {"editable": pin.kind == "editable"}}
    (folder / "direct_url.json").write_text(json.dumps(direct), encoding="utf-8")
    project = _table(declared, "project")
    groups = {"console_scripts": _table(project, "scripts"), **_table(project, "entry-points")}
    lines: list[str] = []
    for group, entries in groups.items():
        if isinstance(entries, Mapping) and entries:
            lines += [f"[{group}]", *(f"{name} = {target}" for name, target in entries.items()), ""]
    (folder / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")
