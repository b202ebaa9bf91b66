"""What signals are called in a picture, and which have one unit and can be drawn across each other."""

from __future__ import annotations

from collections.abc import Sequence

from ...rules.engine import signals
from ...rules.engine.signals import Signal

TOGETHER: tuple[tuple[Signal, ...], ...] = (
    (signals.LOSS, signals.EPOCH_LOSS, signals.VAL_LOSS),
    (signals.TRAIN_ACCURACY, signals.VAL_ACCURACY),
    (signals.INPUT_MEAN, signals.INPUT_STD, signals.INPUT_LOW, signals.INPUT_HIGH),
    (signals.TARGET_ERROR, signals.TARGET_SPREAD),
    (signals.NORM_VAR_LOW, signals.NORM_VAR_HIGH),
    (signals.STEP_SECONDS, signals.STEP_SECONDS_LONGEST),
    (signals.GRAPHS_HELD, signals.GRAPHS_MARKED),
    (signals.REPEATED, signals.LOOKED_AT),
)
"""Signals of one unit, which are drawn across each other."""

_WORDS: dict[Signal, str] = {
    signals.LOSS: "training loss",
    signals.EPOCH_LOSS: "training loss, epoch means",
    signals.VAL_LOSS: "held-out loss",
    signals.TRAIN_ACCURACY: "training accuracy",
    signals.VAL_ACCURACY: "held-out accuracy",
    signals.GRAD_NORM: "gradient norm",
    signals.WEIGHT_NORM: "weight norm",
    signals.UPDATE_RATIO: "relative change a step",
    signals.LR: "learning rate",
    signals.CLASS_COUNT: "labels of each class",
    signals.STEP_SECONDS: "mean seconds of a step",
    signals.STEP_SECONDS_LONGEST: "longest seconds of a step",
    signals.OVERHEAD: "share of time spent in the tracker",
    signals.LOSS_TERM: "term of the loss",
    signals.CLIP_NORM: "gradient norm before clipping",
    signals.GRAD_SCALE: "scale of the gradient scaler",
    signals.OUTPUT_RMS: "output, root mean square",
    signals.OUTPUT_VARIANCE: "output variance over the batch",
    signals.DEAD: "share of dead units",
    signals.SATURATED: "share of saturated units",
    signals.SATURATION: "share of flat values",
    signals.NORM_VAR_LOW: "smallest running variance",
    signals.NORM_VAR_HIGH: "largest running variance",
    signals.BATCH_SIZE: "samples in a batch",
    signals.INPUT_MEAN: "input mean",
    signals.INPUT_STD: "input deviation",
    signals.INPUT_LOW: "lowest input",
    signals.INPUT_HIGH: "highest input",
    signals.INPUT_NONFINITE: "NaNs and infinities in the input",
    signals.INPUT_VARIED: "deviation of an input over the batch",
    signals.LABEL_RUNS: "share of neighbours with one label",
    signals.LABEL_PADDING: "share of the labels that is filler",
    signals.REPEATED: "batches seen before",
    signals.LOOKED_AT: "batches looked at",
    signals.OVERLAP: "share of samples known from training",
    signals.RECALL: "share recognised (recall)",
    signals.TARGET_ERROR: "error, root mean square",
    signals.TARGET_SPREAD: "deviation of the targets",
    signals.PREDICTIONS: "predictions of each class",
    signals.WAIT_DATA: "share of time waiting for data",
    signals.MEMORY: "memory in use, bytes",
    signals.GRAPHS_HELD: "graphs still held",
    signals.GRAPHS_MARKED: "graphs marked",
}


def words_for(signal: Signal | str) -> str:
    """What a signal is called in a picture."""
    if isinstance(signal, Signal):
        return _WORDS.get(signal, signal.name)
    return next((words for one, words in _WORDS.items() if one.name == signal), signal)


def group_of(signal: Signal) -> tuple[Signal, ...]:
    """The signals of its unit, itself among them."""
    return next((group for group in TOGETHER if signal in group), (signal,))


def title_of(group: Sequence[Signal]) -> str:
    """What the axis is called across which these signals of one unit are drawn."""
    if len(group) == 1:
        return words_for(group[0])
    named = {
        signals.LOSS: "loss", signals.TRAIN_ACCURACY: "accuracy", signals.INPUT_MEAN: "input",
        signals.TARGET_ERROR: "error of predictions", signals.NORM_VAR_LOW: "running variance",
        signals.STEP_SECONDS: "seconds of a step", signals.GRAPHS_HELD: "graphs", signals.REPEATED: "batches",
    }  # fmt: skip
    return named.get(group_of(group[0])[0], words_for(group[0]))
