"""A loss that stands while steps could still be taken."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from pydantic import Field, PositiveInt

from ..engine import Finding, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.gates import why_incomparable
from ..engine.profiles import ONE_OBJECTIVE
from ..engine.progress import progress_of
from ..engine.signals import LOSS, LR


class LossPlateaued(Rule):
    """The training loss came down, has stood for the last half of the run, and the learning rate is still high.

    ## Why it matters
    A loss that stands at a constant learning rate often goes down again when the rate does: the steps are as long as
    the valley is wide.

    ## What to try
    - Let the learning rate decay, by schedule or on a plateau.
    - Stop earlier, if what was reached is enough.

    ## When it is wrong
    The loss may be as low as noise in the labels lets it be. It is for information only.

    ## References
    - Karpathy 2019, A Recipe for Training Neural Networks: networks keep improving long after they seem to stand.
    """

    phases = (Phase.RUN,)
    severity = Severity.INFO
    needs = (LOSS,)
    bars = {"loss": LOSS, "loss_before": LOSS, "initial": LOSS}
    history = 200
    profiles = ONE_OBJECTIVE

    ratio: float = Field(0.01, ge=0, lt=1)
    """Fall over the last half of the run, as a share of the initial loss, up to which the loss stands."""

    min_fall: float = Field(0.1, gt=0, lt=1)
    """Share by which the loss must have come down before."""

    max_fall: float = Field(0.9, gt=0, le=1)
    """Share from which on there was little left to learn."""

    min_lr: float = Field(0.5, gt=0, le=1)
    """Share of its peak at which the learning rate counts as high."""

    n_levels: PositiveInt = 4
    """Stretches of the last half whose medians are compared."""

    healthy = {"loss": [2.3 * 0.99**i for i in range(400)], "lr": {"0": [0.1]}}
    faulty = {"loss": [2.3 * max(0.5, 0.98**i) + 0.01 * (i % 5) for i in range(400)], "lr": {"0": [0.1]}}

    def check(self, trace: Trace) -> Iterator[Finding]:
        incomparable = why_incomparable(trace)
        if incomparable is not None:
            raise NotApplicable(incomparable)
        progress = progress_of(trace)
        if progress is None:
            raise NotApplicable("the losses are not all finite")
        if not self.min_fall < progress.share < self.max_fall:
            return
        rates = [series for series in (trace.series(LR), *trace.by_subject(LR).values()) if series]
        if not rates or any(series[-1] < self.min_lr * max(series) for series in rates):
            raise NotApplicable("the learning rate is not known, or has decayed")
        values = trace.series(LOSS).values
        half = values[len(values) // 2 :]
        n = self.n_levels
        levels = [median(half[len(half) * i // n : len(half) * (i + 1) // n]) for i in range(n)]
        if levels[0] - min(levels) > max(self.ratio * abs(progress.initial), progress.error):
            return
        yield Finding(
            message=f"loss {levels[-1]:.4g} over the last losses, {levels[0]:.4g} half of the run before; it began at "
            f"{progress.initial:.4g}, and the learning rate is at {100 * self.min_lr:g} % of its peak or more",
            advice=("Let the learning rate decay.", "Stop earlier, if what was reached is enough."),
            evidence={"loss": levels[-1], "loss_before": levels[0], "initial": progress.initial},
        )
