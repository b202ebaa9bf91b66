"""Pages in Markdown beside what was captured: MLflow shows them, people read them, and no part of ours does.

They hold what the report shows of the same files. What a file does not hold, or holds in another form than expected,
is left out of its page.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..report.blocks import Block, Code, Facts, Table, Text
from ..report.recorded import code, data, environment, hyperparameters, randomness
from ..report.recorded.files import captured_in
from .markdown import fenced, plain, table

MOST_PAGE = 300_000
"""Characters of a page."""
MOST_CELL = 300
"""Characters of a cell."""

PAGES: dict[str, Callable[[Mapping[str, Any]], Sequence[Block]]] = {
    "code": code.blocks,
    "data": data.blocks,
    "environment": environment.blocks,
    "hyperparameters": hyperparameters.blocks,
    "randomness": randomness.blocks,
}
"""What stands on each page, by the name of its file."""


def write_pages(capture: Path) -> list[Path]:
    """Writes the pages of what is in the folder `capture`, and returns them; a page that cannot be made is left out."""
    captured, written = captured_in(capture), []
    for name, blocks_of in PAGES.items():
        try:
            blocks = blocks_of(captured)
            if blocks:
                lines = [f"# {name.capitalize()}", "", *(line for block in blocks for line in _lines(block))]
                path = capture / f"{name}.md"
                path.write_text(_cut("\n".join(lines)), "utf-8", "backslashreplace")
                written.append(path)
        except (OSError, ValueError, TypeError, KeyError, AttributeError):  # another version's file, or a damaged one
            continue
    return written


def _cut(text: str) -> str:
    return text if len(text) <= MOST_PAGE else text[: text.rindex("\n", 0, MOST_PAGE)] + "\n\nThe rest is left out.\n"


def _lines(block: Block) -> Iterator[str]:
    """A block as Markdown. A line that would open it in the report is its heading here."""
    if isinstance(block, Text):
        lead = "- " if block.is_list else ""
        for line in block.lines:
            yield f"{lead}{plain(line)}"
            yield from () if block.is_list else ("",)
        yield ""
    elif isinstance(block, Facts):
        yield from table(("what", "value"), ([_cell(name), _cell(value)] for name, value in block.items))
    elif isinstance(block, Table):
        for heading, mark in ((block.folded, "## "), (block.caption, "" if block.folded else "## ")):
            yield from (f"{mark}{plain(heading)}", "") if heading else ()
        yield from table([_cell(head) for head in block.headers], ([_cell(cell) for cell in row] for row in block.rows))
    elif isinstance(block, Code):
        yield from (f"## {plain(block.folded)}", "") if block.folded else ()
        yield from fenced(block.text, "diff" if block.is_diff else "")
        yield from (plain(block.caption), "") if block.caption else ()


def _cell(value: object) -> str:
    return plain(value, MOST_CELL)
