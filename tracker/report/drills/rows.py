"""The rows of a preflight's table, and what each drill measured, as far as they are in a usable form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...rules.engine.rule import Rule
from ...rules.engine.signals import DRILL_LOSS, DRILL_LR
from ...rules.engine.tables import number, table, text
from ..gathering.curves import Curve
from ..gathering.sources import Source
from ..recorded.forms import rows_in, table_in

SYMBOLS = {"passed": "✓", "failed": "✖", "skipped": "–"}
MOST_ROWS = 200


@dataclass(frozen=True)
class Row:
    """One drill."""

    drill: str
    title: str
    status: str
    says: str
    rules: tuple[str, ...]
    """Rules that found something in it."""
    seconds: float | None
    fact: Mapping[str, Any]
    """What it measured; empty where it was skipped."""


def rows_of(source: Source) -> list[Row]:
    """In the order in which the drills were done; none where the file of the table is missing, or of another form."""
    rows = []
    for one in rows_in(table_in(source.captured, "preflight.json").get("drills"))[:MOST_ROWS]:
        drill = text(one.get("drill"))
        found = one.get("findings")
        named = [text(each.get("rule")) for each in rows_in(found if isinstance(found, list) else [])]
        rows.append(
            Row(
                drill,
                text(one.get("title")) or drill or "?",
                text(one.get("status")),
                text(one.get("says")),
                tuple(dict.fromkeys(filter(None, named))),
                number(one.get("seconds")),
                table(source.gathered.facts.get(f"drill/{drill}")),
            )
        )
    return rows


def drill_of(rule: type[Rule] | None) -> str:
    """The drill whose measurement a rule judges; empty for one that judges trainings."""
    facts = rule.needs_facts if rule is not None else ()
    return next((name.removeprefix("drill/") for name in facts if name.startswith("drill/")), "")


def curves_of(source: Source, drill: str) -> dict[str, Curve]:
    """Losses over the iterations of a drill, by variant; the variant that is the drill itself is called ""."""
    return _named(source.gathered.subjects(DRILL_LOSS.name), drill)


def rates_of(source: Source, drill: str) -> dict[str, Curve]:
    """Learning rates, likewise."""
    return _named(source.gathered.subjects(DRILL_LR.name), drill)


def _named(curves: Mapping[str, Curve], drill: str) -> dict[str, Curve]:
    found = {"": curves[drill]} if drill in curves else {}
    start = f"{drill}/"
    return found | {name[len(start) :]: curve for name, curve in curves.items() if name.startswith(start)}


SCALES = {
    "rms": "outputs (root mean square)",
    "spread": "what samples differ by",
    "gradient": "gradient of the outputs",
}
"""What is known of a layer, by its name in the fact, in words."""


def layers_of(fact: Mapping[str, Any]) -> list[tuple[str, dict[str, float]]]:
    """(name, those of `SCALES` that are known and above 0) of each layer through the depth."""
    layers = []
    for one in rows_in(fact.get("layers")):
        found = {key: value for key in SCALES if (value := number(one.get(key))) is not None and value > 0}
        if found:
            layers.append((text(one.get("name")) or "?", found))
    return layers
