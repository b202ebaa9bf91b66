"""A loss that rises and stays up."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from pydantic import Field, PositiveInt

from ..engine import Finding, NotApplicable, Phase, Rule, Series, Severity, Trace
from ..engine.signals import EPOCH_LOSS, LOSS


class LossDiverging(Rule):
    """The training loss has risen well above the best level it had, and stays there.

    ## Why it matters
    A training that gave back what it had learned rarely finds its way back by itself; the best checkpoint is behind it.

    ## What to try
    - Go back to the best checkpoint and divide the learning rate by 3 to 10.
    - Clip the gradient norm, and warm up the learning rate.
    - Check the sign of each loss term and that gradients are set to zero once per step.

    ## When it is wrong
    Curricula that make the task harder, and warm restarts of the learning rate, raise the loss on purpose for a while.
    Adversarial and reinforcement learning are not judged: their loss measures a moving opponent.

    ## References
    - The bar of 1.5 times the best level for 5 % of the run is ours; it is looser than the four doublings in a row of
      TheDeepChecker (Braiek & Khomh 2022), which miss a loss that rises once and stays.
    """

    phases = (Phase.STEP, Phase.EPOCH, Phase.RUN)
    severity = Severity.ERROR
    waits_for_warmup = False
    profiles = Rule.profiles | {"autoencoder", "diffusion"}
    explains = ("loss-spike", "loss-not-decreasing", "no-better-than-baseline")

    ratio: float = Field(0.5, gt=0)
    """Rise above the best level, as a share of the initial loss, from which on the loss counts as diverging."""

    factor: float = Field(10.0, gt=1)
    """A run whose recent losses are all above this many times its first loss diverged from the very start."""

    window: PositiveInt = 20
    """Losses in one level (a median); at least 5 % of the losses kept."""

    min_epochs: PositiveInt = 3
    """Epochs in one level where only one loss an epoch is known."""

    tolerance: float = Field(4.0, gt=0)
    """A rise within this many standard deviations of the losses at the best level is noise."""

    healthy = {"loss": [2.3 * 0.97**i + 0.05 * (i % 3) for i in range(120)]}
    faulty = {"loss": [2.3 * 0.95**i for i in range(60)] + [0.1 * 1.1**i for i in range(60)]}

    def check(self, trace: Trace) -> Iterator[Finding]:
        losses, window = trace.series(LOSS), self.window
        if not losses:
            losses, window = trace.series(EPOCH_LOSS), self.min_epochs
        if len(losses) < 2 * window:
            raise NotApplicable(f"{len(losses)} losses were recorded; {2 * window} are needed")
        if not losses.is_finite:
            raise NotApplicable("a loss is not finite")

        window = max(window, len(losses) // 20)
        recent = losses.last(window)
        blocks = [losses[at : at + window] for at in range(0, len(losses) - 2 * window + 1, window)]
        levels = [block.median for block in blocks]
        best_at = min(range(len(blocks)), key=levels.__getitem__)
        # Early losses fall fast: the first block's median may be far below what the run began with.
        best, initial, now = levels[best_at], max(levels[0], losses.first(5).median), recent.median
        scale = max(abs(initial), abs(initial - best))
        # The lowest of many noisy levels tends to be one of little spread: its neighbour, not chosen, tells the noise.
        beside = blocks[best_at - 1 if best_at else min(1, len(blocks) - 1)]
        noise = max(_deviation(blocks[best_at]), _deviation(beside))
        bar = best + max(self.ratio * scale, self.tolerance * noise)

        first = losses[0]
        if first > 0 and min(recent) > self.factor * first:
            best, best_step, bar = first, losses.steps[0], self.factor * first
        elif now > bar:
            best_step = blocks[best_at].steps[-1]
        else:
            return
        yield Finding(
            message=f"loss {now:.4g} over the last {len(recent)}; it was {best:.4g} at step {best_step}",
            advice=(
                "Go back to the best checkpoint and divide the learning rate by 3 to 10.",
                "Clip the gradient norm, and warm up the learning rate.",
                "Check the sign of each loss term, and that gradients are set to zero once per step.",
            ),
            evidence={"loss": now, "best": best, "best_step": best_step, "bar": bar},
        )


def _deviation(losses: Series) -> float:
    # 1.4826 makes the median absolute deviation of normal noise its standard deviation.
    middle = losses.median
    return 1.4826 * median(abs(loss - middle) for loss in losses)
