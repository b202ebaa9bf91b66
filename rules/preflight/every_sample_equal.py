"""Samples that are all the same."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.tables import number, table


class EverySampleEqual(Rule):
    """All samples that were drawn from the training loader, or of the batch, hold the same values.

    ## Why it matters
    The model can only learn the mean of the targets: nothing tells one sample from another.

    ## What to try
    - Print two samples of the data set side by side: an index that is not used returns the first one each time.
    - Look for a division that rounds to whole numbers, a clamp, or a scale applied twice.
    - Look for an `expand` or a broadcast assignment that fills the whole array with one row.

    ## When it is wrong
    Inputs that the loop replaces, as noise does in a generator, are judged as the model is given them. All inputs of
    the model have to be constant: a mask or a grid may be.

    ## References
    - TheDeepChecker, feature check: standard deviation of 0; deepchecks, Is Single Value.
    """

    phases = (Phase.PREFLIGHT,)
    severity = Severity.ERROR
    level = Level.SETTING
    needs_facts = ("drill/data-at-the-door",)
    waits_for_warmup = False
    profiles = Rule.profiles | {"autoencoder", "contrastive"}

    min_samples: PositiveInt = 16
    """Equal samples that must have been seen."""

    healthy = {"facts": {"drill/data-at-the-door": {"given": {"0": {"rows": 32, "features": 64, "constant": 3}}}}}
    faulty = {"facts": {"drill/data-at-the-door": {"given": {"0": {"rows": 32, "features": 64, "constant": 64}}}}}

    def check(self, trace: Trace) -> Iterator[Finding]:
        told = table(trace.facts.get("drill/data-at-the-door"))
        given = [table(about) for about in table(told.get("given")).values()]
        known = [
            (rows, features, constant)
            for about in given
            if (rows := number(about.get("rows"))) is not None
            and (features := number(about.get("features"))) is not None
            and (constant := number(about.get("constant"))) is not None
        ]
        if not known or len(known) < len(given) or known[0][0] < self.min_samples:
            raise NotApplicable(f"the batch has fewer than {self.min_samples} samples to compare")
        if all(constant == features > 0 for _, features, constant in known):
            yield Finding(
                message=f"{known[0][0]:.0f} samples of the batch were compared, and all are the same",
                advice=(
                    "Compare two samples of the data set: an index that is not used returns the same one each time.",
                    "Look for an expand or a broadcast assignment that fills the batch with one row.",
                    "Look for a scale, a clamp or a whole-number division that makes all values equal.",
                ),
                evidence={"samples": known[0][0]},
            )
