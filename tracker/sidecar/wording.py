"""The verdict in words: the block in a run's description, and `findings.md`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

BEGIN, END = "<!-- tracker:begin -->", "<!-- tracker:end -->"
MAX_BLOCK = 3500
"""Characters of our block; MLflow cuts a description at 8000, and the user's own text comes first."""
MAX_LINE = 600
"""Characters of one message; a finding is one sentence."""

_HEAD = {
    "true": "suspicious",
    "false": "not suspicious",
    "unknown": "could not be judged",
}
_MARKUP = re.compile(r"([\\`*_{}\[\]<>#|~])")


def plain(text: object) -> str:
    """`text` on one line, with what Markdown or HTML would interpret made harmless."""
    line = " ".join(str(text).split())
    line = line if len(line) <= MAX_LINE else line[: MAX_LINE - 1] + "…"
    return _MARKUP.sub(r"\\\1", line.replace("&", "&amp;"))


def _steps(finding: Mapping[str, Any]) -> str:
    first, last = finding.get("first_step"), finding.get("last_step")
    where = f"step {first}" if first == last else f"steps {first} to {last}"
    resolved = finding.get("resolved_at")
    return where if resolved is None else f"{where}, resolved at step {resolved}"


def _lines(finding: Mapping[str, Any]) -> list[str]:
    subject = f" in {plain(finding['subject'])}" if finding.get("subject") else ""
    lines = [
        f"**{plain(finding.get('rule'))}** ({plain(finding.get('severity'))}){subject}, {_steps(finding)}: "
        f"{plain(finding.get('message'))}"
    ]
    lines += [f"- {plain(advice)}" for advice in finding.get("advice") or ()]
    if finding.get("explains"):
        lines.append(f"- explains: {', '.join(map(plain, finding['explains']))}")
    return lines


def block(verdict: Mapping[str, Any], proof: Mapping[str, Any], own_id: str) -> str:
    """Our part of the run's description, in Markdown."""
    findings: Sequence[Mapping[str, Any]] = verdict.get("findings") or ()
    lines = [f"**{_HEAD.get(str(verdict.get('suspicious')), 'could not be judged')}**"]
    if verdict.get("why"):
        lines[0] += f": {plain(verdict['why'])}"
    if findings:
        lines += ["", *_lines(findings[0])]
        if len(findings) > 1:
            rest = ", ".join(plain(finding.get("rule")) for finding in findings[1:11])
            lines += ["", f"And {len(findings) - 1} more: {rest}. All of them: artifact findings.md."]
    gaps = [gap for gap in proof.get("gaps") or () if gap.get("blocking")]
    lines += ["", f"Reproducibility **{plain(proof.get('grade'))}** ({plain(proof.get('meaning'))})."]
    lines += [f"- {plain(gap.get('what'))}. {plain(gap.get('fix'))}" for gap in gaps[:3]]
    if len(gaps) > 3:
        lines.append(f"- and {len(gaps) - 3} more: artifact reproducibility.json")
    if proof.get("grade") != "R0":
        lines += ["", f"Run it again with: `tracker reproduce {own_id}`"]
    text = "\n".join(lines)
    return text if len(text) <= MAX_BLOCK else text[: MAX_BLOCK - 1] + "…"


def with_block(description: str, ours: str) -> str:
    """`description` with our block put in, or in the place of the one that is there; other text stays as it is."""
    whole = f"{BEGIN}\n{ours}\n{END}"
    start, end = description.find(BEGIN), description.find(END)
    if 0 <= start < end:
        return description[:start] + whole + description[end + len(END) :]
    return f"{description.rstrip()}\n\n{whole}" if description.strip() else whole


def findings_page(verdict: Mapping[str, Any]) -> str:
    """`findings.md`: every finding with its advice, then what was not judged and why."""
    lines = ["# Findings", "", f"Suspicious: {plain(verdict.get('suspicious'))}. {plain(verdict.get('why') or '')}", ""]
    for finding in verdict.get("findings") or ():
        lines += [*_lines(finding), ""]
        evidence = finding.get("evidence") or {}
        if evidence:
            lines += ["| evidence | value |", "| --- | --- |"]
            lines += [f"| {plain(name)} | {plain(value)} |" for name, value in evidence.items()]
            lines.append("")
        for consequence in finding.get("consequences") or ():
            lines += [f"> {line}" for line in _lines(consequence)]
            lines.append("")
    for title, key in (("Not judged", "skipped"), ("Crashed", "crashed")):
        items = verdict.get(key) or ()
        if items:
            lines += [f"## {title}", "", *(f"- {plain(i.get('rule'))}: {plain(i.get('reason'))}" for i in items), ""]
    if verdict.get("clear"):
        lines += ["## Clear", "", ", ".join(map(plain, verdict["clear"])), ""]
    return "\n".join(lines)
