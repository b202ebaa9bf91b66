"""The live line and findings on a terminal: what a script writes is to be seen as without them."""

from __future__ import annotations

import os
import signal
import sys
import textwrap
from pathlib import Path

import pytest

from tests.report.screens import Seen, python

pytest.importorskip("pyte")

WITHOUT = """
def tick(): pass
def find(text): pass
"""
WITH = """
from tracker.report.console import live
from tracker.report.console.live import Standing
from tracker.report.console.terminal import Terminal
from tracker.rules.engine import Finding, Outcome, Severity, Status
live.FIRST_SECONDS = live.BETWEEN_SECONDS = 0.0
terminal = Terminal("demo")
n = 0
def tick():
    global n
    n += 1
    terminal.tick(lambda: Standing(n // 10, n, 0.5, 0.1))
def find(text):
    terminal.outcome(Outcome("some-rule", "family", Status.FIRED, Severity.ERROR, (Finding(text, ""),)), 0, n)
"""
END = """
terminal.closing("a" * 32, "FINISHED", {"suspicious": "false"}, {"finished": True, "mlflow_run_id": "b"})
"""
OURS = ("  ! some-rule", "    ", "──── demo", "  suspicious=", "  report:", "  browse:", "  again:")

PRINTS = """
for i in range(30):
    print("line", i); tick()
    if i % 10 == 5: find(f"at line {i} " + "of many words " * 8)
for i in range(9):
    print("Epoch", i, "...", end=" ", flush=True); tick()
    if i % 4 == 1: find(f"in epoch {i}")
    print("done"); tick()
for i in range(9):
    print("\\rcounted", i, end="", flush=True); tick()
    if i == 4: find("while counting")
print()
for i in range(9):
    print("counted", i, end="\\r", flush=True); tick()
    if i == 4: find("while counting otherwise")
print()
for i in range(4):
    print(i, "x" * 150); tick(); find("behind a long line")
    print("日本語テキスト🎉 " * 3, i); tick(); find("日本語テキスト🎉" * 6)
print("no line break behind this", end="", flush=True); tick()
"""
BARS = """
from tqdm import tqdm
how = {"mininterval": 0, "bar_format": "{l_bar}{bar}| {n_fmt}"}
print("\\n" * 3, "bars")
for i in tqdm(range(20), desc="one", **how):
    tick()
    if i == 7: find("within a bar")
print("printed")
for e in tqdm(range(4), desc="outer", ncols=50, **how):
    for i in tqdm(range(9), desc=f"inner {e}", **how):
        tick()
        if i == 7: find("within nested bars")
for e in tqdm(range(3), desc="outer", ncols=50, **how):
    for i in tqdm(range(9), desc=f"gone {e}", leave=False, **how):
        tick()
        if i == 7: find("within nested bars")
    tqdm.write(f"written {e}")
print("after")
"""
DISPLAY = """
from rich.progress import BarColumn, Progress, TextColumn
for i in range(3): tick()
for how in ({}, {"redirect_stdout": False, "redirect_stderr": False}):
    with Progress(TextColumn("{task.description}"), BarColumn(), **how) as progress:
        task = progress.add_task("training", total=6)
        progress.add_task("another", total=6)
        for i in range(6):
            progress.advance(task); tick()
            if i == 3:
                find("within a display")
                progress.console.print("a line of theirs")
    print("printed"); tick()
"""


def theirs(seen: Seen) -> list[str]:
    """What stands there, without our lines."""
    return [row for row in seen.text() if not row.startswith(OURS)]


@pytest.mark.parametrize("code", [PRINTS, BARS, DISPLAY], ids=["prints", "tqdm", "rich"])
def test_what_a_script_writes_is_there_as_without_us_and_of_ours_only_what_is_meant_to_stay(code: str) -> None:
    if "tqdm" in code:
        pytest.importorskip("tqdm")
    bare = python(WITHOUT + code).to_the_end()
    seen = python(WITH + code + END).to_the_end()
    found = sum(row.startswith("  ! some-rule") for row in seen.text())

    assert theirs(seen) == bare.text()
    assert b"no findings" in seen.raw  # the line was drawn
    assert not any("no findings" in row for row in seen.text())
    assert found == seen.raw.count(b"! some-rule") > 0
    assert seen.scrolls_whole
    assert seen.process.returncode == 0


