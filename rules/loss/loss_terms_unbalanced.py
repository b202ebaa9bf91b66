"""One term of the loss that drowns the others."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from pydantic import Field, PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Series, Severity, Trace
from ..engine.signals import LOSS_TERM
from ..engine.tables import number, tables, text

_OF_DATA = frozenset({
    "cross_entropy", "nll_loss", "mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "binary_cross_entropy",
    "binary_cross_entropy_with_logits", "poisson_nll_loss", "ctc_loss",
})  # fmt: skip
"""Functions that compare outputs with targets: each is a task, which ought to be learned."""

_DISTANCES = frozenset({"mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"})
"""Those of them that are zero where outputs and targets agree, and may begin there."""


class LossTermsUnbalanced(Rule):
    """One term of the loss is a hundred times another one, which is a task of its own and is not learned.

    ## Why it matters
    The gradient is that of the sum. A task whose loss is a hundredth of another's has a hundredth of the say: the
    shared layers are shaped by the other alone, and the total hides it.

    ## What to try
    - Bring the terms to the same size with a factor, or by scaling the targets of a regression.
    - Look at each term by itself.

    ## When it is wrong
    Small terms are often meant to be small. Only terms that compare outputs with targets are judged, by both: that they
    are small throughout, and that they do not come down while the large one was there. A distance that grows from where
    it began is no task that waits to be learned: two copies of a model agree at first.

    ## References
    - Kendall et al. 2018, Multi-Task Learning Using Uncertainty to Weigh Losses; the factor of 100 is ours.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.WARNING
    level = Level.SETTING
    needs = (LOSS_TERM,)
    bars = {"first": LOSS_TERM, "last": LOSS_TERM}
    needs_facts = ("loss_terms",)
    history = 10
    finite = False
    waits_for_warmup = False
    profiles = Rule.profiles | {"autoencoder"}
    explains = (Level.OUTCOME, Severity.FATAL)

    ratio: float = Field(100.0, gt=1)
    """How many times the small term the large one is."""

    share: float = Field(0.8, gt=0, le=1)
    """Share of the watched steps at which it is."""

    least_fall: float = Field(0.4, gt=0, lt=1)
    """Share of its first level that a term which is learned loses at least."""

    factor: float = Field(1.5, gt=1)
    """How many times its first level a distance of outputs and targets is that grows: consistency with a teacher."""

    fall_of_none: float = Field(0.6, gt=0, lt=1)
    """The same for a term that is less than a thousandth of another one."""

    window: PositiveInt = 5
    """Watched steps at the beginning, and at the end, whose median is a level."""

    healthy = {
        "facts": {"loss_terms": [{"name": "a", "function": "cross_entropy"}, {"name": "b", "function": "mse_loss"}]},
        "loss/term": {"a": [2.3 * 0.95**i for i in range(20)], "b": [1.0 * 0.9**i for i in range(20)]},
    }
    faulty = {
        "facts": {"loss_terms": [{"name": "a", "function": "cross_entropy"}, {"name": "b", "function": "mse_loss"}]},
        "loss/term": {"a": [2.3] * 20, "b": [90000.0 * 0.95**i for i in range(20)]},
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        told = {text(one.get("name")): one for one in tables(trace.facts.get("loss_terms"))}
        series = {n: s for n, s in trace.by_subject(LOSS_TERM, min_points=2 * self.window).items() if n in told}
        if len(series) < 2:
            raise NotApplicable(f"{len(series)} terms of the loss have known values; 2 are needed")
        if not all(one.is_finite for one in series.values()):
            raise NotApplicable("a term of the loss is not finite")
        for name in sorted(series):
            small = series[name]
            if told[name].get("function") not in _OF_DATA:
                continue
            large = max((other for other in series if other != name), key=lambda other: abs(median(series[other])))
            times = self._times(small, series[large])
            first, last = median(small.values[: self.window]), median(small.values[-self.window :])
            if times is None or first <= 0:
                continue
            # Of a term that has next to no say, what comes down is what the others bring down by the way.
            if (first - last) / first >= (self.least_fall if times < 10 * self.ratio else self.fall_of_none):
                continue
            if told[name].get("function") in _DISTANCES and last > self.factor * first:
                continue
            factor = number(told[name].get("factor"))
            written = f" (factor {factor:.3g})" if factor is not None and factor != 1 else ""
            yield Finding(
                subject=name,
                message=f"{large} is {times:.3g} times {name}{written}, at most {self.ratio:g} is expected; {name} "
                f"went from {first:.4g} to {last:.4g}",
                advice=(
                    f"Bring {large} and {name} to the same size with a factor.",
                    "Scale the targets of a regression to mean 0 and standard deviation 1.",
                ),
                evidence={"times": times, "first": first, "last": last, "ratio": self.ratio},
            )
            return

    def _times(self, small: Series, large: Series) -> float | None:
        """The median of how many times the small term the large one is; None where it is not, at enough steps."""
        by_step = dict(zip(large.steps, large.values, strict=True))
        pairs = [(abs(by_step[s]), abs(v)) for s, v in zip(small.steps, small.values, strict=True) if s in by_step]
        times = [min(a / b, 1e300) for a, b in pairs if b > 0]
        if len(times) < 2 * self.window or sum(one > self.ratio for one in times) < self.share * len(times):
            return None
        return median(times)
