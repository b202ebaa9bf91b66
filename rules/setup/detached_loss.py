"""A loss that hangs on no parameter."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.profiles import EVERY
from ..engine.signals import LOSS
from ..engine.tables import number, table, text

_WHY = {
    "leaf": "it is a new tensor made with requires_grad=True, so that its backward does nothing",
    "inference_mode": "it was made in inference_mode",
    "no_grad": "gradients are switched off where backward is called",
    "frozen": "no parameter of the optimizer is trained",
    "detached": "it was cut off by detach(), item(), .data, numpy, argmax, or no_grad around the forward pass",
}


class DetachedLoss(Rule):
    """The loss given to `backward` hangs on no parameter.

    ## Why it matters
    Nothing can be learned. Where the loss is a tensor made anew with `requires_grad=True`, backward does not even
    complain, and the loop looks as usual.

    ## What to try
    - Give `backward` the very tensor the loss function returned; use `.item()` for logging only.
    - Do not wrap tensors again: no `torch.tensor(loss)`, `Variable(loss.data)`, `requires_grad_()` on outputs.
    - Look for argmax, `detach()`, numpy or `no_grad` between the model and the loss.

    ## When it is wrong
    Gradients with respect to an input alone, such as a saliency map of a frozen model, hang on no parameter either;
    with an optimizer that owns the input, nothing is said.

    ## References
    - PyTorch documentation, Autograd mechanics: leaf tensors and `requires_grad`.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.ERROR
    level = Level.LOGIC
    waits_for_warmup = False
    finite = False
    profiles = EVERY
    explains = (
        Level.DYNAMICS, Level.OUTCOME, "step-does-nothing", "unreached-parameters", "unused-parameters",
        "optimizer-never-steps", "parameters-not-in-optimizer", "stale-optimizer-parameters",
        "learning-rate-too-low", "weight-decay-dominates",
    )  # fmt: skip

    min_losses: PositiveInt = 1
    """Losses that must have been sent backward, if it does not raise."""

    healthy = {"loss": [2.0, 1.5, 1.0] * 10, "facts": {"graph": {"reached": 6, "cut": None}}}
    faulty = {
        "loss": [2.0, 2.1, 1.9] * 10,
        "facts": {"graph": {"reached": 0, "cut": "leaf"}},
        "events": {"loss_detached": {0: {"kind": "leaf", "raises": False}}},
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        told = [text(event.data.get("kind")) for event in trace.events("loss_detached")]
        graph = table(trace.facts.get("graph"))
        cut, reached = graph.get("cut"), number(graph.get("reached")) or 0.0
        count = trace.count(LOSS)
        if not told and (count < self.min_losses or not graph):
            raise NotApplicable("no loss was seen on its way backward")
        known = [kind for kind in told if kind in _WHY]
        if known:
            why = _WHY[known[0]]
        elif cut == "all" and not reached:
            why = "outputs were cut off from the model, and made to want a gradient themselves"
        else:
            return
        yield Finding(
            message=f"a loss of {count} so far reaches {reached:g} parameters where it was cut off: {why}; it was "
            "expected to reach the model's",
            advice=(
                "Give backward() the tensor that the loss function returned; take .item() for logging only.",
                "Do not make tensors anew on the way: no torch.tensor(loss), .data, or requires_grad_() on outputs.",
                "Look for argmax, detach(), numpy or no_grad between the model and the loss.",
            ),
            evidence={"n_losses": count, "n_reached": reached},
        )
