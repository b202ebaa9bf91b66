"""A training loader that goes through the data in the order of the labels."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field, PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.tables import number, table


class SortedLabels(Rule):
    """The training loader does not shuffle, and most of its batches hold a single class.

    ## Why it matters
    Each step pulls the model towards the class of its batch and away from those before; at the end of an epoch it
    answers with the last classes, and normalisation layers see one class at a time.

    ## What to try
    - Pass `shuffle=True` to the training loader.
    - Shuffle before splitting: a sorted data set split by position has classes that training never sees.

    ## When it is wrong
    Order as such is no fault: series and texts in order are not reported, only batches of one class that hardly come by
    chance. A loader whose passes differ from each other is not reported, whatever its batches are made of.

    ## References
    - Bengio 2012, Practical recommendations, 3.1: samples in random order.
    - cleanlab Datalab, non-iid: neighbours in order that are alike, p < 0.05.
    """

    phases = (Phase.PREFLIGHT,)
    severity = Severity.WARNING
    level = Level.SETTING
    needs_facts = ("drill/data-at-the-door",)
    waits_for_warmup = False

    min_runs: float = Field(0.85, gt=0.5, lt=1)
    """Share of neighbours with the same label: half way up from chance at least."""

    max_chance: float = Field(0.6, gt=0, lt=1)
    """Share that chance alone gives, above which nothing is said: one class is most of the data."""

    min_pure: float = Field(0.5, gt=0, le=1)
    """Share of the batches that hold one class only."""

    min_batches: PositiveInt = 4
    """Batches that must have been drawn."""

    min_labels: PositiveInt = 64
    """Labels that must have been drawn."""

    healthy = {
        "facts": {
            "drill/data-at-the-door": {
                "order": {
                    "same_order": False, "runs": 0.1, "chance": 0.1, "labels": 1400, "batches": 44, "pure": 0
                }
            }
        }
    }  # fmt: skip
    faulty = {
        "facts": {
            "drill/data-at-the-door": {
                "order": {
                    "same_order": True, "runs": 0.99, "chance": 0.1, "labels": 1400, "batches": 44, "pure": 35
                }
            }
        }
    }  # fmt: skip

    def check(self, trace: Trace) -> Iterator[Finding]:
        order = table(table(trace.facts.get("drill/data-at-the-door")).get("order"))
        runs, chance = number(order.get("runs")), number(order.get("chance"))
        labels, batches = number(order.get("labels")) or 0.0, number(order.get("batches")) or 0.0
        pure = number(order.get("pure")) or 0.0
        if runs is None or chance is None or labels < self.min_labels or batches < self.min_batches:
            raise NotApplicable(f"{labels:.0f} class labels of {batches:.0f} batches were drawn; not enough to judge")
        if order.get("same_order") is not True:
            return
        if chance > self.max_chance:
            raise NotApplicable(f"one class is most of the labels: chance gives neighbours alike in {chance:.2g}")
        if runs < max(self.min_runs, (1 + chance) / 2) or pure < self.min_pure * batches:
            return
        yield Finding(
            subject="train",
            message=f"{pure:.0f} of {batches:.0f} batches hold one class only, and {runs:.3g} of neighbouring samples "
            f"have the same label, in the same order in two passes; shuffled data would show {chance:.2g}",
            advice=(
                "Pass shuffle=True to the training loader, or draw a new permutation in each epoch.",
                "Shuffle before the data is split as well.",
            ),
            evidence={"runs": runs, "chance": chance, "pure": pure, "batches": batches},
        )
