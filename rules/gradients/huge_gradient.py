"""A gradient whose norm is out of all proportion."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from pydantic import Field, PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.signals import GRAD_NORM


class HugeGradient(Rule):
    """The gradient norm of a fine-tuning is in the ten thousands, through the later half of the run.

    ## Why it matters
    With the usual limit of 1 each step is the direction of a gradient of which one part in ten thousand is left: a step
    of fixed length, with no regard to how steep the loss is. Without clipping the weights are thrown about.

    ## What to try
    - Divide the loss by the number of tokens or samples: a sum in its place scales with the batch.
    - Look for a part that was initialised anew on a wrong scale, such as added token embeddings.
    - Train in bfloat16 or float32 instead of float16.

    ## When it is wrong
    Losses on a large scale of their own (targets in the thousands) have gradients to match; scale the targets then.

    ## References
    - Gradient norms of fine-tunings that went well are between 0.1 and some hundred, by public logs of Transformers'
      trainer; that of the first steps may be far above.
    """

    phases = (Phase.RUN,)
    severity = Severity.WARNING
    level = Level.DYNAMICS
    needs = (GRAD_NORM,)
    bars = {"max_norm": GRAD_NORM, "norm": GRAD_NORM}
    finite = False
    profiles = frozenset({"fine-tune"})
    explains = ("gradient-spike", "loss-spike")

    min_steps: PositiveInt = 10
    """Gradient norms needed."""

    max_norm: float = Field(1e4, gt=0)
    """Median norm of the later half, from which on it counts."""

    healthy = {"profile": "fine-tune", "grad_norm": {"": [20000.0, 900.0, 40.0] + [6.0] * 20}}
    faulty = {"profile": "fine-tune", "grad_norm": {"": [21000.0, 26000.0, 19000.0] * 8}}

    def check(self, trace: Trace) -> Iterator[Finding]:
        norms = trace.series(GRAD_NORM)
        if len(norms) < self.min_steps:
            raise NotApplicable(f"{len(norms)} gradient norms of the whole model; {self.min_steps} are needed")
        if not norms.is_finite:
            raise NotApplicable("a gradient norm is not finite")
        level = median(norms.values[len(norms) // 2 :])
        if level <= self.max_norm:
            return
        yield Finding(
            message=f"gradient norm {level:.3g} in the later half of the run; below {self.max_norm:.3g} expected",
            advice=(
                "Divide the loss by the number of tokens or samples, where it is a sum.",
                "Check the scale of parts that were initialised anew, such as added embeddings.",
                "Train in bfloat16 or float32 instead of float16.",
            ),
            evidence={"norm": min(level, 1e300), "max_norm": self.max_norm},
        )
