"""Progress stands on stderr: a bar where somebody looks, lines elsewhere, and results are whole beside both."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from tests.report.screens import Seen
from tracker.cli.progress import counted, waiting

TRACKER = (sys.executable, "-c", "import sys; del sys.path[0]; from tracker.cli import main; main()")


def test_elsewhere_each_thing_is_a_line(capsys) -> None:
    with counted(2, "judging") as begin:
        begin("one")
        begin("two\x1b[2J")
    with counted(1, "uploading") as begin:
        begin("three")
    with counted(0) as begin:
        begin("nothing")
    with waiting("reading"):
        pass

    assert capsys.readouterr() == (
        "",
        "[1/2] judging one\n[2/2] judging two\ufffd[2J\nuploading three\nreading\n",
    )


def test_results_stand_above_the_bar_and_nothing_of_it_is_left(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.csv").write_text("step,loss\n" + "".join(f"{i},{1 / (i + 1)}\n" for i in range(40)))
    names = [f"{number}.csv" for number in range(3)]
    seen = Seen([*TRACKER, "check", *names], columns=100, cwd=tmp_path).to_the_end()
    piped = [*TRACKER[:2], TRACKER[2].replace("import sys;", "import sys; sys.stdout = open('out', 'w');")]
    other = Seen([*piped, "check", *names], columns=100, cwd=tmp_path).to_the_end()
    verdicts = [row for row in seen.text() if re.fullmatch(r"\d\.csv: not suspicious", row)]

    assert seen.process.returncode == 0
    assert verdicts == [f"{name}: not suspicious" for name in names]
    assert seen.text()[-1].startswith("3 judged: ")
    assert "━".encode() in seen.raw
    assert not any("━" in row for row in seen.text())
    assert [row for row in other.text() if row] == [f"{name}: loss is read as loss" for name in names]
    assert (tmp_path / "out").read_text().count("not suspicious") == 3
