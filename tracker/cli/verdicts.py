"""How a verdict is shown: the headline first, what follows from it folded under it, then what could not be judged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from .output import STYLES, ExitCode, say

_MOST_ADVICE = 3


def machine_form(verdict: Mapping[str, Any], run_id: str, tags: Mapping[str, str]) -> dict[str, Any]:
    """The verdict of a run as every command prints it with `--json`."""
    head = {
        "schema": verdict.get("schema", 1),
        "run_id": run_id,
        "suspicious": verdict["suspicious"],
        "reproducible": tags.get("reproducible", "unknown"),
        "grade": tags.get("repro.grade"),
        "findings": verdict["findings"],
        "skipped": verdict["skipped"],
        "crashed": verdict["crashed"],
    }
    return {**head, **{key: value for key, value in verdict.items() if key not in head}}


SEVERITIES = ("info", "warning", "error", "fatal")


def fails(verdict: Mapping[str, Any], fail_on: str = "warning") -> bool:
    """Whether a run has a finding of this severity or worse; `warning` means as for the tag `suspicious`."""
    if fail_on == "warning":
        return bool(verdict["suspicious"] == "true")
    every = [one for top in verdict.get("findings", ()) for one in (top, *top.get("consequences", ()))]
    return fail_on in SEVERITIES and any(
        SEVERITIES.index(one["severity"]) >= SEVERITIES.index(fail_on) for one in every if one["severity"] in SEVERITIES
    )


def exit_code(verdicts: Sequence[Mapping[str, Any]], fail_on: str = "warning") -> int:
    """1 when any run has a finding that counts, else 2 when any could not be judged, else 0."""
    said = {verdict["suspicious"] for verdict in verdicts}
    if any(fails(verdict, fail_on) for verdict in verdicts):
        return ExitCode.FOUND
    return ExitCode.UNJUDGED if "unknown" in said or not verdicts else ExitCode.FINE


def show_verdict(name: str, verdict: Mapping[str, Any]) -> None:
    """Prints one verdict for people."""
    words = {"true": "suspicious", "false": "not suspicious", "unknown": "could not be judged"}
    styles = {"true": "bold red", "false": "green", "unknown": "yellow"}
    said = str(verdict["suspicious"])
    say(f"{name}: {words[said]}", styles[said])
    if verdict.get("why"):
        say(f"  {verdict['why']}")
    for finding in verdict["findings"]:
        _show_finding(finding, "  ")
    for finding in verdict.get("suppressed", ()):
        say(f"  {finding['rule']}  suppressed: {finding['suppressed']}", "dim")
    for crash in verdict["crashed"]:
        say(f"  {crash['rule']}  crashed: {crash['reason']}", "yellow")
    reasons = Counter(str(item["reason"]) for item in verdict["skipped"])
    if reasons:
        say(f"  {sum(reasons.values())} rules were skipped:", "dim")
        for reason, count in reasons.most_common():
            rules = ", ".join(item["rule"] for item in verdict["skipped"] if item["reason"] == reason)
            say(f"    {rules}: {reason}" if count <= 4 else f"    {count} rules: {reason}", "dim")


def _show_finding(finding: Mapping[str, Any], indent: str) -> None:
    where = span(finding)
    head = "  ".join(part for part in (finding["rule"], finding["subject"], where) if part)
    state = f" (gone at step {finding['resolved_at']})" if finding.get("resolved_at") is not None else ""
    say(f"{indent}{finding['severity']:<8}{head}{state}", STYLES.get(finding["severity"]))
    say(f"{indent}        {finding['message']}")
    for number, line in enumerate(finding["advice"][:_MOST_ADVICE], 1):
        say(f"{indent}        {number}. {line}")
    for folded in finding.get("consequences", ()):
        say(f"{indent}    └ {folded['rule']}  {span(folded)}  {folded['message']}", "dim")


def span(finding: Mapping[str, Any]) -> str:
    """The steps of a finding: `step 12`, or `steps 12 to 900, 40 times`."""
    first, last, count = finding["first_step"], finding["last_step"], finding["count"]
    if first == last:
        return f"step {first}"
    return f"steps {first} to {last}, {count} times" if count > 1 else f"steps {first} to {last}"
