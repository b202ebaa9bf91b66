"""Whether this machine is the one a run was recorded on, as far as numbers can tell."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

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

_THREADS = "threads torch"
_FIRST = ("threads", "torch CPU capability", "CPU vector unit", "torch", "package torch", "GPUs", "CPU model")
"""What changes bits most often, and is shown first: threads, instruction set, torch's build, devices."""

_OF_THE_MACHINE = (
    "torch CPU capability",
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


def current_environment(
    recorded: Mapping[str, Any], variables: Mapping[str, str], interpreter: str = sys.executable
) -> dict[str, Any]:
    """What a process of the Python `interpreter` started here would be, in the form of `environment.json`.

    It is asked of a process of its own, which imports what the recorded one had imported of torch and numpy. Raises
    `ReproduceError` when that process fails.
    """
    process = recorded.get("process") or {}
    names = [name for name in ("numpy", "torch") if process.get(name)]
    package_parent = str(Path(__file__).resolve().parents[2])
    with tempfile.TemporaryDirectory(prefix="soundrun-probe-") as folder:
        done = subprocess.run(
            [interpreter, "-c", _PROBE, package_parent, folder, *names],
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
    """What differs before the run, that which can change bits first.

    What the script itself sets is left out, as it will set it again; a number of threads that it had left at torch's
    own choice, which goes by the machine, is not.
    """
    found = [
        one
        for one in environment_differences(recorded, current)
        if not one.what.startswith(_SET_LATER) or (one.what == _THREADS and _was_left_to_torch(recorded))
    ]
    return sorted(found, key=lambda one: (not one.can_change_bits, _rank(one)))


def _rank(difference: Difference) -> int:
    return next((place for place, what in enumerate(_FIRST) if difference.what.startswith(what)), len(_FIRST))


def _was_left_to_torch(recorded: Mapping[str, Any]) -> bool:
    """True when torch had as many threads as it takes by itself: one per core this process may use, or half of them.

    Half where two hardware threads share a core. A number that a variable had set is set again.
    """
    process = recorded.get("process") or {}
    threads, variables = process.get("threads") or {}, (process.get("variables") or {}).get("values") or {}
    cores = threads.get("affinity")
    if not isinstance(cores, int) or "OMP_NUM_THREADS" in variables or "MKL_NUM_THREADS" in variables:
        return False
    return threads.get("torch") in (cores, cores // 2 or 1)


def is_rebuildable(difference: Difference) -> bool:
    """True for a difference that another Python environment on this machine could remove, and that can change bits."""
    return difference.can_change_bits and not difference.what.startswith((*_OF_THE_MACHINE, _THREADS))


def scope_of(recorded: Mapping[str, Any], rerun: Mapping[str, Any]) -> tuple[Scope, list[Difference]]:
    """The scope in which a re-run proves something: `host` when nothing that can change bits differs.

    With an unknown environment on either side nothing can be said for this host: `other-host`.
    """
    if not recorded or not rerun:
        return "other-host", []
    found = environment_differences(recorded, rerun)
    return ("other-host" if any(one.can_change_bits for one in found) else "host"), found
