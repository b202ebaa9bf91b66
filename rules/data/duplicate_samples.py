"""Samples that the training data holds more than once."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field, PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.tables import number, table


class DuplicateSamples(Rule):
    """A fifth or more of the samples of the first epoch had been there already, value by value.

    ## Why it matters
    Copies count twice, and a split by position or at random puts one of them on each side.

    ## What to try
    - Remove duplicates before splitting, or split by the original they come from.

    ## When it is wrong
    Oversampling, repeated data sets and drawing with replacement are meant to repeat; samples of few values are equal
    by chance and are not compared. Hence this is a remark only.

    ## References
    - deepchecks, Data Duplicates: above 5 %; a fifth here, as drawing with replacement is common in short scripts.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.INFO
    level = Level.SETTING
    needs_facts = ("overlap",)
    waits_for_warmup = False

    min_share: float = Field(0.2, gt=0, lt=1)
    """Share of the samples that were copies."""

    min_samples: PositiveInt = 50
    """Samples that must have been compared."""

    healthy = {"facts": {"overlap": {"train_samples": 900, "train_duplicates": 3}}}
    faulty = {"facts": {"overlap": {"train_samples": 600, "train_duplicates": 400}}}

    def check(self, trace: Trace) -> Iterator[Finding]:
        overlap = table(trace.facts.get("overlap"))
        samples, copies = number(overlap.get("train_samples")), number(overlap.get("train_duplicates"))
        if samples is None or copies is None or samples + copies < self.min_samples:
            raise NotApplicable(f"fewer than {self.min_samples} samples were compared")
        if table(trace.facts.get("batches")).get("source") == "by hand":
            raise NotApplicable("batches made by hand: where their first pass over the data ends is not known")
        if overlap.get("is_few") is True:
            raise NotApplicable("the samples hold so few values that equal ones come by chance")
        share = copies / (samples + copies)
        if share < self.min_share or "WeightedRandomSampler" in str(trace.facts.get("loaders")):
            return
        yield Finding(
            message=f"{copies:.0f} of {samples + copies:.0f} samples of the first epoch were copies of another, "
            f"{share:.1%}; less than {self.min_share:.0%} expected",
            advice="Remove duplicates before the data is split, or split by the original they come from.",
            evidence={"copies": copies, "samples": samples + copies, "share": share},
        )
