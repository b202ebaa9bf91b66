"""What observing costs: steps with and without a run around them, and with what others offer, in turn.

    python -m tests.benchmarks.overhead                      # all of it, some ten minutes; writes the table
    python -m tests.benchmarks.overhead --quick              # under two minutes, wider intervals; writes nothing
    python -m tests.benchmarks.overhead --only mlp           # one model, without the long run; writes nothing

**Method.** For each model two processes stand ready: one trains bare, observed by default and observed in full, one
trains bare and with the peers. They take turns, a cycle each (`measuring.py` tells how a cycle is made, and how steps
are compared), so that everything meets the same state of the machine. One torch thread; the garbage collector is on,
what exists at the start is frozen out of it. A run's blocks begin in its steady state: the denser sampling of the
beginning is over, and what a beginning may cost above the budget is spent. The process that uploads the run works all
the while.

An observed run costs, in shares of a bare step: what the steps take longer (CPU time of the whole process), plus the
ends of epochs, plus the CPU time of the sidecar over that of the training while it was observed: as if both had one
core. (The sidecar also works while others have their turn; all of it is counted, so this is an upper bound.) The same
by wall clock, where the sidecar has a core of its own if there is one. The control is bare training that goes through
the same measurement. Of the peers only the training process counts.

The budget is exceeded when the interval of either figure lies above it by more than the control's, and kept when both
lie below; else the measurement does not tell, which is said. Exit status 1 when one is exceeded, or the observer met a
fault of its own.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.benchmarks import memory as long_run
from tests.benchmarks.memory import anonymous_bytes
from tests.benchmarks.models import PLANS, budget

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
QUICK = 0.16
"""Share of the full time that a quick measurement takes."""
STEPS = 100_000
"""Steps of the long run."""
SETTLE = {"mlp": (6.0, 1500), "cnn": (6.0, 60), "tfm": (6.0, 20), "deep": (6.0, 40)}
"""Seconds and steps, at least, in which the sampling finds its rate."""
STRETCH = 30.0
"""Seconds of training without a pause, behind the blocks and the end of an epoch."""


# -- the processes that train ------------------------------------------------------------------------------------------


def work(name: str, role: str, quick: bool) -> dict[str, Any]:
    """One process of one model: takes a cycle for each line it is sent, and tells what it found at the end."""
    import torch

    from tests.benchmarks import measuring, ours, peers

    torch.set_num_threads(1)
    torch.manual_seed(0)
    plan = PLANS[name]
    training = plan.make()
    bare = measuring.Condition("bare", training.step)
    others = [measuring.Condition("control", training.step)]
    absent: list[str] = []
    observed: list[ours.Observed] = []
    grown: list[int] = []
    for _ in range(5):
        training.step()
    if role == "ours":
        seconds, steps = SETTLE[name]
        for observe in ("standard", "full"):
            before = anonymous_bytes()
            observed.append(ours.Observed(observe, training.step, observe, plan.epoch))
            observed[-1].settle(seconds * (0.5 if quick else 1.0), steps // (3 if quick else 1), not quick)
            observed[-1].leave()
            grown.append(anonymous_bytes() - before)
        others += observed
    else:
        more, absent = peers.conditions(plan.make, training)
        others += more
    gc.collect()
    gc.freeze()
    blocks = measuring.Blocks(bare, others, plan.block, plan.skip)
    blocks.cycle()
    blocks.found = {other.name: [] for other in others}
    for one in observed:
        one.watch_sidecar()
    _say("ready")
    cycles = 0
    for line in sys.stdin:
        if line.strip() != "cycle":
            break
        blocks.cycle()
        cycles += 1
        _say("done")

    step = blocks.bare_seconds
    result: dict[str, Any] = {"step": step, "cycles": cycles, "absent": absent, "rows": {}}
    for other in others:
        found = blocks.found[other.name]
        shares = peers.shares_of(other.name)
        row: dict[str, Any] = {clock: measuring.overhead(found, clock, shares) for clock in ("cpu", "wall")}
        result["rows"][other.name] = row
    for one, memory in zip(observed, grown, strict=True):
        row = result["rows"][one.name]
        steps_seen = [s for block in blocks.found[one.name] for s in block.steps]
        row["kinds"] = {str(k): sum(s.kind == k for s in steps_seen) for k in {s.kind for s in steps_seen}}
        row |= one.figures()
        one.stretch(STRETCH * (0.4 if quick else 1.0))
        row["epoch_ms"] = statistics.median(one.epochs) * 1e3
        row["epochs"] = statistics.mean(one.epochs) / plan.epoch / step
        row["sidecar"] = one.sidecar_share
        row["faults"] = dict(one.session.guard.off)
        row["total"] = row["cpu"].plus(row["epochs"] + row["sidecar"])
        row["wall_total"] = row["wall"].plus(row["epochs"])
        row["budget"] = budget(step, one.name)
        row["verdict"] = verdict(row, result["rows"]["control"])
        row["memory"] = memory
        row["journal"] = one.session.journal._offset / max(1, one.session.step) * plan.epoch
    for one in observed:
        one.close()
    if role == "peers":
        peers.finish()
    return result


def verdict(row: dict[str, Any], control: dict[str, Any]) -> str:
    """Whether a run keeps its budget, as far as the intervals tell; `control` is what the same measures of nothing."""
    if row["faults"]:
        return "FAULT"
    limits = {clock: row["budget"] + max(0.0, control[clock].high) for clock in ("cpu", "wall")}
    if row["total"].low > limits["cpu"] or row["wall_total"].low > limits["wall"]:
        return "OVER"
    is_within = max(row["total"].high, row["wall_total"].high) <= row["budget"]
    return "within" if is_within else "not resolved"


def _say(word: str) -> None:
    print(word, file=sys.__stderr__, flush=True)


# -- the process that leads --------------------------------------------------------------------------------------------


class Worker:
    """A process that trains one model when it is told to."""

    def __init__(self, name: str, role: str, quick: bool, home: str) -> None:
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "TRACKER_HOME": home,
            "MLFLOW_TRACKING_URI": f"sqlite:///{home}/mlflow.db",
        }
        self._into = Path(tempfile.mkstemp(dir=home)[1])
        command = [sys.executable, "-m", "tests.benchmarks.overhead", "--role", role, "--only", name]
        command += ["--into", str(self._into), *(["--quick"] if quick else [])]
        self._process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self._await("ready")

    def _await(self, word: str) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            if line.strip() == word:
                return
            sys.stderr.write(line)
        raise RuntimeError(f"A process of the benchmark ended with status {self._process.wait()}; see above.")

    def cycle(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("cycle\n")
        self._process.stdin.flush()
        self._await("done")

    def result(self) -> dict[str, Any]:
        errors = self._process.communicate()[1]
        if self._process.returncode:
            raise RuntimeError(f"A process of the benchmark ended with status {self._process.returncode}:\n{errors}")
        found: dict[str, Any] = json.loads(self._into.read_text(encoding="utf-8"))
        return found


def measure(name: str, quick: bool, home: str) -> dict[str, Any]:
    """Measures one model: both its processes, in turn."""
    seconds = PLANS[name].seconds * (QUICK if quick else 1.0)
    ours = Worker(name, "ours", quick, home)
    peers = Worker(name, "peers", quick, home) if PLANS[name].has_peers else None
    began, spent = time.perf_counter(), [0.0, 0.0]
    while time.perf_counter() - began < seconds:
        # Ours get twice the time: their differences are small, the others' are not.
        worker = peers if peers is not None and spent[0] > 2 * spent[1] else ours
        start = time.perf_counter()
        worker.cycle()
        spent[worker is peers] += time.perf_counter() - start
    found = ours.result()
    if peers is None:
        return found
    others = peers.result()
    found["rows"]["control of the peers"] = others["rows"].pop("control")
    found["rows"] |= others["rows"]
    found["absent"] = others["absent"]
    found["peer_cycles"] = others["cycles"]
    return found


def table(results: dict[str, Any]) -> list[str]:
    """The table in Markdown: shares of a bare step, with intervals of 95 %."""
    lines = ["| | " + " | ".join(results) + " |", "|---|" + "---|" * len(results)]
    lines.append("| bare step | " + " | ".join(f"{found['step'] * 1e3:.2f} ms" for found in results.values()) + " |")
    names = list(dict.fromkeys(name for found in results.values() for name in found["rows"]))

    def cell(found: dict[str, Any], name: str, key: str) -> str:
        row = found["rows"].get(name)
        return percent(row[key]) if row and key in row else "–"

    for name in names:
        if any("total" in found["rows"].get(name, {}) for found in results.values()):
            title = "default" if name == "standard" else name
            for key, what in (("total", "**all**"), ("wall_total", "by wall clock"), ("cpu", "steps alone")):
                cells = (cell(found, name, key) for found in results.values())
                lines.append(f"| observed, {title}: {what} | " + " | ".join(cells) + " |")
            extra = [
                f"{found['rows'][name]['epochs']:.2%} + {found['rows'][name]['sidecar']:.2%}"
                for found in results.values()
            ]
            lines.append(f"| … ends of epochs + sidecar | {' | '.join(extra)} |")
            told = [
                f"{found['rows'][name]['own_share']:.2%}, 1 in {found['rows'][name]['every']}"
                for found in results.values()
            ]
            lines.append(f"| … its own figure, steps looked at | {' | '.join(told)} |")
            kept = [
                f"{found['rows'][name]['memory'] / 2**20:.0f} MiB, {found['rows'][name]['journal'] / 2**20:.2f} MiB"
                for found in results.values()
            ]
            lines.append(f"| … memory, journal of an epoch | {' | '.join(kept)} |")
            ends = [
                f"{found['rows'][name]['budget']:.1%}: {found['rows'][name]['verdict']}" for found in results.values()
            ]
            lines.append(f"| … budget | {' | '.join(ends)} |")
        else:
            lines.append(f"| {name} | " + " | ".join(cell(found, name, "cpu") for found in results.values()) + " |")
    absent = sorted({name for found in results.values() for name in found["absent"]})
    if absent:
        lines += ["", f"Not installed, so not measured: {', '.join(absent)} (`pip install wandb tensorboard`)."]
    return lines


def percent(interval: list[float]) -> str:
    value, low, high = interval
    digits = 2 if abs(value) < 0.1 else 0
    return f"{value:+.{digits}%} [{low:+.{digits}%} {high:+.{digits}%}]"


def machine() -> str:
    """What was measured on, in words."""
    import torch

    model = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    return f"{os.cpu_count()} cores of {model}, Python {platform.python_version()}, torch {torch.__version__}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="less than two minutes")
    parser.add_argument("--only", choices=list(PLANS), help="one model")
    parser.add_argument("--role", choices=["ours", "peers"], help=argparse.SUPPRESS)
    parser.add_argument("--into", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role:
        options.into.write_text(json.dumps(work(options.only, options.role, options.quick)), encoding="utf-8")
        return 0

    results: dict[str, Any] = {}
    kept: dict[str, Any] | None = None
    is_whole = not (options.quick or options.only)
    began = time.strftime("%Y-%m-%d")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        for name in [options.only] if options.only else PLANS:
            results[name] = measure(name, options.quick, home)
            print("\n".join(table({name: results[name]})), flush=True)
        if is_whole:
            os.environ.update({"TRACKER_HOME": home, "MLFLOW_TRACKING_URI": f"sqlite:///{home}/mlflow.db"})
            kept = long_run.measure(STEPS)
            print("\n".join(long_run.lines(kept)), flush=True)
            write(results, kept, began)
    rows = [row for found in results.values() for row in found["rows"].values() if "verdict" in row]
    is_bad = any(row["verdict"] in ("OVER", "FAULT") for row in rows)
    return int(is_bad or (kept is not None and (not kept["flat"] or bool(kept["faults"]))))


def write(results: dict[str, Any], kept: dict[str, Any], day: str) -> None:
    """Writes the figures as JSON, and the page with the table."""
    found = {"day": day, "machine": machine(), "models": results, "long_run": kept}
    (HERE / "results.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    assert __doc__ is not None
    method = __doc__.split("**Method.**", 1)[1].strip()
    page = [
        "<!-- Written by `make bench`. -->",
        "# What observing costs",
        "",
        f"Measured on {day}: {machine()}.",
        "`make bench` measures again and rewrites this page; the models are in `models.py`. Shares of a bare step,",
        "with intervals of 95 %; one that includes zero is a cost that this measurement did not see.",
        "",
        *table(results),
        "",
        *long_run.lines(kept),
        "",
        "## How it is measured",
        "",
        method,
        "",
    ]
    (HERE / "README.md").write_text("\n".join(page), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
