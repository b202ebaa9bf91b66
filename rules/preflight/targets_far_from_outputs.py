"""Targets of a regression that lie far from where outputs begin."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.tables import number, table, tables


class TargetsFarFromOutputs(Rule):
    """The mean of the targets is many times their spread: most of the first loss is a constant that is still missing.

    ## Why it matters
    Outputs begin near 0, and each step moves them by about the learning rate. Targets with a mean of 50 and a spread of
    3 have the model learn the number 50 first, with gradients a hundred times as large as what is to be learned later.

    ## What to try
    - Train on `(y - mean) / std` of the training targets, and turn predictions back for reports.
    - Start the bias of the last layer at the mean of the targets.

    ## When it is wrong
    A training that is long enough, with a bias in the last layer, gets there by itself.

    ## References
    - Karpathy 2019, A Recipe for Training Neural Networks, "init well": a mean of 50 asks for a final bias of 50.
    - TheDeepChecker (Braiek & Khomh 2022), un-normalised targets.
    """

    phases = (Phase.PREFLIGHT,)
    severity = Severity.INFO
    level = Level.SETTING
    needs_facts = ("drill/initial-loss",)
    waits_for_warmup = False
    profiles = frozenset({"supervised", "regression", "unknown"})

    ratio: float = Field(10.0, gt=1)
    """Mean of the targets, as a size, over their standard deviation: the share of the constant in a squared error is
    then 99 %."""

    healthy = {
        "facts": {"drill/initial-loss": {"loss": 1.0, "terms": [{"value": 1.0, "target_mean": 0.2, "target_std": 1.0}]}}
    }
    faulty = {
        "facts": {
            "drill/initial-loss": {"loss": 2509.0, "terms": [{"value": 2509.0, "target_mean": 50.0, "target_std": 3.0}]}
        }
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        judged = 0
        for term in tables(table(trace.facts.get("drill/initial-loss")).get("terms")):
            value, mean, std = (number(term.get(key)) for key in ("value", "target_mean", "target_std"))
            if value is None or mean is None or std is None or std <= 0:
                continue
            judged += 1
            zero = number(term.get("zero"))
            is_reached = zero is not None and value < zero / 2
            if abs(mean) > self.ratio * std and not is_reached:
                yield Finding(
                    message=f"first loss {value:.4g}; the targets have mean {mean:.4g} and standard deviation "
                    f"{std:.3g}, at most {self.ratio:g} times apart is expected",
                    advice=(
                        "Train on (y - mean) / std of the training targets, and turn predictions back.",
                        "Start the bias of the last layer at the mean of the targets.",
                    ),
                    evidence={"mean": mean, "std": std},
                )
        if not judged:
            raise NotApplicable("no targets of a regression are known")
