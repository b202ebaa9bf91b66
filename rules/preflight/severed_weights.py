"""Weights that the loss depends on, and that get no gradient."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.tables import number, table, tables, text, texts


class SeveredWeights(Rule):
    """The loss changes with weights that an optimizer should train, and a step gave them no gradient.

    ## Why it matters
    What was computed from them was cut off: they keep their initial values, and the rest trains on noise from them.

    ## What to try
    - Look between these weights and the loss for detach(), .data, .item(), .numpy(), torch.tensor(...), no_grad.
    - If they are meant to stay as they are, set requires_grad to False and leave them out of the optimizer.

    ## When it is wrong
    A teacher kept inside of the model, and given to its optimizer, is never meant to be trained. Weights that one
    iteration changes in any way are not counted, nor single ones such as a codebook.

    ## References
    - PyTorch, Autograd mechanics, "Locally disabling gradient computation".
    """

    phases = (Phase.PREFLIGHT,)
    severity = Severity.WARNING
    level = Level.LOGIC
    needs_facts = ("drill/gradient-check",)
    waits_for_warmup = False
    profiles = Rule.profiles | {"gan", "rl", "contrastive", "autoencoder", "diffusion"}

    min_tensors: int = Field(2, ge=1)
    """Tensors that must be cut off: a layer has two, a codebook that is trained in another way has one."""

    healthy = {"facts": {"drill/gradient-check": {"all_tensors": 4, "entries": 16, "cut": []}}}
    faulty = {
        "facts": {
            "drill/gradient-check": {
                "all_tensors": 4, "entries": 16, "cut": ["body.weight", "body.bias"], "tricks": {"detach": 1},
                "worst": [{"name": "body.weight", "numeric": 0.021}],
            }
        }
    }  # fmt: skip

    def check(self, trace: Trace) -> Iterator[Finding]:
        told = table(trace.facts.get("drill/gradient-check"))
        everything = number(told.get("all_tensors"))
        if not everything or not number(told.get("entries")):
            raise NotApplicable("no entry of the model's gradient could be compared with a difference")
        cut = texts(told.get("cut"))
        if len(cut) < self.min_tensors:
            return
        rows = {text(row.get("name")): row for row in tables(told.get("worst"))}
        numeric = next((value for name in cut if (value := number(table(rows.get(name)).get("numeric")))), None)
        seen = f" (by {numeric:.2g} for each unit of one of them)" if numeric is not None else ""
        tricks = [name for name, count in table(told.get("tricks")).items() if number(count)]
        calls = f"The forward pass calls {', '.join(tricks)}: look" if tricks else "Look"
        yield Finding(
            message=(
                f"{len(cut)} of {everything:.0f} tensors get no gradient in a step, and the loss changes with "
                f"them{seen}"
            ),
            advice=(
                f"{calls} for what cuts them off from the loss.",
                "If they are to stay as they are, set requires_grad to False and leave them out of the optimizer.",
            ),
            subject=cut[0],
            evidence={"cut": float(len(cut)), "tensors": everything},
        )
