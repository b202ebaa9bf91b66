"""Pictures: matplotlib draws, and what it drew becomes part of the page, in the page's own colours and letters.

Text stays text, so that it can be read aloud, searched and enlarged. Colours are stand-ins: each becomes a variable of
the page's style sheet, which has a light and a dark value for it.
"""

from __future__ import annotations

import contextlib
import io
import logging
import math
import re
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, FAINT, GRID = "#010101", "#020202", "#030303"
SERIES = ("#040401", "#040402", "#040403", "#040404", "#040405", "#040406", "#040407", "#040408")
"""Colours of up to eight lines, told apart by people who see red and green alike too."""
BAD, WARN, GOOD, PAPER = "#050501", "#050502", "#050503", "#060601"

VARIABLES = {
    INK: "ink", FAINT: "faint", GRID: "grid", BAD: "bad", WARN: "warn", GOOD: "good", PAPER: "paper",
    **{colour: f"line-{number}" for number, colour in enumerate(SERIES, 1)},
}  # fmt: skip
"""Stand-in colours, and the variables of the style sheet that they become."""

WIDTH, HEIGHT = 7.6, 2.6
"""Inches of a picture as wide as the page; it shrinks with its frame."""
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_NAMES = r' id="(?:matplotlib\.axis|[A-Za-z0-9]+)_\d+"'
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # a name with a dollar sign is a name
    "font.family": ["DejaVu Sans"],
    "font.size": 8.0,
    "text.color": INK,
    "axes.labelcolor": FAINT,
    "axes.edgecolor": GRID,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": FAINT,
    "ytick.labelcolor": FAINT,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "axes.formatter.useoffset": False,
    "lines.linewidth": 1.4,
    "legend.frameon": False,
    "legend.fontsize": 7.5,
    "axes.titlesize": 8.5,
    "axes.titlelocation": "left",
    "path.simplify": True,
    "path.simplify_threshold": 0.5,
}


@contextlib.contextmanager
def drawing() -> Iterator[None]:
    """The style in which figures are made and written; nothing of it is left behind."""
    import matplotlib

    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    with warnings.catch_warnings(), matplotlib.rc_context():
        matplotlib.rcdefaults()  # a user's own settings, and those in the folder of the script, are for other figures
        matplotlib.rcParams.update(_STYLE)
        # Letters that our measuring font lacks, in the names of layers and metrics: the browser has them.
        warnings.simplefilter("ignore", UserWarning)
        with np.errstate(all="ignore"):  # values of hundreds of powers of ten overflow on the way to a scale
            yield


def new_figure(width: float = WIDTH, height: float = HEIGHT, **grid: Any) -> tuple[Figure, Any]:
    """A figure and its axes, as `Figure.subplots` gives them; sizes in inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(**grid)


def as_svg(figure: Figure, label: str, key: str) -> str:
    """The figure as markup for a page. `label` is its text alternative; `key` is unique on the page."""
    from html import escape

    import matplotlib

    plain_powers(figure)
    out = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": key, "svg.id": None}):
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    markup = out.getvalue()
    markup = markup[markup.index("<svg") :]
    markup = re.sub(r"<metadata>.*?</metadata>", "", markup, flags=re.DOTALL)
    # Names of parts are the same in every figure of matplotlib; those that are referred to are hashed, with the salt.
    markup = re.sub(_NAMES, "", markup)
    markup = re.sub(r"<g>\s*<g>", "<g><g>", markup)
    for colour, variable in VARIABLES.items():
        markup = markup.replace(colour, f"var(--{variable})")
    head, _, rest = markup.partition(">")
    size = re.search(r'viewBox="([^"]+)"', head)
    box = size.group(1) if size else f"0 0 {WIDTH * 72} {HEIGHT * 72}"
    title = f"<title>{escape(label)}</title>"
    return f'<svg viewBox="{box}" role="img" xmlns:xlink="http://www.w3.org/1999/xlink">{title}{rest}'.strip()


def plain_powers(figure: Figure) -> None:
    """Ticks of logarithmic axes without the markup of formulas, which is off: a name may have a dollar sign."""
    from matplotlib.ticker import FuncFormatter, LogFormatter, NullFormatter

    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            if isinstance(axis.get_major_formatter(), LogFormatter):
                axis.set_major_formatter(FuncFormatter(lambda value, _: power(value)))
                axis.set_minor_formatter(NullFormatter())


def power(value: float) -> str:
    """A power of ten in a few letters: `0.01`, `100`, `10⁻⁷`."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    exponent = math.log10(abs(value))
    if -3 <= exponent <= 4 or abs(exponent - round(exponent)) > 1e-6:
        return f"{value:g}"
    return f"{'−' if value < 0 else ''}10{str(round(exponent)).translate(_RAISED)}"


def mark_epochs(axes: Axes, ends: list[int], most: int = 40) -> None:
    """Thin lines where epochs end; of many, some."""
    stride = max(1, -(-len(ends) // most))
    for end in ends[stride - 1 :: stride]:
        axes.axvline(end, color=GRID, linewidth=0.5, zorder=0.5)


def mark_step(axes: Axes, step: float, text: str, colour: str = BAD) -> None:
    """A line with a word at the step where something happened."""
    axes.axvline(step, color=colour, linewidth=0.9, linestyle=(0, (4, 2)))
    axes.annotate(
        text, (step, 1.0), xycoords=("data", "axes fraction"), xytext=(3, -2), textcoords="offset points",
        color=colour, fontsize=7, va="top",
    )  # fmt: skip
