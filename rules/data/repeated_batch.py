"""Training that sees one batch again and again."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from pydantic import Field, PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.labels import loaders
from ..engine.signals import BATCH_SIZE, INPUT_HIGH, INPUT_LOW, INPUT_MEAN, INPUT_STD, INPUT_VARIED, LOOKED_AT, REPEATED
from ..engine.tables import number, table, text


class RepeatedBatch(Rule):
    """Every step trains on the same batch, although the data has many.

    ## Why it matters
    The model memorises a handful of samples; the loss looks excellent, and everything else is never learned.

    ## What to try
    - Iterate the loader in the `for` statement: `next(iter(loader))` begins anew, with the same first batch.
    - Use the variables of the loop: a batch fetched before it is what the model is given for ever.
    - Advance the index of slices made by hand.

    ## When it is wrong
    Overfitting one batch on purpose, and training on all of the data in each step, look alike but for the data behind:
    a loader that was iterated once, and batches that together are all there is, are not reported. Samples of few
    values come again by chance: there, whole batches have to.

    ## References
    - PyTorch documentation, `torch.utils.data`: each `iter()` of a loader begins a new pass.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.ERROR
    level = Level.LOGIC
    waits_for_warmup = False
    profiles = Rule.profiles | {"autoencoder", "contrastive", "diffusion"}
    explains = (Level.DYNAMICS, Level.OUTCOME, "train-eval-preprocessing-mismatch")

    min_batches: PositiveInt = 10
    """Batches that must have been looked at."""

    min_share: float = Field(0.5, gt=0, le=1)
    """Share of the batches that must be equal as a whole where samples have so few values that many are the same."""

    factor: float = Field(8.0, gt=1)
    """Rows of the tensor that a batch made by hand is a slice of, for each of the batch's, from which on it should
    move; of a loader's data two batches are enough."""

    healthy = {
        "batch/looked_at": {"train": [10.0, 4.0, 4.0]},
        "batch/repeated": {"train": [0.0, 0.0, 0.0]},
        "batch_size": {"train": [32.0]},
        "facts": {"overlap": {"train_samples": 500}, "loaders": [{"split": "train", "dataset_length": 1000}]},
    }
    faulty = {
        "batch/looked_at": {"train": [10.0, 4.0, 4.0]},
        "batch/repeated": {"train": [9.0, 3.0, 3.0]},
        "batch_size": {"train": [32.0]},
        "facts": {"overlap": {"train_samples": 32}, "loaders": [{"split": "train", "dataset_length": 1000}]},
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        sizes = trace.series(BATCH_SIZE, "train")
        looked_at = trace.series(LOOKED_AT, "train")
        total = sum(looked_at)
        if not sizes or total < self.min_batches:
            raise NotApplicable(f"{total:g} batches were compared; {self.min_batches} are needed")
        size = max(sizes)
        loader = next(iter(loaders(trace, "train")), {})
        behind = number(loader.get("dataset_length")) or number(table(trace.facts.get("batches")).get("rows"))
        overlap = table(trace.facts.get("overlap"))
        seen = number(overlap.get("train_samples"))
        if behind is None or seen is None:
            raise NotApplicable("how much data there is beside the batch is not known")
        # Slices made by hand may be the training's share of all data, and a step on all of it.
        if behind < (2 if loader else self.factor) * size:
            raise NotApplicable(f"the batch of {size:g} is all of the data")
        again = sum(trace.series(REPEATED, "train"))
        if 1 < seen <= size and seen < behind:
            if overlap.get("is_few") is True and again < self.min_share * total:
                raise NotApplicable("there are so few different samples that batches share them by chance")
            yield Finding(
                subject=text(loader.get("name")),
                message=f"{total:g} batches were compared, and hold the same {seen:g} samples; there are {behind:g}",
                advice=(
                    "Iterate the loader in the for statement: next(iter(loader)) gives its first batch each time.",
                    "Advance the index of slices made by hand.",
                ),
                evidence={"batches": total, "samples": seen, "data": behind},
            )
            return
        if again > 0 or not loader:
            return
        steps = _same_for(trace)
        if steps >= self.min_batches:
            yield Finding(
                subject=text(loader.get("name")),
                message=f"the loader gave new batches, but the model was given the same one in {steps} looks in a row; "
                f"{steps} different ones expected",
                advice=(
                    "Give the model the variables of the loop, not a batch that was fetched before it.",
                    "Check that nothing in the loop assigns over the batch.",
                ),
                evidence={"looks": steps, "data": behind},
            )


def _same_for(trace: Trace) -> int:
    """Closely watched steps in a row at which every input of the model had the same mean, spread and range."""
    subjects = [name for name in trace.by_subject(INPUT_MEAN) if name.startswith("train/")]
    about = table(trace.facts.get("inputs"))
    if not subjects or any("int" in text(table(one).get("dtype")) for one in about.values()):
        return 0
    if not any(value > 0 for name in subjects for value in trace.series(INPUT_VARIED, name)):
        return 0  # all samples are the same, and then all batches are
    longest: list[int] = []
    for name in subjects:
        columns = [trace.series(signal, name).values for signal in (INPUT_MEAN, INPUT_STD, INPUT_LOW, INPUT_HIGH)]
        rows = list(zip(*columns, strict=False))
        best = run = 1 if rows else 0
        for before, after in pairwise(rows):
            run = run + 1 if before == after else 1
            best = max(best, run)
        longest.append(best)
    return min(longest)
