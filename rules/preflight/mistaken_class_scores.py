"""A loss that is given another kind of scores than it takes."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.tables import number, table, tables, text

_SQUASHED = {"Softmax": "a softmax", "Sigmoid": "a sigmoid", "Relu": "a ReLU"}
_ADVICE = {
    "Softmax": "Take the softmax out of the model: cross entropy has one of its own.",
    "Sigmoid": "Take the sigmoid out of the model: the loss has its own.",
    "Relu": "Take the ReLU behind the last layer away: scores may be negative.",
}


class MistakenClassScores(Rule):
    """A loss of scores is given probabilities, or a loss of log-probabilities something that is none.

    ## Why it matters
    A softmax of a softmax never gets far from uniform: the loss cannot come near 0, and gradients are small. A negative
    log-likelihood of raw scores has no lower bound: it is made smaller by growing, whatever the labels.

    ## What to try
    - Give `cross_entropy` and `binary_cross_entropy_with_logits` the outputs of the last layer as they are.
    - Give `nll_loss` the result of `log_softmax` over the dimension of the classes.

    ## When it is wrong
    Scores that are bounded on purpose, such as similarities, are mostly multiplied by a temperature, and not reported.

    ## References
    - PyTorch documentation: CrossEntropyLoss takes unnormalised logits, NLLLoss log-probabilities.
    - UMLAUT (Schoop et al. 2021) and NeuraLint (Nikanjam et al. 2022), rules on the last activation.
    - TheDeepChecker takes sums of 0.95 to 1.05 for probabilities.
    """

    phases = (Phase.PREFLIGHT,)
    severity = Severity.WARNING
    level = Level.LOGIC
    needs_facts = ("drill/initial-loss",)
    waits_for_warmup = False
    profiles = Rule.profiles | {"contrastive"}

    tolerance: float = Field(0.05, gt=0, lt=1)
    """How far from 1 the probabilities of a sample may add up, on average."""

    healthy = {
        "facts": {
            "drill/initial-loss": {
                "loss": 2.3,
                "terms": [{"name": "cross_entropy", "function": "cross_entropy", "behind": "Addmm", "mass": 1.0}],
            }
        }
    }
    faulty = {
        "facts": {
            "drill/initial-loss": {
                "loss": 2.3,
                "terms": [
                    {
                        "name": "cross_entropy",
                        "function": "cross_entropy",
                        "behind": "Softmax",
                        "mass": 1.0,
                        "value": 2.3,
                    }
                ],
            }
        }
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        terms = tables(table(trace.facts.get("drill/initial-loss")).get("terms"))
        judged = 0
        for term in terms:
            function, behind = text(term.get("function")), text(term.get("behind"))
            mass, value = number(term.get("mass")), number(term.get("value"))
            evidence = {"loss": value} if value is not None else {}
            subject = text(term.get("name")) if len(terms) > 1 else ""
            takes_scores = function == "cross_entropy" and term.get("logarithms") is not False and mass is not None
            if takes_scores or function == "binary_cross_entropy_with_logits":
                judged += 1
                if behind in _SQUASHED and value is not None:
                    yield Finding(
                        subject=subject,
                        message=f"{function} is given the result of {_SQUASHED[behind]}; scores from the last layer "
                        f"are expected; first loss {value:.4g}",
                        advice=(_ADVICE[behind],),
                        evidence=evidence,
                    )
                    continue
            if mass is None or function not in ("cross_entropy", "nll_loss"):
                continue
            judged += function == "nll_loss"
            if abs(mass - 1) > self.tolerance:
                yield Finding(
                    subject=subject,
                    message=f"what the negative log-likelihood is given are no log-probabilities of the classes: they "
                    f"add up to {mass:.4g} for a sample, 1 is expected",
                    advice=(
                        "Give it the result of log_softmax over the dimension of the classes (dim=1).",
                        "Or use cross_entropy on the outputs of the last layer.",
                    ),
                    evidence={**evidence, "mass": mass},
                )
        if not judged:
            raise NotApplicable("the loss is none of scores or log-probabilities of classes")
