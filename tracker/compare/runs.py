"""Two recorded runs beside each other: code, parameters, environment, data, randomness, and every number."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..capture.data import changed_files
from ..capture.differences import Difference as EnvironmentDifference
from ..capture.differences import environment_differences
from ..errors import TrackerError
from .causes import Cause, why
from .recorded import RecordedRun
from .streams import Comparison, compare_streams

_GIT_SECONDS = 60
_CODE_KEYS = ("kind", "commit", "branch", "dirty", "tree", "entry")


@dataclass(frozen=True)
class CodeComparison:
    """The two states of the code; `same` is None where one of them is not known."""

    a: Mapping[str, Any]
    b: Mapping[str, Any]
    same: bool | None
    stat: str = ""
    """What `git diff --stat` says of the two."""
    patch: str = ""
    problem: str = ""
    """Why there is no patch, if there is none."""


@dataclass(frozen=True)
class RunComparison:
    """Everything that differs between two runs."""

    a: str
    b: str
    code: CodeComparison
    params: Mapping[str, tuple[str | None, str | None]]
    environment: tuple[EnvironmentDifference, ...]
    environment_known: bool
    data_same: bool | None
    data: tuple[str, ...]
    """Data files whose content is not the same, or that only one of the two read."""
    randomness: Mapping[str, tuple[Any, Any]]
    numbers: Comparison
    cause: Cause | None
    ended: tuple[str | None, str | None] = (None, None)
    weights: Mapping[str, tuple[str | None, str | None]] = field(default_factory=dict)

    @property
    def recorded_differences(self) -> list[str]:
        """What was recorded and differs, each in a few words: code, parameters, environment, data."""
        found = []
        if self.code.same is False:
            files = self.code.stat.count("|")
            found.append(f"code ({files} file{'s' * (files != 1)})" if files else "code")
        # A bare name is what the user gave; the others often repeat it.
        names = sorted(self.params, key=lambda name: (name.count("/"), name))
        given = [name for name in names if "/" not in name] or names
        found += [f"{name} {self.params[name][0]} against {self.params[name][1]}"[:80] for name in given[:3]]
        if len(given) > 3:
            found.append(f"{len(given) - 3} more parameters")
        bits = [one for one in self.environment if one.can_change_bits]
        found += [f"{one.what} {one.recorded} against {one.current}"[:80] for one in bits[:3]]
        if len(bits) > 3:
            found.append(f"{len(bits) - 3} more of the environment")
        if self.data_same is False:
            found.append(f"data ({', '.join(self.data[:2])}{' and more' if len(self.data) > 2 else ''})")
        # Python's own is drawn from by libraries, and seldom by what computes the numbers.
        drawn = [name for name in self.randomness if name != "python"] or ([] if found else list(self.randomness))
        return found + [f"random state of {name}" for name in drawn]

    @property
    def explanation(self) -> str:
        """Where the numbers part and what was recorded that explains it, in one sentence."""
        found = "; ".join(self.recorded_differences)
        if not self.numbers.n_points:
            return f"No number was logged by both. Recorded differences: {found or 'none'}."
        if self.cause is None:
            return f"The numbers have the same bits{f', although these differ: {found}' if found else ''}."
        if found:
            return f"The numbers part at the {self.cause.where}. What differs: {found}."
        return f"The numbers part at the {self.cause.where}, and nothing recorded differs: {self.cause.likely}."

    @property
    def differs(self) -> bool:
        """True when anything differs that can make the runs differ, or any number does."""
        return bool(
            self.code.same is False
            or self.params
            or any(one.can_change_bits for one in self.environment)
            or self.data_same is False
            # Generators in other states change nothing where nothing was drawn from them.
            or (self.randomness and not self.numbers.is_bitwise)
            or self.numbers.first_difference
            or not self.numbers.same_shape
            or self.ended[0] != self.ended[1]
            or any(x != y for x, y in self.weights.values() if x and y)
        )

    def as_json(self) -> dict[str, Any]:
        """The machine form; numbers that JSON does not know are for the printer to write as text."""
        numbers = self.numbers
        return {
            "schema": 1,
            "a": self.a,
            "b": self.b,
            "differs": self.differs,
            "code": {
                "same": self.code.same,
                "a": dict(self.code.a),
                "b": dict(self.code.b),
                "stat": self.code.stat,
                "patch": self.code.patch,
                "problem": self.code.problem,
            },
            "params": {key: list(pair) for key, pair in self.params.items()},
            "environment": {
                "known": self.environment_known,
                "differences": [
                    {"what": d.what, "a": d.recorded, "b": d.current, "can_change_bits": d.can_change_bits}
                    for d in self.environment
                ],
            },
            "data": {"same": self.data_same, "changed": list(self.data)},
            "randomness": {key: list(pair) for key, pair in self.randomness.items()},
            "status": list(self.ended),
            "weights": {key: list(pair) for key, pair in self.weights.items()},
            "metrics": {
                "compared": list(numbers.metrics),
                "points": numbers.n_points,
                "different": dict(numbers.different),
                "first_difference": numbers.first_difference and numbers.first_difference.as_json(),
                "first_beyond_tolerance": numbers.first_beyond and numbers.first_beyond.as_json(),
                "explanation": self.explanation,
                "cause": None if self.cause is None else {"where": self.cause.where, "likely": self.cause.likely},
                "only_in_a": list(numbers.only_in_a),
                "only_in_b": list(numbers.only_in_b),
                "lengths": {key: list(pair) for key, pair in numbers.lengths.items()},
                "final": {key: list(pair) for key, pair in numbers.finals.items()},
                "excluded": list(numbers.excluded),
            },
        }


def compare_runs(a: RecordedRun, b: RecordedRun) -> RunComparison:
    """Compares two runs; raises `StoreError` when the numbers of one cannot be read."""
    numbers = compare_streams(a.ledger, b.ledger)
    environments = (a.environment, b.environment)
    known = all(environments)
    data_same, data = _compare_data(a.captured("data.json"), b.captured("data.json"))
    weights = {
        moment: (a.ledger.weights.get(moment), b.ledger.weights.get(moment))
        for moment in ("start", "end")
        if moment in a.ledger.weights or moment in b.ledger.weights
    }
    return RunComparison(
        a=a.id,
        b=b.id,
        code=compare_code(a, b),
        params=_compare_flat(a.params, b.params),
        environment=tuple(environment_differences(*environments)) if known else (),
        environment_known=known,
        data_same=data_same,
        data=data,
        randomness=_compare_flat(randomness_digests(a), randomness_digests(b)),
        numbers=numbers,
        cause=why(a.ledger, numbers, a.ledger.weights, b.ledger.weights),
        ended=(a.ledger.status, b.ledger.status),
        weights=weights,
    )


def _compare_flat(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    return {key: (a.get(key), b.get(key)) for key in sorted({*a, *b}) if a.get(key) != b.get(key)}


def _compare_data(a: Mapping[str, Any], b: Mapping[str, Any]) -> tuple[bool | None, tuple[str, ...]]:
    if not a or not b:
        return None, ()
    changed = tuple(sorted({*changed_files(a["items"], b["items"]), *changed_files(b["items"], a["items"])}))
    if changed:
        return False, changed
    is_known = all(one.get("identity") in ("complete", "none") for one in (a, b))
    return (True if is_known else None), ()


def randomness_digests(run: RecordedRun) -> dict[str, Any]:
    """Digest of each random generator's state when the block was entered, and the seeds that are known."""
    stored = run.captured("randomness.json") or run.process.get("randomness") or {}
    seeding = stored.get("seeding") or {}
    digests = seeding.get("digests") or {}
    found = {str(name): digest for name, digest in digests.items()}
    found.update({name: value for name, value in seeding.items() if name.endswith("_seed") and value is not None})
    return found


