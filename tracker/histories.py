"""Histories that other tools wrote, as records that rules can judge.

Understood are Transformers' `trainer_state.json`, CSV and TSV with a header, JSON lines, and JSON files with a list of
rows or a list for each metric. Which column means what is guessed from its name, or said by the user.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from .errors import ConfigError, StoreError
from .rules.engine.records import Fact, Json, Reading, Record
from .rules.engine.signals import (
    EPOCH_LOSS,
    GRAD_NORM,
    LOSS,
    LR,
    METRIC,
    TRAIN_ACCURACY,
    VAL_ACCURACY,
    VAL_LOSS,
    Signal,
    meaning_of,
)
from .trainer_state import facts_of_trainer, is_of_trainer, stands_for_accuracy, with_shares, without_skipped

MAPPABLE: dict[str, Signal] = {
    "loss": LOSS,
    "epoch_loss": EPOCH_LOSS,
    "val_loss": VAL_LOSS,
    "train_accuracy": TRAIN_ACCURACY,
    "val_accuracy": VAL_ACCURACY,
    "lr": LR,
    "grad_norm": GRAD_NORM,
}
"""Names that a column can be mapped to, besides `step` and `epoch`."""

_STEP_NAMES = ("step", "global_step", "_step", "iteration", "iter", "batch")
_EPOCH_NAMES = ("epoch",)
_CLOCKS = {"time", "timestamp", "_timestamp", "_runtime", "wall_time"}
_BESIDE_EVALUATION = 1.5
"""From so many training losses for one evaluation on, they are losses of steps and not of epochs."""

Row = Mapping[str, float]


@dataclass(frozen=True)
class History:
    """What a file says, in the order in which it says it."""

    records: tuple[Record, ...]
    meanings: Mapping[str, str] = field(default_factory=dict)
    """Column -> name of the signal it was read as."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Column -> why it is not judged."""


def read_history(path: Path, columns: Mapping[str, str] | None = None) -> History:
    """Reads a file of metrics; `columns` maps our names (`MAPPABLE`, `step`, `epoch`) to the file's columns.

    Raises `StoreError` when the file cannot be read as a table of numbers and `ConfigError` when `columns` names a
    column or a meaning that does not exist.
    """
    try:
        rows, facts = _rows(path)
    except (OSError, ValueError, RecursionError, csv.Error) as error:
        raise StoreError(f"{path} cannot be read as a history: {error}. Expected CSV, JSON lines or JSON.") from error
    if not any(rows):
        raise StoreError(f"{path} holds no numbers. Expected a header and rows, or one JSON object for each step.")
    history = from_rows(rows, columns, str(path))
    return replace(history, records=(*(Fact(name, 0, value) for name, value in facts.items()), *history.records))


def parse_columns(pairs: Iterable[str]) -> dict[str, str]:
    """`["loss=train_loss"]` as `{"loss": "train_loss"}`; raises `ConfigError` for anything else."""
    found: dict[str, str] = {}
    known = [*MAPPABLE, "step", "epoch"]
    for pair in pairs:
        name, sign, column = pair.partition("=")
        if not sign or not column:
            raise ConfigError(f"--map {pair!r} is no pair. Expected NAME=COLUMN, for instance --map loss=train_loss.")
        if name not in known:
            hint = _hint(name, known)
            raise ConfigError(f"--map {pair!r}: unknown name {name!r}.{hint} Expected one of {', '.join(known)}.")
        found[name] = column
    return found


def from_rows(rows: Sequence[Row], columns: Mapping[str, str] | None = None, source: str = "the history") -> History:
    """The records of a table; without a step column the number of the row, or the epoch, is the step."""
    given = dict(columns or {})
    names = list(dict.fromkeys(name for row in rows for name in row))
    for name, column in given.items():
        if column not in names:
            raise ConfigError(
                f"--map {name}={column}: {source} has no column {column!r}.{_hint(column, names)} "
                f"It has {', '.join(names[:20])}."
            )
    step_column = given.get("step") or next((name for name in _STEP_NAMES if name in names), None)
    epoch_column = given.get("epoch") or next((name for name in _EPOCH_NAMES if name in names), None)
    epochs = [row[epoch_column] for row in rows if epoch_column in row] if epoch_column else []
    if step_column is None and epochs and _are_counted(epochs):
        step_column = epoch_column
    points = {
        name: [index for index, row in enumerate(rows) if name in row]
        for name in names
        if name not in (step_column, epoch_column) and name not in _CLOCKS
    }
    chosen, left_out = _choose(points, {given[name]: MAPPABLE[name] for name in given if name in MAPPABLE})
    if VAL_ACCURACY not in chosen.values() and (measure := stands_for_accuracy(points)) is not None:
        chosen[measure] = VAL_ACCURACY
    _settle_loss(chosen, {column: len(where) for column, where in points.items()}, epochs)
    rows = without_skipped(with_shares(rows, chosen), chosen)
    records: list[Record] = []
    for index, row in enumerate(rows):
        told = row.get(step_column) if step_column is not None else None
        step = int(told) if told is not None and _is_whole(told) else index
        for name, value in row.items():
            if name in points and name not in left_out:
                signal = chosen.get(name, METRIC)
                records.append(Reading(signal.name, "" if name in chosen else name, step, value))
    meanings = {name: signal.name for name, signal in chosen.items()}
    return History(tuple(records), meanings, left_out)


