"""A held-out set that is the training data."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pydantic import Field

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.labels import loaders
from ..engine.progress import is_over
from ..engine.signals import OVERLAP
from ..engine.tables import number, table, tables, text, texts

_HELD_OUT = re.compile(r"(?:^|[^a-z])(?:val|valid|validation|vl|eval|dev|test|te|tst|heldout|holdout)(?:[^a-z]|$)")


class EvaluationOnTrainingData(Rule):
    """What is evaluated under the name of held-out data is what the model is trained on, and there is no other set.

    ## Why it matters
    The score rises with memorising: overfitting cannot be seen, and the best checkpoint is the most overfitted one.

    ## What to try
    - Build the validation loader from the validation set; look for a name that was copied.
    - Split the data first when there is no second set.

    ## When it is wrong
    Measuring the training data as well, under a name that says so, is usual and not reported; nor is a script that
    never speaks of validation or test: in the name of a loader or variable, of what the score is assigned to, or of a
    loader that is made and never used.

    ## References
    - Hastie, Tibshirani & Friedman 2009, The Elements of Statistical Learning, 7.2: training error is no estimate.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.WARNING
    level = Level.SETTING
    bars = {"min_share": OVERLAP, "share": OVERLAP}
    waits_for_warmup = False
    profiles = Rule.profiles | {"autoencoder"}
    explains = (Level.OUTCOME,)

    min_share: float = Field(0.95, gt=0, le=1)
    """Share of the samples of a set that training has seen, from which on it is the training data."""

    healthy = {"facts": {"evaluation": {"sets": {"val": {"samples": 300}, "train": {"names": ["train_loader"]}}}}}
    faulty = {"facts": {"evaluation": {"sets": {"train": {"names": ["loader", "val_loader"]}}}}}

    def check(self, trace: Trace) -> Iterator[Finding]:
        sets = table(table(trace.facts.get("evaluation")).get("sets"))
        overlap = table(trace.facts.get("overlap"))
        copies = {split: share for split in overlap if (share := self._copied(trace, split)) is not None}
        given = texts(table(sets.get("train")).get("names"))
        names = _held_out([*given, *(text(loader.get("name")) for loader in loaders(trace, "train")[1:])])
        others = [split for split in sets if split != "train" and split not in copies]
        others += [
            split
            for loader in tables(trace.facts.get("loaders"))
            if (split := text(loader.get("split"))) not in ("", "train", *copies)
        ]
        if not sets and not copies and not names:
            raise NotApplicable("no evaluation was recognised")
        if others:
            return
        for split, share in copies.items():
            yield Finding(
                subject=split,
                message=f"{share:.0%} of the samples of {split} were trained on, as many as the training has; 0 % "
                f"expected of a held-out set",
                advice=_ADVICE,
                evidence={"share": share},
            )
        if names and not copies:
            yield _finding(names[0], f"{names[0]} gives the data that is trained on")
        elif not copies and is_over(trace):  # until then, a test may still be to come
            train = table(sets.get("train"))
            if train.get("source") != "loader":
                return  # batches made by hand may come from another set by the same variables
            results, unused = (_held_out(texts(train.get(key))) for key in ("results", "unused"))
            if results:
                yield _finding(results[0], f"{results[0]} is computed from the data that is trained on")
            elif unused:
                yield _finding(
                    unused[0], f"0 batches of {unused[0]} are used, and the data that is trained on is evaluated"
                )

    def _copied(self, trace: Trace, split: str) -> float | None:
        """Share of a held-out set that is known from the training, where it is all of that; else None."""
        overlap = table(trace.facts.get("overlap"))
        about, samples = table(overlap.get(split)), number(overlap.get("train_samples")) or 0.0
        n, shared = number(about.get("samples")), number(about.get("shared"))
        if n is None or shared is None or n < 20 or overlap.get("is_few") is True:
            return None
        lengths = [number(loader.get("dataset_length")) for loader in loaders(trace, "train")]
        length = max((one for one in lengths if one is not None), default=samples)
        known = min(1.0, samples / length) if length > 0 else 1.0
        share = min(1.0, shared / n / known) if known > 0 else 0.0
        return share if share >= self.min_share and n >= min(0.8 * length, 3000) and known > 0.3 else None


_ADVICE = (
    "Build the validation loader from the validation set: look for a name that was copied.",
    "Split the data first when there is no second set.",
)


def _finding(name: str, what: str) -> Finding:
    return Finding(
        subject=name,
        message=f"{what}, and 0 other sets are evaluated; 1 expected",
        advice=_ADVICE,
        evidence={"held_out_sets": 0},
    )


def _held_out(names: list[str]) -> list[str]:
    """The names that speak of held-out data."""
    return [name for name in names if _HELD_OUT.search(_plain(name))]


def _plain(name: str) -> str:
    """A variable's name in lower case, with a break between words: `valLoader`, `X_test2` and `xte` are told apart."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z0-9])", "_", name).lower()
    return re.sub(r"^([xy])(te|tst|val|test)$", r"\1_\2", spaced)
