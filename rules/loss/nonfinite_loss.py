"""A loss that is not a number."""

from __future__ import annotations

import math
from collections.abc import Iterator

from ..engine import Finding, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.signals import EPOCH_LOSS, LOSS


class NonfiniteLoss(Rule):
    """The training loss is NaN or infinite.

    ## Why it matters
    The gradient of such a loss is not finite either: one optimizer step later every weight it reaches is NaN, and
    nothing that is computed from then on means anything. Only a checkpoint from before that step is of use.

    ## What to try
    - When the loss grew before: divide the learning rate by 10, clip the gradient norm, warm up.
    - When it came at once: look for NaN in the batch, and for log, sqrt or a division at 0 in the loss.
    - In float16: use bfloat16, or a gradient scaler.

    ## When it is wrong
    A loop that looks at the loss and leaves such batches out never calls backward() on them, and is not judged here.
    A gradient scaler skips such a step and the weights survive; the loss is then finite again, as the message says.

    ## References
    - Every tool of the field that was compared has this check; none of them leaves it to the user to switch on.
    - Micikevicius et al. 2018, Mixed Precision Training: overflow in half precision.
    """

    phases = (Phase.STEP, Phase.EPOCH, Phase.RUN)
    severity = Severity.FATAL
    finite = False
    waits_for_warmup = False
    profiles = Rule.profiles | {"gan", "rl", "contrastive", "autoencoder", "diffusion"}
    explains = ("loss-diverging", "loss-spike", "loss-not-decreasing", "no-better-than-baseline", "overfitting")

    healthy = {"loss": [2.3, 2.2, 2.1, 1.9, 1.8]}
    faulty = {"loss": [2.3, 2.2, 9.1, math.nan, math.nan]}

    def check(self, trace: Trace) -> Iterator[Finding]:
        losses = trace.series(LOSS) or trace.series(EPOCH_LOSS)
        if not losses:
            raise NotApplicable("no training loss was recorded")
        bad = [i for i, loss in enumerate(losses) if not math.isfinite(loss)]
        if not bad:
            return

        first, last = bad[0], bad[-1]
        step = losses.steps[first]
        before = losses[first - 1] if first else None
        came = f"the loss before it was {before:.4g}" if before is not None else "it is the first loss of the run"
        later = "" if last == len(losses) - 1 else f"; finite again from step {losses.steps[last + 1]}"
        from_data = "Look for NaN or infinity in the batch, and for log, sqrt or a division at 0 in the loss."
        too_fast = "Divide the learning rate by 10, and clip the gradient norm."
        grew = before is not None and abs(before) > 2 * abs(losses[0])
        yield Finding(
            message=f"loss {losses[first]} at step {step}, {len(bad)} of {losses.count} not finite{later}; {came}",
            advice=(
                *((too_fast, from_data) if grew else (from_data, too_fast)),
                "In float16 use bfloat16 or a gradient scaler.",
            ),
            step=step,
            evidence={"step": step, "n_nonfinite": len(bad)} | ({} if before is None else {"loss_before": before}),
        )
