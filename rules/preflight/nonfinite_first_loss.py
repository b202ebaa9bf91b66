"""A loss that is not a number before anything was trained."""

from __future__ import annotations

from collections.abc import Iterator

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.profiles import EVERY
from ..engine.tables import number, table


class NonfiniteFirstLoss(Rule):
    """The loss of the untouched model on its first batch is NaN or infinite.

    ## Why it matters
    The first step makes every weight NaN, and nothing is learned from there on.

    ## What to try
    - Look for NaN and infinities in the inputs and the targets.
    - Look for a logarithm, a root or a division at 0, a mean of nothing, and a row that is masked in whole.

    ## When it is wrong
    A batch that has nothing to learn from, such as one in which all labels are left out, has a mean of nothing: a loop
    that skips such batches loses nothing.

    ## References
    - IEEE 754: whatever is computed from NaN is NaN.
    """

    phases = (Phase.PREFLIGHT,)
    severity = Severity.ERROR
    level = Level.LOGIC
    needs_facts = ("drill/initial-loss",)
    waits_for_warmup = False
    profiles = EVERY

    healthy = {"facts": {"drill/initial-loss": {"loss": 2.4, "in_loop": 2.5, "terms": []}}}
    faulty = {"facts": {"drill/initial-loss": {"loss": None, "in_loop": None, "terms": []}}}

    def check(self, trace: Trace) -> Iterator[Finding]:
        told = table(trace.facts.get("drill/initial-loss"))
        if "loss" not in told or "in_loop" not in told:
            raise NotApplicable("the first loss was not measured")
        broken = [key for key in ("loss", "in_loop") if told.get(key) is None]
        if len(broken) < 2:
            known = number(told.get("loss" if broken == ["in_loop"] else "in_loop"))
            if broken and known is not None:
                raise NotApplicable(f"the first loss was {known:.4g} at one time and not finite at another")
            if broken:
                raise NotApplicable("the first loss was not measured")
            return
        yield Finding(
            message="the first loss is not finite, in 2 of 2 passes; a number is expected",
            advice=(
                "Look for NaN and infinities in the inputs and the targets.",
                "Look for log, sqrt or a division at 0, a mean of nothing, and rows that are masked in whole.",
            ),
            evidence={"n_passes": 2},
        )
