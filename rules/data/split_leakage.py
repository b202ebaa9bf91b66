"""Held-out samples that training has seen."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field, PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.labels import loaders
from ..engine.signals import OVERLAP
from ..engine.tables import number, table


class SplitLeakage(Rule):
    """Samples of a held-out set are in the training data as well, value by value.

    Samples are compared as they come, on the steps that are looked at closely: what was found shared is a lower bound,
    and is set against the part of the training data that was looked at.

    ## Why it matters
    What was trained on is answered from memory: the held-out score says nothing about new data.

    ## What to try
    - Remove duplicates before splitting; split by group, person, document or time where samples belong together.
    - Split once, and keep the indices: two random splits with different seeds overlap.
    - Oversample or augment after the split.

    ## When it is wrong
    Samples of few values (bits, short windows of tokens) are equal by chance and are not compared, nor is data of
    whole numbers with as many duplicates within the training. A held-out set that is all of the training data is
    `evaluation-on-training-data`.

    ## References
    - deepchecks, Train Test Samples Mix: any; here 5 %, as public data sets hold up to 3 % of near and exact copies.
    - Kapoor & Narayanan 2023, Leakage and the reproducibility crisis in machine-learning-based science.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.WARNING
    level = Level.SETTING
    needs_facts = ("overlap",)
    bars = {"min_share": OVERLAP, "share": OVERLAP}
    waits_for_warmup = False
    profiles = Rule.profiles | {"autoencoder"}
    explains = (Level.OUTCOME,)

    min_share: float = Field(0.05, gt=0, lt=1)
    """Share of a held-out set, as far as compared, that must be known from the training."""

    min_samples: PositiveInt = 8
    """Shared samples that must have been found."""

    max_share: float = Field(0.95, gt=0, le=1)
    """Share from which on, with as many samples as the training has, it is the training data itself."""

    healthy = {
        "facts": {"overlap": {"train_samples": 900, "train_duplicates": 0, "val": {"samples": 300, "shared": 0}}}
    }
    faulty = {
        "facts": {"overlap": {"train_samples": 900, "train_duplicates": 0, "val": {"samples": 300, "shared": 60}}}
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        overlap = table(trace.facts.get("overlap"))
        samples = number(overlap.get("train_samples")) or 0.0
        doubles = number(overlap.get("train_duplicates")) or 0.0
        sets = {split: table(about) for split, about in overlap.items() if table(about)}
        if not sets or samples < 2:
            raise NotApplicable("no held-out samples were compared with those of the training")
        if overlap.get("is_few") is True:
            raise NotApplicable("the samples hold so few values that equal ones come by chance")
        for split, about in sets.items():
            n, shared = number(about.get("samples")) or 0.0, number(about.get("shared")) or 0.0
            if n <= 0 or shared < self.min_samples:
                continue
            share, known = shared / n, _known_part(trace, samples)
            expected = min(1.0, share / known)
            if expected >= self.max_share and n >= min(0.8 * samples / known, 3000):
                continue
            # With a share of duplicates within the training, as large a share between the sets may be chance; not so
            # where no two values are the same: there a duplicate is a copy, made ahead of the split.
            by_chance = 0.0 if overlap.get("is_continuous") is True else 3 * doubles / (samples + doubles)
            if share < max(self.min_share, by_chance):
                continue
            part = f"; {known:.0%} of the training data was compared" if known < 1 else ""
            yield Finding(
                subject=split,
                message=f"{shared:.0f} of {n:.0f} samples of {_name(trace, split)} were trained on, {share:.1%}; "
                f"0 expected{part}",
                advice=(
                    "Split once, before anything is duplicated, oversampled or augmented, and keep the indices.",
                    "Remove duplicates before splitting; split by group where samples belong together.",
                ),
                evidence={"shared": shared, "samples": n, "share": share, "train_samples": samples},
            )


def _known_part(trace: Trace, samples: float) -> float:
    """Share of the training data that was looked at, above 0 and at most 1; 1 where its size is not known."""
    lengths = [number(loader.get("dataset_length")) for loader in loaders(trace, "train")]
    length = max((n for n in lengths if n is not None), default=0.0)
    return min(1.0, max(samples, 1.0) / length) if length > 0 else 1.0


def _name(trace: Trace, split: str) -> str:
    names = [loader.get("name") for loader in loaders(trace, split)]
    return next((f"{split} ({name})" for name in names if isinstance(name, str) and name), split)
