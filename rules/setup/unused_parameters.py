"""Parameters that an optimizer owns and no loss has any use for."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.tables import number, table, texts


class UnusedParameters(Rule):
    """An optimizer owns parameters that no loss has reached so far.

    ## Why it matters
    A head, expert or layer that is never used costs memory; with DistributedDataParallel it stops the run; and now and
    then it is the one that was meant to be used.

    ## What to try
    - Compare the layers named with what `forward` calls and what the loss is given.
    - Remove them, or set `requires_grad_(False)`.

    ## When it is wrong
    Templates bring heads that a task does not use, experts wait to be chosen, layers are dropped at random: that is why
    this is a remark.

    ## References
    - PyTorch issue 18180 and the DistributedDataParallel documentation, find_unused_parameters.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.INFO
    level = Level.LOGIC
    needs_facts = ("graph",)
    waits_for_warmup = False

    min_steps: PositiveInt = 20
    """Steps before anything is said: twenty batches choose most of the branches that there are."""

    healthy = {"lr": [1e-3] * 40, "facts": {"graph": {"reached": 6, "unreached": [], "n_unreached": 0}}}
    faulty = {
        "lr": [1e-3] * 40,
        "facts": {"graph": {"reached": 6, "unreached": ["pooler.weight", "pooler.bias"], "n_unreached": 2}},
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        graph = table(trace.facts.get("graph"))
        reached = number(graph.get("reached"))
        if not reached:
            raise NotApplicable("what the loss reaches was not seen, or it reaches nothing")
        if trace.step < self.min_steps:
            raise NotApplicable(f"step {trace.step}; judged from step {self.min_steps} on")
        names, n = texts(graph.get("unreached")), int(number(graph.get("n_unreached")) or 0)
        if not names or n < 1:
            return
        yield Finding(
            subject=names[0],
            message=f"no loss has reached {n} parameters of the optimizer so far: {', '.join(names[:3])}"
            f"{' ...' if n > 3 else ''}; it reached {reached:g}",
            advice=(
                "Compare these layers with what forward calls, and with what the loss is given.",
                "Remove what is not needed, or set requires_grad_(False).",
            ),
            evidence={"n_unreached": n, "n_reached": reached},
        )
