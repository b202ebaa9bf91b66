"""What the log of a trainer says beside the plain reading of its columns.

In a `trainer_state.json` of Transformers, and in tables like it: what kind of training it was, percentages, and steps
that a gradient scaler left out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .rules.engine.records import Json
from .rules.engine.signals import EPOCH_LOSS, GRAD_NORM, LOSS, TRAIN_ACCURACY, VAL_ACCURACY, Signal

_OF_A_FINE_TUNING = ("logging_steps", "max_steps", "num_train_epochs", "train_batch_size", "global_step")
"""What a `trainer_state.json` says of the run as a whole."""
_REWARDED = re.compile(r"(?:.*/)?(?:reward|reward_std|kl|mean_reward|env_reward)|completions?[/_].*|ppo/.*")
_PREFERRED = re.compile(r"(?:train_)?rewards/(?:chosen|rejected|margins)")
"""Columns of reinforcement learning, whose loss is no measure of progress, and of learning from preferences (DPO and
its kin, which may log a divergence as well), whose loss is one."""
_MARKS = frozenset({"total_flos", "train_runtime", "eval_runtime", "train_steps_per_second", "eval_steps_per_second"})
"""Columns that no other tool writes under these names."""
_PERCENT = 100.0
_F1 = re.compile(r"(?:eval|val|dev|test)_(?:\w+_)?f1(?:_\w+)?")
_ERROR_RATE = re.compile(r"(?:eval|val|dev|test)_(?:\w+_)?(?:wer|cer|word_error_rate)(?:_\w+)?")
_MOST_ERRORS = 3.0
"""An error rate that was ever above this is in per cent: more errors than words are made at the very start only."""

Row = Mapping[str, float]


def is_of_trainer(columns: Iterable[str]) -> bool:
    """Whether columns are those of Transformers' trainer, in whatever file or store they came."""
    known = set(columns)
    return {"loss", "learning_rate"} <= known and not known.isdisjoint(_MARKS)


def facts_of_trainer(content: Mapping[str, Any], rows: Sequence[Row]) -> dict[str, Json]:
    """What a trainer state says besides its rows. It is of a model that was trained before, unless rewards tell of
    reinforcement learning: a loss that hardly falls, or rises with the divergence, is then no fault."""
    columns = {name for row in rows for name in row}
    is_preferred = any(_PREFERRED.fullmatch(name) for name in columns)
    is_rewarded = any(_REWARDED.fullmatch(name) for name in columns) and not is_preferred
    told: dict[str, Json] = {name: content[name] for name in _OF_A_FINE_TUNING if _is_number(content.get(name))}
    return {
        "profile": "rl" if is_rewarded else "fine-tune",
        "history": {"source": "transformers", "preferences": is_preferred, **told},
    }


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def stands_for_accuracy(columns: Iterable[str]) -> str | None:
    """A held-out measure that may stand in where no accuracy was logged: F1, else an error rate of words; or None.

    What it is for is to tell a held-out loss that rises alone from one that rises while errors are made.
    """
    names = sorted(columns)
    for pattern in (_F1, _ERROR_RATE):
        found = next((name for name in names if pattern.fullmatch(name.lower())), None)
        if found is not None:
            return found
    return None


def with_shares(rows: Sequence[Row], chosen: Mapping[str, Signal]) -> Sequence[Row]:
    """Accuracies that were written in percent, as shares; of an error rate what is missing to 1, 0 at least."""
    for column, signal in chosen.items():
        if signal in (VAL_ACCURACY, TRAIN_ACCURACY):
            values = [row[column] for row in rows if column in row]
            if _ERROR_RATE.fullmatch(column.lower()):
                whole = _PERCENT if max(values, default=0.0) > _MOST_ERRORS else 1.0
                rows = [{**row, column: max(0.0, 1 - row[column] / whole)} if column in row else row for row in rows]
            elif 1 < max(values, default=0.0) <= _PERCENT:
                rows = [{**row, column: row[column] / _PERCENT} if column in row else row for row in rows]
    return rows


def without_skipped(rows: Sequence[Row], chosen: Mapping[str, Signal]) -> Sequence[Row]:
    """The rows without gradient norms that are not finite and did no harm.

    A step whose gradient is not finite makes every weight NaN, and all that follows; where a finite norm and finite
    losses follow, a gradient scaler has skipped that step, as it does while it looks for its scale.
    """
    norm = next((column for column, signal in chosen.items() if signal is GRAD_NORM), None)
    if norm is None:
        return rows
    losses = [column for column, signal in chosen.items() if signal in (LOSS, EPOCH_LOSS)]
    kept: list[Row] = []
    is_followed = False
    for row in reversed(rows):
        value = row.get(norm, 0.0)
        if any(not math.isfinite(row.get(column, 0.0)) for column in losses):
            is_followed = False
        if not math.isfinite(value) and is_followed:
            row = {column: cell for column, cell in row.items() if column != norm}
        elif norm in row:
            is_followed = math.isfinite(value)
        kept.append(row)
    return kept[::-1]
