"""Pictures of two models: how far they are apart through the depth, and where in a tensor they differ."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..drawing.figures import BAD, SERIES, VARIABLES, WIDTH, drawing, mark_step, new_figure, plain_powers
from ..drawing.lines import shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ...compare.models.result import ModelComparison, Picture, Row

LEAST = 1e-10
"""What is drawn for less, and for no difference at all: far below the rounding of float32."""
MOST_PIXELS = 256
"""Rows and columns of a map; of more, every n-th."""
_PLAIN = {"ink": "#222222", "faint": "#666666", "grid": "#dddddd", "bad": "#c0362c", "warn": "#b07000"}
_LINES = ("#3566c0", "#d07a1f", "#2f8f5b", "#a8459a", "#7a6a3a", "#4aa3b5", "#c0362c", "#666666")


def depth_figure(found: ModelComparison) -> Figure:
    """Relative differences of outputs and gradients, layer by layer: a layer stands behind those in it."""
    figure, axes = new_figure(WIDTH, 3.0)
    rows = in_depth(found.rows)
    places = list(range(len(rows)))
    for at, (label, values) in enumerate(_curves(rows)):
        axes.plot(places, values, color=SERIES[at], marker="o" if len(places) <= 60 else "", markersize=3, label=label)
    axes.set_yscale("log")
    axes.set_ylabel("difference / rms of A")
    stride = max(1, len(places) // 24)
    axes.set_xticks(
        places[::stride],
        [shortened(row.a or "(model)", 24) for row in rows[::stride]],
        rotation=60,
        ha="right",
        fontsize=6.5,
    )
    marked: dict[int, list[str]] = {}
    for first, word in ((found.first_output, "output"), (found.first_gradient, "gradient")):
        place = next((at for at, row in enumerate(rows) if first is not None and row.a == first.a), None)
        if place is not None:
            marked.setdefault(place, []).append(word)
    for place, words in marked.items():
        mark_step(axes, place, f"first {' and '.join(words)}", BAD)
    axes.legend(loc="best")
    return figure


def in_depth(rows: Sequence[Row]) -> list[Row]:
    """The rows in the order in which the layers give their output."""
    found: list[Row] = []
    open_rows: list[Row] = []
    for row in rows:
        while open_rows and open_rows[-1].a and not row.a.startswith(f"{open_rows[-1].a}."):
            found.append(open_rows.pop())
        open_rows.append(row)
    return [*found, *reversed(open_rows)]


def _curves(rows: Sequence[Row]) -> list[tuple[str, list[float]]]:
    def drawn(value: float | None) -> float:
        return math.nan if value is None or not math.isfinite(value) else max(value, LEAST)

    curves = [
        ("outputs", [drawn(None if row.output is None else row.output.relative) for row in rows]),
        ("outputs in float64", [drawn(row.exact_output) for row in rows]),
        ("gradients at the output", [drawn(None if row.gradient is None else row.gradient.relative) for row in rows]),
    ]
    return [(label, values) for label, values in curves if any(not math.isnan(value) for value in values)]


def map_figure(picture: Picture) -> Figure:
    """A, B and their difference as colours: the last two axes of the tensor, or all samples in rows."""
    a, b = _flat(picture.a), _flat(picture.b)
    figure, axes = new_figure(WIDTH, 2.6, ncols=3)
    figure.suptitle(picture.title, x=0.01, ha="left", fontsize=8.5)
    most = float(np.nanmax(np.abs(np.where(np.isfinite(a), a, np.nan)), initial=0.0)) or 1.0
    apart = b - a
    worst = float(np.nanmax(np.abs(np.where(np.isfinite(apart), apart, np.nan)), initial=0.0)) or 1.0
    for one, values, scale, title in (
        (axes[0], a, most, f"A, up to {most:.2g}"),
        (axes[1], b, most, "B, the same colours"),
        (axes[2], apart, worst, f"B - A, up to {worst:.2g}"),
    ):
        _map(one, values, scale, title)
    return figure


def _map(axes: Axes, values: Any, scale: float, title: str) -> None:
    axes.imshow(values, cmap="RdBu_r", vmin=-scale, vmax=scale, aspect="auto", interpolation="none")
    axes.set_title(title)
    axes.grid(visible=False)
    axes.tick_params(labelsize=6)


def _flat(tensor: Any) -> Any:
    """(rows, columns) of numbers: of more axes, the leading ones follow each other in the rows."""
    values = np.asarray(tensor.numpy(), np.float64)
    values = values.reshape(1, -1) if values.ndim < 2 else values.reshape(-1, values.shape[-1])
    steps = [-(-size // MOST_PIXELS) for size in values.shape]
    return values[:: steps[0], :: steps[1]]


def says_depth(found: ModelComparison) -> str:
    """What is to be seen in the curves."""
    known = [(row.output.relative, row.a) for row in found.rows if row.output is not None]
    known = [one for one in known if math.isfinite(one[0])]
    if not known:
        return "No outputs could be compared."
    most, name = max(known)
    return f"The outputs are furthest apart at {name or 'the model as a whole'}: {most:.2g} of their size."


def says_map(picture: Picture) -> str:
    """What is to be seen in a map."""
    apart = (picture.b - picture.a).abs()
    share = float((apart > 0).double().mean())
    most = float(apart.max())
    return f"{picture.title}: {share:.1%} of {apart.numel():,} elements are not equal, at most {most:.2g} apart."


def save_png(found: ModelComparison, path: Path) -> None:
    """Writes the pictures one below the other into one file, on white."""
    import io

    from matplotlib import image

    with drawing():
        parts = []
        figures = [depth_figure(found)] if found.rows else []
        for figure in [*figures, *map(map_figure, found.pictures)]:
            plain_powers(figure)
            _plain_colours(figure)
            out = io.BytesIO()
            figure.savefig(out, format="png", dpi=130, facecolor="white")
            out.seek(0)
            parts.append(image.imread(out)[..., :3])
        if not parts:
            figure, axes = new_figure(WIDTH, 1.0)
            axes.set_axis_off()
            axes.text(0.0, 0.5, found.summary[:160], color="#222222")
            figure.savefig(path, format="png", dpi=130, facecolor="white")
            return
        widest = max(part.shape[1] for part in parts)
        filled = [np.pad(part, ((0, 0), (0, widest - part.shape[1]), (0, 0)), constant_values=1.0) for part in parts]
        image.imsave(path, np.concatenate(filled), format="png")


def _plain_colours(figure: Figure) -> None:
    """Colours of the page's style sheet become colours: a file of its own has no style sheet."""
    from matplotlib.colors import to_hex

    plain = {stand_in: _PLAIN.get(name, "#222222") for stand_in, name in VARIABLES.items()}
    plain.update(zip(SERIES, _LINES, strict=True))
    for artist in figure.findobj():
        for kind in ("color", "edgecolor", "facecolor", "markerfacecolor", "markeredgecolor"):
            getter, setter = getattr(artist, f"get_{kind}", None), getattr(artist, f"set_{kind}", None)
            if getter is None or setter is None:
                continue
            try:
                now = to_hex(getter())
            except (TypeError, ValueError):
                continue
            if now in plain:
                setter(plain[now])
