"""What the script's process tells its parent: one line of JSON for each thing, written at once."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ...rules.engine.records import Array, Fact, Reading, Record

FILE = "told.jsonl"

BEGAN, RECORDS, OVER, MET, FAULT = "began", "records", "over", "met", "fault"
"""Kinds of lines: a drill begins; what it measured; all of them are over; what is trained is known; we have failed."""


class Teller:
    """Writes lines; what is written survives whatever ends the process."""

    def __init__(self, folder: Path) -> None:
        self._file = os.open(folder / FILE, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)

    def tell(self, kind: str, **values: Any) -> None:
        """Writes one line."""
        os.write(self._file, (json.dumps({"kind": kind, **values}) + "\n").encode())

    def records(self, records: Sequence[Record]) -> None:
        """Writes what a drill has measured."""
        self.tell(RECORDS, records=[_plain(one) for one in records if isinstance(one, (Reading, Array, Fact))])


def read(folder: Path) -> Iterator[dict[str, Any]]:
    """The lines that are whole."""
    try:
        text = (folder / FILE).read_text(encoding="utf-8")
    except FileNotFoundError:
        return
    for line in text.splitlines():
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict):
            yield found


def records(folder: Path) -> Iterator[Record]:
    """What the drills have measured so far."""
    for line in read(folder):
        if line["kind"] == RECORDS:
            yield from map(record, line["records"])


def record(plain: dict[str, Any]) -> Record:
    """A record from its form in a line."""
    if plain["is"] == "fact":
        return Fact(plain["name"], plain["step"], plain["value"])
    if plain["is"] == "array":
        return Array(plain["signal"], plain["subject"], plain["step"], tuple(map(_number, plain["values"])))
    return Reading(plain["signal"], plain["subject"], plain["step"], _number(plain["value"]))


def _plain(one: Record) -> dict[str, Any]:
    if isinstance(one, Fact):
        return {"is": "fact", "name": one.name, "step": one.step, "value": one.value}
    assert isinstance(one, (Reading, Array))
    head = {"signal": one.signal, "subject": one.subject, "step": one.step}
    if isinstance(one, Array):
        return {"is": "array", **head, "values": [_shown(value) for value in one.values]}
    return {"is": "reading", **head, "value": _shown(one.value)}


def _shown(value: float) -> float | str:
    return value if math.isfinite(value) else repr(float(value))


def _number(value: Any) -> float:
    return float(value)
