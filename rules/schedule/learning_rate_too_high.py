"""A learning rate that is too high for its optimizer, or for this training."""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite, sqrt
from statistics import median

from pydantic import Field, PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.kinds import SCALE_FREE, SGD_LIKE, kind_of, optimizers_of
from ..engine.layers import is_matrix, matrices
from ..engine.progress import is_over, progress_of
from ..engine.rates import peak_rate, rate_at
from ..engine.signals import DEAD, GRAD_NORM, INPUT_MEAN, INPUT_STD, LOSS, LR, UPDATE_RATIO
from ..engine.tables import losses_of, number, table, tables, text


class LearningRateTooHigh(Rule):
    """The learning rate is above what its optimizer is known to bear, or steps replace the weights, and the loss shows
    it.

    ## Why it matters
    It is the one setting that decides between learning and blowing up, and a slip of the decimal point costs the whole
    run: the loss jumps, circles at the level of guessing, or is no number any more.

    ## What to try
    - Adam and its kin: start at 3e-4 to 1e-3. SGD with momentum: start at 1e-2 to 1e-1.
    - Check whether a scheduler's base rate or a scaling rule multiplied the value.
    - Warm the rate up, or clip the norm of the gradient.

    ## When it is wrong
    Small networks bear high rates: nothing is said while the loss comes down, unless the rate is a hundred times above
    the bar. Optimizers that set their own scale (Prodigy, Adafactor, LARS, LAMB, Adagrad, Adadelta) are not judged.
    A loss that stands is not blamed on the rate where the first step finds a layer without a gradient already.
    Within the bar the rate is not blamed where inputs are far from unit scale or the loss is a sum over the batch, as
    the rate is not the first thing to change then.

    ## References
    - UMLAUT (Schoop, Huang & Hartmann 2021): above 0.01 for any optimizer. For SGD the bar is 1.0 here, as 0.1 is the
      classic rate of residual networks (He et al. 2016).
    - TheDeepChecker (Braiek & Khomh 2022) and DeepDiagnosis (Wardat et al. 2022): updates above a tenth of the weights.
    """

    phases = (Phase.STEP, Phase.EPOCH, Phase.RUN)
    severity = Severity.WARNING
    level = Level.SETTING
    needs_facts = ("optimizer",)
    bars = {"lr": LR, "bar": LR}
    finite = False
    waits_for_warmup = False
    profiles = Rule.profiles | {"autoencoder", "contrastive", "diffusion"}
    explains = (Level.DYNAMICS, Level.OUTCOME, "amp-overflow", "clipping-always-bites", Severity.FATAL)

    max_adam: float = Field(1e-2, gt=0)
    """Highest learning rate for optimizers that normalise the gradient (Adam, AdamW, RMSprop, Lion ...)."""

    max_sgd: float = Field(1.0, gt=0)
    """Highest learning rate for SGD."""

    reach: float = Field(2.0, gt=0)
    """How many times that the rate over 1 - momentum may be: that is how far a lasting gradient takes it in the end.
    The classic 0.1 with a momentum of 0.9 gives 1."""

    settled: PositiveInt = 500
    """Steps from which on a training is judged while it goes on; before, only at its end, or once the loss is lost."""

    factor: float = Field(100.0, gt=1)
    """How many times the highest rate is reported without waiting for the loss."""

    ratio: float = Field(0.1, gt=0, lt=1)
    """Share by which the loss must have come down for a rate out of range to pass."""

    rise: float = Field(3.0, gt=1)
    """How many times its first level the loss must have been for a rate out of range not to pass before half of that
    level is reached again; and within the bar, to be called divergence."""

    max_ratio: float = Field(0.1, gt=0)
    """Change of the median weight matrix in a step, relative to its norm, that replaces it every ten steps."""

    far: float = Field(5.0, gt=1)
    """How many times the bar a rate must be for its first steps to be asked, whatever became of the loss."""

    max_first: float = Field(0.7, gt=0)
    """Change of the median weight matrix in the first step, relative to its norm, that overwrites an initialisation."""

    max_dead: float = Field(0.7, gt=0, le=1)
    """Share of the units of a layer that never answer again, of which less than half as many did not at the start, that
    a rate out of range is blamed for (AUTOTRAINER's bar for dying ReLUs, Zhang et al. 2021)."""

    min_fall: float = Field(0.7, gt=0, lt=1)
    """Share by which the loss must have come down for dead units to have done no harm."""

    min_gradient: float = Field(1e-4, gt=0, lt=1)
    """Share of the largest gradient of a matrix (root mean square) that another one has at least in the first step,
    for a loss that stands to be blamed on a rate out of range: less is starved by the layers behind it."""

    window: PositiveInt = 20
    """Losses that give the loss's present level (a median)."""

    max_scale: float = Field(10.0, gt=1)
    """Absolute mean, or standard deviation, of an input above which its scale is blamed first; 1 is unit scale."""

    healthy = {
        "loss": [2.3 * 0.98**i for i in range(60)],
        "facts": {"optimizer": [{"class": "Adam", "groups": [{"lr": 1e-3}]}]},
        "events": {"judge": {59: {"phase": "run"}}},
    }
    faulty = {
        "loss": [2.3 + 0.1 * (i % 7) for i in range(60)],
        "facts": {"optimizer": [{"class": "Adam", "groups": [{"lr": 0.1}]}]},
        "events": {"judge": {59: {"phase": "run"}}},
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        optimizers = optimizers_of(trace)
        names = ", ".join(text(one.get("class")) for one in optimizers) or "none"
        if len(optimizers) != 1 or kind_of(optimizers[0]) not in SCALE_FREE | SGD_LIKE:
            raise NotApplicable(f"judged for one optimizer of the Adam or SGD kind; here: {names}")
        graph = table(trace.facts.get("graph"))
        if (number(graph.get("foreign")) or 0) >= (number(graph.get("reached")) or 1) - (
            number(graph.get("n_unowned")) or 0
        ):
            raise NotApplicable("what is optimized belongs to no model: inputs, as for an image")
        groups = tables(optimizers[0].get("groups"))
        peak = peak_rate(trace, groups)
        is_sgd = kind_of(optimizers[0]) in SGD_LIKE
        bar = self.max_sgd if is_sgd else self.max_adam
        momentum = min(max([number(group.get("momentum")) or 0.0 for group in groups], default=0.0), 0.999)
        # The slack is for 1 - 0.9, which is a little less than 0.1.
        reached = peak / (1 - momentum) if momentum > 0 else 0.0
        is_beyond = peak > bar or reached > self.reach * bar * (1 + 1e-9)
        if peak > self.factor * bar:
            shown: str | None = f"{self.factor:g} times that is not waited for"
        elif trace.step < self.settled and not is_over(trace) and trace.nonfinite(LOSS) is None:
            raise NotApplicable(f"step {trace.step}: the loss may still come down; judged from step {self.settled} on")
        elif is_beyond:
            shown = self._harm(trace) or (self._overwritten(trace) if peak >= self.far * bar else None)
        else:
            shown = self._replaced(trace)
        if shown is None:
            return
        with_momentum = f" and momentum {momentum:g}" if momentum else ""
        expected = f"at most {bar:g} is expected" if peak > bar else f"{bar / 10:g} or less is a usual start"
        yield Finding(
            message=f"{names} with learning rate {peak:.3g}{with_momentum}; {expected}; {shown}",
            advice=(
                f"Lower the learning rate: {'1e-2 to 1e-1' if is_sgd else '3e-4 to 1e-3'} is a usual start for "
                f"{names}.",
                "Check whether a scheduler or a scaling rule multiplied the value.",
                "Warm it up, or clip the gradient norm.",
            ),
            evidence={"lr": peak, "bar": bar},
            step=next((step for step, rate in rate_at(trace) if rate >= peak), 0),
        )

    def _harm(self, trace: Trace) -> str | None:
        """What the loss shows of a rate out of range, in words, or None when it came down."""
        losses, norms = trace.series(LOSS), trace.series(GRAD_NORM)
        if not losses.is_finite:
            return "the loss is no longer finite"
        if not norms.is_finite:
            return "the gradient is no longer finite"
        if len(losses) < 2 * self.window:
            raise NotApplicable(f"{len(losses)} losses were recorded; {2 * self.window} are needed")
        # The lowest of the first five: at such rates the second loss may already be a thousand times the first.
        start, now = min(losses.first(5)), losses.last(self.window).median
        margin = self.ratio * abs(start)
        if now >= start - margin and not (now <= start + margin and self._was_starved(trace)):
            return f"the loss is {now:.4g} after {losses.count} losses, {start:.4g} at the start"
        mean = losses.last(self.window).mean
        if start > 0 and mean > self.rise * start:
            return f"the loss is {mean:.4g} on average over the last {self.window}, {start:.4g} at the start"
        top = _top(losses.values)
        if start > 0 and top > self.rise * start and now > 0.5 * start:
            return f"the loss went from {start:.4g} up to {top:.4g}, and is {now:.4g} now"
        sizes = self._updates(trace)
        if start > 0 and now > 0.75 * start and sizes and median(sizes) > self.max_ratio:
            return f"the loss is {now:.4g}, {start:.4g} at the start{_told(sizes)}"
        return self._killed(trace)

    def _was_starved(self, trace: Trace) -> bool:
        """Whether a matrix had next to no gradient before the rate could do anything: it is not why the loss stands."""
        shapes = matrices(trace)
        first = [
            norms[0] / sqrt(shapes[name])
            for name, norms in trace.by_subject(GRAD_NORM).items()
            if name in shapes and isfinite(norms[0])
        ]
        return len(first) > 2 and 0 < min(first) < self.min_gradient * max(first)

    def _killed(self, trace: Trace) -> str | None:
        """What a rate out of range did to the units of a layer, where the loss did not come far."""
        progress = progress_of(trace)
        if progress is None or progress.has_learned(self.min_fall):
            return None
        for name, dead in trace.by_subject(DEAD, 10).items():
            lasting = min(dead.last(max(5, len(dead) // 2)))
            if lasting >= self.max_dead and dead[0] < 0.5 * self.max_dead:
                return (
                    f"{100 * lasting:.0f} % of the units of {name} are zero for every sample, {100 * dead[0]:.0f} % "
                    f"were at the first step; the loss went from {progress.initial:.4g} to {progress.now:.4g}"
                )
        return None

    def _overwritten(self, trace: Trace) -> str | None:
        """What the first steps show of a rate far out of range: initial weights replaced, and a loss that jumps."""
        losses = trace.series(LOSS)
        first = [series[0] for name, series in trace.by_subject(UPDATE_RATIO).items() if is_matrix(trace, name)]
        first = [one for one in first if isfinite(one)]
        top = max((loss for loss in losses.first(self.window) if isfinite(loss)), default=0.0)
        if not first or median(first) < self.max_first or not 0 < self.rise * losses[0] < top:
            return None
        return (
            f"the first step changes the median weight matrix by {median(first):.2g} times its norm, and the loss "
            f"jumps from {losses[0]:.4g} to {top:.4g}"
        )

    def _updates(self, trace: Trace) -> list[float]:
        """How much each weight matrix changes in a step, relative to its norm, in the first or the latest samples."""
        return [
            max(median(finite[: self.window]), median(finite[-self.window :]))
            for name, series in trace.by_subject(UPDATE_RATIO).items()
            if is_matrix(trace, name) and (finite := [one for one in series if isfinite(one)])
        ]

    def _replaced(self, trace: Trace) -> str | None:
        """What the updates and the loss show of a rate within the bar, in words, or None."""
        losses = trace.series(LOSS)
        if len(losses) < 5:
            raise NotApplicable(f"{len(losses)} losses were recorded; 5 are needed")
        sizes = self._updates(trace)
        start = min(losses.first(5).values)
        finite_losses = [loss for loss in losses if isfinite(loss)]
        top = max(finite_losses, default=0.0)
        is_lost = not losses.is_finite
        # A loss that is not finite all of a sudden has another origin: this one grows first.
        grew = start > 0 and top > self.rise * start
        if is_lost and not grew:
            return None
        if not is_lost:
            if len(losses) < 2 * self.window:
                raise NotApplicable(f"{len(losses)} losses were recorded; {2 * self.window} are needed")
            now = losses.last(self.window).median
            # Above where it began: small weights change by much of their norm where there is nothing to learn, too.
            has_risen = now > max(losses.first(self.window // 2))
            if not has_risen or not (sizes and median(sizes) > self.max_ratio):
                return None
        elif not sizes or max(sizes) <= self.max_ratio / 10:
            return None
        if self._has_another_cause(trace):
            return None
        if is_lost:
            return f"the loss went from {start:.4g} up to {top:.4g}, and is no longer finite{_told(sizes)}"
        return f"the loss is {losses.last(self.window).median:.4g}, {start:.4g} at the start{_told(sizes)}"

    def _has_another_cause(self, trace: Trace) -> bool:
        """Whether something else than the rate makes steps long: inputs of a large scale, or a sum over the batch."""
        scales = [
            abs(series[0])
            for signal in (INPUT_MEAN, INPUT_STD)
            for series in trace.by_subject(signal).values()
            if series
        ]
        sums = any(text(one.get("reduction")) == "sum" for one in losses_of(trace))
        return sums or any(scale > self.max_scale for scale in scales)


def _told(sizes: list[float]) -> str:
    return f"; the median weight matrix changes by {median(sizes):.2g} of its norm a step, about 1e-3 is usual"


def _top(losses: list[float]) -> float:
    """The highest level of the loss: the largest median of five in a row."""
    return max((median(losses[at : at + 5]) for at in range(max(1, len(losses) - 4))), default=0.0)
