"""Batch normalisation over next to nothing."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from pydantic import PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.signals import BATCH_SIZE
from ..engine.tables import layers_of, number, tables, text


class BatchnormTinyBatch(Rule):
    """Batch normalisation works with the statistics of one or two samples.

    ## Why it matters
    With two samples each feature becomes plus or minus the same number, whatever the input: what distinguishes samples
    is normalised away, and the running statistics used in evaluation are of something else than training saw.

    ## What to try
    - Make the batch larger: 16 samples or more for each process.
    - Use GroupNorm or LayerNorm, which do not depend on the batch.
    - Several processes: SyncBatchNorm. Accumulating gradients does not help.

    ## When it is wrong
    Norm layers that are frozen, in evaluation mode, are not harmed. Large images have many positions in each sample; a
    batch of two of them works less badly.

    ## References
    - Wu & He 2018, Group Normalization: the error of batch normalisation rises fast below 8 samples a batch.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.WARNING
    level = Level.SETTING
    needs = (BATCH_SIZE,)
    bars = {"samples": BATCH_SIZE, "max_samples": BATCH_SIZE}
    needs_facts = ("model",)
    waits_for_warmup = False
    profiles = Rule.profiles | {"autoencoder"}
    explains = (Level.DYNAMICS, Level.OUTCOME)

    max_samples: PositiveInt = 2
    """Samples in a batch that are too few."""

    max_values: PositiveInt = 4096
    """Values of a channel in a batch, its positions included, up to which two samples are too few."""

    healthy = {
        "batch_size": {"train": [32]},
        "facts": {"model": {"": {"layers": {"1": {"class": "BatchNorm1d", "output": [32, 64]}}}}},
    }
    faulty = {
        "batch_size": {"train": [2]},
        "facts": {"model": {"": {"layers": {"1": {"class": "BatchNorm1d", "output": [2, 64]}}}}},
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        layers = {
            name: leaf
            for name, leaf in layers_of(trace).items()
            if text(leaf.get("class")).startswith("BatchNorm") or text(leaf.get("class")).startswith("LazyBatchNorm")
        }
        if not layers:
            raise NotApplicable("the model has no batch normalisation")
        sizes = trace.series(BATCH_SIZE, "train")
        if not sizes:
            raise NotApplicable("the size of the training batches is not known")
        samples = max(median(sizes), self._of_loader(trace))
        if samples > self.max_samples or any(event.data.get("norms") == 0 for event in trace.events("mode")[:1]):
            return
        name, leaf = next(iter(layers.items()))
        output = leaf.get("output")
        positions = 1
        for size in output[2:] if isinstance(output, list) else ():
            positions *= int(number(size) or 1)
        if samples * positions > self.max_values:
            return
        yield Finding(
            subject=name,
            message=f"{len(layers)} batch norm layers and {samples:g} samples in a training batch; "
            f"more than {self.max_samples} are needed, 16 are expected",
            advice=(
                "Make the batch larger: 16 samples or more for each process.",
                "Use GroupNorm or LayerNorm, which do not depend on the batch.",
            ),
            evidence={"samples": samples, "layers": len(layers)},
        )

    def _of_loader(self, trace: Trace) -> float:
        """Batch size of the training loader; 0 when it is not known."""
        for loader in tables(trace.facts.get("loaders")):
            if loader.get("split") == "train":
                return number(loader.get("batch_size")) or 0.0
        return 0.0
