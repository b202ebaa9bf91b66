"""A loss with the wrong sign."""

from __future__ import annotations

from collections.abc import Iterator

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.tables import number, table, tables, text

_OF_ERRORS = ("cross_entropy", "mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss")
"""Losses that are never below 0. A negated binary cross entropy is left out: a generator may ascend it."""


class NegatedFirstLoss(Rule):
    """The only term of the loss is an error with a minus in front: training makes the model worse on purpose.

    ## Why it matters
    Each step goes uphill. The loss falls without end, as it is below 0, and looks like progress.

    ## What to try
    - Take the minus away, or the `maximize=True` of the optimizer that goes with it.
    - A minus belongs in front of log-probabilities and rewards, not in front of an error.

    ## When it is wrong
    Attacks and adversarial parts ascend an error on purpose, mostly as one of several terms, which is not reported.

    ## References
    - Cross entropy and squares are sums of numbers that are not negative.
    """

    phases = (Phase.PREFLIGHT,)
    severity = Severity.WARNING
    level = Level.LOGIC
    needs_facts = ("drill/initial-loss",)
    waits_for_warmup = False

    healthy = {
        "facts": {
            "drill/initial-loss": {
                "loss": 2.4,
                "terms": [{"name": "cross_entropy", "function": "cross_entropy", "value": 2.4, "uniform": 2.3}],
            }
        }
    }
    faulty = {
        "facts": {
            "drill/initial-loss": {
                "loss": -2.4,
                "terms": [{"name": "cross_entropy", "function": "cross_entropy", "value": -2.4, "uniform": 2.3}],
            }
        }
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        told = table(trace.facts.get("drill/initial-loss"))
        terms = [one for one in tables(told.get("terms")) if one.get("penalty") is not True]
        # Guesses are there only where the function, asked again, gave the same loss: its sign is known then.
        known = [one for one in terms if number(one.get("uniform")) is not None or number(one.get("zero")) is not None]
        if len(terms) != 1 or not known or text(terms[0].get("function")) not in _OF_ERRORS:
            raise NotApplicable("the loss is not a single error, which cannot be negative")
        value, total = number(terms[0].get("value")), number(told.get("loss"))
        if value is None or total is None:
            raise NotApplicable("the first loss is not finite")
        if value >= 0:
            return
        yield Finding(
            message=f"first loss {total:.4g}, a {text(terms[0].get('function'))} times a number below 0; at least 0 is "
            "expected",
            advice=("Take the minus in front of the loss away.",),
            evidence={"loss": total},
        )
