"""A column of the inputs that is the label."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field, PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.tables import number, table, text

_PERFECT = 1e6
"""Distance between classes, in standard deviations within them, that only a copy of the label has."""


class FeatureLabelLeak(Rule):
    """One column of the inputs says what the label is, and the others hardly do.

    ## Why it matters
    The column was made from the label, or after it: it will not be there when the model is used, and the excellent
    score with it.

    ## What to try
    - Drop the column; look where it comes from, and when it is known.
    - Split off the label before the inputs are scaled or made into an array: `table.drop(columns=label)`.

    ## When it is wrong
    A law may hold between one measurement and the label: then there is little to learn. Lagged values of a slow series
    resemble their next value, all of them, and are passed over for that, as are features that a network has learned:
    many of them set the classes apart.

    ## References
    - deepchecks, Feature-Label Correlation: a predictive power score above 0.8; here nothing is fitted, so higher.
    - Kaufman et al. 2012, Leakage in Data Mining: formulation, detection, and avoidance.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.WARNING
    level = Level.SETTING
    needs_facts = ("features",)
    waits_for_warmup = False
    finite = False
    explains = (Level.OUTCOME, "suspiciously-good", "train-eval-preprocessing-mismatch")

    min_correlation: float = Field(0.995, gt=0, lt=1)
    """Absolute correlation with a quantity from which on the column is the quantity."""

    max_correlation: float = Field(0.95, gt=0, lt=1)
    """That of the next best column, up to which the column stands out."""

    min_distance: float = Field(15.0, gt=0)
    """Distance between classes, in standard deviations within them, from which on the column is the label: what nature
    measures rarely has more than 5."""

    max_telling: float = Field(0.34, gt=0, lt=1)
    """Share of the columns that may be copies: more are a pattern to be recognised."""

    min_samples: PositiveInt = 64
    """Rows that must have been compared."""

    healthy = {
        "facts": {
            "features": {
                "columns": 30, "samples": 320, "kind": "labels", "column": 3, "score": 2.1, "others": 1.9, "telling": 8
            }
        }
    }  # fmt: skip
    faulty = {
        "facts": {
            "features": {
                "columns": 31, "samples": 320, "kind": "labels", "column": 30, "score": 1e9, "others": 1.9, "telling": 1
            }
        }
    }  # fmt: skip

    def check(self, trace: Trace) -> Iterator[Finding]:
        features = table(trace.facts.get("features"))
        columns, samples = number(features.get("columns")) or 0.0, number(features.get("samples")) or 0.0
        score, others = number(features.get("score")), number(features.get("others"))
        if score is None or others is None or not columns:
            raise NotApplicable("no column of the inputs was compared with the labels")
        if samples < self.min_samples:
            raise NotApplicable(f"{samples:.0f} rows were compared with their labels; {self.min_samples} are needed")
        column = number(features.get("column")) or 0.0
        if text(features.get("kind")) == "quantity":
            if score < self.min_correlation or others > self.max_correlation:
                return
            told = f"it follows the target with a correlation of {score:.4g}; the next best has {others:.2g}"
        else:
            telling = number(features.get("telling")) or 0.0
            stands_out = score > _PERFECT or telling < 2
            if score < self.min_distance or not stands_out or telling > max(1.0, self.max_telling * columns):
                return
            far = f"by {score:.3g} standard deviations" if score < _PERFECT else "without any overlap"
            rest = f"the next best column has {others:.3g}" if telling < 2 else f"so do {telling:.0f} columns in all"
            told = f"it sets classes apart {far}; {rest}"
        yield Finding(
            message=f"column {column:.0f} of the {columns:.0f} inputs is the label, or made from it: {told}",
            advice=(
                "Drop the column, or look when it is known: it will not be there when the model is used.",
                "Split off the label before the table is made into inputs.",
            ),
            evidence={"column": column, "score": score, "others": others, "samples": samples},
        )
