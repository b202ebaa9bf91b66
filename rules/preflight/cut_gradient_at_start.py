"""Parameters that the loss depends on, and that no gradient reaches."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.tables import number, table, texts


class CutGradientAtStart(Rule):
    """The loss changes when these parameters are changed, an optimizer owns them, and they get no gradient.

    ## Why it matters
    These layers stay as they were initialised: what stands behind the cut learns on random features.

    ## What to try
    - Look for `detach()`, `.data`, `.item()`, `.numpy()`, `torch.tensor(...)` or `no_grad` between the layer and the
      loss.
    - Replace operations without a gradient (argmax, round, comparisons) by ones that have one.
    - If the part is to be frozen, set `requires_grad_(False)` and leave it out of the optimizer.

    ## When it is wrong
    A part that is frozen by `no_grad` on purpose while the optimizer owns it, and one whose own loss comes later in the
    training, are named until then.

    ## References
    - TrainCheck (Jiang et al. 2025): `.data` and `detach` in the forward pass among reproduced silent errors.
    """

    phases = (Phase.PREFLIGHT,)
    severity = Severity.WARNING
    level = Level.LOGIC
    needs_facts = ("drill/signal-propagation",)
    waits_for_warmup = False
    profiles = Rule.profiles | {"autoencoder"}

    min_ratio: float = Field(1e-5, gt=0, lt=1)
    """Share of the loss that the change must make: rounding makes less."""

    healthy = {"facts": {"drill/signal-propagation": {"parameters": 8, "reached": 8, "loss": 2.3, "cut": None}}}
    faulty = {
        "facts": {
            "drill/signal-propagation": {
                "parameters": 8,
                "reached": 2,
                "loss": 2.3,
                "cut": {"names": ["encoder.0.weight"], "n": 3, "change": 0.4},
            }
        }
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        told = table(trace.facts.get("drill/signal-propagation"))
        loss, cut = number(told.get("loss")), table(told.get("cut"))
        if loss is None or not number(told.get("parameters")):
            raise NotApplicable("what the loss reaches was not seen")
        change, names = number(cut.get("change")), texts(cut.get("names"))
        if change is None or not names or change <= self.min_ratio * max(abs(loss), 1e-6):
            return
        count = number(cut.get("n")) or float(len(names))
        yield Finding(
            subject=names[0].rpartition(".")[0],
            message=f"no gradient reaches {count:.0f} weight matrices that an optimizer owns, {', '.join(names[:3])}; "
            f"the loss of {loss:.4g} changes by {change:.3g} when they are changed",
            advice=(
                "Look for detach(), item(), .data, numpy(), torch.tensor() or no_grad from these layers to the loss.",
                "Replace operations without a gradient (argmax, round, comparisons) on the way.",
                "If they are to be frozen, set requires_grad_(False) and leave them out of the optimizer.",
            ),
            evidence={"n_unreached": count, "change": change},
        )
