"""What a report is made of: sections, and the kinds of things that can stand in one. The template draws them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, TypeAlias


@dataclass(frozen=True)
class Text:
    """A paragraph, or a list of short lines."""

    lines: Sequence[str]
    tone: str = ""
    """`good`, `bad`, `warn`, `muted`, or none."""
    is_list: bool = False
    label: str = ""
    """What the lines are about, in a word or two: set in front of them, or above a list."""
    is_ordered: bool = False
    """Numbers the lines of a list: the first is the likeliest."""
    kind: ClassVar[str] = "text"


@dataclass(frozen=True)
class Banner:
    """One thing to be seen from afar: a word with a symbol, so that colour alone says nothing, and a few lines."""

    word: str
    symbol: str
    tone: str = ""
    lines: Sequence[str] = ()
    kind: ClassVar[str] = "banner"


@dataclass(frozen=True)
class Table:
    """Rows of cells; the first column names the row."""

    headers: Sequence[str]
    rows: Sequence[Sequence[object]]
    caption: str = ""
    folded: str = ""
    """Text of the line that opens the table; without one it is open."""
    numeric: frozenset[int] = frozenset()
    """Columns that are aligned as numbers."""
    kind: ClassVar[str] = "table"


@dataclass(frozen=True)
class Facts:
    """Names and values."""

    items: Sequence[tuple[str, object]]
    kind: ClassVar[str] = "facts"


@dataclass(frozen=True)
class Code:
    """Text in lines of its own: a diff, a command."""

    text: str
    caption: str = ""
    folded: str = ""
    is_diff: bool = False
    kind: ClassVar[str] = "code"


@dataclass(frozen=True)
class Plot:
    """A picture made by us, with the words that say the same."""

    svg: str
    """Markup from `figures.as_svg`, the only text that is not escaped."""
    title: str
    says: str
    """What is to be seen in it, in a sentence with numbers: the text alternative."""
    data: Table | None = None
    """The numbers behind it, folded."""
    is_small: bool = False
    """Stands beside others of its kind."""
    kind: ClassVar[str] = "plot"


@dataclass(frozen=True)
class Tile:
    """A small picture with a few lines below: one sample, one filter."""

    png: str = ""
    """Base64; nothing where `text` stands for the picture."""
    text: str = ""
    alt: str = ""
    lines: Sequence[str] = ()
    tone: str = ""
    overlay: str = ""
    """A second picture, shown beside: what mattered."""
    curves: Sequence[str] = ()
    """Points of lines in a box of 100 x 40, in place of a picture: a short series."""


@dataclass(frozen=True)
class Tiles:
    """Small pictures beside each other."""

    tiles: Sequence[Tile]
    caption: str = ""
    size: int = 96
    """Width of a picture, in CSS pixels."""
    kind: ClassVar[str] = "tiles"


@dataclass(frozen=True)
class Group:
    """Blocks under a heading of their own; folded, if a line to open them is given."""

    title: str
    blocks: Sequence[Block]
    badge: str = ""
    tone: str = ""
    folded: bool = False
    kind: ClassVar[str] = "group"


Block: TypeAlias = "Text | Banner | Table | Facts | Code | Plot | Tiles | Group"


@dataclass(frozen=True)
class Section:
    """One part of the page, with its place in the table of contents."""

    anchor: str
    title: str
    blocks: Sequence[Block] = field(default_factory=tuple)
    note: str = ""
    """One line below the heading."""
