"""The same input with different labels."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field, PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.tables import number, table


class ConflictingLabels(Rule):
    """Samples of the training loader hold the same inputs, value by value, and different labels.

    ## Why it matters
    No model can answer both: the loss cannot fall below what they cost.

    ## What to try
    - Look at some of these pairs: a copy with a wrong label, or inputs that lost what tells them apart.

    ## When it is wrong
    Labels that are drawn by chance, or given by several people, differ by nature; so do samples of few values. Hence
    this is a remark only.

    ## References
    - deepchecks, Conflicting Labels: any; 1 % here.
    """

    phases = (Phase.PREFLIGHT,)
    severity = Severity.INFO
    level = Level.SETTING
    needs_facts = ("drill/data-at-the-door",)
    waits_for_warmup = False

    min_share: float = Field(0.01, gt=0, lt=1)
    """Share of the samples that were drawn."""

    min_samples: PositiveInt = 64
    """Samples that must have been drawn."""

    healthy = {"facts": {"drill/data-at-the-door": {"conflicts": {"several": 4, "differing": 0, "samples": 900}}}}
    faulty = {"facts": {"drill/data-at-the-door": {"conflicts": {"several": 90, "differing": 80, "samples": 900}}}}

    def check(self, trace: Trace) -> Iterator[Finding]:
        told = table(trace.facts.get("drill/data-at-the-door"))
        conflicts = table(told.get("conflicts"))
        samples, differing = number(conflicts.get("samples")) or 0.0, number(conflicts.get("differing"))
        if differing is None or samples < self.min_samples:
            raise NotApplicable(f"{samples:.0f} samples with class labels were drawn; {self.min_samples} are needed")
        if table(told.get("overlap")).get("is_few") is True:
            raise NotApplicable("the samples hold so few values that equal ones come by chance")
        if differing > 0 and differing >= self.min_share * samples:
            yield Finding(
                subject="train",
                message=f"{differing:.0f} of {samples:.0f} samples share their inputs with one of another label; "
                f"0 expected",
                advice="Look at some of these pairs: a wrong label, or inputs that lost what tells them apart.",
                evidence={"differing": differing, "samples": samples},
            )
