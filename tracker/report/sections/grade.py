"""How far the run can be done again, and what shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..blocks import Block, Code, Facts, Section, Table, Text
from ..gathering.sources import Source
from ..recorded.forms import rows_in, said, table_in

_WORDS = {
    "true": ("It can be done again.", "good"),
    "false": ("It cannot be done again as it stands.", "bad"),
    "unknown": ("Whether it can be done again is not proved yet.", "warn"),
}
_SCOPES = {
    "process": "in the same process",
    "host": "on the same machine, in the same environment",
    "env-rebuilt": "on the same machine, in a rebuilt environment",
    "other-host": "on another machine",
}
SCALE = (
    ("R0", "code, command or packages are unknown"),
    ("R1", "all three are stored, with gaps that are named"),
    ("R2", "no gap, and the stored code was restored and had the same identity"),
    ("R3", "run again: same final status, same metrics, same number of values"),
    ("R4n", "and all values within the tolerance"),
    ("R5", "and all values and the final weights have the same bits; R5[n] for the first n steps"),
)


def sections(source: Source) -> Sequence[Section]:
    """One; of a run that plain MLflow code logged, it says what is missing."""
    proof, tags = source.proof, source.tags
    if not source.is_ours:
        line = "Nothing but parameters and metrics was logged, so it cannot be done again from here."
        return [Section("grade", "Reproducibility", (Text((line,), "muted"),))]
    if source.is_running:
        return [Section("grade", "Reproducibility", (Text(("Judged when the run has ended.",), "muted"),))]
    grade = str(tags.get("repro.grade") or proof.get("grade") or "")
    scope = str(tags.get("repro.scope") or proof.get("scope") or "")
    words, tone = _WORDS.get(str(tags.get("reproducible") or proof.get("reproducible")), _WORDS["unknown"])
    blocks: list[Block] = [Text((words,), tone)]
    blocks.append(
        Facts(
            [
                (name, value)
                for name, value in (
                    ("Grade", grade),
                    ("Scope", _SCOPES.get(scope, scope)),
                    ("Meaning", proof.get("meaning")),
                    ("Last re-execution", tags.get("repro.last")),
                    ("Is itself a re-execution of", tags.get("repro.of")),
                )
                if value
            ]
        )
    )
    blocks += _gaps(proof)
    blocks += _evidence(table_in(proof, "proof"))
    if grade != "R0":
        blocks.append(Code(f"tracker reproduce {source.run_id}", "Run it again, and have every number compared:"))
    scale = [(f"{one} (this run)" if _is(one, grade) else one, text) for one, text in SCALE]
    blocks.append(Table(("grade", "what was shown"), scale, folded="What the grades mean"))
    return [Section("grade", "Reproducibility", blocks)]


def _is(grade: str, label: str) -> bool:
    return label.partition("[")[0] in (grade, grade.rstrip("n"))


def _gaps(proof: Mapping[str, Any]) -> list[Block]:
    gaps = sorted(rows_in(proof.get("gaps")), key=lambda gap: not gap.get("blocking"))
    rows = [
        [said(gap.get("part")), said(bool(gap.get("blocking"))), said(gap.get("what")), said(gap.get("fix") or "")]
        for gap in gaps
    ]
    return [Table(("part", "stands in the way", "what is missing", "what to do"), rows, "Gaps")] if rows else []


def _evidence(proof: Mapping[str, Any]) -> list[Block]:
    """What was tried when the run had ended."""
    if not proof:
        return []
    lines = []
    if proof.get("tried"):
        same = "had the same identity" if proof.get("matches") else "had another identity"
        lines.append(f"The stored code was restored into an empty folder and {same} (git tree {proof.get('tree')}).")
    else:
        lines.append("The stored code was not restored to try it.")
    environment = table_in(proof, "environment")
    if environment.get("resolves") is True:
        lines.append("Every package of the run can still be had in its version.")
    elif environment.get("resolves") is False:
        missing = environment.get("missing")
        names = ", ".join(map(str, missing)) if isinstance(missing, list) else said(environment.get("why") or "")
        lines.append(f"Not all packages can be had any more: {names}.")
    elif environment.get("why"):
        lines.append(f"Whether the packages can be had was not found out: {environment['why']}.")
    problems = proof.get("problems")
    lines += [str(problem) for problem in problems] if isinstance(problems, list) else []
    return [Text(lines, is_list=True)]
