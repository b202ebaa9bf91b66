"""The vocabulary: everything that can be measured, and which metric names of other tools mean the same.

A signal is declared once. Probes provide it, the engine gates on it, the report plots it, and `across_ranks` says how
its readings merge when several processes train together.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Reduction = Literal["mean", "sum", "max", "norm", "same"]


@dataclass(frozen=True, slots=True)
class Signal:
    """Something that can be measured at a step.

    `about` says what one reading means; `subject` what its subject names; `across_ranks` how ranks merge.
    """

    name: str
    about: str
    subject: str = ""
    across_ranks: Reduction = "mean"


LOSS = Signal("loss", "value of the scalar given to backward(), one reading for each backward of the step")
EPOCH_LOSS = Signal("loss/epoch", "mean training loss of one epoch, one reading an epoch")
VAL_LOSS = Signal(
    "loss/val", "loss on data that is not trained on, one reading an evaluation", "'' is the first set, 'val2' a second"
)
TRAIN_ACCURACY = Signal("accuracy/train", "share of training predictions that are right, 0 to 1")
VAL_ACCURACY = Signal(
    "accuracy/val", "share of held-out predictions that are right, 0 to 1", "'' is the first set, 'val2' a second"
)
GRAD_NORM = Signal("grad_norm", "L2 norm of the unscaled gradient before the step", "parameter; '' is all", "norm")
WEIGHT_NORM = Signal("weight_norm", "L2 norm of the parameter before the step", "parameter; '' is all", "same")
UPDATE_RATIO = Signal("update_ratio", "L2 norm of the step's true change over the norm before it", "parameter", "same")
LR = Signal("lr", "learning rate, on change", "parameter group: '<n>', or '<k>/<n>' in the k-th optimizer", "same")
CLASS_COUNT = Signal("class_count", "labels of this class seen so far in training", "class", "sum")
STEP_SECONDS = Signal("step_seconds", "mean wall time of an optimizer step over the epoch, in seconds", "", "max")
OVERHEAD = Signal("overhead", "share of wall time spent in the tracker, 0 to 1", "", "max")
METRIC = Signal("metric", "a number the user logged, under its own key", "metric key")
METRIC_IN_MLFLOW = Signal(
    "metric/mlflow", "the same, logged with MLflow by the user: it is there already", "metric key"
)

# On closely watched steps: one in `every`, as the events `sampling` say; the first ones all.
LOSS_TERM = Signal("loss/term", "value of one term of the loss, with its factor", "term: its function, or its variable")
BACKWARDS = Signal("backwards", "backward calls of the step, on change", "", "same")
CLIP_NORM = Signal("clip/norm", "total gradient norm as the clip function measured it, before clipping", "", "norm")
GRAD_SCALE = Signal("grad_scale", "scale of the gradient scaler, on change", "", "same")
SCHEDULER_STEPS = Signal(
    "scheduler_steps", "steps of a scheduler in the epoch, one reading an epoch", "scheduler", "same"
)
OUTPUT_RMS = Signal("output/rms", "root mean square of a module's output", "module")
OUTPUT_VARIANCE = Signal("output/variance", "variance over the batch of a module's output, mean over units", "module")
DEAD = Signal("output/dead", "share of units that were zero for every sample of the batch, 0 to 1", "module")
SATURATED = Signal("output/saturated", "share of units saturated for every sample of the batch, 0 to 1", "module")
SATURATION = Signal("output/saturation", "share of an activation's values where it is flat, 0 to 1", "module")
NORM_MEAN = Signal("norm/mean", "largest absolute running mean of a normalisation layer", "module", "same")
NORM_VAR_LOW = Signal("norm/var_low", "smallest running variance of a normalisation layer", "module", "same")
NORM_VAR_HIGH = Signal("norm/var_high", "largest running variance of a normalisation layer", "module", "same")
BATCH_SIZE = Signal("batch_size", "samples in a batch, on change", "split: 'train' or 'val'", "sum")
INPUT_MEAN = Signal("input/mean", "mean of an input of the batch", "'<split>/<input>'")
INPUT_STD = Signal("input/std", "standard deviation of an input of the batch", "'<split>/<input>'")
INPUT_LOW = Signal("input/low", "smallest value of an input of the batch", "'<split>/<input>'")
INPUT_HIGH = Signal("input/high", "largest value of an input of the batch", "'<split>/<input>'", "max")
INPUT_NONFINITE = Signal("input/nonfinite", "NaNs and infinities in an input of the batch", "'<split>/<input>'", "sum")
LABEL_RUNS = Signal("labels/runs", "share of neighbouring samples of a batch with the same label, 0 to 1", "split")
REPEATED = Signal(
    "batch/repeated", "batches of the epoch that were seen before in it, among those looked at", "split", "sum"
)
LOOKED_AT = Signal("batch/looked_at", "batches of the epoch that were compared with each other", "split", "sum")
OVERLAP = Signal(
    "data/overlap", "samples of this split that training has seen, share of those looked at", "split", "max"
)
RECALL = Signal("recall", "share of the samples of a class that are predicted as it, 0 to 1", "'<split>/<class>'")
TARGET_ERROR = Signal("error", "root mean squared difference of outputs and targets", "split: 'train' or 'val'")
PREDICTIONS = Signal("predictions", "array: how often each class was predicted since the last one", "split", "sum")
WAIT_DATA = Signal("wait/data", "share of the training time in which a loader was waited for, 0 to 1", "", "max")
STEP_SECONDS_LONGEST = Signal("step_seconds/longest", "longest time of one step in the epoch, in seconds", "", "max")
MEMORY = Signal("memory", "memory in use at the end of the epoch, in bytes", "'process' or 'cuda'", "max")
GRAPHS_HELD = Signal(
    "graphs/held",
    "graphs of steps of earlier epochs that are still there, among those marked",
    "'' is the training, 'evaluation' passes in evaluation mode",
)
GRAPHS_MARKED = Signal("graphs/marked", "steps of earlier epochs whose graphs were marked", "as there")
INPUT_VARIED = Signal(
    "input/varied", "standard deviation over the samples of the batch, mean over their values", "'<split>/<input>'"
)
LABEL_PADDING = Signal(
    "labels/padding", "share of the labels that sequences are filled up with and the loss counts, 0 to 1", "split"
)
SCORE = Signal("score", "a number in a variable that is called an accuracy, when an evaluation is over", "variable")
SCORE_GAIN = Signal(
    "score/sample",
    "what a variable that counts right answers, or is called an accuracy, gained in a pass over data, divided by the "
    "samples of the pass, where it may be a number of these",
    "'<set>/<variable>'",
)
SCORE_GAIN_PER_BATCH = Signal("score/batch", "the same divided by its batches, of what is no whole number", "as there")
SCORE_SUM = Signal("score/sum", "the same as it is, of what is no whole number", "as there")
TARGET_SPREAD = Signal("targets/std", "standard deviation of the targets that `error` is about", "as there")

# What drills measure before a training; the step is the iteration of the drill.
DRILL_LOSS = Signal("drill/loss", "training loss of an iteration of a drill", "drill, or '<drill>/<variant>'")
DRILL_LR = Signal("drill/lr", "learning rate of an iteration of a drill", "drill, or '<drill>/<variant>'", "same")

# Arrays for the eye: no rule asks for them.
WEIGHT_HISTOGRAM = Signal(
    "weight/histogram",
    "array: lowest and highest value, then how many lie in each of 32 equal bins",
    "parameter",
    "same",
)
GRAD_HISTOGRAM = Signal("grad/histogram", "array: the same of the gradient before the step", "parameter")
OUTPUT_HISTOGRAM = Signal("output/histogram", "array: the same of a module's output", "module")
CONFUSION = Signal(
    "confusion",
    "array: a square matrix, row after row: how often each class was predicted, by true class; at most 30 classes",
    "split",
    "sum",
)
CONFUSED = Signal(
    "confusion/pairs",
    "array: true class, predicted class and how often, of at most 50 pairs mistaken most often; for more classes",
    "split",
    "sum",
)

SIGNALS: dict[str, Signal] = {
    signal.name: signal
    for signal in (
        LOSS, EPOCH_LOSS, VAL_LOSS, TRAIN_ACCURACY, VAL_ACCURACY, GRAD_NORM, WEIGHT_NORM, UPDATE_RATIO, LR,
        CLASS_COUNT, STEP_SECONDS, OVERHEAD, METRIC, METRIC_IN_MLFLOW, LOSS_TERM, BACKWARDS, CLIP_NORM, GRAD_SCALE,
        SCHEDULER_STEPS, OUTPUT_RMS, OUTPUT_VARIANCE, DEAD, SATURATED, SATURATION, NORM_MEAN, NORM_VAR_LOW,
        NORM_VAR_HIGH,
        BATCH_SIZE, INPUT_MEAN, INPUT_STD, INPUT_LOW, INPUT_HIGH, INPUT_NONFINITE, LABEL_RUNS, REPEATED, LOOKED_AT,
        OVERLAP, RECALL, TARGET_ERROR, PREDICTIONS,
        WAIT_DATA, STEP_SECONDS_LONGEST, MEMORY, GRAPHS_HELD, GRAPHS_MARKED,
        INPUT_VARIED, LABEL_PADDING, TARGET_SPREAD, SCORE, SCORE_GAIN, SCORE_GAIN_PER_BATCH,
        SCORE_SUM, DRILL_LOSS, DRILL_LR, WEIGHT_HISTOGRAM, GRAD_HISTOGRAM, OUTPUT_HISTOGRAM, CONFUSION, CONFUSED,
    )
}  # fmt: skip

_HELD_OUT = r"(?:val|valid|validation|eval|evaluation|dev|test)"
_TRAIN = r"(?:train|training)"
_ACCURACY = r"(?:acc|accuracy|accuracy_score|top1|top_1|acc1)"
_MEANINGS: tuple[tuple[re.Pattern[str], Signal], ...] = tuple(
    (re.compile(pattern), signal)
    for pattern, signal in (
        (rf"{_HELD_OUT}_(?:\w+_)?loss|loss_{_HELD_OUT}", VAL_LOSS),
        (rf"{_HELD_OUT}_{_ACCURACY}|{_ACCURACY}_{_HELD_OUT}|{_ACCURACY}", VAL_ACCURACY),
        (rf"{_TRAIN}_{_ACCURACY}|{_ACCURACY}_{_TRAIN}", TRAIN_ACCURACY),
        (rf"(?:{_TRAIN}_)?loss(?:_epoch)?|loss_{_TRAIN}|{_TRAIN}_loss_epoch", EPOCH_LOSS),
        (r"lr|learning_rate|lr_\w+", LR),
        (r"grad_norm|gradient_norm|total_grad_norm|global_grad_norm", GRAD_NORM),
    )
)


def meaning_of(key: str) -> Signal | None:
    """The signal that a metric key of another tool means (`val_loss`, `eval/loss`, `train_acc`), or None.

    Case and the separators `/ . - _` and space do not matter.
    """
    plain = re.sub(r"[/.\-\s]+", "_", key.strip().lower())
    for pattern, signal in _MEANINGS:
        if pattern.fullmatch(plain):
            return signal
    return None
