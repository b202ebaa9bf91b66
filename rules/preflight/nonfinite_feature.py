"""Inputs or targets that are no numbers."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.profiles import EVERY
from ..engine.tables import number, table


class NonfiniteFeature(Rule):
    """The data holds NaNs or infinities, and what the model makes of them is not finite either.

    ## Why it matters
    One NaN in one sample makes the loss of its batch NaN, then every gradient, then every weight.

    ## What to try
    - Count the NaNs and infinities in the raw data, and fill or drop them before training.
    - Look for a division by a standard deviation of 0, or a logarithm of 0, in the preprocessing.

    ## When it is wrong
    A model that masks what is missing answers with finite numbers, and is not reported. Nor are samples of the loader
    where the batch that the model was given should have held some, and did not: the loop fills them.

    ## References
    - UMLAUT, "NaN in input", reported only together with a NaN loss; deepchecks, mixed nulls.
    """

    phases = (Phase.PREFLIGHT,)
    severity = Severity.ERROR
    level = Level.SETTING
    needs_facts = ("drill/data-at-the-door",)
    waits_for_warmup = False
    profiles = EVERY

    max_expected: float = Field(3.0, gt=0)
    """Bad samples that chance would put into a batch, from which on a batch without any was cleaned."""

    healthy = {"facts": {"drill/data-at-the-door": {"given": {"0": {"nonfinite": 0}}, "output_finite": True}}}
    faulty = {"facts": {"drill/data-at-the-door": {"given": {"0": {"nonfinite": 5}}, "output_finite": False}}}

    def check(self, trace: Trace) -> Iterator[Finding]:
        told = table(trace.facts.get("drill/data-at-the-door"))
        given = {path: number(table(about).get("nonfinite")) for path, about in table(told.get("given")).items()}
        if not any(count is not None for count in given.values()):
            raise NotApplicable("the model's inputs were not described")
        for path, count in given.items():
            if count and told.get("output_finite") is False:
                yield _finding(path, f"input {path} of the batch holds {count:.0f} values that are not finite", count)
        labels = table(told.get("labels"))
        count = number(labels.get("nonfinite"))
        if count and labels.get("loss_finite") is False:
            yield _finding("targets", f"the targets of the batch hold {count:.0f} values that are not finite", count)
        if any(given.values()):
            return
        drawn, found = table(table(told.get("splits")).get("train")), table(told.get("nonfinite"))
        rows, samples, size = number(found.get("rows")), number(drawn.get("samples")), number(told.get("batch_size"))
        if not rows or not samples or not size or found.get("output_finite") is not False:
            return
        if rows / samples * size < self.max_expected:
            what = f"{rows:.0f} of {samples:.0f} samples of the training loader hold values that are not finite"
            yield _finding("train", what, rows)


def _finding(subject: str, what: str, count: float) -> Finding:
    return Finding(
        subject=subject,
        message=f"{what}, and what is made of them is not finite; 0 expected",
        advice=(
            "Count NaNs and infinities in the raw data; fill or drop them before training.",
            "Look for a division by 0 in the preprocessing: a column without spread, an empty sample.",
        ),
        evidence={"nonfinite": count},
    )
