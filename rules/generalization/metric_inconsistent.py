"""A metric that cannot be, or that says something else than what was measured."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pydantic import Field, PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Series, Severity, Trace
from ..engine.labels import loss_of
from ..engine.signals import BATCH_SIZE, METRIC, SCORE, VAL_ACCURACY
from ..engine.tables import shape, table

_SHARES = re.compile(r"(?:^|_)(?:acc|accuracy|precision|recall|f1|auc|auroc|dice|iou|top1)(?:$|_)")
_PLAIN = re.compile(r"(?:val|valid|validation|eval|dev|test)_(?:acc|accuracy)|(?:acc|accuracy)_(?:val|valid|test|eval)")
_OTHERS = re.compile(r"loss|error|count|(?:^|_)n_|num|total|std|var|best|delta|diff|correct|samples|x100|pct|percent")


class MetricInconsistent(Rule):
    """An accuracy or another share that the script computes is out of its range, or far from what was measured.

    Judged are metrics that are logged, and variables that are called an accuracy when an evaluation is over.

    ## Why it matters
    Checkpoints are chosen, and papers written, by this number.

    ## What to try
    - Divide the number of right answers by that of samples, not of batches (`len(loader)`).
    - Take the `argmax` over the dimension of the classes, and compare with the labels of the same batch.
    - Reset sums at the beginning of each evaluation.

    ## When it is wrong
    Percent are understood. Balanced, top-k and other accuracies differ from the plain one: only what is called the
    held-out accuracy is compared, with one that was computed from the same outputs and labels.

    ## References
    - TheDeepChecker, metrics uncorrelated with the loss: below 0.5.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.WARNING
    level = Level.SETTING
    waits_for_warmup = False
    profiles = frozenset({"supervised", "language-model", "fine-tune", "unknown"})

    tolerance: float = Field(0.1, gt=0, lt=1)
    """Difference of two accuracies, 0 to 1, above which they are not the same."""

    min_values: PositiveInt = 3
    """Evaluations that must all differ."""

    healthy = {"metric": {"val_acc": [0.5, 0.7, 0.8, 0.85]}}
    faulty = {"metric": {"val_acc": [18.0, 25.0, 27.0, 107.5]}}

    def check(self, trace: Trace) -> Iterator[Finding]:
        judged = 0
        given = {**trace.by_subject(SCORE), **trace.by_subject(METRIC)}
        for key, series in given.items():
            name = re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", key).lower())
            if not _SHARES.search(name) or _OTHERS.search(name) or not series.is_finite or not len(series):
                continue
            judged += 1
            yield from self._out_of_range(key, series) or self._apart(trace, key, name, series)
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
        if not _PLAIN.fullmatch(name) or not evaluation.get("verified") or partial or not measured.is_finite:
            return []
        labels, sizes = shape(loss_of(trace).get("targets_shape")), trace.series(BATCH_SIZE, "train")
        if labels and sizes and float(labels[0]) not in sizes.values:
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
