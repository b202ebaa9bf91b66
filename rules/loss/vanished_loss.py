"""A loss that is exactly zero from one entry to the next."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from pydantic import Field, PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.signals import LOSS


class VanishedLoss(Rule):
    """The training loss fell to exactly 0 within one entry of the log, and stayed there.

    ## Why it matters
    No loss that is learned down gets to zero in one stride. A trainer that leaves NaN out of its mean logs 0, and so
    does one whose labels are all masked: the weights are lost, or nothing is being trained.

    ## What to try
    - In float16: train in bfloat16, or load the model in float32 and let autocast choose.
    - Look for batches whose labels are all -100 (answers cut off, or a wrong template).
    - Go back to the checkpoint before the step that is named.

    ## When it is wrong
    Losses with a margin (triplet, hinge, preferences) come to rest at zero, but come there step by step. Runs with
    rewards are not judged: their loss may be 0 while its gradient is not.

    ## References
    - Transformers' trainer replaces a NaN of a step by the mean of the others (`logging_nan_inf_filter`), so that a run
      of NaNs is logged as 0.0.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.ERROR
    level = Level.DYNAMICS
    needs = (LOSS,)
    bars = {"loss_before": LOSS}
    finite = False
    waits_for_warmup = False
    profiles = frozenset({"fine-tune", "language-model"})
    explains = (Level.OUTCOME,)

    ratio: float = Field(0.1, gt=0, lt=1)
    """Share of the losses before it from which the loss must have fallen to 0 at once: learning takes smaller steps."""

    window: PositiveInt = 3
    """Zeros in a row, to the end, that are needed."""

    healthy = {"profile": "fine-tune", "loss": [2.2, 1.0, 0.3, 0.05, 0.01, 0.001, 0.0, 0.0, 0.0, 0.0]}
    faulty = {"profile": "fine-tune", "loss": [2.2, 1.9, 1.8, 0.0, 0.0, 0.0, 0.0]}

    def check(self, trace: Trace) -> Iterator[Finding]:
        losses = trace.series(LOSS)
        values = losses.values
        n_zeros = next((n for n, loss in enumerate(reversed(values)) if loss != 0), len(values))
        if n_zeros == len(values):
            raise NotApplicable(f"all {len(values)} losses are 0: there is nothing that it fell from")
        if n_zeros < self.window:
            return
        before = values[: len(values) - n_zeros]
        last, usual = before[-1], median(abs(loss) for loss in before[-10:])
        if not abs(last) > self.ratio * usual > 0:
            return
        step = losses.steps[len(before)]
        yield Finding(
            message=f"loss exactly 0 from step {step} on, {n_zeros} entries in a row; it was {last:.4g} just before",
            advice=(
                "In float16, train in bfloat16 or keep the weights in float32: the loss is likely NaN, logged as 0.",
                "Check that batches have labels that are not masked (-100) after truncation and templating.",
                f"Go back to a checkpoint from before step {step}.",
            ),
            step=step,
            evidence={"step": step, "n_zeros": n_zeros, "loss_before": last} if abs(last) < 1e300 else {"step": step},
        )
