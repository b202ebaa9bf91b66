"""A run beside the earlier runs of its experiment: what is kept of each for that, and the rules that are asked then.

At its end each run leaves a summary (`family.json`): what it was, and its curves at `POINTS` equal shares of its steps.
The next run of the experiment is judged against those of its kind. What it was judged against is stored with it
(`peers.json`), so that the same judgement can be made again: `tracker check` does.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

from .journal import JournalReader
from .readings import Readings
from .rules.engine import Engine, Phase, Settings, Severity, Trace
from .rules.engine.records import EPOCH, TRAINING, Event, Fact, Json, Reading, Record
from .rules.engine.signals import (
    EPOCH_LOSS,
    GRAD_NORM,
    LOSS,
    METRIC,
    METRIC_IN_MLFLOW,
    VAL_ACCURACY,
    VAL_LOSS,
    Signal,
)

SUMMARY, PEERS = "family.json", "peers.json"
SCHEMA = 1
POINTS = 20
"""Points that are kept of each curve: medians over equal shares of the run's steps."""
CURVES: tuple[Signal, ...] = (EPOCH_LOSS, VAL_LOSS, VAL_ACCURACY, GRAD_NORM)
MOST_PARAMS = 100
LEAST = 5
"""Earlier runs needed for a comparison: quartiles of fewer are no more than the runs themselves."""
MOST_GAPS = 50
FACT, STORED = "family", "stored"
"""What a run was, and what could not be stored of it, as facts for the rules."""

_WANTED = frozenset(
    signal.name for signal in (LOSS, EPOCH_LOSS, VAL_LOSS, VAL_ACCURACY, GRAD_NORM, METRIC, METRIC_IN_MLFLOW)
)
_OF_THE_WHOLE = frozenset({GRAD_NORM.name})
_FACTS = frozenset({"params", "parameters", "optimizer", "loaders", "loss", "profile", "randomness", "capture"})
_OTHER = ("args/", "tracker/")
"""Beginnings of parameters that say how a run was started rather than what it was."""

Summary = dict[str, Any]


# -- what is kept of a run ---------------------------------------------------------------------------------------------


def summary_of(journal: Path, spec: Mapping[str, Any], captured: Mapping[str, Any]) -> Summary:
    """What later runs are compared with; raises `JournalError` or `OSError` when the journal cannot be read."""
    trace, params = Trace(), dict[str, Json](spec.get("params") or {})
    trainings = 0
    for record in _relevant(journal):
        if isinstance(record, Fact) and record.name == "params" and isinstance(record.value, Mapping):
            params.update({key: value for key, value in record.value.items() if key not in params})
        elif isinstance(record, Event) and record.name == TRAINING:
            trainings += 1
        trace.feed(record)
    code = captured.get("code") or {}
    return {
        "schema": SCHEMA,
        "id": str(spec.get("id") or ""),
        "name": str(spec.get("name") or ""),
        "started": float(spec.get("started") or 0.0),
        "steps": trace.step + 1,
        "epochs": trace.epoch + 1,
        "kind": {**_kind_of(trace), "script": Path(str(spec.get("script") or "")).name, "trainings": trainings},
        "code": code.get("tree") if isinstance(code, Mapping) else None,
        "seed": _seed_of(trace.facts.get("randomness")),
        "params": {
            key: str(value)[:200]
            for key, value in [item for item in sorted(params.items()) if not item[0].startswith(_OTHER)][:MOST_PARAMS]
        },
        "gaps": [gap for gap in captured.get("gaps") or () if isinstance(gap, Mapping)][:MOST_GAPS],
        "curves": {signal.name: points for signal in CURVES if (points := _points(trace, signal))},
    }


def _relevant(journal: Path) -> Iterable[Record]:
    """The records of a journal that a summary is made of; of a million readings of layers none becomes an object."""
    import numpy as np

    for found in JournalReader(journal).read_columns():
        if isinstance(found, Readings):
            names = {number: found.strings[int(number)] for number in np.unique(found.name)}
            kept = np.zeros(len(found), bool)
            for number, name in names.items():
                if name in _WANTED:
                    mine = found.name == number
                    kept |= mine & (found.subject == 0) if name in _OF_THE_WHOLE else mine
            yield from (record for _, record in found[kept].records())
        elif isinstance(found[1], Fact):
            if found[1].name in _FACTS:
                yield found[1]
        elif isinstance(found[1], Event) and found[1].name in (EPOCH, TRAINING):
            yield found[1]


def _kind_of(trace: Trace) -> dict[str, Json]:
    """What runs of one kind have in common; None for what is not known."""
    facts = trace.facts
    shapes, loaders, loss = facts.get("parameters"), facts.get("loaders"), facts.get("loss")
    model = None
    if isinstance(shapes, Mapping) and shapes:
        text = json.dumps([[name, _at(shape, "shape")] for name, shape in sorted(shapes.items())], default=str)
        model = hashlib.sha256(text.encode()).hexdigest()[:16]
    trained = [one for one in loaders if _at(one, "split") == "train"] if isinstance(loaders, list) else []
    optimizers = facts.get("optimizer")
    return {
        "model": model,
        "optimizer": [_at(one, "class") for one in optimizers] if isinstance(optimizers, list) else None,
        "samples": [_at(one, "dataset_length") for one in trained] or None,
        "loss": [_at(one, "function") for one in (loss if isinstance(loss, list) else [loss])] if loss else None,
    }


