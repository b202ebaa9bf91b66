import json
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.report.pages import HOSTILE, Reader, hostile_source
from tracker.report.gathering.sources import Source
from tracker.report.page import SECTIONS, _environment, report_page
from tracker.rules.engine.records import Fact, Reading

SHAPES = {"svg", "g", "path", "use", "text", "tspan", "rect", "defs", "clippath", "image", "title", "style", "polyline"}
KNOWN = SHAPES | {
    "html", "head", "meta", "body", "a", "nav", "ol", "li", "ul", "button", "main", "section", "h1", "h2", "h3", "p",
    "div", "table", "caption", "thead", "tbody", "tr", "th", "td", "dl", "dt", "dd", "pre", "span", "figure", "b",
    "figcaption", "details", "summary", "img", "script",
}  # fmt: skip


@pytest.fixture(scope="module")
def page() -> str:
    return report_page(hostile_source())


@pytest.fixture(scope="module")
def read(page: str) -> Reader:
    return Reader(page)


def test_every_part_can_be_drawn_of_a_hostile_run(page: str) -> None:
    assert "could not be drawn" not in page


def test_no_string_of_a_run_becomes_markup(read: Reader) -> None:
    names = {tag for tag, _ in read.elements}
    handlers = [key for _, attributes in read.elements for key in attributes if key.startswith("on")]
    outside = [
        value
        for _, attributes in read.elements
        for key, value in attributes.items()
        if key in ("src", "href", "xlink:href") and value and not value.startswith(("data:image/png;base64,", "#"))
    ]

    assert names <= KNOWN, names - KNOWN
    assert not handlers
    assert not outside
    assert len(read.named("script")) == 1
    assert not read.unclosed
    assert "window.hacked=1</script>" in read.text.replace(" ", "")


def test_templates_are_not_evaluated_twice(page: str) -> None:
    assert "{{ 7*7 }}" in page
    assert re.search(r"\b49\b [^0-9]*\ufffd", page) is None


def test_a_browser_is_told_to_run_our_script_alone_and_to_fetch_nothing(read: Reader) -> None:
    (policy,) = [one["content"] for one in read.named("meta") if one.get("http-equiv") == "Content-Security-Policy"]

    assert policy is not None
    assert "default-src 'none'" in policy
    assert "unsafe-inline" not in policy.partition("script-src")[2]
    assert "sha256-" in policy.partition("script-src")[2]


def test_each_section_is_reached_from_the_list_of_sections_once(read: Reader) -> None:
    ids = [attributes["id"] for _, attributes in read.elements if "id" in attributes]
    links = [one["href"] for one in read.named("a")]
    sections = [one["id"] for one in read.named("section")]

    assert len(ids) == len(set(ids)), "an id stands twice"
    assert [link.removeprefix("#") for link in links if link][1:] == sections
    assert sections[:2] == ["summary", "findings"]


def test_every_picture_says_what_is_to_be_seen(read: Reader) -> None:
    pictures = [one for one in read.named("svg") if one.get("role") == "img"]
    titles = [text for tag, text in read.texts if tag == "title"]

    assert pictures
    assert len([title for title in titles if len(title.split()) > 3]) >= len(pictures)
    assert all(one.get("alt") for one in read.named("img"))


def _colours(block: str) -> dict[str, str]:
    return dict(re.findall(r"--([\w-]+):\s*(#[0-9a-f]{6})", block))


def _luminance(colour: str) -> float:
    """Relative luminance, WCAG 2.2."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _contrast(one: str, other: str) -> float:
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_letters_and_lines_stand_out_in_light_and_dark() -> None:
    loader = _environment().loader
    assert loader is not None
    style = loader.get_source(_environment(), "report.css")[0]
    light = _colours(style[: style.index("@media")])
    dark = _colours(style[style.index('[data-theme="dark"]') :])
    weak = []
    for theme in (light, dark):
        for name, colour in theme.items():
            least = 3.0 if name.startswith("line-") else 4.5  # WCAG 2.2: 1.4.11 for lines, 1.4.3 for letters
            if name not in ("paper", "raised", "grid"):
                weak += [name for paper in ("paper", "raised") if _contrast(colour, theme[paper]) < least]

    assert len(light) == len(dark) > 10
    assert not weak


def test_a_run_without_anything_has_a_page() -> None:
    page = report_page(Source(run_id="abc", is_ours=False))

    assert "could not be drawn" not in page
    assert "abc" in Reader(page).text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 10**12) | st.floats() | st.sampled_from(["", "val", "0", HOSTILE]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "shape", "id", "0"]), inner),
    max_leaves=6,
)
FACTS = ("model", "parameters", "loss", "inputs", "optimizer", "loaders", "targets", "sample", "predictions", "filters",
         "saliency", "class_weights", "evaluation", "place", "sampling", "unseen")  # fmt: skip


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(FACTS), JSON, max_size=5), JSON, JSON, JSON)
def test_whatever_form_stored_content_has_the_rest_is_drawn(facts: dict[str, Any], a: Any, b: Any, c: Any) -> None:
    source = Source(run_id="abc", verdict={"findings": a, "skipped": b, "clear": c, "suspicious": "true"})
    source.proof = {"grade": a, "gaps": b, "proof": c}
    source.captured = dict.fromkeys(("code.json", "data.json", "environment.json", "randomness.json", "run.json"), a)
    source.captured["class_counts.json"] = b
    source.gathered.take(1.0, Reading("loss", "", 0, 1.0))
    for name, value in facts.items():
        source.gathered.take(1.0, Fact(name, 0, value))

    assert "could not be drawn" not in report_page(source), json.dumps([facts, a, b, c], default=str)


def test_the_order_of_the_parts_is_that_of_the_reader() -> None:
    assert SECTIONS[:3] == ("summary", "findings", "training")
    assert SECTIONS[-2:] == ("skipped", "cost")
