"""A held-out loss that is not a number, while that of the training is."""

from __future__ import annotations

import math
from collections.abc import Iterator

from ..engine import Finding, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.signals import EPOCH_LOSS, LOSS, VAL_LOSS


class NonfiniteHeldOutLoss(Rule):
    """The held-out loss is NaN or infinite at every evaluation of late, and the training loss is finite.

    ## Why it matters
    Nobody watches over the training: early stopping, the choice of a checkpoint and schedules that wait for the
    held-out loss all compare with NaN, which is never smaller.

    ## What to try
    - Check that the held-out set is not empty, and that its labels are not all masked.
    - Evaluate in float32 or bfloat16: a sum over a vocabulary overflows in float16.
    - Look for inputs of the held-out data that training never has: NaN, or lengths of 0.

    ## When it is wrong
    A loss of a density can be infinite for a held-out sample outside of its support. NaN that stands for epochs without
    an evaluation is passed over, as finite values follow it.

    ## References
    - Micikevicius et al. 2018, Mixed Precision Training: overflow in half precision.
    """

    phases = (Phase.RUN,)
    severity = Severity.WARNING
    needs = (VAL_LOSS,)
    finite = False
    waits_for_warmup = False
    profiles = Rule.profiles | {"autoencoder", "diffusion"}

    healthy = {"epochs": 3, "loss": [1.0, 0.9, 0.8], "val_loss": [1.1, 1.0, 0.9]}
    faulty = {"epochs": 3, "loss": [1.0, 0.9, 0.8], "val_loss": [math.nan] * 3}

    def check(self, trace: Trace) -> Iterator[Finding]:
        held_out = trace.series(VAL_LOSS)
        if not held_out:
            raise NotApplicable("there is no held-out loss of the first set")
        losses = trace.series(LOSS) or trace.series(EPOCH_LOSS)
        if not losses or not losses.is_finite:
            raise NotApplicable("there is no finite training loss to compare with")
        first = next((n for n, loss in enumerate(held_out.values) if not math.isfinite(loss)), len(held_out))
        bad = len(held_out) - first
        # A finite one behind it: NaN stands for epochs without an evaluation, or the loss came back.
        if bad < min(2, len(held_out)) or any(map(math.isfinite, held_out.values[first:])):
            return
        step = held_out.steps[len(held_out) - bad]
        yield Finding(
            message=f"held-out loss not finite at the last {bad} of {len(held_out)} evaluations, from step {step} on; "
            "the training loss is finite throughout",
            advice=(
                "Check that the held-out set is not empty, and that its labels are not all masked.",
                "Evaluate in float32 or bfloat16 instead of float16.",
                "Look for NaN in the inputs of the held-out data.",
            ),
            step=step,
            evidence={"n_nonfinite": bad, "n_evaluations": len(held_out)},
        )