def _seed_of(randomness: object) -> dict[str, Json] | None:
    """The seeds of the generators that were drawn from; None when one of them had none, or nothing is known."""
    if not isinstance(randomness, Mapping):
        return None
    used = [name for name in ("python", "numpy", "torch") if randomness.get(f"{name}_used") is not False]
    if not all(randomness.get(f"{name}_seeded") is True for name in used):
        return None
    return {name: randomness.get(f"{name}_seed") for name in used}


def _at(value: object, key: str) -> Json:
    return value.get(key) if isinstance(value, Mapping) else None


def _points(trace: Trace, signal: Signal) -> list[list[float]]:
    """`[step, median]` of the finite values in each of `POINTS` equal shares of the steps."""
    series = trace.series(signal)
    width = (trace.step + 1) / POINTS
    shares: dict[int, list[tuple[int, float]]] = {}
    for step, value in zip(series.steps, series.values, strict=True):
        if math.isfinite(value):
            shares.setdefault(int(step / width), []).append((step, value))
    return [[share[-1][0], median(value for _, value in share)] for _, share in sorted(shares.items())]


# -- whom a run is compared with ---------------------------------------------------------------------------------------


def is_summary(content: Mapping[str, Any]) -> bool:
    """Whether a file that was read holds the summary of a run, in a form that is understood."""
    is_whole = isinstance(content.get("kind"), dict) and isinstance(content.get("curves"), dict)
    return content.get("schema") == SCHEMA and is_whole


def are_alike(one: Summary, other: Summary) -> bool:
    """Whether two runs are of one kind: what is known of both is the same."""
    theirs = other["kind"]
    return all(
        value == theirs[key] for key, value in one["kind"].items() if value is not None and theirs.get(key) is not None
    )


def trace_of(summary: Summary) -> Trace:
    """The past of a run as far as its summary tells, for the rules."""
    trace = Trace()
    told = {key: summary.get(key) for key in ("id", "name", "steps", "epochs", "code", "seed", "params")}
    trace.feed(Fact(FACT, 0, told))
    trace.feed(Fact(STORED, 0, {"gaps": summary.get("gaps")}))
    points = [
        Reading(name, "", int(step), float(value)) for name, curve in summary["curves"].items() for step, value in curve
    ]
    for point in sorted(points, key=lambda one: one.step):
        trace.feed(point)
    return trace


# -- the judgement -----------------------------------------------------------------------------------------------------


def with_family(
    verdict: Mapping[str, Any], own: Mapping[str, Any], peers: Mapping[str, Any], settings: Settings
) -> dict[str, Any]:
    """The verdict on a run, with what the rules that compare runs add to it.

    `peers` is the content of `peers.json`: `{"runs": {ID: summary}, "why": text}`. What they find in a run that is
    suspicious for a fault of its own is a consequence of that fault.
    """
    runs = {name: one for name, one in (peers.get("runs") or {}).items() if is_summary(one)}
    registry = settings.registry
    rules = [rule for rule in registry.instances(settings) if set(rule.phases) == {Phase.CROSS_RUN}]
    engine = Engine(rules, settings)
    trace = trace_of(dict(own)) if is_summary(own) else Trace()
    trace.peers = {name: trace_of(one) for name, one in runs.items()}
    engine.judge(Phase.CROSS_RUN, trace)
    found = engine.verdict(trace).as_json()
    return _merged(verdict, found, {rule.id() for rule in rules}, str(peers.get("why") or ""))


def _merged(verdict: Mapping[str, Any], found: Mapping[str, Any], ours: set[str], why: str) -> dict[str, Any]:
    findings = [dict(one) for one in verdict.get("findings") or ()]
    news = [dict(one) for one in found.get("findings") or ()]
    head = findings[0] if findings and _severity(findings[0]) >= Severity.WARNING else None
    bad = [one for one in news if _severity(one) >= Severity.WARNING]
    if head is not None and bad:
        flat = [each for one in bad for each in ({**one, "consequences": []}, *(one.get("consequences") or ()))]
        head["consequences"] = [*(head.get("consequences") or ()), *flat]
        head["explains"] = list(dict.fromkeys([*(head.get("explains") or ()), *(str(one["rule"]) for one in flat)]))
        findings += [one for one in news if one not in bad]
    else:
        findings = sorted([*findings, *news], key=lambda one: _severity(one) < Severity.WARNING)
    worst = max((_severity(one) for one in news), default=Severity.INFO)
    is_new = worst >= Severity.WARNING and verdict.get("suspicious") != "true"
    skipped = [
        {**item, "reason": f"{item['reason']} {why}".strip()} for item in found.get("skipped") or () if "reason" in item
    ]
    return {
        **verdict,
        "findings": findings,
        **({"suspicious": "true", "why": str(found.get("why"))} if is_new else {}),
        "skipped": sorted(
            [*(item for item in verdict.get("skipped") or () if item.get("rule") not in ours), *skipped],
            key=lambda item: str(item.get("rule")),
        ),
        "crashed": [*(verdict.get("crashed") or ()), *(found.get("crashed") or ())],
        "clear": sorted({*(verdict.get("clear") or ()), *(found.get("clear") or ())}),
        "suppressed": [*(verdict.get("suppressed") or ()), *(found.get("suppressed") or ())],
    }


def _severity(finding: Mapping[str, Any]) -> Severity:
    own = [str(finding.get("severity"))]
    names = [*own, *(str(one.get("severity")) for one in finding.get("consequences") or ())]
    return max(
        (Severity[name.upper()] for name in names if name.upper() in Severity.__members__), default=Severity.INFO
    )
