"""Mixed precision that keeps overflowing."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field, PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.profiles import EVERY
from ..engine.signals import GRAD_SCALE


class AmpOverflow(Rule):
    """The gradient scaler keeps skipping steps, or has lowered its scale below one.

    ## Why it matters
    A skipped step is a batch for nothing. Gradients that overflow at a scale below one are too large for half precision
    as they are, or not finite at any scale.

    ## What to try
    - Look for what is not finite: a logarithm of zero, a division, a loss that is a sum.
    - Use bfloat16, which needs no scaler, or compute the loss in float32.
    - Lower the learning rate if the loss grows.

    ## When it is wrong
    A scaler finds its scale by skipping the first steps, and skips about one in every growth interval (2000 steps)
    later on: only the second half of the run counts.

    ## References
    - PyTorch documentation, torch.amp.GradScaler; PyTorch issue 67590, a scale that falls to zero.
    - Micikevicius et al. 2018, Mixed Precision Training.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.WARNING
    level = Level.SETTING
    needs = (GRAD_SCALE,)
    bars = {"scale": GRAD_SCALE, "min_scale": GRAD_SCALE}
    waits_for_warmup = False
    finite = False
    profiles = EVERY
    explains = (Level.OUTCOME, Severity.FATAL)

    ratio: float = Field(0.1, gt=0, lt=1)
    """Share of skipped steps in the second half of the run that is too many."""

    min_skipped: PositiveInt = 5
    """Skipped steps in the second half before anything is said."""

    min_steps: PositiveInt = 40
    """Steps, skipped ones included, before anything is said."""

    min_scale: float = Field(1.0, gt=0)
    """Scale below which gradients overflow although they are not scaled up."""

    healthy = {"grad_scale": {"": {0: 65536.0, 1: 32768.0, 2: 16384.0}}, "loss": [1.0] * 200,
               "events": {"step_skipped": {1: {"scale": 65536.0}, 2: {"scale": 32768.0}}}}  # fmt: skip
    faulty = {"grad_scale": {"": {0: 65536.0, 90: 4.0}}, "loss": [1.0] * 100,
              "events": {"step_skipped": {step: {"scale": 4.0} for step in range(50, 100, 2)}}}  # fmt: skip

    def check(self, trace: Trace) -> Iterator[Finding]:
        scales = trace.series(GRAD_SCALE)
        skipped = [event.step for event in trace.events("step_skipped")]
        if not scales:
            raise NotApplicable("no scale of a gradient scaler was seen")
        if trace.step + len(skipped) < self.min_steps:
            raise NotApplicable(f"{trace.step + len(skipped)} steps; judged from {self.min_steps} on")
        half = trace.step / 2
        late = [step for step in skipped if step >= half]
        share = len(late) / max(1.0, trace.step - half + len(late))
        is_low = scales[-1] == scales[-1] and scales[-1] < self.min_scale and bool(skipped)
        if not is_low and (len(late) < self.min_skipped or share <= self.ratio):
            return
        yield Finding(
            message=f"{len(late)} steps, {share:.0%}, were skipped from step {half:.0f} on as gradients were not "
            "finite, "
            f"at a scale of {scales[-1]:.3g}; less than {self.ratio:.0%} and a scale of {self.min_scale:g} or "
            "more are expected",
            advice=(
                "Look for what is not finite in the model or the loss: log of 0, division, exp.",
                "Use bfloat16, or compute the loss in float32.",
                "Lower the learning rate if the loss grows.",
            ),
            evidence={
                "n_skipped": len(late),
                "share": share,
                "scale": min(scales[-1], 1e38) if is_low or scales[-1] == scales[-1] else 0.0,
            },
        )
