"""A gradient that is not a number while the loss still is."""

from __future__ import annotations

import math
from collections.abc import Iterator

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.signals import GRAD_NORM, LOSS


class NonfiniteGradient(Rule):
    """A gradient is NaN or infinite at a step whose loss was finite.

    Where the loss was lost first, the gradient only follows it: that is nonfinite-loss, and not reported twice.

    ## Why it matters
    The optimizer has used this gradient: the weights it reached are NaN now, and so will be the next loss.

    ## What to try
    - Look at the named parameter's layer for sqrt, norm, log, acos or a division that meets 0.
    - A softmax or attention row whose entries are all masked has no gradient: mask otherwise.
    - Add a small constant inside the root or the logarithm, not outside.

    ## When it is wrong
    A gradient scaler skips such steps, which are not recorded. A custom optimizer that leaves such gradients out by
    itself is not harmed by them.

    ## References
    - PyTorch, autograd mechanics, "Gradients for non-differentiable functions"; torch.autograd.detect_anomaly names the
      operation.
    """

    phases = (Phase.STEP, Phase.EPOCH, Phase.RUN)
    severity = Severity.FATAL
    level = Level.DYNAMICS
    needs = (GRAD_NORM,)
    finite = False
    waits_for_warmup = False
    profiles = Rule.profiles | {"gan", "rl", "contrastive", "autoencoder", "diffusion"}
    explains = ("nonfinite-loss", "loss-diverging", "loss-spike", "loss-not-decreasing", "no-better-than-baseline")

    healthy = {"grad_norm": [0.9, 1.0, 1.1, 0.9], "loss": [2.3, 2.2, 2.1, 2.0]}
    faulty = {"grad_norm": [0.9, 1.0, math.nan, math.nan], "loss": [2.3, 2.2, 2.1, math.nan]}

    def check(self, trace: Trace) -> Iterator[Finding]:
        first: dict[str, int] = {}
        for name, norms in {"": trace.series(GRAD_NORM), **trace.by_subject(GRAD_NORM)}.items():
            step = next((s for s, norm in zip(norms.steps, norms, strict=True) if not math.isfinite(norm)), None)
            if step is not None:
                first[name] = step
        if not first:
            return
        step = min(first.values())
        losses = trace.series(LOSS)
        lost = next((s for s, loss in zip(losses.steps, losses, strict=True) if not math.isfinite(loss)), None)
        if lost is not None and lost <= step:
            raise NotApplicable(f"the loss was not finite first, at step {lost}")

        named = sorted(name for name, at in first.items() if name and at == step)
        where = f"in {named[0]}" + (f" and {len(named) - 1} more parameters" if len(named) > 1 else "") if named else ""
        between = _between(trace, set(named), step)
        before = [loss for s, loss in zip(losses.steps, losses, strict=True) if s <= step]
        yield Finding(
            message=f"gradient norm not finite at step {step} {where}".rstrip()
            + (f"; the loss there is {before[-1]:.4g}" if before else "; a finite number is expected")
            + between,
            advice=(
                "Look in that layer for sqrt, norm, log or a division that meets 0.",
                "Look for attention or softmax rows whose entries are all masked.",
                "Run that step under torch.autograd.detect_anomaly to see the operation.",
            ),
            evidence={"step": step, "n_parameters": len(named)} | ({"loss": before[-1]} if before else {}),
        )


def _between(trace: Trace, lost: set[str], step: int) -> str:
    """What the order of the parameters says: those behind the operation at fault, seen from the loss, are all lost."""
    kept = [
        name
        for name, norms in trace.by_subject(GRAD_NORM).items()
        if name not in lost and step in norms.steps and math.isfinite(norms.values[norms.steps.index(step)])
    ]
    if not lost:
        return ""
    if not kept:
        return f"; all {len(lost)} parameters have it, so it came between the last layer and the loss"
    return f"; {len(kept)} parameters, {sorted(kept)[0]} among them, have a finite one, so it came on the way from them"
