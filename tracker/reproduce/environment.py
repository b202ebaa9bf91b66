"""Whether this machine is the one a run was recorded on, as far as numbers can tell."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..capture.data import digest_files
from ..capture.differences import Difference, environment_differences
from ..errors import ReproduceError
from .verdict import Scope

_PROBE_SECONDS = 120
"""Time for the imports of torch and numpy: seconds usually, a minute on a cold network disk."""

_PROBE = """
import sys
sys.path.append(sys.argv[1])
from pathlib import Path
for name in sys.argv[3:]:
    try:
        __import__(name)
    except ImportError:
        pass
sys.path.remove(sys.argv[1])
where = sys.argv[1]
sys.path.append(where)
from tracker.capture.environment import capture_process
from tracker.capture.packages import capture_packages
process = capture_process().facts
capture_packages(Path(sys.argv[2]), [entry for entry in sys.path if entry != where], process=process)
"""

_SET_LATER = ("switch ", "threads ", "variable ", "python flag ")
"""What the script and the re-run set themselves: before the run it cannot be compared."""

_OF_THE_MACHINE = (
    "CPU",
    "GPU",
    "C library",
    "memory",
    "machine",
    "byte order",
    "distribution",
    "kernel",
    "cuDNN",
    "NCCL",
)


def current_environment(recorded: Mapping[str, Any], variables: Mapping[str, str]) -> dict[str, Any]:
    """What a Python process started here would be, in the form of `environment.json`.

    It is asked of a process of its own, which imports what the recorded one had imported of torch and numpy. Raises
    `ReproduceError` when that process fails.
    """
    process = recorded.get("process") or {}
    names = [name for name in ("numpy", "torch") if process.get(name)]
    package_parent = str(Path(__file__).resolve().parents[2])
    with tempfile.TemporaryDirectory(prefix="soundrun-probe-") as folder:
        done = subprocess.run(
            [sys.executable, "-c", _PROBE, package_parent, folder, *names],
            cwd=folder,
            env=dict(variables),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PROBE_SECONDS,
            check=False,
        )
        try:
            content = json.loads((Path(folder) / "environment.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            last = (done.stderr.decode(errors="replace").strip().splitlines() or [f"exit code {done.returncode}"])[-1]
            raise ReproduceError(f"The current environment cannot be read: {last}") from error
    return dict(content)


def differences_before(recorded: Mapping[str, Any], current: Mapping[str, Any]) -> list[Difference]:
    """What differs before the run; what the script itself sets is left out."""
    return [one for one in environment_differences(recorded, current) if not one.what.startswith(_SET_LATER)]


def is_rebuildable(difference: Difference) -> bool:
    """True for a difference that another Python environment on this machine could remove, and that can change bits."""
    return difference.can_change_bits and not difference.what.startswith(_OF_THE_MACHINE)


def scope_of(recorded: Mapping[str, Any], rerun: Mapping[str, Any]) -> tuple[Scope, list[Difference]]:
    """The scope in which a re-run proves something: `host` when nothing that can change bits differs.

    With an unknown environment on either side nothing can be said for this host: `other-host`.
    """
    if not recorded or not rerun:
        return "other-host", []
    found = environment_differences(recorded, rerun)
    return ("other-host" if any(one.can_change_bits for one in found) else "host"), found


class DataCheck:
    """The recorded data files, looked for on this machine."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        items = data.get("items")
        self.items: list[dict[str, Any]] = [dict(item) for item in items] if isinstance(items, list) else []
        self.identity = str(data.get("identity", "unknown"))

    def place(self, item: Mapping[str, Any], root: Path | None) -> Path:
        """Where the file is: in the restored project when it was part of it, else where it was."""
        relative = item.get("relative")
        if root is not None and relative and (root / str(relative)).exists():
            return root / str(relative)
        return Path(str(item["path"]))

    def outside_project(self, root: Path) -> list[dict[str, Any]]:
        """Files that lay in the project's folder, are not restored with the code, and are still where they were."""
        return [
            item
            for item in self.items
            if item.get("relative")
            and not item.get("in_code")
            and not (root / str(item["relative"])).exists()
            and Path(str(item["path"])).is_file()
        ]

    def out_of_reach(self, root: Path) -> list[str]:
        """Names of files that the project reaches by a relative path or link out of itself, to nothing from `root`."""
        found = [str(item["from_root"]) for item in self.items if item.get("from_root")]
        found = [name for name in found if not (root / name).exists()]
        for item in self.items:
            place = root / str(item.get("relative") or "")
            if not place.exists() and not place.resolve().is_relative_to(root.resolve()):
                found.append(str(item["relative"]))
        return found

    def changed(self, root: Path | None = None, only: Sequence[Mapping[str, Any]] | None = None) -> list[str]:
        """Names of the files whose content is not the recorded one, missing ones included."""
        # What came back with the code is what it was: the identity of its tree says so.
        checked = [item for item in (self.items if only is None else only) if not item.get("in_code")]
        checked = [item for item in checked if item.get("kind") != "missing" and not _is_as_installed(item)]
        if not checked:
            return []
        places = {str(self.place(item, root)): item for item in checked}
        with tempfile.TemporaryDirectory(prefix="soundrun-data-") as folder:
            digest_files(list(places), Path(folder))
            rows = json.loads((Path(folder) / "data.json").read_text(encoding="utf-8"))["items"]
        now = {row["path"]: row for row in rows}
        found: list[str] = []
        for place, item in places.items():
            row = now.get(place, {"kind": "missing"})
            if item.get("rewritten"):  # its digest is that of what the run left there
                found.append(f"{item.get('relative') or item['path']} (written over by the run)")
            elif (row.get("kind"), row.get("sha256")) != (item.get("kind"), item.get("sha256")):
                name = str(item.get("relative") or item["path"])
                found.append(f"{name} (missing)" if row["kind"] == "missing" else f"{name} (changed)")
        return found


def _is_as_installed(item: Mapping[str, Any]) -> bool:
    """True for a file of a distribution that is installed here in the same version."""
    name, sign, version = str(item.get("distribution") or "").partition("==")
    if not sign or item.get("as_installed") is not True:
        return False
    try:
        return importlib.metadata.version(name) == version
    except importlib.metadata.PackageNotFoundError:
        return False
