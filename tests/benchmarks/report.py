"""What the page of a very long run costs: 200 layers with 800 parameters, 100,000 steps.

    python -m tests.benchmarks.report                  # both runs below, a fresh process each
    python -m tests.benchmarks.report --every 10       # one of them
    python -m tests.benchmarks.report --keep page.html # and keep the page

The run is made up, in the form in which it is stored: parquet parts of 250,000 records. Each parameter has a gradient
norm, a weight norm and an update ratio on every closely watched step, and as many modules as are measured their
outputs; each step has its loss. One step in forty is what the governor comes to where a step of 200 layers takes about
a tenth of a second; one in ten is the densest there is after the first steps, and fills the journal, which then drops
readings: no run is longer than that. Beside them there are 100 epochs with held-out losses, recalls, confusion
matrices, predictions of 16 samples, histograms of 64 parameters and modules, and findings.

Read is what `tracker report` reads; drawn is the page. CPU time, and the most memory the process ever had. Exit status
1 when the page of any run is larger, slower or hungrier than it may be.
"""

from __future__ import annotations

import argparse
import base64
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from tracker.journal import DEFAULT_CAP, RECORD_SIZE
from tracker.readings import Readings
from tracker.report.gathering.gathered import Gathered
from tracker.report.gathering.sources import Source
from tracker.report.page import report_page
from tracker.rules.engine.records import Array, Event, Fact, Json, Record
from tracker.stores.series import Row, part_name, read_columns, write_part

LAYERS, STEPS, EPOCHS, CLASSES, SAMPLES = 200, 100_000, 100, 10, 16
PARAMETERS = [
    f"blocks.{n}.{part}" for n in range(LAYERS) for part in ("fc.weight", "fc.bias", "norm.weight", "norm.bias")
]
MODULES = [f"blocks.{n}.fc" for n in range(0, LAYERS, 2)] + [f"blocks.{n}.act" for n in range(0, LAYERS, 8)]
WATCHED = 64
"""Parameters and modules with histograms."""
MOST_READINGS = DEFAULT_CAP // RECORD_SIZE
PART = 250_000
MOST_BYTES, MOST_SECONDS, MOST_MEMORY = 3_000_000, 30.0, 600_000_000
_OF_PARAMETERS = ("grad_norm", "weight_norm", "update_ratio")
_OF_MODULES = ("output/rms", "output/variance", "output/dead", "output/saturated")


class _Writer:
    """Writes parts as a sidecar does."""

    def __init__(self, folder: Path) -> None:
        self.readings = 0
        self.bytes = 0
        self._folder = folder
        self._rows: list[Row | tuple[int, Readings]] = []
        self._count = self._seq = self._parts = 0

    def record(self, time: float, record: Record) -> None:
        self._rows.append((self._seq, time, record))
        self._took(1)

    def take(self, readings: Readings) -> None:
        while len(readings) and self.readings < MOST_READINGS:
            some, readings = readings[: PART - self._count], readings[PART - self._count :]
            self._rows.append((self._seq, some))
            self.readings += len(some)
            self._took(len(some))

    def _took(self, count: int) -> None:
        self._seq += count
        self._count += count
        if self._count >= PART:
            self.cut()

    def cut(self) -> None:
        if self._rows:
            path = self._folder / part_name(self._parts)
            write_part(self._rows, path)
            self.bytes += path.stat().st_size
            self._rows, self._count = [], 0
            self._parts += 1


def write_run(folder: Path, every: int) -> _Writer:
    """Writes the parts of the run; `every` is the distance of closely watched steps behind the first ten."""
    writer, random = _Writer(folder), np.random.default_rng(0)
    labels = [("loss", ""), *((s, p) for s in _OF_PARAMETERS for p in PARAMETERS)]
    labels += [(s, m) for s in _OF_MODULES for m in MODULES] + [("lr", "0"), ("grad_norm", "")]
    texts = list(dict.fromkeys(text for label in labels for text in label))
    strings = dict(enumerate(["", *(text for text in texts if text)]))
    numbers = {text: number for number, text in strings.items()}
    names, subjects = (np.array([numbers[label[i]] for label in labels], np.uint32) for i in (0, 1))
    depth = np.exp(-np.arange(len(labels)) / len(labels) * 6)
    for name, value in _facts():
        writer.record(1e9, Fact(name, 0, value))
    for epoch in range(EPOCHS):
        first, last = epoch * STEPS // EPOCHS, (epoch + 1) * STEPS // EPOCHS
        for step in range(first, last):
            is_close = step < 10 or step % every == 0
            n = len(labels) if is_close else 1
            values = depth[:n] * random.lognormal(0.0, 0.3, n) * (1 + 9 / (1 + step / 5000))
            at = np.full(n, 1e9 + step / 10)
            writer.take(Readings(at, names[:n], subjects[:n], np.full(n, step), values, strings))
        _end_epoch(writer, random, epoch, first, last - 1)
    writer.record(2e9, Event("end", STEPS, {"status": "FINISHED", "reason": ""}))
    writer.cut()
    return writer


