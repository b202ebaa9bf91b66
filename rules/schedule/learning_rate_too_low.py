"""A learning rate with which the weights do not get anywhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import isfinite
from statistics import median

from pydantic import Field, PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.gates import is_trained_already
from ..engine.kinds import SCALE_FREE, SGD_LIKE, kind_of, optimizers_of
from ..engine.progress import is_over, lost_share, progress_of
from ..engine.rates import peak_rate, rate_at
from ..engine.signals import LOSS, LR, UPDATE_RATIO
from ..engine.tables import table, tables, text


class LearningRateTooLow(Rule):
    """The learning rate is so low that the weights hardly move in the whole run, and neither does the loss.

    ## Why it matters
    The loop runs as it should and nothing is learned: at this pace it would take a hundred times as long.

    ## What to try
    - Adam and its kin: start at 3e-4 to 1e-3. SGD with momentum: start at 1e-2 to 1e-1. Adagrad: 1e-2. Adadelta
      takes 1, and no rate of another optimizer's.
    - Check whether a scheduler or a scaling rule divided the value, and whether warm-up ever ends.
    - Look at the update ratio: about 1e-3 is usual.

    ## When it is wrong
    Fine-tuning at 1e-5 is healthy and not judged, nor is a loss that is low from the start. A run that is stopped after
    a few steps on purpose has not got anywhere either: 50 steps are needed.

    ## References
    - UMLAUT (Schoop, Huang & Hartmann 2021): below 1e-7 for any optimizer.
    - TheDeepChecker (Braiek & Khomh 2022): updates below 1e-4 are slow; CS231n notes: about 1e-3 is usual. The weights'
      whole way, steps times update, is what is asked here: 1e-4 over 10,000 steps is far.
    """

    phases = (Phase.RUN,)
    severity = Severity.WARNING
    level = Level.SETTING
    needs = (LOSS,)
    bars = {"lr": LR, "bar": LR}
    needs_facts = ("optimizer",)
    finite = False
    waits_for_warmup = False
    profiles = frozenset({"supervised", "regression", "language-model", "autoencoder", "diffusion", "unknown"})
    explains = (Level.OUTCOME, "update-ratio", "vanishing-gradient")

    min_lr: float = Field(1e-7, gt=0)
    """Lowest peak learning rate that is in use."""

    max_adam: float = Field(5e-5, gt=0)
    """Rate of optimizers that normalise the gradient up to which it may be too low: ten times below what they "
    "start at."""

    max_sgd: float = Field(2e-3, gt=0)
    """The same for SGD."""

    max_adagrad: float = Field(2e-3, gt=0)
    """The same for Adagrad, whose steps become shorter by themselves; torch begins at 1e-2."""

    max_adadelta: float = Field(0.05, gt=0)
    """The same for Adadelta, whose rate is a factor of steps that are short enough: torch begins at 1."""

    way: float = Field(0.05, gt=0)
    """Sum of the relative changes of the median weight matrix over the whole run below which it has not moved."""

    ratio: float = Field(0.1, gt=0, lt=1)
    """Share of its first level by which the loss must have fallen for nothing to be said."""

    min_steps: PositiveInt = 50
    """Steps before anything is said."""

    warm: float = Field(2.0, ge=1)
    """How many times higher the last rate may be where a warm-up lasted the whole run: the mean is half of it."""

    warm_ratio: float = Field(0.2, gt=0, lt=1)
    """Share of its first level, or of guessing, by which the loss must have fallen in such a run."""

    healthy = {
        "loss": [2.3 * 0.98**i for i in range(60)],
        "update_ratio": {"a.weight": [1e-3] * 60},
        "facts": {"optimizer": [{"class": "Adam", "groups": [{"lr": 1e-3}]}]},
    }
    faulty = {
        "loss": [2.3 + 0.01 * (i % 3) for i in range(60)],
        "update_ratio": {"a.weight": [1e-6] * 60},
        "facts": {"optimizer": [{"class": "Adam", "groups": [{"lr": 1e-7}]}]},
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        optimizers = optimizers_of(trace)
        names = ", ".join(text(one.get("class")) for one in optimizers) or "none"
        known = self._known(kind_of(optimizers[0])) if len(optimizers) == 1 else None
        if known is None:
            raise NotApplicable(f"judged for one optimizer of the Adam, SGD or Adagrad kind; here: {names}")
        bar, usual = known
        peak = peak_rate(trace, tables(optimizers[0].get("groups")))
        if peak == 0:
            raise NotApplicable("the learning rate is 0")
        if not trace.is_armed:
            yield from self._never_warm(trace, names, bar, usual)
            return
        if peak > bar:
            return
        if trace.step < self.min_steps:
            raise NotApplicable(f"step {trace.step}; judged from step {self.min_steps} on")
        fell = lost_share(trace.series(LOSS))
        if fell is None:
            raise NotApplicable("the loss is not finite, or not above 0")
        way = self._way(trace)
        if fell >= self.ratio or fell < -self.ratio or (peak >= self.min_lr and (way is None or way > self.way)):
            return
        moved = (
            ""
            if way is None
            else f"; the median weight matrix moved by {way:.2g} of its norm in {trace.step + 1} steps"
        )
        yield Finding(
            message=f"{names} with learning rate {peak:.3g}; {usual} is a usual start{moved}, and the loss by "
            f"{fell:.1%}",
            advice=(
                f"Raise the learning rate: {usual} is a usual start for {names}.",
                "Check whether a scheduler or a scaling rule divided the value, and whether warm-up ends.",
            ),
            evidence={"lr": peak, "bar": bar, "fall": fell, **({} if way is None else {"way": way})},
        )

    def _never_warm(self, trace: Trace, names: str, bar: float, usual: str) -> Iterator[Finding]:
        """A warm-up that the run was too short for, of whatever schedule: the rate rose with each step to the last."""
        rates = [rate for _, rate in rate_at(trace)]
        if not is_over(trace) or len(rates) < self.min_steps or not _is_ramp(rates):
            raise NotApplicable("the learning rate is still warming up")
        progress = progress_of(trace)
        if progress is None or is_trained_already(trace) or progress.was_trained:
            raise NotApplicable("whether the training came on cannot be told, or there was little to learn")
        if rates[-1] > self.warm * bar or progress.has_learned(self.warm_ratio):
            return
        yield Finding(
            message=f"the learning rate of {names} rose in a straight line to the end of the run, from {rates[0]:.2g} "
            f"to {rates[-1]:.2g}: its warm-up is longer; {usual} is a usual rate, and the loss came from "
            f"{progress.initial:.4g} to {progress.now:.4g} only",
            advice=(
                f"Shorten the warm-up: a tenth of the run is usual, here {len(rates) // 10} steps.",
                "Or train for many times as many steps.",
            ),
            evidence={"lr": rates[-1], "bar": self.warm * bar, "fall": progress.share},
        )

    def _known(self, kind: str) -> tuple[float, str] | None:
        """The rate up to which one may be too low, and usual rates; None for an optimizer that is not judged."""
        if kind in SCALE_FREE:
            return self.max_adam, "3e-4 to 1e-3"
        if kind in SGD_LIKE:
            return self.max_sgd, "1e-2 to 1e-1"
        return {"adagrad": (self.max_adagrad, "1e-2"), "adadelta": (self.max_adadelta, "1")}.get(kind)

    def _way(self, trace: Trace) -> float | None:
        """How far the median weight matrix can have come: all steps, by the median of what was looked at."""
        shapes = table(trace.facts.get("parameters"))
        changes = [
            median(finite)
            for name, series in trace.by_subject(UPDATE_RATIO).items()
            if len(shape if isinstance(shape := table(shapes.get(name)).get("shape"), list) else [1, 1]) > 1
            and (finite := [one for one in series if isfinite(one)])
        ]
        return median(changes) * (trace.step + 1) if changes else None


def _is_ramp(rates: Sequence[float]) -> bool:
    """Whether rates rise from next to nothing in a straight line, as a warm-up does.

    A range test rises by a factor, and a cycle begins well above zero: 4 % of its peak in torch's `OneCycleLR`.
    """
    if rates[0] > 0.03 * rates[-1] or any(rate <= before for before, rate in pairwise(rates)):
        return False
    return 0.4 * rates[-1] < rates[len(rates) // 2] < 0.6 * rates[-1]
