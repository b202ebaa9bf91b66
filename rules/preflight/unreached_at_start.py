"""Parameters without a gradient in the first iterations."""

from __future__ import annotations

from collections.abc import Iterator

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.tables import number, table, texts


class UnreachedAtStart(Rule):
    """Some trained parameters get no gradient from this batch, and the loss does not depend on them.

    ## Why it matters
    A part that was forgotten in `forward`, or whose output is not used, stays as it was initialised.

    ## What to try
    - Call the part in `forward`, or take it out of the model.

    ## When it is wrong
    Branches, experts and heads that wait to be chosen get theirs from other batches.

    ## References
    - PyTorch, `find_unused_parameters` of DistributedDataParallel, is about the same.
    """

    phases = (Phase.PREFLIGHT,)
    severity = Severity.INFO
    level = Level.LOGIC
    needs_facts = ("drill/signal-propagation",)
    waits_for_warmup = False
    profiles = Rule.profiles | {"autoencoder", "contrastive", "diffusion"}

    healthy = {"facts": {"drill/signal-propagation": {"parameters": 8, "reached": 8, "n_unreached": 0}}}
    faulty = {
        "facts": {
            "drill/signal-propagation": {
                "parameters": 8,
                "reached": 6,
                "n_unreached": 2,
                "unreached": ["aux.weight", "aux.bias"],
                "uncalled": 2,
            }
        }
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        told = table(trace.facts.get("drill/signal-propagation"))
        parameters, reached, count = (number(told.get(key)) for key in ("parameters", "reached", "n_unreached"))
        if not parameters or not reached or count is None:
            raise NotApplicable("what the loss reaches was not seen, or it reaches nothing")
        if count <= 0 or table(told.get("cut")):
            return
        names, uncalled = texts(told.get("unreached")), number(told.get("uncalled")) or 0.0
        said = f" ({', '.join(names[:3])}{' ...' if count > 3 else ''})" if names else ""
        yield Finding(
            subject=names[0].rpartition(".")[0] if names else "",
            message=f"{count:.0f} of {parameters:.0f} trained parameters{said} get no gradient from this batch, "
            f"{uncalled:.0f} of them in layers that were not called; 0 are expected",
            advice=("Call the part in forward, or take it out of the model, unless other batches use it.",),
            evidence={"n_unreached": count, "n_parameters": parameters},
        )
