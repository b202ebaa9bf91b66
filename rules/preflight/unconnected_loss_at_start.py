"""A loss that reaches no parameter of the model."""

from __future__ import annotations

from collections.abc import Iterator

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.profiles import EVERY
from ..engine.tables import number, table


class UnconnectedLossAtStart(Rule):
    """No trained parameter of the model gets a gradient in an iteration of the training.

    ## Why it matters
    Nothing can be learned. Where the loss is a tensor made anew with `requires_grad=True`, backward does not even
    complain, and the loop looks as usual.

    ## What to try
    - Give `backward` the very tensor the loss function returned; use `.item()` for logging only.
    - Look for argmax, `detach()`, `.data`, numpy or `no_grad` between the model and the loss.

    ## When it is wrong
    A model that another part of the loop trains, on other batches, gets its gradients there.

    ## References
    - PyTorch documentation, Autograd mechanics: leaf tensors and `requires_grad`.
    """

    phases = (Phase.PREFLIGHT,)
    severity = Severity.ERROR
    level = Level.LOGIC
    needs_facts = ("drill/signal-propagation",)
    waits_for_warmup = False
    profiles = EVERY

    healthy = {"facts": {"drill/signal-propagation": {"parameters": 6, "reached": 6}}}
    faulty = {"facts": {"drill/signal-propagation": {"parameters": 6, "reached": 0}}}

    def check(self, trace: Trace) -> Iterator[Finding]:
        told = table(trace.facts.get("drill/signal-propagation"))
        parameters, reached = number(told.get("parameters")), number(told.get("reached"))
        if not parameters or reached is None:
            raise NotApplicable("what the loss reaches was not seen")
        if reached > 0:
            return
        yield Finding(
            message=f"the loss reaches 0 of {parameters:.0f} trained parameters; all are expected to get a gradient",
            advice=(
                "Give backward() the tensor that the loss function returned; take .item() for logging only.",
                "Do not make tensors anew on the way: no torch.tensor(loss), .data, or requires_grad_() on outputs.",
                "Look for argmax, detach(), numpy or no_grad between the model and the loss.",
            ),
            evidence={"reached": reached, "parameters": parameters},
        )
