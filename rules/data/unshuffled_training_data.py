"""Training batches that follow the order of the labels."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from pydantic import Field, PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.labels import class_counts, loaders, loss_of, shares
from ..engine.signals import BATCH_SIZE, LABEL_RUNS
from ..engine.tables import number, shape, table, text


class UnshuffledTrainingData(Rule):
    """Neighbouring samples of a batch nearly always have the same label: the data is sorted, and not shuffled.

    ## Why it matters
    Each step pulls the model towards the class of its batch and away from those before; at the end of an epoch it
    answers with the last classes, and normalisation layers see one class at a time.

    ## What to try
    - Pass `shuffle=True` to the training loader, or draw a new permutation in each epoch.
    - Shuffle before splitting: a sorted data set split by position has classes that training never sees.

    ## When it is wrong
    Order as such is no fault: series and texts in order are not reported, only runs of one label far longer than
    chance. Batches that are built class by class on purpose, all in the same pattern (episodes, pairs of domains), are
    not reported either.

    ## References
    - Bengio 2012, Practical recommendations, 3.1: samples in random order.
    - cleanlab Datalab, non-iid: neighbours in order that are alike, p < 0.05.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.WARNING
    level = Level.SETTING
    needs = (LABEL_RUNS,)
    bars = {"min_runs": LABEL_RUNS, "runs": LABEL_RUNS, "chance": LABEL_RUNS}
    waits_for_warmup = False
    profiles = frozenset({"supervised", "fine-tune", "unknown"})
    explains = (Level.DYNAMICS, Level.OUTCOME, "learning-rate-too-high")

    min_runs: float = Field(0.85, gt=0.5, lt=1)
    """Share of neighbours with the same label, median over batches: half way up from chance at least."""

    max_chance: float = Field(0.6, gt=0, lt=1)
    """Share that chance alone gives, above which nothing is said: one class is most of the data."""

    max_pure: float = Field(0.95, gt=0, lt=1)
    """Confidence that a batch of one class alone is no chance, where one class is most of the data all the same."""

    min_batches: PositiveInt = 8
    """Batches that must have been looked at."""

    min_share: float = Field(0.05, gt=0, lt=1)
    """Share of the labels of the second class, from which on there is an order to speak of."""

    healthy = {
        "labels/runs": {"train": [0.1, 0.2, 0.0, 0.1, 0.3, 0.1, 0.2, 0.1, 0.2, 0.1]},
        "class_count": {"0": [60.0], "1": [50.0], "2": [55.0]},
    }
    faulty = {
        "labels/runs": {"train": [1.0, 1.0, 0.97, 1.0, 1.0, 1.0, 0.97, 1.0, 1.0, 1.0]},
        "class_count": {"0": [60.0], "1": [50.0], "2": [55.0]},
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        runs = trace.series(LABEL_RUNS, "train")
        if len(runs) < self.min_batches:
            raise NotApplicable(f"{len(runs)} batches were looked at; {self.min_batches} are needed")
        self._refuse(trace)
        prior = list(shares(trace).values())
        chance = sum(share * share for share in prior)
        seen = median(runs.values)
        if chance > self.max_chance and not self._are_of_one_class(trace, prior):
            raise NotApplicable(f"one class is most of the labels: chance gives neighbours alike in {chance:.2g}")
        if seen < max(self.min_runs, (1 + chance) / 2) or (seen < 1 and max(runs) - min(runs) < 1e-6):
            return
        loader = next(iter(loaders(trace, "train")), {})
        sampler = text(loader.get("sampler")).rpartition(".")[2]
        drawn = f" ({sampler})" if sampler else ""
        yield Finding(
            subject=text(loader.get("name")),
            message=f"{seen:.3g} of neighbouring samples have the same label, median of {len(runs)} batches"
            f"{drawn}; shuffled data would show {chance:.2g}",
            advice=(
                "Pass shuffle=True to the training loader, or draw a new permutation in each epoch.",
                "Shuffle before the data is split as well.",
            ),
            evidence={"runs": seen, "chance": chance, "batches": len(runs)},
        )

    def _are_of_one_class(self, trace: Trace, prior: list[float]) -> bool:
        """Whether most batches hold one class only, which they hardly would by chance."""
        sizes = trace.series(BATCH_SIZE, "train")
        size = min(sizes.median, 1e6) if sizes and sizes.is_finite else 0.0
        if sum(share**size for share in prior) > 1 - self.max_pure:
            return False
        runs = trace.series(LABEL_RUNS, "train").values
        return sum(value >= 1 for value in runs) >= 0.5 * len(runs)

    def _refuse(self, trace: Trace) -> None:
        counts = sorted(class_counts(trace).values(), reverse=True)
        if len(counts) < 2 or counts[1] < self.min_share * sum(counts):
            raise NotApplicable("fewer than two classes with a share worth an order were counted")
        loss = loss_of(trace)
        labels = shape(loss.get("targets_shape"))
        sizes = trace.series(BATCH_SIZE, "train")
        if labels and sizes and float(labels[0]) not in sizes.values:
            raise NotApplicable("the labels are those of positions in a sequence, not of samples")
        if text(loss.get("function")).startswith("binary") and len(table(trace.facts.get("model"))) > 1:
            raise NotApplicable("labels of one kind at a time are how two models are trained against each other")
        rows = number(table(trace.facts.get("batches")).get("rows"))
        seen = number(table(trace.facts.get("overlap")).get("train_samples")) or 0.0
        if rows is not None and sizes and max(rows, seen) <= sizes[-1]:  # a batch that is a copy has its own rows only
            raise NotApplicable("the batch is all of the data: its order does not matter")
        if any(number(one.get("length")) == 1 for one in loaders(trace, "train")):
            raise NotApplicable("one batch is all of the data: its order does not matter")
