"""A loss that rises and stays up."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from pydantic import Field, PositiveInt

from ..engine import Finding, NotApplicable, Phase, Rule, Series, Severity, Trace
from ..engine.gates import why_incomparable
from ..engine.profiles import ONE_OBJECTIVE
from ..engine.progress import is_over, scatter
from ..engine.signals import EPOCH_LOSS, LOSS, LR
from ..engine.tables import losses_of, number, targets_of, text


class LossDiverging(Rule):
    """The training loss has risen well above the best level it had, and stays there.

    It must have risen by half of the initial loss; or, at the end, have given back half of what it had gained, while
    no learning rate has been raised on purpose. One that recovers was a spike.

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
    severity = Severity.WARNING
    bars = {"loss": LOSS, "best": LOSS, "bar": LOSS}
    waits_for_warmup = False
    explains = (
        "loss-spike", "loss-not-decreasing", "loss-oscillating", "loss-plateaued", "no-better-than-baseline",
        "overfitting", "overtraining",
    )  # fmt: skip
    profiles = ONE_OBJECTIVE

    ratio: float = Field(0.5, gt=0)
    """Rise above the best level, as a share of the initial loss, from which on the loss counts as diverging."""

    gain: float = Field(0.5, gt=0)
    """Share of what had been gained that a loss must have given back; at least a tenth of the initial loss."""

    min_gain: float = Field(0.3, gt=0, lt=1)
    """Share of the initial loss that must have been gained for that."""

    few: PositiveInt = 8
    """Levels below which the scatter of all losses is the noise."""

    factor: float = Field(10.0, gt=1)
    """A run whose recent losses are all above this many times its first loss diverged from the very start."""

    window: PositiveInt = 20
    """Losses in one level (a median), or a fifth of them where they are few; at least 5 % of the losses kept."""

    min_steps: PositiveInt = 25
    """Losses needed at the end of the run."""

    few_steps: PositiveInt = 50
    """Losses below which the level must be `few_factor` times the initial one: windows of a few losses jump by chance.
    """

    few_factor: float = Field(2.0, gt=1)
    """See `few_steps`."""

    going_on: PositiveInt = 100
    """Losses needed before the run is judged while it goes on."""

    min_epochs: PositiveInt = 3
    """Epochs in one level where only one loss an epoch is known."""

    tolerance: float = Field(4.0, gt=0)
    """A rise within this many standard deviations of the losses at the best level is noise."""

    healthy = {"loss": [2.3 * 0.97**i + 0.05 * (i % 3) for i in range(120)]}
    faulty = {"loss": [2.3 * 0.95**i for i in range(60)] + [0.1 * 1.1**i for i in range(60)]}

    def check(self, trace: Trace) -> Iterator[Finding]:
        incomparable = why_incomparable(trace)
        if incomparable is not None:
            raise NotApplicable(incomparable)
        functions = {text(one.get("function")) for one in losses_of(trace)}
        if len(functions) > 1:
            raise NotApplicable(f"losses of several kinds are sent backward: {', '.join(sorted(functions))}")
        losses, least = trace.series(LOSS), self.min_steps if is_over(trace) else self.going_on
        window = min(self.window, len(losses) // 5)
        if not losses:
            losses, least, window = trace.series(EPOCH_LOSS), 2 * self.min_epochs, self.min_epochs
        if len(losses) < least:
            raise NotApplicable(f"{len(losses)} losses were recorded; {least} are needed")
        if not losses.is_finite:
            raise NotApplicable("a loss is not finite")

        is_short = 0 < trace.series(LOSS).count < self.few_steps
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
        noise = max(_deviation(blocks[best_at]), scatter(beside.values))
        if len(blocks) < self.few:
            noise = max(noise, scatter(losses.values))  # the scatter of a few losses is too often small by luck
        rise = self.ratio * scale
        if (
            is_over(trace)
            and initial - best > self.min_gain * scale
            and not _was_raised(trace, blocks[best_at].steps[-1])
        ):
            rise = min(rise, max(self.gain * (initial - best), 0.1 * scale))
        bar = best + max(rise, self.tolerance * noise)

        # It began with targets that were small themselves, such as those that a model makes of its own outputs.
        began_small = now < _of_a_constant(trace)
        if best_at == 0 and began_small:
            return
        first = losses[0]
        if first > 0 and not began_small and min(recent) > self.factor * first:
            best, best_step, bar = first, losses.steps[0], self.factor * first
        elif now > (max(bar, self.few_factor * abs(initial)) if is_short else bar):
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


def _was_raised(trace: Trace, step: int) -> bool:
    """Whether a learning rate is higher than at that step, by more than a tenth: a restart, or a second phase."""
    for rates in (trace.series(LR), *trace.by_subject(LR).values()):
        before = [rate for at, rate in zip(rates.steps, rates, strict=True) if at <= step]
        if before and max(rates.values[len(before) :], default=0.0) > 1.1 * before[-1]:
            return True
    return False


def _deviation(losses: Series) -> float:
    # 1.4826 makes the median absolute deviation of normal noise its standard deviation.
    middle = losses.median
    return 1.4826 * median(abs(loss - middle) for loss in losses)


def _of_a_constant(trace: Trace) -> float:
    """The squared error of always answering the targets' mean; 0 where the loss is another, or they are unknown."""
    deviation = number(targets_of(trace, "mse_loss").get("std"))
    return deviation**2 if deviation is not None and deviation < 1e100 else 0.0
