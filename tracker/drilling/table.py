"""The table of a preflight, as text, Markdown and HTML: no library that a training would notice is loaded for it.

What it says comes from names in user code as well: nothing of it may be obeyed by a terminal, or become markup.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from ..report.console.characters import cells, cut, one_line
from .judged import FAILED, PASSED, SKIPPED_ROW, Row

MARKS = {PASSED: "passed", FAILED: "FAILED", SKIPPED_ROW: "skipped"}
WIDTH = 100
NARROW, WIDE = 40, 160
"""Columns that a table has at least, and at most: longer lines are hard to read."""
_MARK, _SAYS = 9, 28
"""Columns before the title, and those that what was measured needs beside it: else it stands below."""
_MOST_FINDINGS = 8
"""Findings of one drill that are told; all are in the run."""


def text(rows: Sequence[Row], width: int = WIDTH) -> str:
    """The table: a line for each drill, and below it what was found and what to try, in at most `width` columns."""
    width = min(max(width, NARROW), WIDE)
    titles = max((cells(one_line(row.title)) for row in rows), default=0)
    beside = _MARK + titles + 2
    lines: list[str] = []
    for row in rows:
        mark, title = MARKS.get(row.status, row.status).ljust(_MARK), one_line(row.title)
        says = one_line(row.says)
        if width - beside >= _SAYS:
            lines += _hanging(mark + title + " " * (titles - cells(title) + 2), says, beside, width)
        else:
            lines += _hanging(mark, title, _MARK, width)
            lines += _hanging(" " * _MARK, says, _MARK, width) if says else []
        for finding in row.findings[:_MOST_FINDINGS]:
            lines += _told(finding, width)
        if len(row.findings) > _MOST_FINDINGS:
            lines.append(" " * _MARK + f"and {len(row.findings) - _MOST_FINDINGS} more")
    return "\n".join([*lines, "", counted(rows)])


def counted(rows: Sequence[Row]) -> str:
    """How many passed, failed and were skipped, in words."""
    return ", ".join(f"{sum(row.status == one for row in rows)} {one}" for one in (PASSED, FAILED, SKIPPED_ROW))


def _told(finding: dict[str, object], width: int) -> Iterator[str]:
    where = f" in {one_line(finding['subject'])}" if finding.get("subject") else ""
    head = f"{one_line(finding.get('severity'))}, {one_line(finding.get('rule'))}{where}:"
    yield from _hanging(" " * _MARK, f"{head} {one_line(finding.get('message'))}", _MARK + 2, width)
    for number, advice in enumerate(_advice(finding), 1):
        head = " " * (_MARK + 2) + f"{number}. "
        yield from _hanging(head, advice, len(head), width)


def _advice(finding: dict[str, object]) -> list[str]:
    advice = finding.get("advice")
    return [one_line(one) for one in advice] if isinstance(advice, (list, tuple)) else []


def _hanging(head: str, said: str, indent: int, width: int) -> list[str]:
    """`said` behind `head`, in lines of at most `width` columns; those behind the first are set in by `indent`."""
    lines, line, has_words = [], head, False
    for word in said.split():
        if has_words and cells(line) + 1 + cells(word) > width:
            lines.append(line)
            line, has_words = " " * indent, False
        line, has_words = f"{line} {word}" if has_words else line + word, True
        while cells(line) > width:  # a word that is longer than a line
            kept = cut(line, width)
            lines.append(kept)
            line = " " * indent + line[len(kept) :]
    return [*lines, line.rstrip()]


def as_markdown(rows: Sequence[Row]) -> str:
    """The same as a page in Markdown, with nothing in it that a name could have made markup of."""
    from ..sidecar.markdown import plain, table

    heads = ("", "drill", "what was measured")
    marks = {PASSED: "✓ passed", FAILED: "**✗ FAILED**", SKIPPED_ROW: "skipped"}
    body = ([marks.get(row.status, plain(row.status)), plain(row.title), plain(row.says)] for row in rows)
    lines = [f"# Preflight: {counted(rows)}", "", *table(heads, body)]
    for row in rows:
        for finding in row.findings:
            where = f" in {plain(finding['subject'], 80)}" if finding.get("subject") else ""
            title = f"{plain(row.title)}: {plain(finding.get('rule'))}{where}"
            lines += [f"## {title}", "", f"**{plain(finding.get('message'))}**", ""]
            lines += [
                f"{plain(finding.get('severity'))}; try:",
                "",
                *(f"- {plain(one)}" for one in _advice(finding)),
                "",
            ]
    return "\n".join(lines)


def as_html(rows: Sequence[Row]) -> str:
    """The same as a table for notebooks, in the colours that the notebook has."""
    colours = {PASSED: "#2a8a4a", FAILED: "#d1382c", SKIPPED_ROW: "#8a8a8a"}
    cell = "text-align:left;vertical-align:top;white-space:normal"
    parts = []
    for row in rows:
        mark = MARKS.get(row.status, row.status)
        found = "".join(
            f"<div><b>{_html(finding.get('rule'))}</b>{_where(finding)}: {_html(finding.get('message'))}"
            f"<ol>{''.join(f'<li>{_html(one)}</li>' for one in _advice(finding))}</ol></div>"
            for finding in row.findings
        )
        parts.append(
            f'<tr><td style="{cell};color:{colours.get(row.status, "inherit")}"><b>{_html(mark)}</b></td>'
            f'<td style="{cell}">{_html(row.title)}</td><td style="{cell}">{_html(row.says)}{found}</td></tr>'
        )
    heads = "".join(f'<th style="{cell}">{head}</th>' for head in ("", "drill", "what was measured"))
    return (
        f"<table><caption>Preflight: {counted(rows)}</caption><thead><tr>{heads}</tr></thead>"
        f"<tbody>{''.join(parts)}</tbody></table>"
    )


def _html(text: object) -> str:
    return escape(one_line(text), quote=True)


def _where(finding: dict[str, object]) -> str:
    return f" in {_html(finding['subject'])}" if finding.get("subject") else ""
