"""Inputs that are the same for every sample."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field, PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.signals import BATCH_SIZE, INPUT_STD, INPUT_VARIED
from ..engine.tables import number, table, text


class ConstantInput(Rule):
    """Every sample of a batch, or of the whole training, is the same.

    ## Why it matters
    The model can only learn the mean of the targets: nothing tells one sample from another.

    ## What to try
    - Print two samples of the data set side by side: an index that is not used returns the first one each time.
    - Look for a division that rounds to whole numbers, a clamp, or a scale applied twice.
    - Look for an `expand` or a broadcast assignment that fills the whole array with one row.

    ## When it is wrong
    Inputs that stand beside others (a mask, a grid of coordinates) may be constant: all that are measured have to be,
    and a model that is given whole numbers as well is not judged by these. A training on a single sample is not
    reported.

    ## References
    - TheDeepChecker, feature check: standard deviation of 0.
    - deepchecks, Is Single Value.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.ERROR
    level = Level.SETTING
    waits_for_warmup = False
    profiles = Rule.profiles | {"autoencoder", "contrastive", "diffusion"}
    explains = (Level.DYNAMICS, Level.OUTCOME, "learning-rate-too-high", "unlearnable-labels", Severity.FATAL)

    min_batches: PositiveInt = 5
    """Batches that must have been measured, all of them without a difference between samples."""

    min_samples: PositiveInt = 20
    """Equal samples, within batches, that must have been counted where samples are compared with each other."""

    tolerance: float = Field(1e-7, gt=0, lt=1)
    """Standard deviation over the samples, as a share of that over all values, that is rounding."""

    healthy = {"input/varied": {"train/x": [0.9] * 6}, "input/std": {"train/x": [1.0] * 6}}
    faulty = {"input/varied": {"train/x": [0.0] * 6}, "input/std": {"train/x": [0.4] * 6}}

    def check(self, trace: Trace) -> Iterator[Finding]:
        overlap = table(trace.facts.get("overlap"))
        different, equal = number(overlap.get("train_samples")), number(overlap.get("train_duplicates"))
        if different == 1 and equal is not None and equal >= self.min_samples:
            yield Finding(
                message=f"{equal + 1:.0f} samples of the training were compared, and all are the same; "
                f"{equal + 1:.0f} different ones expected",
                advice=_ADVICE,
                evidence={"samples": equal + 1, "different": 1},
            )
            return
        about = table(trace.facts.get("inputs"))
        if any("int" in text(table(one).get("dtype")) for one in about.values()):
            raise NotApplicable("the model is given whole numbers as well")
        series = {name: one for name, one in trace.by_subject(INPUT_VARIED).items() if name.startswith("train/")}
        sizes = trace.series(BATCH_SIZE, "train")
        if sizes and max(sizes) < 2:
            raise NotApplicable("batches of one sample have no spread")
        n = min((len(one) for one in series.values()), default=0)
        if n < self.min_batches:
            raise NotApplicable(f"{n} batches of inputs were measured; {self.min_batches} are needed")
        if any(value > self._noise(trace, name) for name, one in series.items() for value in one):
            return
        name = min(series)
        yield Finding(
            subject=name,
            message=f"the samples of a batch differ by 0 in input {name}, in all of {n} batches that were measured",
            advice=_ADVICE,
            evidence={"batches": n, "varied": 0.0},
        )

    def _noise(self, trace: Trace, name: str) -> float:
        return self.tolerance * max(trace.series(INPUT_STD, name), default=0.0)


_ADVICE = (
    "Compare two samples of the data set: an index that is not used returns the same one each time.",
    "Look for an expand or a broadcast assignment that fills the batch with one row.",
    "Look for a scale, a clamp or a whole-number division that makes all values equal.",
)
