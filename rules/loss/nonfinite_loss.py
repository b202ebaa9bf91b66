"""A loss that is not a number."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from ..engine import Finding, Json, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.signals import EPOCH_LOSS, LOSS
from ..engine.tables import number, text


class NonfiniteLoss(Rule):
    """The training loss is NaN or infinite.

    On the CPU the graph of that loss tells where it came from: the first operation with finite inputs and a result that
    is not, its layer, and the samples of the batch; on a device the first such module on a closely watched step does.

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
    bars = {"loss_before": LOSS}
    finite = False
    waits_for_warmup = False
    profiles = Rule.profiles | {"gan", "rl", "contrastive", "autoencoder", "diffusion"}
    explains = (
        "loss-diverging", "loss-spike", "loss-not-decreasing", "no-better-than-baseline", "overfitting",
        # A loss with NaN for some samples may have a finite gradient: what steps along it come to later.
        "update-ratio", "gradient-spike", "loss-plateaued",
    )  # fmt: skip

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
        origin, advice = _origin(trace, step)
        seen = f"loss {losses[first]} at step {step}, {len(bad)} of {losses.count} not finite{later}"
        yield Finding(
            message=f"{seen}; {came}{origin}",
            advice=(
                *advice,
                *((too_fast, from_data) if grew else (from_data, too_fast)),
                "In float16 use bfloat16 or a gradient scaler.",
            )[:3],
            step=step,
            evidence={"step": step, "n_nonfinite": len(bad)} | ({} if before is None else {"loss_before": before}),
        )


def _origin(trace: Trace, step: int) -> tuple[str, tuple[str, ...]]:
    """Where the loss at `step` became so, as the rest of a sentence, and what to do about that."""
    event = next((one.data for one in trace.events("nonfinite_origin") if one.step == step), {})
    indices = event.get("batch_indices")
    chosen = [str(one) for one in indices if isinstance(one, int)] if isinstance(indices, list) else []
    batch = f"; batch of samples {', '.join(chosen[:8])}{', ...' if len(chosen) > 8 else ''}" if chosen else ""
    kind, op, module = text(event.get("kind")), text(event.get("op")), text(event.get("module"))
    near = f" near {module}" if module else ""
    if kind == "operation" and op:
        return f"; first in {op}{near}{_given(event)}{batch}", (
            f"Keep what {op} is given{near} in its range: add a small constant, or clamp it.",
        )
    if kind == "weight" and module:
        return f"; the weights of {module} were not finite already{batch}", (
            "Look at the step before: gradient, rate, clipping.",
        )
    if kind == "input":
        return f"; what {module or op} was given was not finite already{batch}", (
            "Remove NaN and infinity from the data.",
        )
    seen = next((one.data for one in trace.events("nonfinite_output") if one.step <= step), None)
    if seen is not None and text(seen.get("module")):
        return f"; first seen in the output of {text(seen.get('module'))}{batch}", ()
    return batch, ()


def _given(event: Mapping[str, Json]) -> str:
    low, high = number(event.get("low")), number(event.get("high"))
    return f", given {low:.3g} to {high:.3g}" if low is not None and high is not None else ""
