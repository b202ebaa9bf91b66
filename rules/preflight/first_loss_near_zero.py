"""A first loss that is next to nothing."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.tables import number, table, tables


class FirstLossNearZero(Rule):
    """The model knows nearly all answers before it was trained.

    ## Why it matters
    For a model that was trained before that is as it should be. For a new one it means that the answers are in reach
    without learning: the targets are among the inputs, or the loss compares the outputs with themselves.

    ## What to try
    - Look for the target among the inputs, and for a loss that is given the same tensor twice.

    ## When it is wrong
    A model that goes on from a checkpoint, or that was trained on the same task, begins low.

    ## References
    - Karpathy 2019, A Recipe for Training Neural Networks, "verify loss @ init".
    """

    phases = (Phase.PREFLIGHT,)
    severity = Severity.INFO
    level = Level.SETTING
    needs_facts = ("drill/initial-loss",)
    waits_for_warmup = False
    profiles = frozenset({"supervised", "regression", "language-model", "unknown"})

    ratio: float = Field(0.05, gt=0, lt=1)
    """Share of the loss of guessing below which a model knows the answers: 0.12 for ten classes, nine right of ten."""

    healthy = {
        "facts": {"drill/initial-loss": {"loss": 2.3, "terms": [{"value": 2.3, "uniform": 2.303, "present": 10}]}}
    }
    faulty = {
        "facts": {"drill/initial-loss": {"loss": 0.01, "terms": [{"value": 0.01, "uniform": 2.303, "present": 10}]}}
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        judged = 0
        for term in tables(table(trace.facts.get("drill/initial-loss")).get("terms")):
            value, guess, present = (number(term.get(key)) for key in ("value", "uniform", "present"))
            if value is None or guess is None or present is None or present < 2 or term.get("logarithms") is False:
                continue
            judged += 1
            if 0 <= value < self.ratio * guess:
                yield Finding(
                    message=f"first loss {value:.4g}; guessing gives {guess:.4g}, and a new model about as much",
                    advice=("Look for the target among the inputs, if the model was not trained before.",),
                    evidence={"loss": value, "expected": guess},
                )
        if not judged:
            raise NotApplicable("no loss of several classes in the batch is known")
