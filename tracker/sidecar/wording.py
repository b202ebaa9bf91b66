"""The verdict in words: the block in a run's description, and `findings.md`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .markdown import code, figure, plain, table

BEGIN, END = "<!-- tracker:begin -->", "<!-- tracker:end -->"
NOTE = "mlflow.note.content"
"""The tag that is a run's description."""
MAX_BLOCK = 3500
"""Characters of our block; MLflow cuts a description at 8000, and the user's own text comes first."""

_HEAD = {
    "true": "⚠ Suspicious",
    "false": "✓ Not suspicious",
    "unknown": "? Could not be judged",
}
_GRADE = "Reproducible: "
_GRADED = re.compile(rf"^{_GRADE}.*?(?= · |$)", re.MULTILINE)
_MOST_NAMED = 10
_MOST_GAPS = 3


def _head(verdict: Mapping[str, Any]) -> str:
    return _HEAD.get(str(verdict.get("suspicious")), _HEAD["unknown"])


def _severity(finding: Mapping[str, Any]) -> str:
    return plain(finding.get("severity"))


def _epoch(finding: Mapping[str, Any], which: str) -> int | None:
    """The number of an epoch as people count; None where the finding does not say."""
    epoch = finding.get(which)
    return epoch + 1 if isinstance(epoch, int) else None


def _since(finding: Mapping[str, Any]) -> str:
    step, epoch = plain(finding.get("first_step")), _epoch(finding, "first_epoch")
    return f"since step {step}" if epoch is None else f"since epoch {epoch}, step {step}"


def _when(finding: Mapping[str, Any]) -> str:
    if finding.get("resolved_at") is not None:
        return f"{_since(finding)}, gone at step {plain(finding['resolved_at'])}"
    last = _epoch(finding, "last_epoch")
    return (
        f"{_since(finding)}; last seen"
        + (f" in epoch {last}," if last else "")
        + f" at step {plain(finding.get('last_step'))}"
    )


def _subject(finding: Mapping[str, Any]) -> str:
    subjects = [one for one in finding.get("subjects") or (finding.get("subject"),) if one]
    if not subjects:
        return ""
    more = f" and {len(subjects) - _MOST_NAMED} more" if len(subjects) > _MOST_NAMED else ""
    return f" in {', '.join(plain(one, 80) for one in subjects[:_MOST_NAMED])}{more}"


def _names(findings: Sequence[Mapping[str, Any]]) -> str:
    more = f" and {len(findings) - _MOST_NAMED} more" if len(findings) > _MOST_NAMED else ""
    return ", ".join(plain(finding.get("rule")) for finding in findings[:_MOST_NAMED]) + more


def _link(name: str, place: str) -> str:
    """An artifact of the run; a link where it is known where MLflow's UI shows the run."""
    return f"[{name}]({place}/artifacts/{name})" if place else name


def block(
    verdict: Mapping[str, Any], proof: Mapping[str, Any], own_id: str, place: str = "", artifacts: Sequence[str] = ()
) -> str:
    """Our part of the run's description, in Markdown: what is to be known first stands first, as MLflow folds the rest.

    `place` is the run's address below that of the UI, as `#/experiments/1/runs/…`, and `artifacts` are those to look at
    next, the most telling first.
    """
    drills = verdict.get("preflight")
    if isinstance(drills, Mapping):
        return _preflight_block(drills, [_link(name, place) for name in artifacts])
    findings: Sequence[Mapping[str, Any]] = verdict.get("findings") or ()
    lines, more = [], []
    if str(verdict.get("suspicious")) == "true" and findings:
        head = findings[0]
        lines.append(
            f"**{_head(verdict)}: {plain(head.get('rule'))}** "
            f"({_severity(head)} {_since(head)}){_subject(head)}: {plain(head.get('message'))}"
        )
        if head.get("advice"):
            more += [*(f"- try: {plain(advice)}" for advice in head["advice"]), ""]
        if head.get("explains"):
            more += [f"It explains {', '.join(map(plain, head['explains'][:_MOST_NAMED]))}.", ""]
        if len(findings) > 1:
            more += [f"Also found: {_names(findings[1:])}.", ""]
    else:
        lines.append(f"**{_head(verdict)}**: {plain(verdict.get('why') or 'nothing was judged')}.")
        if findings:
            more += [f"Noted: {_names(findings)}.", ""]
    lines += ["", " · ".join([_grade(proof), *(_link(name, place) for name in artifacts)])]
    text = "\n".join([*lines, "", *more, *_reproducing(proof, own_id)]).strip()
    return text if len(text) <= MAX_BLOCK else _cut(text)


