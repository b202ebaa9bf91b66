"""Steps that are too long, or too short, for the weights they change."""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite
from statistics import median

from pydantic import Field, PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.layers import matrices
from ..engine.progress import progress_of, settled_progress
from ..engine.signals import LR, UPDATE_RATIO


class UpdateRatio(Rule):
    """Most weight matrices change by far too much, or by almost nothing, in one step.

    ## Why it matters
    A healthy step changes a weight matrix by about a thousandth of its norm. At a tenth the weights are replaced every
    ten steps and nothing accumulates; at a millionth nothing would have changed after a day.

    ## What to try
    - Change the learning rate by the factor that brings the ratio to about 1e-3.
    - Too high: warm up, clip the gradient norm, check whether the loss is a sum over the batch.
    - Too low: check weight scale, loss scale, and whether the gradient reaches these layers.

    ## When it is wrong
    Small networks bear long steps, and large ones short steps: what is within the outer bars is reported only when
    the loss has not come down. Biases, norms and embeddings are not judged, nor matrices that start at zero in their
    first steps, nor the tail of a schedule, nor fine-tuning, where 1e-6 is healthy, nor what rests at a rate of 0 while
    another group learns.

    ## References
    - CS231n notes, "Ratio of weights:updates": about 1e-3.
    - TheDeepChecker (Braiek & Khomh 2022): above 1e-1 fast, below 1e-4 slow, means over 10 iterations.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.WARNING
    level = Level.DYNAMICS
    needs = (UPDATE_RATIO,)
    bars = {
        "max_ratio": UPDATE_RATIO,
        "min_ratio": UPDATE_RATIO,
        "slow_ratio": UPDATE_RATIO,
        "update_ratio": UPDATE_RATIO,
    }
    history = 10
    finite = False
    profiles = Rule.profiles - {"fine-tune"} | {"autoencoder", "contrastive", "diffusion"}
    explains = ("gradient-spike", "weight-divergence", Level.OUTCOME, Severity.FATAL)

    max_ratio: float = Field(1e-1, gt=0)
    """Relative change per step above which a matrix changes too much."""

    min_ratio: float = Field(1e-6, ge=0)
    """Relative change per step below which a matrix does not change, whatever the loss says."""

    slow_ratio: float = Field(1e-4, ge=0)
    """Relative change per step below which it changes slowly: reported where the loss has not come down."""

    min_fall: float = Field(0.05, gt=0, lt=1)
    """Share by which the loss must have come down for slow steps to pass."""

    max_fall: float = Field(0.1, gt=0, lt=1)
    """Share by which the loss must have come down for long steps to pass."""

    min_steps: PositiveInt = 100
    """Steps before long steps are reported: small weights grow within them, and a loss may need as many to fall."""

    window: PositiveInt = 10
    """How many recent samples give a matrix's level (a median)."""

    quantile: float = Field(0.5, gt=0, le=1)
    """Share of the matrices that must be beyond a bar."""

    min_lr: float = Field(0.1, ge=0, le=1)
    """Share of the peak learning rate below which the schedule is in its tail and nothing is judged."""

    healthy = {"update_ratio": {"stem.weight": [2e-3] * 120, "head.weight": [1e-3] * 120}}
    faulty = {"update_ratio": {"stem.weight": [0.4] * 120, "head.weight": [0.3] * 120}}

    def check(self, trace: Trace) -> Iterator[Finding]:
        _refuse_the_tail(trace, self.min_lr)
        judged = matrices(trace)
        has_resting_group = any(rates[-1] == 0 for rates in trace.by_subject(LR).values() if rates)
        levels: dict[str, float] = {}
        for name, ratios in trace.by_subject(UPDATE_RATIO, self.window).items():
            recent = [ratio for ratio in ratios.last(self.window) if isfinite(ratio)]
            is_known = (name in judged if judged else _looks_like_a_matrix(name)) and len(recent) == self.window
            if is_known and (any(recent) or not has_resting_group):  # else its rate is 0, for now or for good
                levels[name] = median(recent)
        if not levels:
            raise NotApplicable(f"no weight matrix has {self.window} finite update ratios")

        high = {name: level for name, level in levels.items() if level > self.max_ratio}
        low = {name: level for name, level in levels.items() if level < self.min_ratio}
        slow = {name: level for name, level in levels.items() if level < self.slow_ratio}
        needed = self.quantile * len(levels)
        # The weights of one layer alone, a linear model's, are small where there is little to learn.
        is_known = trace.step + 1 >= self.min_steps and len(levels) > 1
        if high and is_known and len(high) >= needed and not _has_learned(trace, self.max_fall):
            worst, many, bar = max(sorted(high), key=high.__getitem__), high, f"below {self.max_ratio:g}"
            advice = ("Lower", "Warm up the learning rate, or clip the gradient norm.")
        elif low and len(low) >= needed:
            worst, many, bar = min(sorted(low), key=low.__getitem__), low, f"above {self.slow_ratio:g}"
            advice = ("Raise", "Check that the gradient reaches these layers, and the scale of the loss.")
        elif slow and len(slow) >= needed and not settled_progress(trace).has_learned(self.min_fall):
            worst, many, bar = min(sorted(slow), key=slow.__getitem__), slow, f"above {self.slow_ratio:g}"
            advice = ("Raise", "Check that the gradient reaches these layers, and the scale of the loss.")
        else:
            return
        yield Finding(
            message=f"{worst} changes by {many[worst]:.1e} of its norm a step, and {len(many)} of "
            f"{len(levels)} matrices are beyond the bar; about 1e-3 is usual, {bar} is expected",
            advice=(f"{advice[0]} the learning rate by a factor of about {_factor(many):.0e}.", advice[1]),
            evidence={"update_ratio": many[worst], "n_beyond": len(many), "n_matrices": len(levels)},
        )


def _factor(levels: dict[str, float]) -> float:
    """How far the median of the levels is from 1e-3, as a factor of at least 1."""
    level = max(median(levels.values()), 1e-12)
    return max(level / 1e-3, 1e-3 / level)


def _refuse_the_tail(trace: Trace, share: float) -> None:
    rates = {"": trace.series(LR), **trace.by_subject(LR)}
    peaks = [max(series) for series in rates.values() if series]
    now = [series[-1] for series in rates.values() if series]
    if peaks and max(now) < share * max(peaks):
        raise NotApplicable(f"the learning rate {max(now):.2g} is in the tail of its schedule (peak {max(peaks):.2g})")


def _has_learned(trace: Trace, ratio: float) -> bool:
    """Whether the loss came down, as far as it is known."""
    progress = progress_of(trace)
    return progress is not None and progress.has_learned(ratio)


def _looks_like_a_matrix(name: str) -> bool:
    lower = name.lower()
    return not (lower.endswith("bias") or any(part in lower for part in ("norm", "bn", "emb")))
