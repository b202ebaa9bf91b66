"""A loss that is a sum over the batch."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.tables import number, table, tables, text


class LossGrowsWithBatch(Rule):
    """The loss is twice as large for a batch that is put twice: it is a sum over samples.

    ## Why it matters
    Gradients grow with the batch, so that a learning rate fits one batch size only, and the last, smaller batch of an
    epoch counts less.

    ## What to try
    - Use `reduction="mean"`, and multiply the learning rate by the batch size to keep its steps.

    ## When it is wrong
    Sums are meant where terms are likelihoods that belong together, as in a variational autoencoder, and harmless where
    the learning rate was chosen with them, or the optimizer divides by the gradient's size.

    ## References
    - TheDeepChecker (Braiek & Khomh 2022) doubles the batch and looks at the loss.
    """

    phases = (Phase.PREFLIGHT,)
    severity = Severity.INFO
    level = Level.SETTING
    needs_facts = ("drill/initial-loss",)
    waits_for_warmup = False
    profiles = Rule.profiles | {"autoencoder"}

    min_ratio: float = Field(1.8, gt=1)
    """How many times the loss is for the doubled batch: 1 for a mean, 2 for a sum."""

    healthy = {"facts": {"drill/initial-loss": {"loss": 2.3, "terms": [{"doubled": 1.0, "factor": 1.0, "value": 2.3}]}}}
    faulty = {
        "facts": {"drill/initial-loss": {"loss": 147.0, "terms": [{"doubled": 2.0, "factor": 1.0, "value": 147.0}]}}
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        terms = tables(table(trace.facts.get("drill/initial-loss")).get("terms"))
        judged = 0
        for term in terms:
            doubled, factor = number(term.get("doubled")), number(term.get("factor"))
            if doubled is None or factor is None:
                continue
            judged += 1
            # A factor may divide by the batch: that is a mean, written in another way.
            if doubled < self.min_ratio or factor < 1:
                continue
            yield Finding(
                subject=text(term.get("name")) if len(terms) > 1 else "",
                message=f"the loss of the batch put twice is {doubled:.3g} times that of the batch; 1 is expected of a "
                "mean",
                advice=('Use reduction="mean", and multiply the learning rate by the batch size.',),
                evidence={"doubled": doubled},
            )
        if not judged:
            raise NotApplicable("the loss function could not be asked again")
