"""Weights that a gradient reaches, and that is zero."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.tables import number, table, texts


class ZeroGradientAtStart(Rule):
    """Most weights of the untouched model get a gradient of exactly zero, now and three steps later.

    ## Why it matters
    These weights do not learn, and nothing says so: the gradient is there. It is zero behind a step function, a dead
    layer, or weights that are all zero.

    ## What to try
    - Look for operations that are flat everywhere: sign, round, comparisons, a clamp that is always at its end.
    - Draw the initial weights at random: with zeros in several layers in a row no gradient passes.
    - Check biases set by hand: a ReLU that never opens lets nothing through.

    ## When it is wrong
    Branches, heads and adapters that begin at zero on purpose let a gradient through behind the first step or two. A
    loss with a margin is zero once all samples are beyond it, which is not reported.

    ## References
    - SageMaker Debugger, AllZero; Bengio et al. 2013 on estimators for step functions.
    """

    phases = (Phase.PREFLIGHT,)
    severity = Severity.WARNING
    level = Level.LOGIC
    needs_facts = ("drill/signal-propagation",)
    waits_for_warmup = False

    share: float = Field(0.5, gt=0, le=1)
    """Share of the elements of all weight matrices from which on it is reported."""

    healthy = {"facts": {"drill/signal-propagation": {"loss": 2.3, "zero": {"share": 0.0, "later": 0.0, "names": []}}}}
    faulty = {
        "facts": {
            "drill/signal-propagation": {"loss": 2.3, "zero": {"share": 0.9, "later": 0.9, "names": ["0.weight"]}}
        }
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        told = table(trace.facts.get("drill/signal-propagation"))
        zero, loss = table(told.get("zero")), number(told.get("loss"))
        share, later = number(zero.get("share")), number(zero.get("later"))
        if share is None or later is None or loss is None:
            raise NotApplicable("the gradients were not seen, at the start and three steps later")
        if loss == 0:
            raise NotApplicable("the loss is 0, and so are its gradients")
        if min(share, later) < self.share:
            return
        names = texts(zero.get("names"))
        among = f" ({', '.join(names[:3])})" if names else ""
        yield Finding(
            subject=names[0].removesuffix(".weight") if names else "",
            message=f"the gradient of {share:.0%} of all weights is exactly 0{among}, and of {later:.0%} three steps "
            f"later; less than {self.share:.0%} is expected",
            advice=(
                "Look for operations that are flat: sign, round, comparisons, a clamp that is always at its end.",
                "Draw the initial weights at random, and check biases that are set by hand.",
            ),
            evidence={"share": share, "later": later},
        )
