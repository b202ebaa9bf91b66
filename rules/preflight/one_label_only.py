"""Training labels that are all the same."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.tables import number, table, text

_CLASSES = ("cross_entropy", "nll_loss", "binary_cross_entropy", "binary_cross_entropy_with_logits")


class OneLabelOnly(Rule):
    """All labels that were drawn from the training loader, from all over the data set, are one class.

    ## Why it matters
    A constant answer is perfect then: the loss falls to 0, and nothing is learned about the inputs.

    ## What to try
    - Look at how labels are read: a column that is not there, a comparison of text with numbers, a default.
    - Look at how the data was split: sorted data split by position leaves one class on one side.

    ## When it is wrong
    Where one class is nearly all of the data, some hundred samples may hold no other.

    ## References
    - TheDeepChecker, labels of a single value; deepchecks, Is Single Value.
    """

    phases = (Phase.PREFLIGHT,)
    severity = Severity.WARNING
    level = Level.SETTING
    needs_facts = ("drill/data-at-the-door",)
    waits_for_warmup = False

    min_labels: PositiveInt = 256
    """Labels that must have been drawn."""

    healthy = {
        "facts": {
            "drill/data-at-the-door": {
                "labels": {"function": "cross_entropy", "counts": {"1": 16, "0": 16}},
                "splits": {"train": {"counts": {"0": 200, "1": 300}}},
            }
        }
    }
    faulty = {
        "facts": {
            "drill/data-at-the-door": {
                "labels": {"function": "cross_entropy", "counts": {"0": 32}},
                "splits": {"train": {"counts": {"0": 500}}},
            }
        }
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        told = table(trace.facts.get("drill/data-at-the-door"))
        labels = table(told.get("labels"))
        ours, drawn = table(labels.get("counts")), table(table(table(told.get("splits")).get("train")).get("counts"))
        n = sum(number(count) or 0.0 for count in drawn.values())
        if text(labels.get("function")) not in _CLASSES or n < self.min_labels or not ours:
            raise NotApplicable(f"{n:.0f} class labels were drawn; {self.min_labels} are needed")
        spread = table(table(told.get("order")).get("spread"))
        if len(drawn) > 1 or set(ours) != set(drawn) or (spread and set(spread) != set(drawn)):
            return
        yield Finding(
            subject="train",
            message=f"all of {n:.0f} labels drawn from the training loader are {next(iter(drawn))}; 2 classes or more "
            f"are expected",
            advice=(
                "Look at how labels are read: a column that is not there, a comparison of text with numbers.",
                "Shuffle before the data is split: sorted data split by position leaves one class on one side.",
            ),
            evidence={"labels": n, "classes": 1},
        )
