"""What a command prints: the result on stdout, progress and errors on stderr; colours only for a terminal."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from ..report.console.characters import clean as clean

if TYPE_CHECKING:
    from rich.console import Console


class ExitCode(IntEnum):
    """What every command says by its exit code."""

    FINE = 0
    FOUND = 1
    """Findings, or a difference."""
    UNJUDGED = 2
    """It could not be judged: too little data, a run or store that cannot be read."""
    USAGE = 64
    """The command was not used as it can be used."""


STYLES = {"info": "cyan", "warning": "yellow", "error": "red", "fatal": "bold red"}
"""Colour of each severity."""


_shared: list[Console] = []
"""Where a bar stands on the same screen as the results, its console, which prints them above."""


@contextmanager
def above(shown: Console) -> Iterator[None]:
    """Has results printed above the bar that `shown` draws, if they go to the same screen."""
    if not sys.stdout.isatty():
        yield
        return
    _shared.append(shown)
    try:
        yield
    finally:
        _shared.remove(shown)


def console() -> Console:
    """A console for stdout. Piped output is plain and never cut to a width."""
    from rich.console import Console

    if _shared:
        return _shared[-1]
    if sys.stdout.isatty():
        return Console(highlight=False, markup=False)
    return Console(highlight=False, markup=False, no_color=True, width=10_000, soft_wrap=True)


def say(text: str = "", style: str | None = None) -> None:
    """Prints one line of the result."""
    console().print(clean(text), style=style, soft_wrap=True)


def progress(text: str) -> None:
    """Prints one line of progress on stderr."""
    print(clean(text), file=sys.stderr, flush=True)


def print_json(content: object) -> None:
    """Prints the machine form: finite JSON, one object."""
    print(json.dumps(finite(content), indent=2, ensure_ascii=False, allow_nan=False, default=str))


def finite(content: Any) -> Any:
    """The same content with every number that JSON does not know as text."""
    if isinstance(content, float) and not math.isfinite(content):
        return repr(content)
    if isinstance(content, Mapping):
        return {str(key): finite(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [finite(value) for value in content]
    return content


def print_table(headers: Sequence[str], rows: Iterable[Sequence[str]], styles: Sequence[str | None] = ()) -> None:
    """Prints a table: ruled on a terminal, aligned plain columns when piped. `styles` colours whole rows."""
    cells = [[clean(cell).replace("\n", " ") for cell in row] for row in rows]
    if sys.stdout.isatty():
        from rich import box
        from rich.table import Table

        table = Table(*headers, box=box.SIMPLE_HEAD, pad_edge=False)
        for index, row in enumerate(cells):
            table.add_row(*row, style=styles[index] if index < len(styles) else None)
        console().print(table)
        return
    lines = [list(headers), *cells]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headers))]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def is_interactive() -> bool:
    """True when a question can be asked and answered: stdin and stderr are terminals."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()


def is_terminal() -> bool:
    """True when somebody looks at stderr, so that a progress bar can be drawn there."""
    return sys.stderr is not None and sys.stderr.isatty()


def wants_traceback() -> bool:
    """True when `TRACKER_DEBUG` is set to 1: errors then come with the traceback."""
    return os.environ.get("TRACKER_DEBUG") == "1"
