"""Epochs that brought nothing."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field, PositiveInt

from ..engine import Finding, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.gates import why_incomparable
from ..engine.profiles import ONE_OBJECTIVE
from ..engine.signals import VAL_LOSS


class Overtraining(Rule):
    """For more than half of the run no evaluation was better than the best one before.

    ## Why it matters
    The time went into nothing that can be seen on held-out data; the model at the end is no better than the one at
    half time, and may be worse.

    ## What to try
    - Keep the checkpoint of the best evaluation, and stop when none has been better for some epochs.
    - Let the learning rate decay: what stands at a constant rate often improves as it falls.

    ## When it is wrong
    Networks may improve again long after they seem to stand. It is for information only.

    ## References
    - SageMaker Debugger, Overtraining: a patience of 10 evaluations. Prechelt 1998, Early Stopping - But When?
    """

    phases = (Phase.RUN,)
    severity = Severity.INFO
    needs = (VAL_LOSS,)
    bars = {"best": VAL_LOSS, "last": VAL_LOSS}
    history = 8
    profiles = ONE_OBJECTIVE

    quantile: float = Field(0.5, gt=0, lt=1)
    """Share of the evaluations since the best one."""

    tolerance: float = Field(1e-3, ge=0)
    """Share by which an evaluation must be below the best before to be better."""

    min_evaluations: PositiveInt = 5
    """Evaluations since the best one, at least."""

    healthy = {"loss/val": [1.0 * 0.9**i for i in range(12)]}
    faulty = {"loss/val": [1.0, 0.8, 0.6, *[0.65] * 9]}

    def check(self, trace: Trace) -> Iterator[Finding]:
        incomparable = why_incomparable(trace)
        if incomparable is not None:
            raise NotApplicable(incomparable)
        losses = trace.series(VAL_LOSS)
        if len(losses) < self.history:
            raise NotApplicable(f"{len(losses)} evaluations; {self.history} are needed")
        best_at, best = 0, losses[0]
        for at, loss in enumerate(losses):
            if loss < best - self.tolerance * abs(best):
                best_at, best = at, loss
        since = len(losses) - 1 - best_at
        if since < max(self.min_evaluations, self.quantile * len(losses)):
            return
        yield Finding(
            message=f"no evaluation was better than number {best_at + 1} of {len(losses)}, with a loss of {best:.4g}; "
            f"the last one has {losses[-1]:.4g}",
            advice=(
                f"Keep the checkpoint of evaluation {best_at + 1}, and stop when none has been better for some epochs.",
                "Let the learning rate decay.",
            ),
            evidence={"best": best, "last": losses[-1], "evaluations_since": since},
        )
