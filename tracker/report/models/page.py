"""The page of two models: the verdict, where it begins, pictures, and a line for every layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...compare.models.table import HEADERS, cells
from ..blocks import Banner, Block, Facts, Plot, Section, Table, Text
from ..drawing.figures import as_svg, drawing
from ..page import rendered
from .pictures import depth_figure, map_figure, says_depth, says_map

if TYPE_CHECKING:
    from ...compare.models.result import First, ModelComparison


def models_page(found: ModelComparison) -> str:
    """The whole page as HTML: one file that needs nothing else, with every string from outside escaped."""
    with drawing():
        page = rendered("two models", _sections(found))
    return page.encode("utf-8", "replace").decode("utf-8")  # a lone surrogate in a name is no character


def _sections(found: ModelComparison) -> Sequence[Section]:
    tone, symbol, word = ("good", "✓", "the same") if found.same else ("bad", "✗", "different")
    if found.unjudged:
        tone, symbol, word = "warn", "?", "not judged"
    blocks: list[Block] = [Banner(word, symbol, tone, (found.summary,))]
    for title, first in (("First output", found.first_output), ("First gradient", found.first_gradient)):
        if first is not None:
            blocks.append(Facts(_facts(title, first)))
    if found.others:
        lines = [f"{one.title}: {one.at}, {one.size}" for one in found.others]
        blocks.append(Text(lines, is_list=True, label="Different on its own as well"))
    blocks.append(Text((*found.notes, found.judged_by), "muted"))
    made = [Section("verdict", "Two models", blocks)]
    if found.rows:
        plot = Plot(as_svg(depth_figure(found), says_depth(found), "depth"), "Difference by depth", says_depth(found))
        table = Table(HEADERS, [cells(row) for row in found.rows], "! marks what is more than rounding.")
        made.append(Section("layers", "Layer by layer", (plot, table)))
    maps = [
        Plot(as_svg(map_figure(one), says_map(one), f"map-{at}"), one.title, says_map(one))
        for at, one in enumerate(found.pictures)
    ]
    if maps:
        made.append(Section("maps", "Where they differ", maps))
    for anchor, title, weights in (("weights", "Weights", found.weights), ("buffers", "Buffers", found.buffers)):
        if weights:
            rows = [
                (one.a, one.b, str(one.size), "" if one.rank is None else f"{one.rank} of {one.full_rank}")
                for one in weights
            ]
            made.append(Section(anchor, title, (Table(("in A", "in B", "difference", "rank if low"), rows),)))
    matched = [(" + ".join(one.a), " + ".join(one.b), one.by) for one in found.matching.matches]
    if matched:
        blocks = [Table(("in A", "in B", "by"), matched, folded=f"{len(matched)} tensors")]
        if found.settings:
            blocks.append(Text(found.settings, is_list=True, label="Settings that differ"))
        made.append(Section("matched", "What was matched", blocks))
    return made


def _facts(title: str, first: First) -> list[tuple[str, object]]:
    found: list[tuple[str, object]] = [
        (title, first.title),
        ("in B", f"{first.b or 'the model itself'} ({first.kind_b})"),
    ]
    found.append(("seen at", first.at + (", by what the layer does itself" if first.is_own_code else "")))
    found.append(("size", str(first.size) + ("" if first.exact is None else f"; in float64 {first.exact:.2g}")))
    if first.before:
        found.append(("the last that agrees", first.before))
    return [*found, *(("hint", one) for one in first.hints)]
