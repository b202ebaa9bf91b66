"""Held-out data that is prepared otherwise than that of the training."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator
from statistics import fmean, median

from pydantic import Field, PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.labels import as_shares, entropy, is_classification, loaders, loss_of, never_trained, shares
from ..engine.signals import (
    EPOCH_LOSS,
    INPUT_HIGH,
    INPUT_LOW,
    INPUT_MEAN,
    INPUT_STD,
    LABEL_RUNS,
    LOSS,
    VAL_ACCURACY,
    VAL_LOSS,
)
from ..engine.tables import number, shape, table


class TrainEvalPreprocessingMismatch(Rule):
    """Held-out data is prepared otherwise than that of the training: its scale tells, or what the model makes of it.

    Either the spread or the mean of an input differs by more than augmentation explains. Or, for labels, the model
    answers samples of the training that it sees for the first or second time far better than a constant would, and
    held-out ones never: both are new to it, so that they cannot be the same kind of data. That finds exchanged colour
    channels or columns, another vocabulary, other numbers for the classes.

    ## Why it matters
    A model that is trained on normalised data and evaluated on raw data is asked about something it has never seen:
    the held-out score is that of the preprocessing.

    ## What to try
    - Apply the same scaling to both: fit it on the training data, transform the held-out data with it.
    - Compare the transforms of the two data sets line by line; only random ones belong to training alone.
    - Build vocabularies, encoders and lists of classes once, from the training data, and use them for both.

    ## When it is wrong
    Data of another time or place may differ by nature. Noise and erasing change the spread by less than a factor of
    two. A series that grows shifts its mean: that alone counts only when it is far, and the held-out loss suffers.
    What the model makes of it is not judged with batch normalisation (see `train-eval-gap`), nor where labels come in
    runs, or samples several times within a pass.

    ## References
    - TheDeepChecker, augmentation and normalisation are the same faults in training and evaluation.
    - deepchecks, Image Property Drift: above 0.2.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.WARNING
    level = Level.SETTING
    bars = {
        "mean": INPUT_MEAN,
        "val_mean": INPUT_MEAN,
        "std": INPUT_STD,
        "val_std": INPUT_STD,
        "val_loss": VAL_LOSS,
        "guess": VAL_LOSS,
    }
    waits_for_warmup = False
    profiles = Rule.profiles | {"autoencoder"}
    explains = (Level.OUTCOME, "train-eval-gap", "unlearnable-labels")

    factor: float = Field(2.0, gt=1)
    """Larger over smaller standard deviation, from which on the preprocessing differs; the square of it where the
    targets are no classes: series change their scale with time."""

    shift: float = Field(3.0, gt=0)
    """Difference of the means, in standard deviations, from which on it does when the held-out loss suffers."""

    harm: float = Field(2.0, gt=1)
    """Held-out loss over training loss that counts as suffering."""

    min_batches: PositiveInt = 3
    """Batches of the training that must have been measured."""

    min_evaluations: PositiveInt = 3
    """Held-out evaluations that must be no better than a constant answer, all of them."""

    min_fresh: PositiveInt = 10
    """Losses of samples that were new to the model, of which the last third is looked at."""

    learned: float = Field(0.2, gt=0, lt=1)
    """Share of a constant answer's loss that training has lost within two passes, on samples it hardly knew."""

    signal: float = Field(0.03, gt=0, lt=1)
    """The same at the end of the first pass, where every sample is new: labels that mean nothing are not predicted."""

    healthy = {
        "input/mean": {"train/x": [0.0] * 6, "val/x": [0.02] * 2},
        "input/std": {"train/x": [1.0] * 6, "val/x": [0.97] * 2},
    }
    faulty = {
        "input/mean": {"train/x": [0.0] * 6, "val/x": [33.0] * 2},
        "input/std": {"train/x": [1.0] * 6, "val/x": [78.0] * 2},
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        reasons: list[NotApplicable] = []
        for judge in (self._by_scale, self._by_answers):
            try:
                found = list(judge(trace))
            except NotApplicable as reason:
                reasons.append(reason)
            else:
                yield from found
                if found:
                    return
        if len(reasons) > 1:
            raise NotApplicable("; ".join(map(str, reasons)))

    def _by_scale(self, trace: Trace) -> Iterator[Finding]:
        spreads = trace.by_subject(INPUT_STD)
        pairs = [
            (f"train/{name}", subject)
            for subject in spreads
            for split, _, name in [subject.partition("/")]
            if split == "val" and f"train/{name}" in spreads
        ]
        if not pairs:
            raise NotApplicable("no input was measured both in training and on held-out data")
        factor = self.factor if is_classification(trace) else self.factor**2
        for ours, theirs in pairs:
            if len(spreads[ours]) < self.min_batches:
                raise NotApplicable(f"fewer than {self.min_batches} batches of the training were measured")
            mean, std = _typical(trace, ours)
            other, spread = _typical(trace, theirs)
            if not all(map(math.isfinite, (mean, std, other, spread))) or min(std, spread) <= 0:
                continue
            ratio = max(std / spread, spread / std)
            away = abs(mean - other) / max(std, spread)
            if ratio < factor and not (away >= self.shift and self._suffers(trace)):
                continue
            if ratio >= factor and not _differs_in_range(trace, ours, theirs, factor):
                continue
            yield Finding(
                subject=ours.partition("/")[2],
                message=f"the input has mean {mean:.3g} and standard deviation {std:.3g} in training, {other:.3g} and "
                f"{spread:.3g} on held-out data; the same are expected",
                advice=(
                    "Apply the same scaling to both: fitted on the training data, applied to the held-out data.",
                    "Compare the transforms of the two data sets; only random ones belong to training alone.",
                ),
                evidence={"mean": mean, "std": std, "val_mean": other, "val_std": spread},
            )

    def _by_answers(self, trace: Trace) -> Iterator[Finding]:
        """New samples of the training are answered, new samples of the held-out data are not."""
        bound, held_out = _constant(trace), trace.series(VAL_LOSS)
        if len(held_out) < self.min_evaluations or not held_out.is_finite:
            raise NotApplicable(f"{len(held_out)} held-out evaluations; {self.min_evaluations} are needed")
        models = table(trace.facts.get("model")).values()
        if any(number(table(about).get("norms")) for about in models):
            raise NotApplicable("batch normalisation may tell training from evaluation as well")
        if never_trained(trace, _LEAST_COUNTED)[0]:
            raise NotApplicable("held-out data has classes that training never had")
        steps = _pass_length(trace)
        losses = trace.series(LOSS)
        once, twice = (bisect_left(losses.steps, n * steps) for n in (1, 2))
        first, second = losses.values[:once], losses.values[once:twice]
        if len(first) < self.min_fresh or not all(map(math.isfinite, first + second)):
            raise NotApplicable(f"{len(first)} losses of samples that were new; {self.min_fresh} are needed")
        new = fmean(first[-max(len(first) // 3, 5) :])
        known = min(new, fmean(second) if second else new)
        if new > (1 - self.signal) * bound or known > (1 - self.learned) * bound or min(held_out) < 0.98 * bound:
            return
        accuracy = as_shares(trace.series(VAL_ACCURACY))[-self.min_evaluations :]
        base = max(shares(trace).values())
        is_guessing = bool(accuracy) and median(accuracy) <= base + min(0.1 * (1 - base), 0.5 * base)
        if not is_guessing and not (known < 0.5 * bound and min(held_out) > bound):
            return
        right = f" and accuracy {median(accuracy):.3g}" if accuracy else ""
        yield Finding(
            message=f"within two passes the training loss came down to {known:.4g}, of samples that were new or nearly "
            f"so; held-out data has {min(held_out):.4g} at best{right} in {len(held_out)} evaluations, and a constant "
            f"answer {bound:.4g}",
            advice=(
                "Compare the transforms of the two data sets: order of channels and columns, scaling, cropping.",
                "Build vocabularies, encoders and lists of classes once, from the training data, for both.",
                "Check that the held-out labels belong to their inputs.",
            ),
            evidence={"new": known, "val_loss": min(held_out), "guess": bound},
        )

    def _suffers(self, trace: Trace) -> bool:
        losses, training = trace.series(VAL_LOSS), trace.series(EPOCH_LOSS)
        if not losses or not training or not (losses.is_finite and training.is_finite):
            return False
        return median(losses.last(3)) > self.harm * max(median(training.last(3)), 0.0)


def _typical(trace: Trace, subject: str) -> tuple[float, float]:
    return median(trace.series(INPUT_MEAN, subject) or [math.nan]), median(trace.series(INPUT_STD, subject))


def _differs_in_range(trace: Trace, ours: str, theirs: str, factor: float) -> bool:
    """Whether the range tells the same as the spread: held-out batches may be sorted, or mostly padding."""
    widths = []
    for subject in (ours, theirs):
        low, high = trace.series(INPUT_LOW, subject), trace.series(INPUT_HIGH, subject)
        if not low or not high:
            return True
        widths.append(max(high) - min(low))
    smaller, larger = sorted(widths)
    return not math.isfinite(larger) or larger > math.sqrt(factor) * smaller


def _constant(trace: Trace) -> float:
    """Loss, in nats, of always answering with the shares of the classes; raises `NotApplicable` where it says little.

    Batches of one class are answered by what the batch before them taught.
    """
    loss, prior = loss_of(trace), shares(trace)
    bound = entropy(prior)
    if not is_classification(trace) or bound <= 0:
        raise NotApplicable("the loss of a constant answer is not known")
    if loss.get("weighted") or loss.get("label_smoothing") or loss.get("reduction") != "mean" or loss.get("scaled"):
        raise NotApplicable("the loss is weighted, smoothed, summed or scaled")
    runs, chance = trace.series(LABEL_RUNS, "train"), sum(share * share for share in prior.values())
    if runs and runs.median > 0.5 * (1 + chance):
        raise NotApplicable("labels come in runs: those of the batch before tell them")
    overlap = table(trace.facts.get("overlap"))
    samples, doubles = number(overlap.get("train_samples")) or 0.0, number(overlap.get("train_duplicates")) or 0.0
    if doubles > 0.1 * (samples + doubles):
        raise NotApplicable("samples come several times within a pass")
    return bound


def _pass_length(trace: Trace) -> float:
    """Steps in which the training data is gone through once; raises `NotApplicable` where that is not known."""
    lengths = [number(loader.get("length")) for loader in loaders(trace, "train")]
    batches = next((n for n in lengths if n is not None), None)
    rows, given = number(table(trace.facts.get("batches")).get("rows")), shape(loss_of(trace).get("outputs_shape"))
    if batches is None and rows is not None and given and rows > 2 * given[0] > 0:
        batches = 0.8 * rows / given[0]  # of all rows, some may be held out
    if batches is not None:
        return batches / (number(table(trace.facts.get("accumulation")).get("batches")) or 1.0)
    epochs, seen = trace.series(EPOCH_LOSS), number(table(trace.facts.get("overlap")).get("train_samples"))
    if not epochs or (seen or 0.0) < _LEAST_COMPARED:
        raise NotApplicable("how long a pass over the training data is, is not known")
    return epochs.steps[0] + 1.0  # what is taken for an epoch holds hardly a sample twice


_LEAST_COMPARED = 100
"""Samples of the training that must have been compared for the number of those that come again to mean anything."""

_LEAST_COUNTED = 5
"""Labels of each class that must have been counted for another class of held-out data to count as one too many."""
