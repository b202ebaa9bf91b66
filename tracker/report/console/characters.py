"""Text that comes from anywhere, made safe for a terminal: names and messages may hold what a terminal obeys."""

from __future__ import annotations

import textwrap
import unicodedata


def clean(text: object) -> str:
    """The text without control characters; line breaks and tabs stay.

    Escape sequences, marks that turn the direction of writing, and lone surrogates become U+FFFD.
    """
    return "".join(
        char if char in "\n\t" or (char.isprintable() and not 0xD800 <= ord(char) <= 0xDFFF) else "\ufffd"
        for char in str(text)
    )


def one_line(text: object) -> str:
    """The same in one line: a line break would let a name pass for a line of ours."""
    return " ".join(clean(text).split())


def cells(text: str) -> int:
    """The columns that a line takes on a screen; at most one too many for each joined emoji."""
    return len(text) if text.isascii() else sum(map(_width, text))


def _width(char: str) -> int:
    if unicodedata.east_asian_width(char) in "WF":
        return 2
    return 0 if unicodedata.combining(char) or char in "\u200b\u200d\ufe0e\ufe0f" else 1


def cut(text: str, columns: int) -> str:
    """The beginning of a line that takes no more than `columns`."""
    if cells(text) <= columns:
        return text
    kept = ""
    for char in text:
        columns -= _width(char)
        if columns < 0:
            break
        kept += char
    return kept


def rows_of(text: str, columns: int) -> list[str]:
    """One line as the rows it takes on a screen, each narrower than `columns`; those behind the first are indented."""
    widest = 2 if cells(text) > len(text) else 1  # where some characters take two columns, all are taken to
    return textwrap.wrap(text, max((columns - 1) // widest, 10), subsequent_indent="    ")
