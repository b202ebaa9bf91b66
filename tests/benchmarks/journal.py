"""What a record costs in the training thread, against a bare `struct.pack_into` in the same run.

python tests/benchmarks/journal.py [--rounds 9]
"""

from __future__ import annotations

import argparse
import mmap
import statistics
import struct
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tracker.journal import Journal, JournalReader

N = 100_000
TARGET = 0.2e-6
"""Seconds a record may take, on a quiet machine."""


def bare(folder: Path) -> float:
    """Seconds that packing the same 24 bytes into mapped memory takes."""
    record, memory, offset = struct.Struct("<dqQ"), mmap.mmap(-1, N * 24), 0
    began = time.perf_counter()
    for number in range(N):
        record.pack_into(memory, offset, 0.5, number, 7)
        offset += 24
    return (time.perf_counter() - began) / N


def written(folder: Path) -> float:
    """Seconds that `Journal.reading` takes, growth of the file included."""
    path = folder / f"{time.perf_counter_ns()}.bin"
    journal = Journal(path)
    began = time.perf_counter()
    for number in range(N):
        journal.reading("loss", "", number, 0.5)
    seconds = (time.perf_counter() - began) / N
    journal.close()
    return seconds


def read(folder: Path) -> float:
    """Seconds that reading a record back takes."""
    path = next(folder.glob("*.bin"))
    began = time.perf_counter()
    n = sum(1 for _ in JournalReader(path).read())
    return (time.perf_counter() - began) / n


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    found: dict[str, list[float]] = {"bare": [], "written": [], "read": []}
    with tempfile.TemporaryDirectory() as name:
        for _ in range(rounds):
            for measure in (bare, written, read):
                found[measure.__name__].append(measure(Path(name)))
    for what, seconds in found.items():
        print(
            f"{what:8} {statistics.median(seconds) * 1e9:7.0f} ns a record "
            f"[{min(seconds) * 1e9:.0f} {max(seconds) * 1e9:.0f}]"
        )
    ratio = statistics.median(w / b for w, b in zip(found["written"], found["bare"], strict=True))
    print(f"written / bare: {ratio:.2f}; target {TARGET * 1e9:.0f} ns")
    return 0 if min(found["written"]) <= TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
