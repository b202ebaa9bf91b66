"""Small wheels, made by hand, and a link folder that pip and uv find them in."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path

NEEDS = ("git", "mlflow", "pyarrow", "pydantic", "rich")
"""What the tracker needs of any environment it observes a run in."""


def make_wheel(
    folder: Path, name: str, version: str, files: Mapping[str, str], scripts: str = "", build: str = ""
) -> tuple[Path, str]:
    """Writes a wheel into `folder`; returns its path and its sha256. `scripts` are lines of `[console_scripts]`."""
    folder.mkdir(parents=True, exist_ok=True)
    info = f"{name}-{version}.dist-info"
    contents = dict(files)
    contents[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    contents[f"{info}/WHEEL"] = "Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    if scripts:
        contents[f"{info}/entry_points.txt"] = f"[console_scripts]\n{scripts}\n"
    record = ""
    for path, text in contents.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        record += f"{path},sha256={digest},{len(text.encode())}\n"
    contents[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n"
    path = folder / f"{name}-{version}{f'-{build}' if build else ''}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for inner, text in contents.items():
            archive.writestr(zipfile.ZipInfo(inner), text)
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


def make_needs(folder: Path) -> None:
    """Writes a wheel that stands for all that the tracker itself needs."""
    make_wheel(folder, "needs", "1.0", {f"{name}/__init__.py": "" for name in NEEDS})
