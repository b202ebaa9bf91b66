"""A gradient that is zero."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field, PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.profiles import EVERY
from ..engine.signals import GRAD_NORM, LOSS
from ..engine.tables import table, texts


class AbsentGradient(Rule):
    """The gradient norm of the whole model is exactly 0 at nearly every step.

    ## Why it matters
    No parameter that the optimizer has is told where to go: apart from weight decay, the model stays what it was.

    ## What to try
    - Count the trainable parameters: adapters may be frozen, or gradient checkpointing cuts the graph in front of them
      (enable_input_require_grads).
    - Look for a detach(), a no_grad(), an argmax or a rounding between the parameters and the loss.
    - Check that the labels are not all masked (-100).

    ## When it is wrong
    A batch that is fitted to the last digit, or whose labels are all masked, has no gradient: small batches show a zero
    now and then, which is why nearly all must be. A loss with a margin ends there once it is met, and is not judged
    when it is 0.

    ## References
    - Gradients that are exactly zero over all parameters do not come about by rounding: float32 holds 1e-38.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.ERROR
    level = Level.DYNAMICS
    needs = (GRAD_NORM,)
    finite = False
    waits_for_warmup = False
    explains = (Level.OUTCOME,)
    profiles = EVERY

    min_steps: PositiveInt = 5
    """Gradient norms needed."""

    quantile: float = Field(0.95, gt=0.5, le=1)
    """Share of the norms that must be exactly 0."""

    healthy = {"grad_norm": {"": [1.2, 0.0, 0.9, 0.0, 1.1, 1.3, 0.0, 0.8]}}
    faulty = {"grad_norm": {"": [0.0] * 12}, "loss": [1.9] * 12}

    def check(self, trace: Trace) -> Iterator[Finding]:
        norms = trace.series(GRAD_NORM)
        if len(norms) < self.min_steps:
            raise NotApplicable(f"{len(norms)} gradient norms of the whole model; {self.min_steps} are needed")
        zeros = sum(norm == 0 for norm in norms)
        if zeros < self.quantile * len(norms):
            return
        losses = trace.series(LOSS)
        if losses and all(loss == 0 for loss in losses.last(len(norms))):
            raise NotApplicable("the loss is 0: there is nothing to learn")
        flat = texts(table(trace.facts.get("graph")).get("stilled_by"))
        through = f": {', '.join(flat)}, of derivative 0, lies between the model and the loss" if flat else ""
        yield Finding(
            message=f"gradient norm exactly 0 at {zeros} of {len(norms)} steps; more than 0 was expected{through}",
            advice=(
                f"Leave out the {flat[0]} in training, or pass the gradient on: x + (x.{flat[0]}() - x).detach().",
                "Check that parameters are trainable (requires_grad), adapters and input embeddings included.",
                "Check that the labels are not all masked.",
            )
            if flat
            else (
                "Check that parameters are trainable (requires_grad), adapters and input embeddings included.",
                "Look for detach(), no_grad() or argmax between the parameters and the loss.",
                "Check that the labels are not all masked.",
            ),
            evidence={"n_zeros": zeros, "n_steps": len(norms)},
        )
