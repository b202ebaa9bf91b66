"""One task of the loss that begins a hundred times as large as another."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.tables import number, table, tables, text


class LossTermsOutOfScale(Rule):
    """One of the tasks in a loss begins so large that another one, which has all to learn, has no say.

    ## Why it matters
    The gradient is that of the sum. A task whose loss is a hundredth of another's has a hundredth of the say: the
    shared layers are shaped by the other alone, and the total hides it.

    ## What to try
    - Bring the terms to the same size with a factor, or by scaling the targets of a regression.
    - Look at each term by itself.

    ## When it is wrong
    Judged are only classifications that begin where guessing is, beside another comparison with targets, and only
    where no factor below 1 says that the small one is meant to be small. Penalties and distances of two parts of a
    model begin small for good reasons. Where the large term is learned within a few steps, the small one has its turn.

    ## References
    - Kendall et al. 2018, Multi-Task Learning Using Uncertainty to Weigh Losses; the factor of 100 is ours.
    """

    phases = (Phase.PREFLIGHT,)
    severity = Severity.WARNING
    level = Level.SETTING
    needs_facts = ("drill/initial-loss",)
    waits_for_warmup = False
    profiles = Rule.profiles | {"autoencoder"}

    ratio: float = Field(100.0, gt=1)
    """How many times the small term the large one is."""

    healthy = {
        "facts": {
            "drill/initial-loss": {
                "loss": 3.3,
                "terms": [
                    {"name": "cross_entropy", "value": 2.3, "factor": 1.0, "uniform": 2.303, "present": 10},
                    {"name": "mse_loss", "value": 1.0, "factor": 1.0, "zero": 1.0},
                ],
            }
        }
    }
    faulty = {
        "facts": {
            "drill/initial-loss": {
                "loss": 10002.3,
                "terms": [
                    {"name": "cross_entropy", "value": 2.3, "factor": 1.0, "uniform": 2.303, "present": 10},
                    {"name": "mse_loss", "value": 10000.0, "factor": 1e4, "zero": 1e4},
                ],
            }
        }
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        terms = [
            one
            for one in tables(table(trace.facts.get("drill/initial-loss")).get("terms"))
            if number(one.get("value")) is not None
            and (number(one.get("uniform")) is not None or number(one.get("zero")) is not None)
        ]
        if len(terms) < 2:
            raise NotApplicable(f"{len(terms)} terms of the loss compare outputs with targets; 2 are needed")
        large = max(terms, key=lambda one: abs(number(one.get("value")) or 0.0))
        most = abs(number(large.get("value")) or 0.0)
        for small in terms:
            value, factor = number(small.get("value")) or 0.0, number(small.get("factor"))
            guess = number(small.get("uniform"))
            if small is large or guess is None or value < guess / 2 or factor is None or factor < 1:
                continue
            if most <= self.ratio * value:
                continue
            yield Finding(
                subject=text(small.get("name")),
                message=f"{text(large.get('name'))} begins at {most:.4g}, {most / value:.3g} times the {value:.4g} of "
                f"{text(small.get('name'))}; at most {self.ratio:g} times is expected",
                advice=(
                    "Bring the two to the same size with a factor.",
                    "Scale the targets of a regression to mean 0 and standard deviation 1.",
                ),
                evidence={"times": most / value, "large": most, "small": value},
            )
            return
