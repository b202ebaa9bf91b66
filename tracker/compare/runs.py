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
from .differences import recorded_differences
from .explained import Explanation, explanation_of
from .hunks import Hunk, hunks_between
from .kinds import RecordedDifference
from .material import rows_of
from .recorded import RecordedRun
from .streams import Comparison, compare_streams
from .surroundings import HASH_SEED

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
    hunks: tuple[Hunk, ...] = ()
    """The lines that differ, by file; without context, so that each can be taken alone."""


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
    differences: tuple[RecordedDifference, ...] = ()
    """Everything recorded that differs, once each; what explains the numbers best is first."""

    @property
    def explained(self) -> Explanation:
        """Where the numbers part, and which of `differences` explains it."""
        return explanation_of(self.differences, self.cause, self.numbers)

    @property
    def explanation(self) -> str:
        """Where the numbers part and what was recorded that explains it, in a few words."""
        return self.explained.headline

    @property
    def differs(self) -> bool:
        """True when anything differs that can make the runs differ, or any number does."""
        return bool(
            self.code.same is False
            or self.params
            or any(one.can_change_bits and one.what not in self._harmless for one in self.environment)
            or self.data_same is False
            # Generators in other states change nothing where nothing was drawn from them.
            or (self.randomness and not self.numbers.is_bitwise)
            or self.numbers.first_difference
            or not self.numbers.same_shape
            or self.ended[0] != self.ended[1]
            or any(x != y for x, y in self.weights.values() if x and y)
        )

    @property
    def _harmless(self) -> frozenset[str]:
        """What `tracker run` chooses anew each time: it changed nothing where the numbers are equal."""
        return frozenset({f"variable {HASH_SEED}"} if self.numbers.is_bitwise else ())

    def as_json(self) -> dict[str, Any]:
        """The machine form; numbers that JSON does not know are for the printer to write as text."""
        numbers = self.numbers
        return {
            "schema": 1,
            "a": self.a,
            "b": self.b,
            "differs": self.differs,
            "explanation": self.explained.as_json(),
            "code": {
                "same": self.code.same,
                "a": dict(self.code.a),
                "b": dict(self.code.b),
                "stat": self.code.stat,
                "patch": self.code.patch,
                "hunks": [{"id": hunk.id, **hunk.as_json()} for hunk in self.code.hunks],
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
                "cause": None
                if self.cause is None
                else {"where": self.cause.where, "likely": self.cause.likely, "evidence": self.cause.evidence},
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
    environment = tuple(environment_differences(*environments)) if known else ()
    data_same, data = _compare_data(a.captured("data.json"), b.captured("data.json"))
    weights = {
        moment: (a.ledger.weights.get(moment), b.ledger.weights.get(moment))
        for moment in ("start", "end")
        if moment in a.ledger.weights or moment in b.ledger.weights
    }
    code = compare_code(a, b)
    params = _compare_flat(a.params, b.params)
    cause = why(a.ledger, numbers, a.ledger.weights, b.ledger.weights, data_same=data_same)
    return RunComparison(
        a=a.id,
        b=b.id,
        code=code,
        params=params,
        environment=environment,
        environment_known=known,
        data_same=data_same,
        data=data,
        randomness=_compare_flat(randomness_digests(a), randomness_digests(b)),
        numbers=numbers,
        cause=cause,
        ended=(a.ledger.status, b.ledger.status),
        weights=weights,
        differences=recorded_differences(a, b, code.hunks, code.same, params, environment, cause, numbers),
    )


def explain(original: RecordedRun, again: RecordedRun) -> Explanation:
    """Where two runs part and the recorded differences that explain it; raises `StoreError` as `compare_runs` does."""
    return compare_runs(original, again).explained


def _compare_flat(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    return {key: (a.get(key), b.get(key)) for key in sorted({*a, *b}) if a.get(key) != b.get(key)}


def _compare_data(a: Mapping[str, Any], b: Mapping[str, Any]) -> tuple[bool | None, tuple[str, ...]]:
    if not a or not b:
        return None, ()
    one, other = rows_of(a), rows_of(b)
    changed = tuple(sorted({*changed_files(one, other), *changed_files(other, one)}))
    if changed:
        return False, changed
    is_known = all(side.get("identity") in ("complete", "none") for side in (a, b))
    return (True if is_known else None), ()


def randomness_digests(run: RecordedRun) -> dict[str, Any]:
    """Digest of each random generator's state when the block was entered, and the seeds that are known."""
    stored = run.captured("randomness.json") or run.process.get("randomness") or {}
    seeding = stored.get("seeding") if isinstance(stored, Mapping) else None
    seeding = seeding if isinstance(seeding, Mapping) else {}
    digests = seeding.get("digests")
    digests = digests if isinstance(digests, Mapping) else {}
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
        stat, patch, hunks = diff_captures(a.capture, b.capture)
    except (TrackerError, OSError, subprocess.SubprocessError) as error:
        return CodeComparison(one, other, same=False, problem=f"the code cannot be restored: {error}")
    return CodeComparison(one, other, same=False, stat=stat, patch=patch, hunks=tuple(hunks))


def diff_captures(a: Path, b: Path) -> tuple[str, str, list[Hunk]]:
    """What differs between two capture folders: the summary and the patch of `git diff`, and the lines by file.

    Nothing of it is executed.

    Raises `ReproduceError` or `OSError` when one cannot be restored.
    """
    from ..reproduce.restore import restore_code

    with tempfile.TemporaryDirectory(prefix="soundrun-compare-") as name:
        scratch = Path(name)
        for side, capture in (("a", a), ("b", b)):
            restore_code(capture, scratch / side)
            for git in (scratch / side).rglob(".git"):
                shutil.rmtree(git) if git.is_dir() and not git.is_symlink() else git.unlink()
        hunks = hunks_between(scratch / "a", scratch / "b")
        return _git_diff(scratch, "--stat=120"), _git_diff(scratch, "--patch"), hunks


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
