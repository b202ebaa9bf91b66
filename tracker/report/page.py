"""The report: one file that needs nothing else, with every string from outside escaped."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .blocks import Section, Text
from .drawing.figures import drawing
from .gathering.sources import Source

if TYPE_CHECKING:
    import jinja2

    from .beside.pair import Pair

SECTIONS = (
    "summary",
    "findings",
    "training",
    "flow",
    "histograms",
    "units",
    "classes",
    "samples",
    "model",
    "recorded",
    "grade",
    "skipped",
    "cost",
)
"""Modules of `sections`, in the order of the page; each has `sections(source)`, which gives what there is to show."""


PREFLIGHT = ("drills", "findings", "drilled", "recorded")
"""The same of a run of drills: nothing was trained in it."""

BESIDE = ("verdicts", "differences", "numbers", "findings")
"""Modules of `beside`, in the order of the page of two runs; each has `sections(pair)`."""


def report_page(source: Source) -> str:
    """The whole page of a run as HTML. A section that fails is left out, and the page says so."""
    names = PREFLIGHT if source.is_preflight else SECTIONS
    return _page(f"{source.name} · {source.run_id[:8]}", "sections", names, source)


def pair_page(pair: Pair) -> str:
    """The page of two runs side by side, likewise."""
    a, b = pair.a, pair.b
    return _page(f"{a.name} {a.run_id[:8]} · {b.name} {b.run_id[:8]}", "beside", BESIDE, pair)


def _page(title: str, package: str, names: Sequence[str], about: Source | Pair) -> str:
    found: list[Section] = []
    with drawing():
        for name in names:
            found += _sections_of(package, name, about)
    page = rendered(title, found)
    return page.encode("utf-8", "replace").decode("utf-8")  # a lone surrogate in a name is no character


def _sections_of(package: str, name: str, about: Source | Pair) -> Sequence[Section]:
    try:
        made: Callable[[Any], Sequence[Section]] = import_module(f".{package}.{name}", __package__).sections
        return made(about)
    except Exception as error:  # whatever a run holds, the rest of the page is worth having
        said = Text((f"This part could not be drawn: {type(error).__name__}: {error}",), "warn")
        return [Section(name, name.capitalize(), (said,))]


@cache
def _environment() -> jinja2.Environment:
    import jinja2

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )


def rendered(title: str, sections: Sequence[Section]) -> str:
    from markupsafe import Markup

    environment = _environment()
    style, script = (_file(environment, name) for name in ("report.css", "report.js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    context: dict[str, Any] = {
        "title": title,
        "sections": sections,
        "style": Markup(style),  # ours
        "script": Markup(script),
        "script_digest": digest,
        "trusted": Markup,
    }
    return environment.get_template("report.html").render(context)


def _file(environment: jinja2.Environment, name: str) -> str:
    if environment.loader is None:
        raise RuntimeError("the environment has no loader")
    return environment.loader.get_source(environment, name)[0]
