"""Held-out samples that are nearly samples of the training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import Field, PositiveFloat, PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.labels import loaders
from ..engine.tables import number, table, text


class NearLeakage(Rule):
    """Held-out samples have a near twin in the training: the same sample with some noise, another brightness or coding.

    It is looked for on request only: near_leakage = true in [tool.tracker], or Run(settings={"near_leakage": True}).
    Up to 2048 samples of either side, on the steps that are looked at closely and as the loader gives them, are reduced
    to 64 numbers each. A twin is far nearer than the density around it leads one to expect: that is measured by its 8th
    to 32nd neighbours, so that dense data (two moons, curves) has none. Nor does it count where the training has as
    many twins of its own, unless its samples are images or signals that fill several dimensions.

    ## Why it matters
    What was nearly trained on is nearly answered from memory: the held-out score says little about new data.

    ## What to try
    - Split first, then augment or oversample the training part alone.
    - Split by what samples were made from: the photograph, patient, recording or document.
    - Look for near duplicates in the collection itself, and keep one of each.

    ## When it is wrong
    Images that were drawn from few patterns are each other's twins by nature. Windows of one recording that overlap are
    not found: a smooth series is dense. Nor are shifted, flipped or cropped images, twins of which there are eight and
    more, token ids and other rows of whole numbers, or batches that a script holds on a device.

    ## References
    - Levina & Bickel 2005, Maximum likelihood estimation of intrinsic dimension: the density around a sample.
    - Barz & Denzler 2020, Do we train on test data? 3 % of CIFAR-10's test images, 10 % of CIFAR-100's, have near
      duplicates among the training images; hence the bar of 5 %.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.WARNING
    level = Level.SETTING
    waits_for_warmup = False
    explains = (Level.OUTCOME,)

    min_share: float = Field(0.05, gt=0, lt=1)
    """Share of a held-out set, as far as compared, that must have a twin."""

    min_samples: PositiveInt = 8
    """Twins that must have been found."""

    factor: float = Field(3.0, gt=1)
    """Times the share of twins within the training, and of those by chance, that must be found between the sets."""

    min_dimension: PositiveFloat = 4.0
    """Dimensions that images or signals must fill for twins to count though the training has as many of its own:
    samples of fewer lie close together now and then."""

    healthy = {
        "facts": {
            "near": {
                "kind": "signal", "train_samples": 900, "train_twins": 3, "dimension": 8.2, "by_chance": 0.005,
                "val": {"samples": 300, "twins": 2, "distance": 0.11, "usual": 0.4, "example": [7, 12]},
            }
        }
    }  # fmt: skip
    faulty = {
        "facts": {
            "near": {
                "kind": "signal", "train_samples": 900, "train_twins": 3, "dimension": 8.2, "by_chance": 0.005,
                "val": {"samples": 300, "twins": 60, "distance": 0.05, "usual": 0.4, "example": [7, 12]},
            }
        }
    }  # fmt: skip

    def check(self, trace: Trace) -> Iterator[Finding]:
        fact = trace.facts.get("near")
        if fact is None:
            raise NotApplicable("looked for on request only: set near_leakage = true in [tool.tracker]")
        near = table(fact)
        why = text(near.get("why"))
        sets = {split: table(about) for split, about in near.items() if table(about)}
        trained, own = number(near.get("train_samples")) or 0.0, number(near.get("train_twins")) or 0.0
        if why or not sets or trained < 1:
            raise NotApplicable(why or "no held-out samples were compared with those of the training")
        dimension = number(near.get("dimension")) or 0.0
        is_rich = near.get("kind") == "signal" and dimension >= self.min_dimension
        for split, about in sets.items():
            n, twins = number(about.get("samples")) or 0.0, number(about.get("twins")) or 0.0
            share, among_own = twins / max(n, 1.0), own / trained
            by_chance = number(near.get("by_chance")) or 0.0
            if twins < self.min_samples or share < max(self.min_share, self.factor * by_chance):
                continue
            if share < self.factor * among_own and not is_rich:
                continue
            distance, usual = number(about.get("distance")), number(about.get("usual"))
            how_near = f", at {distance:.3g} where {usual:.3g} is usual" if distance is not None and usual else ""
            yield Finding(
                subject=split,
                message=f"{twins:.0f} of {n:.0f} samples of {_name(trace, split)} are near twins of training samples, "
                f"{share:.1%}{how_near}; {by_chance:.1%} expected by chance{_example(about)}",
                advice=(
                    "Split first, then augment or oversample the training part alone.",
                    "Split by what samples were made from: the photograph, patient, recording or document.",
                    "Look for near duplicates in the collection, and keep one of each.",
                ),
                evidence={
                    "twins": twins, "samples": n, "share": share, "by_chance": by_chance,
                    "share_within_training": among_own, "train_samples": trained, "dimension": dimension,
                },
            )  # fmt: skip


def _example(about: Mapping[str, object]) -> str:
    """One pair, by the indices in their data sets, where these are known."""
    indices = about.get("example")
    pair = [number(index) for index in indices] if isinstance(indices, list) else []
    if len(pair) != 2 or pair[0] is None or pair[1] is None:
        return ""
    return f" (sample {pair[0]:.0f} is nearly sample {pair[1]:.0f} of the training)"


def _name(trace: Trace, split: str) -> str:
    names = [loader.get("name") for loader in loaders(trace, split)]
    return next((f"{split} ({name})" for name in names if isinstance(name, str) and name), split)
