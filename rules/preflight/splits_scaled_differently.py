"""Held-out data on another scale than that of the training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import Field, PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.records import Json
from ..engine.tables import number, table, text
from .splits import is_held_out

_CLASSES = ("cross_entropy", "nll_loss", "binary_cross_entropy", "binary_cross_entropy_with_logits")


class SplitsScaledDifferently(Rule):
    """The values of an input have another spread, and another range, in a held-out loader than in the training's.

    ## Why it matters
    A model that is trained on normalised data and evaluated on raw data is asked about something it has never seen:
    the held-out score is that of the preprocessing.

    ## What to try
    - Apply the same scaling to both: fit it on the training data, transform the held-out data with it.
    - Compare the transforms of the two data sets line by line; only random ones belong to training alone.

    ## When it is wrong
    Data of another time or place may differ by nature. Noise and erasing change the spread by less than a factor of
    two. A loop that scales each split by itself behind the loader makes good for it.

    ## References
    - TheDeepChecker, augmentation and normalisation are the same faults in training and evaluation.
    - deepchecks, Image Property Drift: above 0.2.
    """

    phases = (Phase.PREFLIGHT,)
    severity = Severity.WARNING
    level = Level.SETTING
    needs_facts = ("drill/data-at-the-door",)
    waits_for_warmup = False
    profiles = Rule.profiles | {"autoencoder"}

    factor: float = Field(2.0, gt=1)
    """Larger over smaller standard deviation, from which on the preprocessing differs; the square of it where the
    targets are no classes: series change their scale with time."""

    min_samples: PositiveInt = 32
    """Samples of both that must have been drawn."""

    healthy = {
        "facts": {
            "drill/data-at-the-door": {
                "splits": {
                    "train": {"samples": 900, "inputs": {"0": {"std": 1.0, "mean": 0.0, "low": -2.0, "high": 2.0}}},
                    "val": {"samples": 300, "inputs": {"0": {"std": 0.97, "mean": 0.1, "low": -2.1, "high": 2.0}}},
                }
            }
        }
    }
    faulty = {
        "facts": {
            "drill/data-at-the-door": {
                "splits": {
                    "train": {"samples": 900, "inputs": {"0": {"std": 1.0, "mean": 0.0, "low": -2.0, "high": 2.0}}},
                    "val": {"samples": 300, "inputs": {"0": {"std": 78.0, "mean": 33, "low": 0.0, "high": 255.0}}},
                },
                "labels": {"function": "cross_entropy"},
            }
        }
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        told = table(trace.facts.get("drill/data-at-the-door"))
        splits = {
            split: table(about)
            for split, about in table(told.get("splits")).items()
            if (number(table(about).get("samples")) or 0) >= self.min_samples
        }
        ours = table(splits.get("train", {}).get("inputs"))
        others = {split: table(about.get("inputs")) for split, about in splits.items() if is_held_out(split)}
        pairs = [
            (split, path, table(ours[path]), table(about))
            for split, inputs in others.items()
            for path, about in inputs.items()
            if path in ours and table(about).get("dtype") == table(ours[path]).get("dtype")
        ]
        if not pairs:
            raise NotApplicable("no input was drawn both from the training's and from a held-out loader")
        is_classes = text(table(told.get("labels")).get("function")) in _CLASSES
        for split, path, mine, theirs in pairs:
            yield from self._compared(split, path, mine, theirs, self.factor if is_classes else self.factor**2)

    def _compared(
        self, split: str, path: str, ours: Mapping[str, Json], theirs: Mapping[str, Json], factor: float
    ) -> Iterator[Finding]:
        if "int" in text(ours.get("dtype")):
            return
        (mean, std, width), (other, spread, range_) = (_scale(about) for about in (ours, theirs))
        if std <= 0 or spread <= 0 or max(std / spread, spread / std) < factor:
            return
        # Held-out batches may be sorted, or mostly padding: the range has to tell the same as the spread.
        if max(width, range_) <= factor**0.5 * min(width, range_):
            return
        yield Finding(
            subject=split,
            message=f"input {path} has mean {mean:.3g} and standard deviation {std:.3g} in training, {other:.3g} and "
            f"{spread:.3g} in {split}; the same are expected",
            advice=(
                "Apply the same scaling to both: fitted on the training data, applied to the held-out data.",
                "Compare the transforms of the two data sets; only random ones belong to training alone.",
            ),
            evidence={"mean": mean, "std": std, "held_out_mean": other, "held_out_std": spread},
        )


def _scale(about: Mapping[str, Json]) -> tuple[float, float, float]:
    """Mean, standard deviation and range; a deviation of 0 where it is not known."""
    mean, std, low, high = (number(about.get(key)) for key in ("mean", "std", "low", "high"))
    if mean is None or std is None or low is None or high is None:
        return 0.0, 0.0, 0.0
    return mean, std, high - low
