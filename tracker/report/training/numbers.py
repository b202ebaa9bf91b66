"""The key numbers of a run: where each began, how good it got, where it ended."""

from __future__ import annotations

import re

from ...rules.engine.signals import (
    EPOCH_LOSS,
    LOSS,
    METRIC,
    METRIC_IN_MLFLOW,
    TRAIN_ACCURACY,
    VAL_ACCURACY,
    VAL_LOSS,
    Signal,
    meaning_of,
)
from ..drawing.lines import number, shortened
from ..drawing.units import words_for
from ..gathering.curves import Curve
from ..gathering.gathered import Gathered
from ..gathering.measured import curves_of

MOST_SETS, MOST_METRICS = 3, 6
_LESS = frozenset(
    {"loss", "error", "err", "perplexity", "ppl", "nll", "mae", "mse", "rmse", "mape", "wer", "cer", "fid"}
)
_MORE = frozenset(
    {"acc", "accuracy", "f1", "auc", "auroc", "recall", "precision", "score", "r2", "bleu", "iou", "dice", "map"}
    | {"reward", "return"}
)
"""Words in the names of metrics that say which way is better."""


def rows_of_numbers(gathered: Gathered) -> list[tuple[str, str, str, str, str]]:
    """(name, first, best, step of the best, last) of the losses, the accuracies and the user's own metrics."""
    rows = []
    shown: set[int] = set()
    training = EPOCH_LOSS if len(gathered.epoch_ends()) > 1 or gathered.curve(LOSS.name) is None else LOSS
    for signal in (training, VAL_LOSS, TRAIN_ACCURACY, VAL_ACCURACY):
        measured = gathered.curves.get(signal.name, {})
        curves = curves_of(signal, gathered) or measured
        for subject, curve in list(curves.items())[:MOST_SETS]:
            shown.add(id(curve))
            name = words_for(signal) + (f" ({shortened(subject)})" if subject else "")
            if subject and subject not in measured:
                name = shortened(subject)  # a metric of the user's, which has its own name
            rows.append(_row(name, curve, _sign(signal), _lost_at(signal, curve, gathered)))
    metrics = {**gathered.subjects(METRIC_IN_MLFLOW.name), **gathered.subjects(METRIC.name)}
    means = {signal for signal in (VAL_LOSS, TRAIN_ACCURACY, VAL_ACCURACY, EPOCH_LOSS) if curves_of(signal, gathered)}
    own = [key for key, curve in metrics.items() if id(curve) not in shown and meaning_of(key) not in means]
    rows += [
        _row(shortened(key), metrics[key], sign_of(key), metrics[key].first_nonfinite) for key in own[:MOST_METRICS]
    ]
    return rows


def sign_of(key: str) -> int:
    """-1 where less of a metric is better, by its name, 1 where more is, 0 where the name does not say."""
    words = set(re.split(r"[^a-z0-9]+", key.lower()))
    return -1 if words & _LESS else 1 if words & _MORE else 0


def _sign(signal: Signal) -> int:
    return 1 if signal in (TRAIN_ACCURACY, VAL_ACCURACY) else -1


def _lost_at(signal: Signal, curve: Curve, gathered: Gathered) -> int | None:
    """The step from which on values were not finite; of means over epochs, by the losses they are made of."""
    steps = gathered.curves.get(LOSS.name, {}).get("") if signal == EPOCH_LOSS else None
    return curve.first_nonfinite if steps is None else steps.first_nonfinite


def _row(name: str, curve: Curve, sign: int, lost_at: int | None) -> tuple[str, str, str, str, str]:
    best, at = "", ""
    if sign and len(curve):
        extreme = curve.highs if sign > 0 else curve.lows
        place = int(extreme.argmax() if sign > 0 else extreme.argmin())
        best, at = number(float(extreme[place])), f"{curve.steps[place]:.0f}"
    last = number(float(curve.last[1])) if curve.last is not None else ""
    if lost_at is not None:
        last = f"not finite from step {lost_at}"
    return name, number(float(curve.means[0])) if len(curve) else "", best, at, last