def from_metrics(records: Iterable[Record]) -> History:
    """Metrics that some other program logged to MLflow, in the order in which it did, with the meaning of each key."""
    kept = list(records)
    points: dict[str, list[int]] = {}
    for index, record in enumerate(kept):
        if isinstance(record, Reading) and record.signal == METRIC.name:
            points.setdefault(record.subject, []).append(index)
    chosen, left_out = _choose(points, {})
    _settle_loss(chosen, {key: len(where) for key, where in points.items()}, [])
    result: list[Record] = []
    for record in kept:
        if isinstance(record, Reading) and record.signal == METRIC.name:
            if record.subject in left_out:
                continue
            signal = chosen.get(record.subject)
            if signal is not None:
                result.append(Reading(signal.name, "", record.step, record.value))
                continue
        result.append(record)
    if is_of_trainer(points):
        facts = facts_of_trainer({}, [dict.fromkeys(points, 0.0)])
        result = [*(Fact(name, 0, value) for name, value in facts.items()), *result]
    return History(tuple(result), {key: signal.name for key, signal in chosen.items()}, left_out)


def _choose(
    points: Mapping[str, Sequence[int]], given: Mapping[str, Signal]
) -> tuple[dict[str, Signal], dict[str, str]]:
    """One column for each signal: the user's, else the one with the most points. Two mixed would be noise."""
    chosen = dict(given)
    left_out: dict[str, str] = {}
    takers: dict[str, str] = {_slot(signal): column for column, signal in given.items()}
    has_held_out = any(meaning_of(name) is VAL_ACCURACY and _names_a_split(name) for name in points)
    for name in sorted(points, key=lambda name: -len(points[name])):
        meaning = meaning_of(name)
        if meaning is None or name in chosen:
            continue
        if meaning is VAL_ACCURACY and has_held_out and not _names_a_split(name):
            meaning = TRAIN_ACCURACY  # `accuracy` beside `val_accuracy` is that of the training, as Keras writes it
        taker = takers.setdefault(_slot(meaning), name)
        if taker == name:
            chosen[name] = meaning
        else:
            left_out[name] = f"it means the same as {taker}"
    return chosen, left_out


def _slot(signal: Signal) -> str:
    return LOSS.name if signal is EPOCH_LOSS else signal.name


def _names_a_split(name: str) -> bool:
    return any(word in name.lower() for word in ("val", "eval", "test", "dev"))


def _settle_loss(chosen: dict[str, Signal], counts: Mapping[str, int], epochs: Sequence[float]) -> None:
    """Decides for a guessed training loss whether its points are steps or epochs."""
    column = next((name for name, signal in chosen.items() if signal is EPOCH_LOSS), None)
    if column is None:
        return
    evaluations = [counts[name] for name, signal in chosen.items() if signal in (VAL_LOSS, VAL_ACCURACY)]
    if evaluations:
        is_of_steps = counts[column] > _BESIDE_EVALUATION * max(evaluations)
    else:
        is_of_steps = not (epochs and _are_counted(epochs))
    if is_of_steps:
        chosen[column] = LOSS


def _are_counted(epochs: Sequence[float]) -> bool:
    """True when there is one row for each epoch: whole numbers, none twice."""
    return all(map(_is_whole, epochs)) and len(set(epochs)) == len(epochs)


def _is_whole(value: float) -> bool:
    return value - value == 0 and value == int(value)


def _rows(path: Path) -> tuple[list[Row], dict[str, Json]]:
    """The rows of a file, and the facts it tells of the run."""
    suffix, content = path.suffix.lower(), None
    if suffix in (".csv", ".tsv"):
        rows = _from_csv(path)
    elif suffix in (".jsonl", ".ndjson"):
        lines = path.read_text(encoding="utf-8-sig").splitlines()
        rows = [_numbers(json.loads(line)) for line in lines if line.strip()]
    elif suffix == ".json":
        content = json.loads(path.read_text(encoding="utf-8-sig"))
        rows = _from_json(content)
    else:
        raise ValueError(f"unknown kind of file {suffix or path.name!r}")
    whole = content if isinstance(content, dict) and isinstance(content.get("log_history"), list) else None
    if whole is not None or is_of_trainer({name for row in rows for name in row}):
        return rows, facts_of_trainer(whole or {}, rows)
    return rows, {}


def _from_csv(path: Path) -> list[Row]:
    with open(path, encoding="utf-8-sig", newline="") as file:
        head = file.readline()
        file.seek(0)
        delimiter = max(",;\t", key=head.count)
        return [
            _numbers({key: cell for key, cell in row.items() if key})
            for row in csv.DictReader(file, delimiter=delimiter)
        ]


def _from_json(content: Any) -> list[Row]:
    if isinstance(content, dict) and isinstance(content.get("log_history"), list):
        content = content["log_history"]
    if isinstance(content, dict):
        lists = {key: value for key, value in content.items() if isinstance(value, list)}
        length = max(map(len, lists.values()), default=0)
        content = [{key: value[i] for key, value in lists.items() if i < len(value)} for i in range(length)]
    if not isinstance(content, list):
        raise ValueError(f"it holds a {type(content).__name__}")
    return [_numbers(row) for row in content]


def _numbers(row: Any, prefix: str = "") -> dict[str, float]:
    """The numbers of one row, nested ones under `outer/inner`; text that is no number and empty cells are left out."""
    if not isinstance(row, Mapping):
        raise ValueError(f"a row is {row!r}, expected an object of metric names and numbers")
    found: dict[str, float] = {}
    for key, value in row.items():
        if isinstance(value, Mapping):
            found.update(_numbers(value, f"{prefix}{key}/"))
        elif isinstance(value, (int, float, str)):
            try:
                found[f"{prefix}{str(key).strip()}"] = float(value)
            except (ValueError, OverflowError):
                continue
    return found


def _hint(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" Did you mean {near[0]!r}?" if near else ""