def test_nested_bars_stand_whole_below_a_finding_until_they_are_drawn_again() -> None:
    pytest.importorskip("tqdm")
    code = """
from tqdm import tqdm
how = {"mininterval": 0, "bar_format": "{desc} {n_fmt}"}
print("line\\n" * 20, end="", flush=True)
for e in tqdm(range(1), desc="outer", **how):
    for m in tqdm(range(1), desc="middle", **how):
        for i in tqdm(range(1), desc="inner", **how):
            tick(); find("here"); find("and here"); input()
"""
    seen = python(WITH + code).until(lambda seen: any("and here" in row for row in seen.text()))
    rows = [row for row in seen.text() if row and not row.startswith(("line", " demo"))]
    seen.type(b"\n")
    seen.to_the_end()

    assert [row.split()[0] for row in rows] == ["!", "!", "outer", "middle", "inner"]


def test_drawing_changes_nothing_that_a_script_can_see_from_within() -> None:
    code = """
import random, sys
terminal.warn_once("loads what is loaded late")
random.seed(1)
state = random.getstate()
for i in range(3): tick(); find("within")
terminal.epoch(Trace(), 3); terminal.closing("a" * 32, "FINISHED", None, {})
print("drawn" if state != random.getstate() else "as before", [m for m in ("rich", "curses") if m in sys.modules])
"""
    seen = python(WITH.replace("import Finding", "import Trace, Finding") + code).to_the_end()

    assert seen.text()[-1] == "as before []"
    assert b"findings" in seen.raw


def test_the_line_stands_in_the_last_row_and_nowhere_else_while_the_script_writes() -> None:
    code = "import time\nfor i in range(40):\n    print('line', i, flush=True); tick(); time.sleep(0.01)\n"
    seen = python(WITH + code + "input()\n", columns=100)
    seen.until(lambda seen: "line 39" in "\n".join(seen.text()))
    while_it_runs = seen.text()
    since = next(i for i, row in enumerate(seen.last_rows) if row.startswith(" demo"))
    seen.type(b"\n")
    seen.to_the_end()

    assert all(row.startswith(" demo · epoch ") for row in seen.last_rows[since : since + 20])
    assert [row for row in while_it_runs if "findings" in row] == [while_it_runs[-1]]
    assert seen.text() == [f"line {i}" for i in range(40)]  # also without a closing block: given back at exit
    assert seen.scrolls_whole


def test_after_a_change_of_size_the_line_is_in_the_new_last_row_alone() -> None:
    code = """
import sys, termios
flags = termios.tcgetattr(0); flags[3] &= ~termios.ECHO; termios.tcsetattr(0, termios.TCSANOW, flags)
def write(a, b):
    for i in range(a, b):
        print("line", i, flush=True); tick()
    print("?", end="", flush=True); tick()
    input()
    tick()
write(0, 20); write(20, 25); write(25, 50)
"""
    seen = python(WITH + code, rows=10)
    for number, (rows, columns) in enumerate([(20, 60), (20, 45), (24, 100)], 1):
        seen.until(lambda seen, n=number: "\n".join(seen.text()).count("?") == n and "findings" in seen.last_row())
        if number < 3:
            seen.resize(rows, columns)
        seen.type(b"\n")
    seen.to_the_end()
    expected = [f"line {i}" for i in range(50)]
    expected[20], expected[25] = "?line 20", "?line 25"

    assert seen.text() == [*expected, "?"]
    assert seen.scrolls_whole


def test_the_parent_gives_back_the_row_of_a_process_that_was_killed(tmp_path: Path) -> None:
    killed = WITH.replace('Terminal("demo")', f"Terminal('demo', launch={str(tmp_path)!r})") + (
        "for i in range(20): print('line', i, flush=True); tick()\nimport os; os.kill(os.getpid(), 9)\n"
    )
    parent = f"""
import subprocess, sys
from pathlib import Path
from tracker.report.console.row import give_back_of_dead
subprocess.run([sys.executable, "-c", {killed!r}])
print("killed", Path({str(tmp_path)!r}, "row").exists(), flush=True)
give_back_of_dead(Path({str(tmp_path)!r}), 2)
print("given back")
"""
    seen = python(parent).to_the_end()

    assert seen.text() == [*(f"line {i}" for i in range(20)), "killed True", "given back"]
    assert seen.scrolls_whole
    assert list(tmp_path.iterdir()) == []


def test_a_row_that_another_process_keeps_is_left_to_it() -> None:
    code = """
import subprocess, sys
tick()
found = subprocess.run([sys.executable, "-c", SCRIPT + "for _ in range(3): tick()\\nprint(terminal._live.was_refused)"])
terminal.release()
subprocess.run([sys.executable, "-c", SCRIPT + "for _ in range(3): tick()\\nprint(terminal._live.was_refused)"])
"""
    seen = python(f"SCRIPT = {WITH!r}\n" + WITH + code).to_the_end()

    assert [row for row in seen.text() if row in ("True", "False")] == ["True", "False"]
    assert seen.scrolls_whole