def _facts() -> list[tuple[str, Json]]:
    layers: list[Json] = [
        {"name": f"blocks.{n}.fc", "class": "Linear", "parameters": 65_792, "output": [32, 256]} for n in range(LAYERS)
    ]
    pixels = base64.b64encode(bytes(range(256)) * 12).decode()
    size: dict[str, Json] = {"height": 32, "width": 32, "channels": 3, "low": 0.0, "high": 1.0, "scale": 1}
    kind: dict[str, Json] = {"split": "val", "why": "fixed", "kind": "image", "shape": [3, 32, 32], "dtype": "float32"}
    picture: dict[str, Json] = {**kind, "input": {**size, "pixels": pixels}}
    samples: list[tuple[str, Json]] = [("sample", {"id": f"{n:016x}", **picture}) for n in range(2 * SAMPLES)]
    return [("model", {"layers": layers}), ("parameters", dict.fromkeys(PARAMETERS, 65_792)), *samples]


def _end_epoch(writer: _Writer, random: Any, epoch: int, first: int, step: int) -> None:
    strings = {0: "", 1: "loss/val", 2: "accuracy/val", 3: "recall", **{4 + c: f"val/{c}" for c in range(CLASSES)}}
    n = 2 + CLASSES
    names, subjects = np.array([1, 2, *[3] * CLASSES], np.uint32), np.array([0, 0, *range(4, 4 + CLASSES)], np.uint32)
    now = 1e9 + step / 10
    writer.take(Readings(np.full(n, now), names, subjects, np.full(n, step), random.random(n), strings))
    matrix = random.integers(0, 100, CLASSES * CLASSES).astype(float)
    writer.record(now, Array("confusion", "val", step, tuple(matrix)))
    for signal, subjects_of in (("weight", PARAMETERS), ("grad", PARAMETERS), ("output", MODULES)):
        if epoch < 16 or epoch % 4 == 0:
            for subject in subjects_of[:: max(1, len(subjects_of) // WATCHED)][:WATCHED]:
                counts = random.integers(0, 1000, 32).astype(float)
                writer.record(now, Array(f"{signal}/histogram", subject, step, (-1.0, 1.0, *counts)))
    entries: list[Json] = [
        {
            "id": f"{n:016x}", "target": n % CLASSES, "predicted": (n + epoch) % CLASSES, "loss": 1.0 / (1 + n),
            "top": [[c, 0.2] for c in range(5)],
        }
        for n in range(2 * SAMPLES)
    ]  # fmt: skip
    said: Json = {"split": "val", "fixed": entries[:SAMPLES], "worst": entries[SAMPLES:]}
    writer.record(now, Fact("predictions", step, said))
    writer.record(now, Event("epoch", step, {"epoch": epoch, "first_step": first, "last_step": step}))


def verdict() -> dict[str, Any]:
    """Findings of several kinds, with the subjects that many layers have in common."""
    subjects = {"vanishing-gradient": PARAMETERS[:40], "dead-units": MODULES[:8], "loss-plateaued": [""]}
    found = [
        {
            "rule": rule, "severity": "warning", "subject": names[0], "subjects": names, "message": f"{rule}: 1e-9",
            "advice": ["Look at it."], "explains": [], "first_step": 4000, "last_step": STEPS - 1, "count": 90,
            "evidence": {"seen": 1e-9}, "resolved_at": None, "suppressed": None, "consequences": [],
        }
        for rule, names in subjects.items()
    ]  # fmt: skip
    return {"suspicious": "true", "why": "vanishing-gradient stands", "findings": found, "skipped": [], "crashed": []}


def measure(parts: Path, keep: Path | None) -> dict[str, float]:
    """Makes the page in this process, from the parts; sizes in bytes, times in seconds of CPU."""
    bare = _most_memory()
    began = time.process_time()
    gathered = Gathered()
    for found in read_columns(parts.iterdir()):
        if isinstance(found, Readings):
            gathered.take_readings(found)
        else:
            gathered.take(*found)
    readings = gathered.readings
    read = time.process_time()
    source = Source("0" * 32, "long", status="FINISHED", verdict=verdict(), gathered=gathered)
    page = report_page(source)
    drawn = time.process_time()
    (keep or parts.parent / "page.html").write_text(page, "utf-8")
    return {
        "readings": readings,
        "read": read - began,
        "drawn": drawn - read,
        "bytes": len(page.encode()),
        "bare": bare,
        "memory": _most_memory(),
    }


def _most_memory() -> float:
    """Bytes. Not from `getrusage`, whose figure begins with that of the process that started this one."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, action="append")
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--parts", type=Path, help="only make the page of what is there, and print it as JSON")
    options = parser.parse_args()
    if options.parts:
        print(json.dumps(measure(options.parts, options.keep)))
        return 0
    is_fine = True
    for every in options.every or (40, 10):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name) / "parts"
            folder.mkdir()
            written = write_run(folder, every)
            command = [sys.executable, "-m", "tests.benchmarks.report", "--parts", str(folder)]
            command += ["--keep", str(options.keep)] if options.keep else []
            found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
        seconds = found["read"] + found["drawn"]
        print(
            f"1 step in {every}: {found['readings'] / 1e6:.1f} million readings in {written.bytes / 1e6:.0f} MB; "
            f"read {found['read']:.1f} s, drawn {found['drawn']:.1f} s; page {found['bytes'] / 1e6:.2f} MB; "
            f"memory {found['memory'] / 1e6:.0f} MB (before: {found['bare'] / 1e6:.0f})"
        )
        is_fine &= found["bytes"] <= MOST_BYTES and seconds <= MOST_SECONDS and found["memory"] <= MOST_MEMORY
    return 0 if is_fine else 1


if __name__ == "__main__":
    sys.exit(main())
