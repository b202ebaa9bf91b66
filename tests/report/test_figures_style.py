"""Figures look the same whatever the user has set for theirs."""

from __future__ import annotations

from typing import Any

import matplotlib

from tracker.report.drawing.figures import as_svg, drawing, new_figure


def test_settings_of_the_user_for_other_figures_change_none_of_ours() -> None:
    theirs: dict[Any, Any] = {
        "axes.facecolor": "#ff0000",
        "text.usetex": True,
        "svg.fonttype": "path",
        "lines.color": "#00ff00",
    }
    pages = []
    nothing: dict[Any, Any] = {}
    for settings in (nothing, theirs):
        with matplotlib.rc_context(settings):
            with drawing():
                figure, axes = new_figure(2, 1)
                axes.set_title("layer_1")
                pages.append(as_svg(figure, "a", "key"))
            is_back = all(matplotlib.rcParams[name] == value for name, value in settings.items())

    assert pages[0] == pages[1]
    assert "layer_1</text>" in pages[1]
    assert is_back
