"""The curves of a signal: as measured, as the user logged them, or made of others."""

from __future__ import annotations

import numpy as np

from ...rules.engine import signals
from ...rules.engine.signals import Signal, meaning_of
from .curves import Curve
from .gathered import Gathered

_MEASURED_BY_USER = (
    signals.LOSS,
    signals.EPOCH_LOSS,
    signals.VAL_LOSS,
    signals.TRAIN_ACCURACY,
    signals.VAL_ACCURACY,
    signals.LR,
    signals.GRAD_NORM,
)
"""Signals that a metric of the user's may stand for."""


def curves_of(signal: Signal, gathered: Gathered) -> dict[str, Curve]:
    """The curves of a signal by subject: as measured, else as the user logged them, else made of others."""
    curves = gathered.subjects(signal.name)
    if curves:
        return curves
    if signal == signals.EPOCH_LOSS and (means := epoch_means(gathered)) is not None:
        return {"": means}
    if signal in _MEASURED_BY_USER:
        for name in (signals.METRIC.name, signals.METRIC_IN_MLFLOW.name):
            keyed = {key: curve for key, curve in gathered.subjects(name).items() if meaning_of(key) == signal}
            if keyed:
                return keyed
    if signal == signals.METRIC:
        return gathered.subjects(signals.METRIC_IN_MLFLOW.name)
    if signal == signals.LOSS:
        return curves_of(signals.EPOCH_LOSS, gathered)
    return {}


def epoch_means(gathered: Gathered) -> Curve | None:
    """The mean training loss of each epoch, at its last step."""
    loss, ends = gathered.curve(signals.LOSS.name), sorted(set(gathered.epoch_ends()))
    if loss is None or not ends:
        return None
    means = loss.over(np.asarray([-1, *ends]) + 0.5)
    is_known = np.isfinite(means)
    if not is_known.any():
        return None
    curve = Curve()
    curve.add(np.asarray(ends)[is_known], means[is_known])
    return curve
