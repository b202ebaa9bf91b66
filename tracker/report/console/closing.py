"""The block that closes a run on the terminal: verdict, headline, grade, and what to do next.

Names and messages come from anywhere: none of them reaches the terminal with a control character or a line break.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from .characters import one_line

_MARKS = {"true": ("red", "SUSPICIOUS"), "false": ("green", "not suspicious"), "unknown": ("yellow", "not judged")}
_WIDTH = 110
_MAX_GAPS = 3
_MAX_FINDINGS = 3


class Look(NamedTuple):
    """What the block is written for."""

    paint: Callable[..., str]
    """`paint(text, *styles)`: the text in colours, or as it is."""
    columns: int | None = None
    """Width of the terminal; None where there is none."""
    has_links: bool = False
    """Whether an address can be made one that is clicked."""

    def wrapped(self, lead: str, text: object) -> str:
        """A paragraph behind `lead`."""
        fits = self.columns is not None and self.columns >= 2 * len(lead) + 10
        width = min(_WIDTH, self.columns) if fits and self.columns is not None else _WIDTH
        return textwrap.fill(one_line(text), width, initial_indent=lead, subsequent_indent=" " * len(lead))

    def linked(self, link: str) -> str:
        """An address that a terminal opens when it is clicked; elsewhere the address alone."""
        return f"\033]8;;{link}\033\\{link}\033]8;;\033\\" if self.has_links else link


def block(
    name: str, run_id: str, status: str, verdict: Mapping[str, Any], state: Mapping[str, Any], look: Look
) -> Iterator[str]:
    """The lines of the block."""
    suspicious = one_line(verdict.get("suspicious", "unknown"))
    colour, text = _MARKS.get(suspicious, _MARKS["unknown"])
    rule = look.paint("─" * 4, "dim")
    said = f"{one_line(status).lower()}, {look.paint(text, colour, 'bold')}"
    yield f"{rule} {look.paint(one_line(name), 'bold')} {run_id[:8]}: {said} {rule}"
    findings = verdict.get("findings") or []
    shown = [f for f in findings if f.get("severity") != "info"] if suspicious == "true" else []
    for finding in shown[:_MAX_FINDINGS]:
        yield from _finding(finding, look)
    if len(shown) > _MAX_FINDINGS:
        yield f"  and {len(shown) - _MAX_FINDINGS} more: tracker check {run_id[:8]}"
    if suspicious == "unknown":
        yield look.wrapped("  ", verdict.get("why", "nothing was judged"))
    grade = f"  grade={one_line(state['grade'])}" if state.get("grade") else ""
    yield f"  suspicious={suspicious}  reproducible={one_line(state.get('reproducible', 'unknown'))}{grade}"
    yield from _missing(state, look)
    yield from _places(run_id, state, look)


def _finding(finding: Mapping[str, Any], look: Look) -> Iterator[str]:
    where = f" [{one_line(finding['subject'])}]" if finding.get("subject") else ""
    rule = look.paint(one_line(finding["rule"]) + where, "red", "bold")
    yield f"  {rule} ({one_line(finding['severity'])})"
    yield look.wrapped("    ", finding["message"])
    first, last = int(finding.get("first_epoch", 0)) + 1, int(finding.get("last_epoch", 0)) + 1
    gone = finding.get("resolved_at")
    until = f"gone at step {one_line(gone)}" if gone is not None else f"last seen in epoch {last}"
    yield f"    since epoch {first} (step {one_line(finding['first_step'])}), {until}"
    for line in finding.get("advice", [])[:3]:
        yield look.wrapped("    try: ", line)
    if finding.get("explains"):
        yield look.wrapped("    explains: ", ", ".join(map(str, finding["explains"])))


def _missing(state: Mapping[str, Any], look: Look) -> Iterator[str]:
    """What a restore would lack, while its owner can still do something about it."""
    gaps = [gap for gap in state.get("missing") or () if isinstance(gap, dict)]
    for gap in gaps[:_MAX_GAPS]:
        yield look.wrapped("  not reproducible: ", f"{gap.get('what')}. {gap.get('fix')}".rstrip(".") + ".")
    if len(gaps) > _MAX_GAPS:
        yield f"  and {len(gaps) - _MAX_GAPS} gaps more, in reproducibility.json"


def _places(run_id: str, state: Mapping[str, Any], look: Look) -> Iterator[str]:
    """Where the run is, and what makes it visible."""
    report = _file_link(state.get("report"))
    if report is not None:
        yield f"  report: {look.linked(report)}"
    elif state.get("finished"):
        yield f"  report: tracker report {run_id[:8]}"
    if state.get("finished"):
        known = one_line(state.get("mlflow_run_id"))
        yield f"  browse: tracker ui, MLflow run {known}"
        yield f"  again: tracker reproduce {run_id}"
        return
    reason = str(state.get("store") or "pending").rstrip(".")
    kept = "Everything is kept here and uploaded in the background; 'tracker sync' finishes what is pending."
    yield look.wrapped("  ", f"MLflow: {reason}. {kept}")


def _file_link(path: object) -> str | None:
    """The address of a file on this machine; None where there is none."""
    try:
        return Path(path).absolute().as_uri() if isinstance(path, str) and path and Path(path).is_file() else None
    except (OSError, ValueError):
        return None
