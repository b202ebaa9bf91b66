"""A weight that is not a number."""

from __future__ import annotations

import math
from collections.abc import Iterator

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.signals import GRAD_NORM, LOSS, WEIGHT_NORM


class NonfiniteWeight(Rule):
    """A weight is NaN or infinite while the losses and gradients before it were finite.

    Where a loss or a gradient was lost first, the weight only follows it: that is nonfinite-loss or nonfinite-gradient.

    ## Why it matters
    Every output of the layer is NaN from then on, and a checkpoint that is saved now is poisoned.

    ## What to try
    - Look for what else writes to the weight: clamping, averaging, weight norm, loading.
    - Divide the learning rate by 10: a finite gradient times a huge rate overflows.
    - In float16 keep the weights in float32.

    ## When it is wrong
    A mask of minus infinity that is kept as a parameter is meant; name it in a suppression.

    ## References
    - Every comparable tool has the check: DeepLocalize (2021), AUTOTRAINER (2021), DeepDiagnosis (2022).
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.FATAL
    level = Level.DYNAMICS
    needs = (WEIGHT_NORM,)
    finite = False
    waits_for_warmup = False
    profiles = Rule.profiles | {"gan", "rl", "contrastive", "autoencoder", "diffusion"}
    explains = ("nonfinite-loss", "nonfinite-gradient")

    healthy = {"weight_norm": {"fc.weight": [1.0, 1.1, 1.2]}, "loss": [2.3, 2.2, 2.1]}
    faulty = {"weight_norm": {"fc.weight": [1.0, 1.1, math.nan]}, "loss": [2.3, 2.2, 2.1]}

    def check(self, trace: Trace) -> Iterator[Finding]:
        first = {
            name: step
            for name, norms in trace.by_subject(WEIGHT_NORM).items()
            if (step := _first_lost(norms.steps, norms.values)) is not None
        }
        if not first:
            return
        step = min(first.values())
        for signal in (LOSS, GRAD_NORM):
            subjects = {"": trace.series(signal), **trace.by_subject(signal)}
            lost = [at for one in subjects.values() if (at := _first_lost(one.steps, one.values)) is not None]
            if lost and min(lost) < step:
                raise NotApplicable(f"the {signal.name} was not finite first, at step {min(lost)}")
        named = sorted(name for name, at in first.items() if at == step)
        yield Finding(
            subject=named[0],
            message=f"weight norm of {named[0]} not finite at step {step}, and of {len(named) - 1} more; the losses "
            "and gradients before it were, and a finite number is expected",
            advice=(
                "Look for what else writes to the weight: clamping, averaging, loading.",
                "Divide the learning rate by 10.",
            ),
            evidence={"step": step, "n_weights": len(named)},
            step=step,
        )


def _first_lost(steps: list[int], values: list[float]) -> int | None:
    return next((s for s, value in zip(steps, values, strict=True) if not math.isfinite(value)), None)
