"""Measures how often the rules alarm on healthy trainings, and which is loud on which fault.

    python -m tests.benchmarks.accuracy --seeds 3                                # real trainings, a second each
    python -m tests.benchmarks.accuracy --seeds 10 --into rules/accuracy.json    # the figures of the rule catalogue

Every training runs under `track`, as a user's does, only without the upload. A rule's recall is the share of trainings
with a fault it is meant for in which it was loud; its false alarms are the healthy trainings in which it was, at any
judgement. Exits with 1 when a healthy training is found suspicious, or a fault is not found.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections import Counter
from pathlib import Path

import torch

from tests.corpus.histories import FAULTY, HEALTHY
from tests.corpus.observing import observe
from tracker.rules import Registry, Settings, Severity


def main() -> int:
    """Trains, judges and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", default="", help="trainings whose name contains this")
    parser.add_argument("--into", type=Path, help="JSON file for the figures of each rule")
    options = parser.parse_args()
    torch.set_num_threads(1)
    os.environ["TRACKER_HOME"] = tempfile.mkdtemp()
    rules = Registry.discover().instances(Settings())
    start, alarms, suspicious, unknown, runs, missed = time.perf_counter(), Counter[str](), 0, 0, 0, 0
    meant, heard = Counter[str](), Counter[str]()

    print("healthy (alarms of WARNING and worse, at any judgement)")
    for name, train in HEALTHY.items():
        if options.only not in name:
            continue
        for seed in range(options.seeds):
            observed = observe(train, seed)
            verdict, loud = observed.verdict["suspicious"], observed.loud
            crashed = [*observed.crashed, *observed.faults]
            runs, suspicious, unknown = runs + 1, suspicious + (verdict == "true"), unknown + (verdict == "unknown")
            alarms.update(loud)
            if loud or crashed or verdict != "false":
                print(f"  {name}, seed {seed}: {verdict} {loud} {crashed}")
    print(f"  {runs} runs, {suspicious} suspicious, {unknown} unknown; alarms by rule: {dict(alarms)}\n")

    print("faulty (the headline first)")
    for name, (train, expected) in FAULTY.items():
        if options.only not in name:
            continue
        for seed in range(options.seeds):
            observed = observe(train, seed)
            verdict, loud = observed.verdict["suspicious"], observed.loud
            crashed = [*observed.crashed, *observed.faults]
            found = verdict == "true" and bool(expected & set(loud))
            missed += not found
            meant.update(expected)
            heard.update(expected & set(loud))
            print(f"  {'   ' if found else 'NOT'} {name}, seed {seed}: {', '.join(loud) or 'silent'} {crashed or ''}")
    print(f"  {missed} not found; {time.perf_counter() - start:.0f} s")
    if options.into:
        figures = {
            rule.id(): {"false_alarms": alarms[rule.id()] / runs, "healthy": runs}
            | ({"recall": heard[rule.id()] / meant[rule.id()], "faulty": meant[rule.id()]} if meant[rule.id()] else {})
            for rule in rules
            if rule.severity >= Severity.WARNING
        }
        options.into.write_text(json.dumps(figures, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return int(suspicious > 0 or missed > 0)


if __name__ == "__main__":
    raise SystemExit(main())
