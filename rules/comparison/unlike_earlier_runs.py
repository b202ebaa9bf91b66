"""A run whose curves leave those of its kind."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from pydantic import Field, PositiveInt

from ..engine import Finding, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.signals import EPOCH_LOSS, GRAD_NORM, VAL_ACCURACY, VAL_LOSS
from .bands import Band, bands, different_params, enough


class UnlikeEarlierRuns(Rule):
    """A curve of the run lies far outside those of the earlier runs of its kind, on the worse side.

    Earlier runs of the same experiment, script, model, optimizer, loss and data set that ended without a suspicion are
    its kind. At each step they give a band: from the least to the most, and their median with its deviation. A curve is
    outside when most of its later half lies beyond the band by more than a margin, to the end.

    ## Why it matters
    What was normal for this training is known better from its own past than from any rule of thumb.

    ## What to try
    - Look at what was changed since: parameters that differ are named, `tracker compare` shows the rest.
    - Undo the changes one by one.
    - Run the unchanged configuration again, to see whether the data or the machine have changed.

    ## When it is wrong
    A deliberate change of what is trained moves every curve. Five runs with one seed know nothing of the spread over
    seeds. Curves that are better than before are never reported.

    ## References
    - Robust bands of median and median absolute deviation: Rousseeuw & Croux 1993. With five runs a deviation is known
      to a factor of two, which is why a point must also lie beyond all of them by a margin.
    """

    phases = (Phase.CROSS_RUN,)
    severity = Severity.WARNING
    waits_for_warmup = False
    profiles = Rule.profiles | {"contrastive", "autoencoder", "diffusion"}
    explains = ("run-regression",)

    min_runs: PositiveInt = 5
    """Earlier runs needed."""

    min_points: PositiveInt = 3
    """Points of a curve needed."""

    factor: float = Field(4.0, gt=0)
    """Deviations from the median beyond which a point is outside."""

    ratio: float = Field(0.5, gt=0, le=1)
    """Share of the points of the later half that must be outside."""

    margin: float = Field(0.2, gt=0)
    """Distance beyond the worst of the others that counts: of losses, as a share of how far the others have fallen
    since their first point, or of the range of the others, if that is more."""

    max_drop: float = Field(0.05, gt=0, lt=1)
    """The same for accuracies, as a share of all samples."""

    max_ratio: float = Field(5.0, gt=1)
    """The same for gradient norms: how many times the largest of the others; and more than the others began with."""

    healthy = {
        "epochs": 6,
        "epoch_loss": [2.0, 1.2, 0.8, 0.6, 0.52, 0.5],
        "peers": {
            f"run{i}": {"epoch_loss": [2.0, 1.2 + 0.02 * i, 0.8 - 0.01 * i, 0.6 + 0.01 * i, 0.5, 0.48 + 0.01 * i]}
            for i in range(6)
        },
    }
    faulty = {
        "epochs": 6,
        "epoch_loss": [2.1, 1.9, 1.8, 1.8, 1.75, 1.8],
        "peers": {
            f"run{i}": {"epoch_loss": [2.0, 1.2 + 0.02 * i, 0.8 - 0.01 * i, 0.6 + 0.01 * i, 0.5, 0.48 + 0.01 * i]}
            for i in range(6)
        },
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        enough(trace, self.min_runs)
        judged = False
        changed = different_params(trace)
        for signal, name in (
            (EPOCH_LOSS, "training loss"),
            (VAL_LOSS, "held-out loss"),
            (VAL_ACCURACY, "held-out accuracy"),
            (GRAD_NORM, "gradient norm"),
        ):
            points = bands(trace, signal, self.min_runs)
            if len(points) < self.min_points:
                continue
            judged = True
            limits = [self._limit(signal.name, points, point) for point in points]
            later = list(zip(points, limits, strict=True))[len(points) // 2 :]
            sign = -1 if signal is VAL_ACCURACY else 1
            outside = [sign * point.value > sign * limit for point, limit in later]
            if not (outside[-1] and sum(outside) >= self.ratio * len(outside)):
                continue
            last, limit = later[-1]
            yield Finding(
                subject=signal.name,
                message=f"{name} {last.value:.4g} at step {last.step}; {last.n} earlier runs had {last.low:.4g} to "
                f"{last.high:.4g} there" + (f". Changed: {changed}" if changed else ""),
                advice=(
                    f"Undo what was changed: {changed}."
                    if changed
                    else "Compare the code and the data with those runs.",
                    "Show all differences with: tracker compare RUN_ID RUN_ID.",
                    "Run the former configuration again, to see whether the data or the machine have changed.",
                ),
                evidence={"value": last.value, "low": last.low, "high": last.high, "limit": limit, "n_runs": last.n},
            )
        if not judged:
            raise NotApplicable(f"no curve has {self.min_points} points that {self.min_runs} earlier runs have as well")

    def _limit(self, signal: str, points: Sequence[Band], at: Band) -> float:
        """The value from which on a point is outside."""
        span = at.high - at.low
        if signal == VAL_ACCURACY.name:
            return min(at.middle - self.factor * at.spread, at.low - max(self.max_drop, span))
        if signal == GRAD_NORM.name:
            # Near the end of a training that fits its data, norms differ by orders of magnitude and mean nothing.
            return max(at.middle + self.factor * at.spread, at.high + span, self.max_ratio * at.high, points[0].middle)
        fallen = max(0.0, points[0].middle - min(point.middle for point in points))
        limit = max(at.middle + self.factor * at.spread, at.high + max(self.margin * fallen, span))
        return limit if fallen > 0 and math.isfinite(limit) else math.inf
