"""Markdown for pages that MLflow shows, in which every string of a run stays a string.

Two renderers have to agree: showdown in GitHub's manner for a run's description, CommonMark for artifacts. So what
either of them reads as markup is given as an entity, which neither reads again: tags, links, addresses that would
become links, names behind an at sign, emoji between colons.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence

MAX_LINE = 600
"""Characters of one text; a finding is one sentence."""
_JOINER = "&#8288;"
"""A character without width: addresses are looked for once more when entities have been read."""
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "@": f"&#64;{_JOINER}", "$": "&#36;"}
_MARKUP = re.compile(r"([\\`*_{}\[\]#|~])")
_COLON = re.compile(r":(?=\S)")
_WWW = re.compile(r"(www)\.", re.IGNORECASE)
_LIST = re.compile(r"^(?:(\d+)([.)])(?=\s|$)|()([-+=])(?=[-+=\s]|$))")
_HIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""Control characters, and those that turn the direction of what follows."""


def _shown(text: object) -> str:
    return _HIDDEN.sub("\ufffd", " ".join(str(text).split()))


def plain(text: object, longest: int = MAX_LINE) -> str:
    """`text` on one line, with what Markdown or HTML would interpret made harmless."""
    line = _shown(text)
    line = line if len(line) <= longest else line[: longest - 1] + "…"
    line = "".join(_ENTITIES.get(char, char) for char in line)
    line = _LIST.sub(lambda found: f"{found[1] or ''}&#{ord(found[2] or found[4])};", line)
    line = _COLON.sub(f"&#58;{_JOINER}", line)
    return _MARKUP.sub(r"\\\1", _WWW.sub(rf"\1{_JOINER}.", line)).replace("&\\#", "&#")


def code(text: object, longest: int = MAX_LINE, in_table: bool = False) -> str:
    """`text` as code on one line, in which no renderer looks for anything; empty for no text."""
    line = _shown(text)
    line = line if len(line) <= longest else line[: longest - 1] + "…"
    if not line:
        return ""
    fence = _fence(line, 1)
    if in_table:
        line = line.replace("|", "\\|")
    return f"{fence} {line} {fence}" if "`" in line else f"`{line}`"


def _fence(text: str, shortest: int) -> str:
    """Backticks, more than there are in a row in `text`."""
    return "`" * max(shortest, 1 + max((len(run) for run in re.findall(r"`+", text)), default=0))


def fenced(text: str, language: str = "") -> list[str]:
    """`text` as a block of code, in a fence longer than any inside it."""
    fence = _fence(text, 3)
    return [fence + language, *text.splitlines(), fence, ""]


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table of cells that are Markdown already; no lines where there are no rows."""
    body = [f"| {' | '.join(row)} |" for row in rows]
    return [f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}", *body, ""] if body else []


def figure(value: object) -> str:
    """A number as a reader wants it: at most six digits that count; what is none, as its text."""
    if isinstance(value, float) and math.isfinite(value):
        return plain(f"{value:.6g}")
    return plain(value)