def compare_code(a: RecordedRun, b: RecordedRun) -> CodeComparison:
    """Compares the identities of the code and, where they differ, the two restored states line by line."""
    one, other = ({key: run.captured("code.json").get(key) for key in _CODE_KEYS} for run in (a, b))
    if one["tree"] is None or other["tree"] is None:
        return CodeComparison(one, other, same=None, problem="the code of one of the runs was not captured")
    if one["tree"] == other["tree"]:
        return CodeComparison(one, other, same=True)
    try:
        stat, patch = diff_captures(a.capture, b.capture)
    except (TrackerError, OSError, subprocess.SubprocessError) as error:
        return CodeComparison(one, other, same=False, problem=f"the code cannot be restored: {error}")
    return CodeComparison(one, other, same=False, stat=stat, patch=patch)


def diff_captures(a: Path, b: Path) -> tuple[str, str]:
    """What `git diff` says between two capture folders: the summary, and the patch. Neither is executed.

    Raises `ReproduceError` or `OSError` when one cannot be restored.
    """
    from ..reproduce.restore import restore_code

    with tempfile.TemporaryDirectory(prefix="soundrun-compare-") as name:
        scratch = Path(name)
        for side, capture in (("a", a), ("b", b)):
            restore_code(capture, scratch / side)
            for git in (scratch / side).rglob(".git"):
                shutil.rmtree(git) if git.is_dir() and not git.is_symlink() else git.unlink()
        return _git_diff(scratch, "--stat=120"), _git_diff(scratch, "--patch")


def _git_diff(folder: Path, form: str) -> str:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    environment.update(GIT_CONFIG_GLOBAL=os.devnull, GIT_CONFIG_NOSYSTEM="1", LC_ALL="C", GIT_CEILING_DIRECTORIES="/")
    done = subprocess.run(
        ["git", "-c", "core.quotepath=false", "diff", "--no-index", "--no-ext-diff", "--no-textconv", "--no-color",
         "--no-prefix", form, "a", "b"],
        cwd=folder, env=environment, capture_output=True, timeout=_GIT_SECONDS, check=False,
    )  # fmt: skip
    if done.returncode > 1:
        raise OSError(f"git diff failed: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout.decode("utf-8", errors="replace")
