"""Held-out samples that are training samples as well."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import Field, PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.records import Json
from ..engine.tables import number, table
from .splits import is_held_out


class DuplicatesAcrossSplits(Rule):
    """Samples of a held-out loader came out of the training loader as well, value by value.

    Some thousand samples of each are compared, so that what was found shared is a lower bound.

    ## Why it matters
    What was trained on is answered from memory: the held-out score says nothing about new data.

    ## What to try
    - Remove duplicates before splitting; split by group, person, document or time where samples belong together.
    - Split once, and keep the indices: two random splits with different seeds overlap.
    - Oversample or augment after the split.

    ## When it is wrong
    Samples of few values (bits, short windows of tokens) are equal by chance and are not compared, nor is data with as
    many duplicates within the training. A loader counts only when its name says that it is held out.

    ## References
    - deepchecks, Train Test Samples Mix: any; here 5 %, as public data sets hold up to 3 % of near and exact copies.
    - Kapoor & Narayanan 2023, Leakage and the reproducibility crisis in machine-learning-based science.
    """

    phases = (Phase.PREFLIGHT,)
    severity = Severity.WARNING
    level = Level.SETTING
    needs_facts = ("drill/data-at-the-door",)
    waits_for_warmup = False
    profiles = Rule.profiles | {"autoencoder"}

    min_share: float = Field(0.05, gt=0, lt=1)
    """Share of a held-out set, as far as compared, that must be known from the training."""

    min_samples: PositiveInt = 8
    """Shared samples that must have been found."""

    healthy = {
        "facts": {"drill/data-at-the-door": {"overlap": {"train_samples": 900, "val": {"samples": 300, "shared": 0}}}}
    }
    faulty = {
        "facts": {"drill/data-at-the-door": {"overlap": {"train_samples": 900, "val": {"samples": 300, "shared": 60}}}}
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        told = table(trace.facts.get("drill/data-at-the-door"))
        overlap = table(told.get("overlap"))
        samples = number(overlap.get("train_samples")) or 0.0
        doubles = number(overlap.get("train_duplicates")) or 0.0
        sets = {split: table(about) for split, about in overlap.items() if table(about) and is_held_out(split)}
        if not sets or samples < 2:
            raise NotApplicable("no held-out samples were compared with those of the training")
        if overlap.get("is_few") is True:
            raise NotApplicable("the samples hold so few values that equal ones come by chance")
        known = _known_part(told, samples + doubles)
        by_chance = 0.0 if overlap.get("is_continuous") is True else 3 * doubles / (samples + doubles)
        for split, about in sets.items():
            n, shared = number(about.get("samples")) or 0.0, number(about.get("shared")) or 0.0
            if n <= 0 or shared < self.min_samples or shared / n < max(self.min_share, by_chance):
                continue
            part = f"; {known:.0%} of the training data was compared" if known < 1 else ""
            yield Finding(
                subject=split,
                message=f"{shared:.0f} of {n:.0f} samples of {split} come from the training loader as well, "
                f"{shared / n:.1%}; 0 expected{part}",
                advice=(
                    "Split once, before anything is duplicated, oversampled or augmented, and keep the indices.",
                    "Remove duplicates before splitting; split by group where samples belong together.",
                ),
                evidence={"shared": shared, "samples": n, "share": shared / n, "train_samples": samples},
            )


def _known_part(told: Mapping[str, Json], drawn: float) -> float:
    """Share of the training data that was drawn, above 0 and at most 1; 1 where its size is not known."""
    length = number(table(table(told.get("splits")).get("train")).get("length"))
    return min(1.0, max(drawn, 1.0) / length) if length is not None and length > 0 else 1.0
