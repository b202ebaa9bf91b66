"""A metric that cannot be, or that says something else than what was measured."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from pydantic import Field, PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Series, Severity, Trace
from ..engine.labels import loss_of
from ..engine.signals import (
    BATCH_SIZE,
    EPOCH_LOSS,
    METRIC,
    SCORE,
    SCORE_GAIN,
    SCORE_GAIN_PER_BATCH,
    SCORE_SUM,
    TRAIN_ACCURACY,
    VAL_ACCURACY,
    VAL_LOSS,
)
from ..engine.tables import shape, table

_SHARES = re.compile(r"(?:^|_)(?:accs?|accuracy|accuracies|precision|recall|f1|auc|auroc|dice|iou|top1)(?:$|_)")
_HELD_OUT = r"(?:val|valid|validation|eval|dev|test)"
_ACCURACY = r"(?:accs?|accuracy|accuracies)"
_PLAIN = re.compile(rf"{_HELD_OUT}_{_ACCURACY}|{_ACCURACY}_{_HELD_OUT}")
_BARE = re.compile(rf"(?:(?:train|training|tr|epoch|avg|mean|current)_)?{_ACCURACY}|{_ACCURACY}_(?:train|tr|epoch)")
_OTHERS = re.compile(r"loss|error|count|(?:^|_)n_|num|total|std|var|best|delta|diff|correct|samples|x100|pct|percent")
_NOT_COUNTED = re.compile(
    r"loss|error|best|top_?\d|teacher|ema|baseline|chance|thresh|incorrect|wrong|class|adv|robust|balanced|macro"
)
_ADVICE = (
    "Compare predictions and labels of the same batch, in the same shape: (N, 1) and (N,) make N x N comparisons.",
    "Take the argmax over the dimension of the classes.",
    "Divide the number of right answers by that of samples, not of batches.",
)


class MetricInconsistent(Rule):
    """An accuracy or another share that the script computes is out of its range, or far from what was measured.

    Judged are metrics that are logged, variables that are called an accuracy when an evaluation is over, and what is
    counted or summed up under such a name while a loader goes over held-out data.

    ## Why it matters
    Checkpoints are chosen, and papers written, by this number.

    ## What to try
    - Divide the number of right answers by that of samples, not of batches (`len(loader)`).
    - Take the `argmax` over the dimension of the classes, and compare with the labels of the same batch.
    - Compare predictions and labels of the same shape: (N, 1) and (N,) make N x N comparisons.
    - Reset sums at the beginning of each evaluation.

    ## When it is wrong
    Percent are understood. Balanced, top-k and other accuracies differ from the plain one: only what is called the
    held-out accuracy is compared, with one that was computed from the same outputs and labels. What is counted must
    be far below it, or more than all of the samples: hits among the best five, or within one grade, are above it.

    ## References
    - TheDeepChecker, metrics uncorrelated with the loss: below 0.5.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.WARNING
    level = Level.SETTING
    bars = {"value": VAL_ACCURACY, "measured": VAL_ACCURACY}
    waits_for_warmup = False
    profiles = frozenset({"supervised", "language-model", "fine-tune", "unknown"})

    tolerance: float = Field(0.1, gt=0, lt=1)
    """Difference of two accuracies, 0 to 1, above which they are not the same."""

    least_apart: float = Field(0.2, gt=0, lt=1)
    """How much lower the accuracy must be that follows from what was counted: another threshold moves it by less."""

    least_apart_from_all: float = Field(0.3, gt=0, lt=1)
    """How much lower than every accuracy that was measured, of training and held-out data, one must be whose name does
    not say what it is of."""

    min_values: PositiveInt = 3
    """Evaluations that must all differ."""

    healthy = {"metric": {"val_acc": [0.5, 0.7, 0.8, 0.85]}}
    faulty = {"metric": {"val_acc": [18.0, 25.0, 27.0, 107.5]}}

    def check(self, trace: Trace) -> Iterator[Finding]:
        judged = 0
        logged = trace.by_subject(METRIC)
        given = {**trace.by_subject(SCORE), **logged}
        for key, series in given.items():
            name = re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", key).lower())
            if not _SHARES.search(name) or _OTHERS.search(name) or not series.is_finite or not len(series):
                continue
            judged += 1
            if key not in logged and len(series) > 1 and min(series) == max(series):
                continue  # a variable that is never set again may be left from another model
            yield from self._out_of_range(key, series) or self._apart(trace, key, name, series)
        gained = [*trace.by_subject(SCORE_GAIN), *trace.by_subject(SCORE_GAIN_PER_BATCH)]
        for split in dict.fromkeys(key.partition("/")[0] for key in gained):
            counted = self._counted(trace, split)
            judged += bool(counted)
            yield from self._miscounted(counted, split)
        if not judged:
            raise NotApplicable("no metric that is a share was logged")

    def _out_of_range(self, key: str, series: Series) -> list[Finding]:
        low, high = min(series), max(series)
        # A correlation coefficient may be called a score, and is negative by right; an accuracy is not.
        if low >= 0 and high <= 100 * (1 + 1e-6):
            return []
        worst = low if low < 0 else high
        return [
            Finding(
                subject=key,
                message=f"{key} is {worst:.4g}; a share lies between 0 and 1, or 0 and 100 in percent",
                advice=(
                    "Divide the number of right answers by that of samples, not of batches.",
                    "Reset sums at the beginning of each evaluation.",
                ),
                evidence={"value": worst, "values": len(series)},
            )
        ]

    def _apart(self, trace: Trace, key: str, name: str, series: Series) -> list[Finding]:
        measured = trace.series(VAL_ACCURACY)
        evaluation = table(trace.facts.get("evaluation"))
        sets = table(evaluation.get("sets"))
        partial = table(sets.get("val")).get("partial") is not False or "val2" in sets
        if _BARE.fullmatch(name):
            return self._below_all(trace, key, series)
        if not _PLAIN.fullmatch(name) or not evaluation.get("verified") or partial or not measured.is_finite:
            return []
        if not self._is_of_batches(trace):
            return []  # of positions in sequences, some may be left out of an accuracy by right
        n = min(len(series), len(measured), self.min_values)
        if n < self.min_values:
            return []
        theirs, ours = series.values[-n:], measured.values[-n:]
        apart = [min(abs(value - other), abs(value / 100 - other)) for value, other in zip(theirs, ours, strict=True)]
        if min(apart) <= self.tolerance:
            return []
        return [
            Finding(
                subject=key,
                message=f"{key} is {theirs[-1]:.4g}, and the same outputs and labels give {ours[-1]:.4g}, apart "
                f"in each of the last {n} evaluations",
                advice=(
                    "Divide the number of right answers by that of samples, not of batches.",
                    "Take the argmax over the dimension of the classes, and compare with labels of the same batch.",
                ),
                evidence={"value": theirs[-1], "measured": ours[-1], "values": n},
            )
        ]

    def _is_of_batches(self, trace: Trace) -> bool:
        """Whether the loss is given one answer a sample, as far as is known."""
        labels, sizes = shape(loss_of(trace).get("targets_shape")), trace.series(BATCH_SIZE, "train")
        return not labels or not sizes or float(labels[0]) in sizes.values

    def _is_of_samples(self, trace: Trace) -> bool:
        """The same, where it must be known."""
        labels = shape(loss_of(trace).get("targets_shape"))
        return bool(labels) and math.prod(labels[1:]) == 1 and self._is_of_batches(trace)

    def _below_all(self, trace: Trace, key: str, series: Series) -> list[Finding]:
        """An accuracy of nobody knows what, far below all that were measured."""
        evaluation = table(trace.facts.get("evaluation"))
        sets = {name: table(known) for name, known in table(evaluation.get("sets")).items()}
        held_out = [trace.series(VAL_ACCURACY, "" if name == "val" else name) for name in sets if name != "train"]
        held = [known for name, known in sets.items() if name != "train"]
        # By hand, a second set may have been passed over, and the accuracy be that of it.
        is_known = len(held) == 1 or all(known.get("source") == "loader" for known in held)
        is_known = is_known and not any(known.get("partial") is True for known in held)
        n = self.min_values
        if not evaluation.get("verified") or not held_out or not is_known or len(series) < n:
            return []
        measured = [*held_out, trace.series(TRAIN_ACCURACY)]
        if (
            not self._is_of_samples(trace)
            or not trace.series(TRAIN_ACCURACY)
            or not all(one.is_finite for one in measured)
        ):
            return []
        # Neighbouring evaluations count as well: a variable may still have the value of the one before.
        least = min(min(one.last(n + 1)) for one in measured)
        theirs = [value / 100 if value > 1 else value for value in series.last(n)]
        if max(theirs) >= least - self.least_apart_from_all:
            return []
        return [
            Finding(
                subject=key,
                message=f"{key} is {series[-1]:.4g}, and no accuracy that was measured, of training or held-out data, "
                f"is below {least:.4g}, in each of the last {n} evaluations",
                advice=_ADVICE,
                evidence={"value": series[-1], "measured": least, "values": n},
            )
        ]

    def _counted(self, trace: Trace, split: str) -> list[tuple[float, dict[str, list[float]]]]:
        """For each evaluation of a set: its accuracy, and what each counter of the script may say that it is."""
        evaluation = table(trace.facts.get("evaluation"))
        subject = "" if split == "val" else split
        measured, losses = _by_step(trace.series(VAL_ACCURACY, subject)), _by_step(trace.series(VAL_LOSS, subject))
        if split == "train":
            if not self._is_of_samples(trace):
                return []
            measured, losses = _by_step(trace.series(TRAIN_ACCURACY)), _by_step(trace.series(EPOCH_LOSS))
        if evaluation.get("verified") is not True:
            return []
        found: dict[int, dict[str, list[float]]] = {}
        per_sample, per_batch = trace.by_subject(SCORE_GAIN), trace.by_subject(SCORE_GAIN_PER_BATCH)
        wholes = trace.by_subject(SCORE_SUM)
        for key in dict.fromkeys([*per_sample, *per_batch]):
            of, _, name = key.partition("/")
            plain = re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower())
            if of != split or _NOT_COUNTED.search(plain):
                continue
            shares, means = _by_step(per_sample.get(key, Series())), _by_step(per_batch.get(key, Series()))
            sums = _by_step(wholes.get(key, Series()))
            for step in {**shares, **means}:
                share, mean = shares.get(step), means.get(step)
                if mean is not None and step in losses and math.isclose(mean, losses[step], rel_tol=0.1):
                    continue  # `acc` may stand for what is accumulated: the loss
                ways = [] if share is None else [share] if mean is None else [share, share / 100]
                ways += [] if mean is None else [mean, mean / 100]
                # Each batch may add its share of all samples: the sum is then the accuracy itself.
                total, accuracy = sums.get(step, math.nan), measured.get(step, math.nan)
                ways += [way for way in (total, total / 100) if abs(way - accuracy) <= self.tolerance]
                found.setdefault(step, {})[name] = ways
        return [(measured[step], found[step]) for step in sorted(found) if step in measured]

    def _miscounted(self, counted: list[tuple[float, dict[str, list[float]]]], split: str) -> list[Finding]:
        n = self.min_values
        if len(counted) < n:
            return []
        for accuracy, counters in counted[-n:]:
            # That of training is measured on some of the batches.
            low = accuracy - (self.least_apart_from_all if split == "train" else self.least_apart)
            if not math.isfinite(accuracy) or any(low <= v <= 1 for ways in counters.values() for v in ways):
                return []
        accuracy, counters = counted[-1]
        name, ways = next(iter(counters.items()))
        theirs = min(ways, key=lambda way: abs(way - accuracy))
        return [
            Finding(
                subject=f"{split}/{name}",
                message=f"what {name} gains in a pass over the {split} data makes an accuracy of {theirs:.4g}, and the "
                f"same outputs and labels give {accuracy:.4g}, apart in each of the last {n} evaluations",
                advice=_ADVICE,
                evidence={"value": theirs, "measured": accuracy, "values": n},
            )
        ]


def _by_step(series: Series) -> dict[int, float]:
    """The last value at each step."""
    return dict(zip(series.steps, series.values, strict=True))
