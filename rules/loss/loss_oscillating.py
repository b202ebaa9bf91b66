"""A loss that swings from epoch to epoch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import sqrt
from statistics import median

from pydantic import Field, PositiveInt

from ..engine import Finding, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.gates import why_incomparable
from ..engine.profiles import ONE_OBJECTIVE
from ..engine.progress import progress_of, scatter
from ..engine.signals import EPOCH_LOSS, LOSS, LR


class LossOscillating(Rule):
    """The training loss swings up and down from epoch to epoch by a good part of what there was to learn.

    Judged are epoch means of the second half of the run: their usual change must be large against the initial loss,
    against their own level, and against what the scatter of single batches makes of a mean.

    ## Why it matters
    Steps are too long for the valley they are in: each epoch undoes part of what the last one did, and where the run
    ends is a matter of luck.

    ## What to try
    - Divide the learning rate by 3 to 10, or let it decay.
    - Lower the momentum, enlarge the batch, or clip the gradient norm.
    - Check that the order of the data changes from epoch to epoch.

    ## When it is wrong
    Cyclic schedules swing on purpose. Epochs of a few small batches scatter by nature, which is allowed for.

    ## References
    - AUTOTRAINER (Zhang et al. 2021): swings of 0.03 in accuracy in a fifth of the epochs; losses have no common unit,
      so a tenth of the initial loss, in most of the later epochs, is used here.
    """

    phases = (Phase.RUN,)
    severity = Severity.WARNING
    needs = (EPOCH_LOSS,)
    bars = {"level": EPOCH_LOSS, "initial": EPOCH_LOSS}
    history = 8
    explains = ("loss-spike", "overfitting", "overtraining", "loss-plateaued")
    profiles = ONE_OBJECTIVE

    ratio: float = Field(0.1, gt=0, lt=1)
    """Usual change from epoch to epoch, as a share of the initial loss."""

    min_share: float = Field(0.25, gt=0, lt=1)
    """The same, as a share of the level the epochs are at: what is large against both is seen in a plot."""

    tolerance: float = Field(4.0, gt=0)
    """Standard errors of an epoch's mean within which a change is the scatter of its batches."""

    min_turns: PositiveInt = 2
    """Ups, and downs, that there must be."""

    healthy = {"loss": [2.3 * 0.98**i + 0.1 * (i % 4) for i in range(120)], "epoch_len": 10}
    faulty = {
        "loss": [(2.3 if i < 10 else 1.0 + 0.6 * (i // 10 % 2)) + 0.01 * (i % 4) for i in range(120)],
        "epoch_len": 10,
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        incomparable = why_incomparable(trace)
        if incomparable is not None:
            raise NotApplicable(incomparable)
        means, losses = trace.series(EPOCH_LOSS), trace.series(LOSS)
        progress = progress_of(trace)
        if progress is None:
            raise NotApplicable("too few losses, or not all finite")
        if _has_risen(trace, means.steps[len(means) // 2 - 1]):
            raise NotApplicable("a learning rate was raised in the second half of the run: a schedule that swings")
        late = means.values[len(means) // 2 - 1 :]
        changes = [b - a for a, b in pairwise(late)]
        usual, level = median(map(abs, changes)), median(late)
        scale = max(abs(progress.initial), abs(progress.initial - progress.best))
        per_epoch = max(1.0, losses.count / len(means)) if losses else 1.0
        error = scatter(losses.values) / sqrt(per_epoch) if per_epoch > 1 else 0.0
        if usual < max(self.ratio * scale, self.min_share * abs(level), self.tolerance * error):
            return
        if min(_turns(changes, up=True), _turns(changes, up=False)) < self.min_turns:
            return
        yield Finding(
            message=f"the loss changes by {usual:.3g} from epoch to epoch, up and down, in the last {len(late)} of "
            f"{len(means)} epochs, around {level:.4g}; less than {self.ratio * scale:.3g}, a tenth of what it was at "
            "the start, is expected",
            advice=(
                "Divide the learning rate by 3 to 10, or let it decay.",
                "Lower the momentum, enlarge the batch, or clip the gradient norm.",
                "Check that the order of the data changes from epoch to epoch.",
            ),
            evidence={"change": usual, "level": level, "initial": progress.initial},
        )


def _turns(changes: Sequence[float], up: bool) -> int:
    return sum((change > 0) is up for change in changes)


def _has_risen(trace: Trace, since: int) -> bool:
    """Whether a learning rate went up by more than a tenth from one value to the next, from that step on."""
    return any(
        after > 1.1 * before and step >= since
        for rates in (trace.series(LR), *trace.by_subject(LR).values())
        for step, before, after in zip(rates.steps[1:], rates.values, rates.values[1:], strict=False)
    )
