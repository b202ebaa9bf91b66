"""Measures the rules on the corpus: what is detected, what the first headline names, what alarms falsely.

    python -m tests.benchmarks.accuracy --seeds 3                                  # prints the tables
    python -m tests.benchmarks.accuracy --seeds 3 --into rules/accuracy.json       # and keeps the figures of each rule
    python -m tests.benchmarks.accuracy --seeds 1 --only dropout --show            # some programs, with what was found

Every program runs unmodified, as under `tracker run`, in a process of its own, once for each seed. A faulty run is
*detected* when it is found suspicious, and its fault is *named* when the first headline is one of the rules that name
it rightly. A run of a healthy or repaired program that is found suspicious is a *false alarm*. Exits with 1 when the
aims are missed: 95 % detected, 85 % named, less than 2 % false alarms.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.corpus.programs import Program, programs
from tests.corpus.running import Job, Ran, run_all
from tracker.rules import Registry, Settings, Severity

DETECTED, NAMED, FALSE_ALARMS = 0.95, 0.85, 0.02
"""The aims."""


@dataclass
class Tally:
    """What was seen so far."""

    runs: Counter[str] = field(default_factory=Counter)
    """By kind: faulty, repaired, healthy."""
    suspicious: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    named: int = 0
    folded: int = 0
    """Faults that are named, but not by the first headline."""
    meant: Counter[str] = field(default_factory=Counter)
    """By rule: runs with its fault."""
    heard: Counter[str] = field(default_factory=Counter)
    """By rule: those of them in which it was loud."""
    headlined: Counter[str] = field(default_factory=Counter)
    """By rule: those of them in which it, or another right name of the fault, was the first headline."""
    alarms: Counter[str] = field(default_factory=Counter)
    """By rule: healthy and repaired runs in which it was loud."""
    slowest: tuple[float, str] = (0.0, "nothing")
    """Seconds, and what took them."""
    trouble: list[str] = field(default_factory=list)
    """Runs that went wrong: of the script, or of the tracker."""

    def add(self, program: Program, seed: int, ran: Ran) -> str:
        """Counts a run; returns a line about it, empty when all is as it should be."""
        kind = "healthy" if program.name.startswith("healthy/") else program.name.rpartition("/")[2]
        verdict = str(ran.verdict.get("suspicious", "nothing"))
        self.runs[kind] += 1
        self.suspicious[kind] += verdict == "true"
        self.unknown[kind] += verdict not in ("true", "false")
        what = f"{program.name}, seed {seed}"
        self.slowest = max(self.slowest, (ran.seconds, what))
        if ran.broken or not ran.verdict or (ran.code and not program.is_faulty):
            self.trouble.append(f"{what}: exit code {ran.code} {'; '.join(ran.broken)} {ran.output[-300:]}")
        loud, first = ran.loud, (ran.headlines or ["nothing"])[0]
        if not program.is_faulty:
            self.alarms.update(set(loud))
            return f"ALARM    {what}: {', '.join(ran.headlines)}" if verdict == "true" else ""
        right = set(program.names)
        self.named += verdict == "true" and first in right
        self.meant.update(right)
        self.heard.update(right & set(loud))
        self.headlined.update(right if first in right else ())
        if verdict != "true":
            return f"MISSED   {what}: {verdict}; expected {' or '.join(program.names)}"
        if first not in right:
            self.folded += bool(right & set(loud))
            also = " (named further down)" if right & set(loud) else ""
            return f"MISNAMED {what}: {first}; expected {' or '.join(program.names)}{also}"
        return ""

    def shares(self) -> dict[str, float]:
        """The three figures, as shares."""
        sound = self.runs["healthy"] + self.runs["repaired"]
        alarms = self.suspicious["healthy"] + self.suspicious["repaired"]
        faulty = self.runs["faulty"]
        return {
            "detected": self.suspicious["faulty"] / faulty if faulty else 1.0,
            "named": self.named / faulty if faulty else 1.0,
            "false_alarms": alarms / sound if sound else 0.0,
        }

    def figures(self) -> dict[str, dict[str, float]]:
        """By rule: recall, named first, false alarms; the form the catalogue reads."""
        sound = self.runs["healthy"] + self.runs["repaired"]
        found: dict[str, dict[str, float]] = {}
        for rule in Registry.discover().instances(Settings()):
            name = rule.id()
            if rule.severity < Severity.WARNING and not self.meant[name]:
                continue
            found[name] = {"false_alarms": self.alarms[name] / sound if sound else 0.0, "healthy": sound}
            if self.meant[name]:
                found[name] |= {
                    "recall": self.heard[name] / self.meant[name],
                    "first": self.headlined[name] / self.meant[name],
                    "faulty": self.meant[name],
                }
        return found


def measure(jobs: Sequence[tuple[Program, int]], at_once: int, show: bool) -> Tally:
    """Runs programs with their seeds and prints what is not as it should be."""
    tally = Tally()
    by_job = {Job(program.path, (*program.arguments, "--seed", str(seed))): (program, seed) for program, seed in jobs}
    began = time.perf_counter()
    for n, (job, ran) in enumerate(run_all(by_job, at_once), 1):
        program, seed = by_job[job]
        line = tally.add(program, seed, ran)
        if line:
            print(line, flush=True)
        if show and (line or len(jobs) < 5):
            print("\n".join(_findings(ran.verdict)), flush=True)
        if sys.stderr.isatty():
            print(f"\r{n} of {len(jobs)}, {time.perf_counter() - began:.0f} s", end="", file=sys.stderr)
    return tally


def _findings(verdict: dict[str, Any]) -> Iterator[str]:
    for top in verdict.get("findings", ()):
        yield f"           {top['severity']} {top['rule']} [{top['subject']}] {top['message']}"
        yield from (f"             > {one['severity']} {one['rule']} {one['message']}" for one in top["consequences"])


def main() -> int:
    """Measures and prints; returns 1 when an aim is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--healthy-seeds", type=int, help="for programs without a fault, when it is not the same")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--only", default="", help="programs whose name contains this; several, separated by commas")
    parser.add_argument("--show", action="store_true", help="what was found in the runs that are not as they should be")
    parser.add_argument("--at-once", type=int, default=os.cpu_count() or 1, help="programs that run at a time")
    parser.add_argument("--into", type=Path, help="JSON file for the figures of each rule")
    options = parser.parse_args()
    wanted = options.only.split(",")
    chosen = [program for program in programs() if any(part in program.name for part in wanted)]
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    began = time.perf_counter()
    more = range(seeds.stop, options.first_seed + (options.healthy_seeds or options.seeds))
    jobs = [(program, seed) for seed in seeds for program in chosen]
    jobs += [(program, seed) for seed in more for program in chosen if not program.is_faulty]
    tally = measure(jobs, options.at_once, options.show)
    shares = tally.shares()
    for line in tally.trouble:
        print(f"TROUBLE  {line}")
    sound = tally.runs["healthy"] + tally.runs["repaired"]
    print(
        f"\n{tally.runs['faulty']} faulty runs: {shares['detected']:.1%} detected, {shares['named']:.1%} named by the"
    )
    print(f"first headline, {tally.folded} named further down; {tally.unknown['faulty']} unknown")
    print(f"{sound} healthy and repaired runs: {shares['false_alarms']:.2%} false alarms; by rule, folded ones too:")
    print(f"  {dict(tally.alarms.most_common())}; unknown: {tally.unknown['healthy'] + tally.unknown['repaired']}")
    print(f"{time.perf_counter() - began:.0f} s; the slowest took {tally.slowest[0]:.1f} s: {tally.slowest[1]}")
    if options.into:
        form = {"all": {**shares, "faulty": tally.runs["faulty"], "healthy": sound}, "rules": tally.figures()}
        options.into.write_text(json.dumps(form, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    met = shares["detected"] >= DETECTED and shares["named"] >= NAMED and shares["false_alarms"] < FALSE_ALARMS
    return int(not met or bool(tally.trouble))


if __name__ == "__main__":
    raise SystemExit(main())
