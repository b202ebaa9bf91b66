"""Steps that are too long, or too short, for the weights they change."""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite
from statistics import median

from pydantic import Field, PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.signals import LOSS, LR, UPDATE_RATIO


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
    Small networks bear long steps: a ratio too high is not reported while the loss has halved. Biases, norms and
    embeddings are not judged, nor matrices that start at zero in their first steps, nor the tail of a schedule,
    nor fine-tuning, where 1e-6 is healthy.

    ## References
    - CS231n notes, "Ratio of weights:updates": about 1e-3.
    - TheDeepChecker (Braiek & Khomh 2022): above 1e-1 fast, below 1e-4 slow, means over 10 iterations.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.WARNING
    level = Level.DYNAMICS
    needs = (UPDATE_RATIO,)
    history = 20
    finite = False
    profiles = frozenset({"supervised", "regression", "language-model", "autoencoder", "diffusion", "unknown"})
    explains = (
        "exploding-gradient", "nonfinite-gradient", "nonfinite-loss", "loss-diverging", "loss-spike",
        "loss-not-decreasing", "no-better-than-baseline",
    )  # fmt: skip

    max_ratio: float = Field(1e-1, gt=0)
    """Relative change per step above which a matrix changes too much."""

    min_ratio: float = Field(1e-6, ge=0)
    """Relative change per step below which a matrix does not change."""

    window: PositiveInt = 20
    """How many recent samples give a matrix's level (a median), and how many losses give the loss's."""

    quantile: float = Field(0.5, gt=0, le=1)
    """Share of the matrices that must be beyond a bar."""

    min_lr: float = Field(0.1, ge=0, le=1)
    """Share of the peak learning rate below which the schedule is in its tail and nothing is judged."""

    healthy = {"update_ratio": {"stem.weight": [2e-3] * 40, "head.weight": [1e-3] * 40}}
    faulty = {"update_ratio": {"stem.weight": [0.4] * 40, "head.weight": [0.3] * 40}}

    def check(self, trace: Trace) -> Iterator[Finding]:
        _refuse_the_tail(trace, self.min_lr)
        judged = _matrices(trace)
        levels: dict[str, float] = {}
        for name, ratios in trace.by_subject(UPDATE_RATIO, self.window).items():
            recent = [ratio for ratio in ratios.last(self.window) if isfinite(ratio)]
            if (name in judged if judged else _looks_like_a_matrix(name)) and len(recent) == self.window:
                levels[name] = median(recent)
        if not levels:
            raise NotApplicable(f"no weight matrix has {self.window} finite update ratios")

        high = {name: level for name, level in levels.items() if level > self.max_ratio}
        low = {name: level for name, level in levels.items() if level < self.min_ratio}
        needed = self.quantile * len(levels)
        if high and len(high) >= needed and not _has_halved(trace, self.window):
            worst, many, bar = max(high, key=high.__getitem__), high, f"below {self.max_ratio:g}"
            advice = ("Lower", "Warm up the learning rate, or clip the gradient norm.")
        elif low and len(low) >= needed:
            worst, many, bar = min(low, key=low.__getitem__), low, f"above {self.min_ratio:g}"
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


def _has_halved(trace: Trace, window: int) -> bool:
    losses = trace.series(LOSS)
    return len(losses) > window and 0 <= losses.last(window).median < 0.5 * losses.first(5).median


def _matrices(trace: Trace) -> set[str]:
    """Names of the parameters of two or more dimensions that are no embeddings; empty when shapes are not known."""
    parameters = trace.facts.get("parameters")
    if not isinstance(parameters, dict):
        return set()
    shapes = {name: about.get("shape") for name, about in parameters.items() if isinstance(about, dict)}
    return {name for name, shape in shapes.items() if isinstance(shape, list) and len(shape) >= 2 and "emb" not in name}


def _looks_like_a_matrix(name: str) -> bool:
    lower = name.lower()
    return not (lower.endswith("bias") or any(part in lower for part in ("norm", "bn", "emb")))
