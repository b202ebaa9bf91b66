"""What a script's process tells survives its end, numbers that JSON does not know included."""

from __future__ import annotations

import math

from tracker.drilling.script.telling import FILE, RECORDS, Teller, read, record
from tracker.rules.engine.records import Array, Fact, Reading


def test_records_come_back_as_they_were_told(tmp_path):
    told = [
        Reading("drill/loss", "a", 3, math.nan),
        Reading("drill/loss", "a", 4, -math.inf),
        Array("x/y", "", 0, (0.1, math.inf)),
        Fact("drill/a", 0, {"first": 0.1, "names": ["ä", None]}),
    ]
    Teller(tmp_path).records(told)
    (line,) = read(tmp_path)
    back = [record(one) for one in line["records"]]

    assert line["kind"] == RECORDS
    assert math.isnan(back[0].value)
    assert back[1:] == told[1:]


def test_a_line_that_was_cut_short_is_passed_over(tmp_path):
    teller = Teller(tmp_path)
    teller.tell("over")
    with (tmp_path / FILE).open("a") as file:
        file.write('{"kind": "rec')

    assert [line["kind"] for line in read(tmp_path)] == ["over"]
    assert list(read(tmp_path / "nowhere")) == []