def _preflight_block(drills: Mapping[str, Any], links: Sequence[str]) -> str:
    """The same of a preflight: the first drill that failed, what to try, and which others failed."""
    failures = [one for one in drills.get("failures") or () if isinstance(one, Mapping)]
    counts = ", ".join(f"{plain(drills.get(key))} {key}" for key in ("passed", "failed", "skipped"))
    more = []
    if failures:
        head = failures[0]
        rule = f" ({plain(head.get('rule'))})" if head.get("rule") else ""
        line = f"**⚠ Preflight failed: {plain(head.get('title'))}**{rule}: {plain(head.get('message'))}"
        more += [*(f"- try: {plain(advice)}" for advice in head.get("advice") or ()), ""]
        if len(failures) > 1:
            more.append(f"Also failed: {', '.join(plain(one.get('title')) for one in failures[1 : _MOST_NAMED + 1])}.")
    elif drills.get("passed"):
        line = "**✓ Preflight passed**: no drill failed."
    else:
        line = "**? No preflight**: no drill could be done."
    text = "\n".join([line, "", " · ".join([f"Drills: {counts}", *links]), "", *more]).strip()
    return text if len(text) <= MAX_BLOCK else _cut(text)


def _grade(proof: Mapping[str, Any]) -> str:
    return (
        f"{_GRADE}**{plain(proof.get('reproducible'))}**, {plain(proof.get('grade'))} ({plain(proof.get('meaning'))})"
    )


def regraded(description: str, proof: Mapping[str, Any]) -> str:
    """`description` with what our block says of the grade replaced; as it is where there is no block of ours."""
    start = description.rfind(BEGIN)
    end = description.find(END, start)
    if not 0 <= start < end:
        return description
    block = _GRADED.sub(lambda _: _grade(proof), description[start:end], count=1)
    return description[:start] + block + description[end:]


def _cut(text: str) -> str:
    """The beginning of a block, ended where a line ends: half a mark of Markdown would reach into the user's text."""
    return text[: text.rindex("\n", 0, MAX_BLOCK - 2)] + "\n…"


def _reproducing(proof: Mapping[str, Any], own_id: str) -> Iterator[str]:
    gaps = [gap for gap in proof.get("gaps") or () if isinstance(gap, Mapping) and gap.get("blocking")]
    if gaps:
        yield from ("Missing to do it again:", "")
        yield from (f"- {plain(gap.get('what'))}. {plain(gap.get('fix'))}" for gap in gaps[:_MOST_GAPS])
        if len(gaps) > _MOST_GAPS:
            yield f"- and {len(gaps) - _MOST_GAPS} more, in reproducibility.json"
        yield ""
    if proof.get("grade") != "R0":
        yield f"Run it again: {code(f'tracker reproduce {own_id}')}"


def with_block(description: str, ours: str) -> str:
    """`description` with our block put in, or in the place of the one that is there; other text stays as it is."""
    whole = f"{BEGIN}\n{ours}\n{END}"
    start = description.rfind(BEGIN)
    end = description.find(END, start)
    if 0 <= start < end:
        return description[:start] + whole + description[end + len(END) :]
    return f"{description.rstrip()}\n\n{whole}" if description.strip() else whole


def _finding(finding: Mapping[str, Any]) -> Iterator[str]:
    """One finding with what to try and its numbers, below its headline."""
    yield f"**{plain(finding.get('message'))}**"
    yield ""
    yield f"{_severity(finding)}{_subject(finding)}, {_when(finding)}"
    yield ""
    if finding.get("advice"):
        yield from ("Try:", "", *(f"- {plain(advice)}" for advice in finding["advice"]), "")
    evidence = finding.get("evidence") or {}
    if isinstance(evidence, Mapping):
        yield from table(("evidence", "value"), ([plain(one), figure(value)] for one, value in evidence.items()))


def findings_page(verdict: Mapping[str, Any]) -> str:
    """`findings.md`: every finding with its advice and numbers, then what was not judged and why."""
    why = plain(verdict.get("why") or "nothing was judged")
    lines = [f"# {_head(verdict)}", "", f"{why}.", ""]
    for number, finding in enumerate(verdict.get("findings") or (), start=1):
        lines += [f"## {number}. {plain(finding.get('rule'))}", "", *_finding(finding)]
        consequences = finding.get("consequences") or ()
        if consequences:
            lines += [f"It explains {len(consequences)} more:", ""]
        for consequence in consequences:
            lines += [f"### {plain(consequence.get('rule'))}", "", *_finding(consequence)]
    suppressed = verdict.get("suppressed") or ()
    if suppressed:
        rows = ([plain(one.get("rule")), plain(one.get("suppressed")), plain(one.get("message"))] for one in suppressed)
        lines += ["## Suppressed", "", *table(("rule", "reason in the settings", "message"), rows)]
    for title, key in (("Not judged", "skipped"), ("Crashed", "crashed")):
        items = verdict.get(key) or ()
        if items:
            rows = ([plain(item.get("rule")), plain(item.get("reason"))] for item in items)
            lines += [f"## {title}", "", *table(("rule", "why"), rows)]
    if verdict.get("clear"):
        lines += ["## Clear", "", ", ".join(map(plain, verdict["clear"])), ""]
    return "\n".join(lines)
