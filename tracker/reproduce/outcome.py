"""What a re-run proved of its original: compared, graded, and written into the tags of both."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..capture.differences import Difference
from ..compare.explained import Explanation
from ..compare.recorded import RecordedRun
from ..compare.runs import explain
from ..compare.streams import compare_streams
from ..sidecar.wording import NOTE, regraded
from .environment import scope_of
from .plan import Plan
from .prefix import Prefix, grade_beginning, standing_after_beginning
from .rerun import Rerun
from .verdict import Grade, Scope, Standing, grade, standing_after


@dataclass(frozen=True)
class Outcome:
    """A re-run beside its original."""

    original: RecordedRun
    again: RecordedRun
    folder: Path
    result: Grade
    standing: Standing
    """What the tags of the original say from now on."""
    differences: tuple[Difference, ...]
    """What differs between the two environments."""
    explanation: Explanation | None = None
    """Which recorded differences explain that the numbers differ; None where they do not."""

    def as_json(self, is_stored: bool) -> dict[str, Any]:
        """The machine form. `is_stored` says whether the tags could be written."""
        standing = self.standing
        return {
            "schema": 1,
            "run_id": self.original.id,
            "rerun_id": self.again.id,
            "folder": str(self.folder),
            **self.result.as_json(),
            "reproducible": standing.reproducible,
            "repro": {"grade": standing.grade, "scope": standing.scope, "last": standing.last},
            "environment": [str(one) for one in self.differences],
            "explained": None if self.explanation is None else self.explanation.as_json(),
            "stored": is_stored,
        }

    def store(self) -> bool:
        """Writes the evidence into the tags of both runs; False when a store could not be reached."""
        standing, result = self.standing, self.result
        tags: dict[str, str] = {"repro.last": standing.last[:500], "reproducible": standing.reproducible}
        if standing.grade is not None:
            tags["repro.grade"] = standing.grade
        if standing.scope is not None:
            tags["repro.scope"] = standing.scope
        if standing.prefix is not None:
            tags["repro.prefix"] = standing.prefix
        known = self.original.tags
        if NOTE in known:
            grade = standing.grade or known.get("repro.grade")
            proof = {"reproducible": standing.reproducible, "grade": grade, "meaning": f"last re-run: {standing.last}"}
            tags[NOTE] = regraded(known[NOTE], proof)
        mine = {"repro.of": str(self.original.own_id), "repro.grade": result.label, "repro.scope": result.scope}
        stored = self.original.set_tags(tags)
        if stored and standing.grade is not None:
            self.original.set_metrics({"repro/grade": float(standing.grade[1])})
        return self.again.set_tags(mine) and stored


def judge(
    original: RecordedRun,
    again: RecordedRun,
    plan: Plan,
    done: Rerun,
    folder: Path,
    *,
    other_data: int = 0,
    is_rebuilt: bool = False,
) -> Outcome:
    """Compares a re-run with its original and grades it.

    `other_data` counts the data files that are not the recorded ones, `is_rebuilt` says that the environment was built
    for the re-run. Raises `StoreError` when the numbers of one of the two cannot be read.
    """
    scope, differences = scope_of(plan.environment, again.environment)
    if is_rebuilt and scope == "host":
        scope = "env-rebuilt"
    if other_data:
        scope = "other-host"  # not what was recorded: it says nothing against the run where its data is
    graded = _grade_all if plan.prefix is None else _grade_beginning
    result = graded(original, again, scope, plan.prefix)
    if done.timed_out:
        result = replace(result, explanation=f"The re-run was ended after its time was up. {result.explanation}")
    if other_data:
        words = f"With {other_data} data files that are not the recorded ones: {result.explanation}"
        result = replace(result, explanation=words)
    before = (
        original.tags.get("repro.grade"),
        original.tags.get("repro.scope"),
        original.tags.get("reproducible", "unknown"),
    )
    follow = standing_after if plan.prefix is None else standing_after_beginning
    standing = follow(result, time.strftime("%Y-%m-%d"), *before)
    explanation = None if result.cause is None else explain(original, again)
    return Outcome(original, again, folder, result, standing, tuple(differences), explanation)


def _grade_all(original: RecordedRun, again: RecordedRun, scope: Scope, _: Prefix | None) -> Grade:
    comparison = compare_streams(original.ledger, again.ledger)
    captured = original.tags.get("repro.grade", "R2")
    return grade(original.ledger, again.ledger, comparison, scope=scope, captured=captured)


def _grade_beginning(original: RecordedRun, again: RecordedRun, scope: Scope, prefix: Prefix | None) -> Grade:
    assert prefix is not None
    captured = original.tags.get("repro.grade", "R2")
    return grade_beginning(original.ledger, again.ledger, prefix, scope=scope, captured=captured)
