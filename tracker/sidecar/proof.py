"""Whether a run could be done again from what was stored: the gaps, a restore that is tried, and the grade.

R0: the code, the command or the packages are unknown. R1: all three are known, with named gaps. R2: no gap, and the
stored code was restored into an empty folder and had the same identity; where the configured package indexes do not
have every package of the run, its environment is that of this host only. Higher grades need a re-execution.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..launcher import sidecar_command, sidecar_environment
from ..rundir import RunDir
from .capturing import capture_settings
from .resolving import resolved

SECONDS = 20.0
"""Time a restore may take; one that takes longer is not proved, and `reproducible` stays unknown."""

_MEANING = {
    "R0": "not captured",
    "R1": "captured with gaps",
    "R2": "captured and restorable",
}
_SHOWN = 5
"""Names of packages in the meaning of a grade."""
_UNPROVED = "R1: captured; the restore was not proved"


def prove_restorable(rundir: RunDir, captured: Mapping[str, Any], seconds: float = SECONDS) -> dict[str, Any]:
    """Grades the run: `{"grade", "scope", "reproducible", "meaning", "gaps", "proof"}`.

    The restore runs in a process of its own, so that its time is bounded; it takes the capture folder alone. Whether
    the packages can be had is in `proof["environment"]`, see `resolving`.
    """
    gaps = [gap for gap in captured.get("gaps") or () if isinstance(gap, Mapping)]
    blocking = [gap for gap in gaps if gap.get("blocking")]
    missing = _missing(rundir, captured)
    if missing:
        proof: dict[str, Any] = {"tried": False, "why": f"unknown: {', '.join(missing)}"}
        return _result("R0", None, "false", _MEANING["R0"], gaps, proof)
    proof = _try_restore(rundir, seconds)
    environment = resolved(rundir.capture, capture_settings(rundir.spec))  # asked for when the run began
    proof = {**proof, "environment": environment}
    if blocking:
        return _result("R1", None, "false", _MEANING["R1"], gaps, proof)
    if proof.get("matches") is True:
        return _result("R2", "host", "true", _MEANING["R2"] + _where(environment), gaps, proof)
    if proof.get("matches") is False:
        gap = {
            "part": "code",
            "what": f"the stored code does not restore: {'; '.join(proof.get('problems') or ['another identity'])}",
            "fix": "Report this: the capture is at fault",
            "blocking": True,
        }
        return _result("R1", None, "false", _MEANING["R1"], [*gaps, gap], proof)
    return _result("R1", None, "unknown", _UNPROVED, gaps, proof)


def nothing_trained(captured: Mapping[str, Any]) -> dict[str, Any]:
    """In the form of a grade, of a preflight: it has none, as there is no training to do again."""
    gaps = [gap for gap in captured.get("gaps") or () if isinstance(gap, Mapping)]
    return _result("", None, "unknown", "nothing was trained", gaps, {"tried": False, "why": "nothing was trained"})


def _where(environment: Mapping[str, Any]) -> str:
    """What to add when an environment like this one cannot be built, as far as is known, anywhere else."""
    if environment.get("resolves") is True:
        return ""
    missing = list(environment.get("missing") or ())
    if not missing:
        return f"; environment: host only ({environment.get('why') or 'not tried'})"
    more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
    return f"; environment: host only (no configured index has {', '.join(missing[:_SHOWN])}{more})"


def _result(
    grade: str, scope: str | None, reproducible: str, meaning: str, gaps: list[Any], proof: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "grade": grade,
        "scope": scope,
        "reproducible": reproducible,
        "meaning": meaning,
        "gaps": gaps,
        "proof": dict(proof),
    }


def _missing(rundir: RunDir, captured: Mapping[str, Any]) -> list[str]:
    """Which of code, command and packages are unknown."""
    spec = rundir.spec
    code = captured.get("code") or {}
    missing = []
    if not code.get("tree") or code.get("kind") == "none":
        missing.append("code")
    if not (spec.get("orig_argv") or spec.get("script")):
        missing.append("command")
    if not (captured.get("environment") or {}).get("digest"):
        missing.append("packages")
    return missing


def _try_restore(rundir: RunDir, seconds: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(dir=rundir.path, prefix=".proof-", ignore_cleanup_errors=True) as folder:
        answer = Path(folder) / "answer.json"
        command = sidecar_command("--restore", str(rundir.capture), str(Path(folder) / "code"), str(answer))
        try:
            done = subprocess.run(
                command, timeout=seconds, stdin=subprocess.DEVNULL, capture_output=True, env=sidecar_environment()
            )
            if done.returncode == 0:
                return {"tried": True, **json.loads(answer.read_text(encoding="utf-8"))}
            lines = done.stderr.decode("utf-8", "replace").strip().splitlines() or [f"exit status {done.returncode}"]
            return {"tried": True, "matches": None, "why": f"the restore failed: {lines[-1][:300]}"}
        except subprocess.TimeoutExpired:
            return {"tried": True, "matches": None, "why": f"the restore took more than {seconds:g} s"}
        except (OSError, ValueError) as error:
            return {"tried": True, "matches": None, "why": f"the restore could not be tried: {error}"}


def restore_and_answer(capture: Path, into: Path, answer: Path) -> None:
    """The restore itself, run in a process of its own; writes `{"matches", "tree", "problems"}` to `answer`."""
    from ..reproduce.restore import restore_code

    restored = restore_code(capture, into)
    content = {"matches": bool(restored.matches), "tree": restored.tree, "problems": list(restored.problems)}
    answer.write_text(json.dumps(content), encoding="utf-8")
