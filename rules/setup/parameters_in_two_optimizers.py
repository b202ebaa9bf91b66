"""Parameters that two optimizers move."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.profiles import EVERY
from ..engine.tables import number, table, texts


class ParametersInTwoOptimizers(Rule):
    """Two optimizers that step in turn own the same parameters.

    ## Why it matters
    Each has its own idea of momentum and scale, and moves the parameters behind the other's back; weight decay counts
    twice.

    ## What to try
    - Give each parameter to one optimizer, in groups with rates of their own where that was the aim.

    ## When it is wrong
    Shared encoders with a loss and an optimizer for each head are sometimes built so on purpose, which is why this is a
    remark.

    ## References
    - PyTorch documentation, torch.optim: per-parameter options are what groups are for.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.INFO
    level = Level.LOGIC
    needs_facts = ("graph",)
    waits_for_warmup = False
    profiles = EVERY

    min_shared: PositiveInt = 1
    """Shared parameters from which on this is told."""

    healthy = {"lr": [1e-3] * 20, "facts": {"graph": {"reached": 6, "shared": [], "n_shared": 0}}}
    faulty = {"lr": [1e-3] * 20, "facts": {"graph": {"reached": 6, "shared": ["encoder.weight"], "n_shared": 1}}}

    def check(self, trace: Trace) -> Iterator[Finding]:
        graph = table(trace.facts.get("graph"))
        if not number(graph.get("reached")):
            raise NotApplicable("what the loss reaches was not seen")
        shared, n = texts(graph.get("shared")), int(number(graph.get("n_shared")) or 0)
        if not shared or n < self.min_shared:
            return
        yield Finding(
            subject=shared[0],
            message=f"{n} parameters are in two optimizers that step in turn: {', '.join(shared[:3])}; 0 were expected",
            advice="Give each parameter to one optimizer, in groups where rates differ.",
            evidence={"n_shared": n},
        )