def test_a_program_that_has_the_screen_keeps_it_until_it_has_left_it() -> None:
    code = """
import curses
tick(); find("ahead")
screen = curses.initscr()
screen.addstr(3, 3, "theirs"); screen.refresh()
tick(); find("within"); terminal.warn_once("a warning")
screen.refresh(); curses.endwin()
tick(); find("behind")
terminal.closing("a" * 32, "FINISHED", None, {})
"""
    seen = python(WITH + code).to_the_end()
    between = seen.raw[seen.raw.index(b"theirs") :].split(b"behind")[0]
    said = " ".join(" ".join(seen.text()).split())

    assert b"within" not in between
    assert b"findings" not in between
    assert "within tracker: a warning ──── demo" in said
    assert seen.scrolls_whole


TRAIN = """
import os, sys, time
import torch
torch.set_num_threads(1)
torch.manual_seed(0)
model = torch.nn.Linear(4, 2)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for step in range(int(sys.argv[1])):
    optimizer.zero_grad()
    model(torch.randn(8, 4)).pow(2).mean().backward()
    optimizer.step()
    print("step", step, flush=True)
    time.sleep(0.02)
exec(sys.argv[2])
"""
RUN = (sys.executable, "-c", "import sys; del sys.path[0]; from tracker.cli import main; main()", "run")


def project(tmp_path: Path) -> dict[str, str]:
    """A training, by itself and in a tracked block; the environment that keeps its runs here."""
    (tmp_path / "train.py").write_text(TRAIN)
    (tmp_path / "block.py").write_text(
        "from tracker import track\nwith track('block'):\n" + textwrap.indent(TRAIN, "    ")
    )
    (tmp_path / "pyproject.toml").write_text("[tool.tracker]\nwait_seconds = 0\n")
    return {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'mlflow.db'}", "TRACKER_STRICT": ""}


WAYS = {
    "to the end": (60, "pass", None),
    "an exception": (60, "raise ValueError('boom')", None),
    "os._exit": (60, "os._exit(3)", None),
    "kill -9": (10_000, "", signal.SIGKILL),
    "SIGTERM": (10_000, "", signal.SIGTERM),
    "SIGHUP": (10_000, "", signal.SIGHUP),
    "Ctrl-C": (10_000, "", b"\x03"),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "way"),
    [*(("train.py", way) for way in WAYS), *(("block.py", way) for way in WAYS if way not in ("os._exit", "kill -9"))],
)
def test_however_a_training_ends_the_terminal_is_as_before(tmp_path: Path, script: str, way: str) -> None:
    steps, last, how = WAYS[way]
    command = [*RUN, script] if script == "train.py" else [sys.executable, script]
    seen = Seen([*command, str(steps), last], columns=100, cwd=tmp_path, environment=project(tmp_path))
    seen.until(lambda seen: " · step " in seen.last_row())
    if isinstance(how, bytes):
        seen.type(how)
    elif how is not None:
        pid = seen.program
        if script == "train.py":
            pid = int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[-1])
        os.kill(pid, how)
    seen.to_the_end()
    told = [row for row in seen.text() if row.startswith("step ")]

    assert seen.scrolls_whole
    assert not any("no findings" in row for row in seen.text())
    assert told == [f"step {i}" for i in range(len(told))]
    assert len(told) == steps or how is not None


SAME = """
import hashlib, random, sys, time
import torch
from torch.utils.data import DataLoader, TensorDataset
torch.set_num_threads(1)
random.seed(1)
torch.manual_seed(1)
data = TensorDataset(torch.randn(64, 4), torch.randint(0, 2, (64,)))
model = torch.nn.Linear(4, 2)
optimizer = torch.optim.Adam(model.parameters())
for epoch in range(3):
    for x, y in DataLoader(data, batch_size=4, shuffle=True, num_workers=int(epoch == 1)):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        time.sleep(0.02)
    print("epoch", epoch, repr(loss.item()))
for state in (random.getstate(), torch.get_rng_state().tolist(), [p.tolist() for p in model.parameters()]):
    print(hashlib.sha256(repr(state).encode()).hexdigest()[:16])
"""


@pytest.mark.slow
def test_a_training_in_a_terminal_is_the_same_to_the_bit(tmp_path: Path) -> None:
    environment = project(tmp_path)
    (tmp_path / "train.py").write_text(SAME)
    bare = Seen([sys.executable, "train.py"], cwd=tmp_path, environment=environment).to_the_end()
    seen = Seen([*RUN, "train.py"], cwd=tmp_path, environment=environment).to_the_end()

    assert seen.text()[:6] == bare.text()
    assert b" findings" in seen.raw
