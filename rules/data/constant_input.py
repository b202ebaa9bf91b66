"""Inputs that are the same for every sample."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field, PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.signals import BATCH_SIZE, INPUT_STD, INPUT_VARIED
from ..engine.tables import number, table, tables, text


class ConstantInput(Rule):
    """Every sample of a batch, or of the whole training, is the same.

    ## Why it matters
    The model can only learn the mean of the targets: nothing tells one sample from another.

    ## What to try
    - Print two samples of the data set side by side: an index that is not used returns the first one each time.
    - Look for a division that rounds to whole numbers, a clamp, or a scale applied twice.
    - Look for an `expand` or a broadcast assignment that fills the whole array with one row.
    - Print a text as the model is given it: a vocabulary in lower case knows no word in capitals.

    ## When it is wrong
    Inputs that stand beside others (a mask, a grid of coordinates) may be constant: all that are measured have to be,
    and a model that is given whole numbers as well is not judged by these. A training on a single sample is not
    reported. Tokens are judged where the model is given nothing else, and one table of vectors turns all into numbers:
    texts of no more than four tokens, always in the same order, of a vocabulary of 20 and more, differ in length only.

    ## References
    - TheDeepChecker, feature check: standard deviation of 0.
    - deepchecks, Is Single Value.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.ERROR
    level = Level.SETTING
    bars = {"varied": INPUT_VARIED}
    waits_for_warmup = False
    profiles = Rule.profiles | {"autoencoder", "contrastive", "diffusion"}
    explains = (Level.DYNAMICS, Level.OUTCOME, "learning-rate-too-high", "unlearnable-labels", Severity.FATAL)

    min_batches: PositiveInt = 5
    """Batches that must have been measured, all of them without a difference between samples."""

    min_samples: PositiveInt = 20
    """Equal samples, within batches, that must have been counted where samples are compared with each other."""

    min_rows: PositiveInt = 20
    """Rows of a table of vectors from which on more than one of them is expected to be used."""

    min_looks: PositiveInt = 5
    """Batches of which the ids must have been seen."""

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
        unused = self._one_row(trace, [text(table(one).get("dtype")) for one in about.values()])
        if unused is not None:
            yield unused
            return
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

    def _one_row(self, trace: Trace, dtypes: list[str]) -> Finding | None:
        """What is said of the only table of vectors, where it is asked for next to nothing."""
        if not dtypes or not all(dtype == "bool" or "int" in dtype for dtype in dtypes):
            return None
        found = [one for one in tables(table(trace.facts.get("graph")).get("lookups")) if not one.get("positions")]
        large = [one for one in found if (number(one.get("rows")) or 0) >= self.min_rows]
        if len(large) != 1 or any(one.get("forms") != 1 for one in found if one is not large[0]):
            return None
        ids, forms, looks = large[0].get("ids"), number(large[0].get("forms")), number(large[0].get("looks")) or 0
        if not isinstance(ids, list) or not 1 <= len(ids) <= _MOST_IDS or forms is None or not 1 <= forms <= 2:
            return None
        if looks < self.min_looks:
            return None
        name, rows = text(large[0].get("table")), number(large[0].get("rows")) or 0.0
        return Finding(
            subject=name,
            message=f"only {len(ids)} of the {rows:.0f} rows of {name} were asked for in {looks:.0f} batches "
            f"({', '.join(str(one) for one in ids)}), always in the same order: all samples read the same",
            advice=(
                "Print a text as it is encoded: when all are the unknown word, the vocabulary was made otherwise.",
                "Compare how the vocabulary and the encoding treat case, splitting and the type of the keys.",
            ),
            evidence={"rows": rows, "used": len(ids), "batches": looks},
        )

    def _noise(self, trace: Trace, name: str) -> float:
        return self.tolerance * max(trace.series(INPUT_STD, name), default=0.0)


_MOST_IDS = 4
"""A start, an unknown word, an end and a filler."""
_ADVICE = (
    "Compare two samples of the data set: an index that is not used returns the same one each time.",
    "Look for an expand or a broadcast assignment that fills the batch with one row.",
    "Look for a scale, a clamp or a whole-number division that makes all values equal.",
)
