"""The findings of a verdict, read defensively: in a stored run anything may be missing or of another form."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Found:
    """A finding as it stands in a verdict."""

    rule: str
    severity: str = "warning"
    message: str = ""
    advice: Sequence[str] = ()
    subjects: Sequence[str] = ()
    evidence: Mapping[str, float] = field(default_factory=dict)
    first_step: int | None = None
    last_step: int | None = None
    first_epoch: int | None = None
    last_epoch: int | None = None
    count: int = 1
    resolved_at: int | None = None
    suppressed: str | None = None
    consequences: Sequence[Found] = ()


def found_in(value: object, depth: int = 2) -> list[Found]:
    """The findings in a list of them; what is no finding is passed over."""
    items = value if isinstance(value, (list, tuple)) else ()
    return [_found(item, depth) for item in items if isinstance(item, Mapping) and item.get("rule")]


def _found(item: Mapping[str, Any], depth: int) -> Found:
    subjects = item.get("subjects")
    named = subjects if isinstance(subjects, (list, tuple)) and subjects else [item.get("subject")]
    advice = item.get("advice")
    evidence = item.get("evidence")
    return Found(
        rule=str(item["rule"]),
        severity=str(item.get("severity") or "warning"),
        message=str(item.get("message") or ""),
        advice=[str(line) for line in (advice if isinstance(advice, (list, tuple)) else [advice]) if line],
        subjects=[str(one) for one in named if isinstance(one, str) and one],
        evidence={str(name): float(n) for name, n in _items(evidence) if is_number(n)},
        first_step=_whole(item.get("first_step")),
        last_step=_whole(item.get("last_step")),
        first_epoch=_whole(item.get("first_epoch")),
        last_epoch=_whole(item.get("last_epoch")),
        count=_whole(item.get("count")) or 1,
        resolved_at=_whole(item.get("resolved_at")),
        suppressed=str(item["suppressed"]) if item.get("suppressed") else None,
        consequences=found_in(item.get("consequences"), depth - 1) if depth > 0 else (),
    )


def is_number(value: object) -> bool:
    """Whether it is a finite number, and no truth value."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _whole(value: object) -> int | None:
    return int(value) if isinstance(value, (int, float)) and is_number(value) else None


def _items(value: object) -> Iterable[tuple[Any, Any]]:
    return value.items() if isinstance(value, Mapping) else ()
