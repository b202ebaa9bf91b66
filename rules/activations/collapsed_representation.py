"""A layer that says the same of every input."""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite
from statistics import median

from pydantic import Field, PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Series, Severity, Trace
from ..engine.layers import in_order
from ..engine.progress import settled_progress
from ..engine.signals import OUTPUT_RMS, OUTPUT_VARIANCE
from ..engine.tables import table


class CollapsedRepresentation(Rule):
    """A layer puts out the same for every sample, while layers before it tell them apart, and nothing is learned.

    Judged is the variance over the batch as a share of the mean square: what part of the output depends on the input.

    ## Why it matters
    What is behind that layer cannot know what the input was: it can learn the average answer and no more.

    ## What to try
    - Look at what is in front of the named layer: dead or saturated units, a weight scale far too small, a mask.
    - Add normalisation or residual connections; use ReLU or GELU instead of sigmoid in deep networks.
    - Lower the learning rate if it told samples apart at the start.
    - Between two views: detach() one side, behind a predictor, or add unlike pairs or a term for the spread.

    Judged, too, is a loss that does nothing but bring two trained outputs together, such as the similarity of two views
    of one sample without a stop-gradient, or of like pairs without unlike ones: the same output for every input is its
    optimum, and it is found soon.

    ## When it is wrong
    Deep networks with torch's initialisation begin this way and recover: nothing is said before the end, or step 500.
    Layers that are fed constants (learned tokens, positions) are the same for all samples by design; they are silent
    while the loss comes down.

    ## References
    - Schoenholz et al. 2017, Deep Information Propagation: in the ordered phase all inputs map to one point.
    - Chen & He 2021, SimSiam, figure 2: without the stop-gradient the loss is at its minimum of -1 at once, and the
      outputs are constant. Hadsell et al. 2006: unlike pairs are there against the collapse.
    - The bar of 1e-5 is ours: trained layers of healthy networks show 1e-2 and more, collapsed ones 1e-8 and less.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.WARNING
    level = Level.DYNAMICS
    needs = (OUTPUT_RMS, OUTPUT_VARIANCE)
    finite = False
    explains = (Level.OUTCOME,)
    profiles = Rule.profiles | {"autoencoder", "contrastive", "diffusion"}

    max_share: float = Field(1e-5, gt=0, lt=1)
    """Part of the output that depends on the input, as a share of its mean square, below which it is the same."""

    factor: float = Field(100.0, gt=1)
    """How many times larger that part must be in another layer: the inputs do differ."""

    ratio: float = Field(0.05, gt=0, lt=1)
    """Share by which the loss must have come down for nothing to be reported."""

    window: PositiveInt = 5
    """Latest samples whose median counts."""

    healthy = {
        "loss": [2.3 * 0.995**i for i in range(600)],
        "output/rms": {"fc1": [1.0] * 60, "fc2": [1.0] * 60},
        "output/variance": {"fc1": [0.3] * 60, "fc2": [1e-7] * 20 + [0.1] * 40},
    }
    faulty = {
        "loss": [2.3 + 0.01 * (i % 3) for i in range(600)],
        "output/rms": {"fc1": [1.0] * 60, "fc2": [1.0] * 60},
        "output/variance": {"fc1": [0.3] * 60, "fc2": [1e-10] * 60},
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        agreement = table(trace.facts.get("graph")).get("agreement")
        if agreement in ("distance", "similarity"):
            progress = settled_progress(trace)
            if progress.fall > 2 * progress.error:
                yield Finding(
                    message=f"the loss is nothing but the {agreement} of two outputs, and both have a gradient: the "
                    f"same output for every input is its optimum; it went from {progress.initial:.4g} to "
                    f"{progress.now:.4g}; one side without a gradient, or what drives outputs apart, is expected",
                    advice=(
                        "Put detach() on one of the two sides, behind a predictor, as SimSiam does.",
                        "Or add unlike pairs with a margin, or a softmax over the batch.",
                        "Look at the standard deviation of the outputs over a batch.",
                    ),
                    evidence={"initial": progress.initial, "loss": progress.now},
                )
                return
        variances, sizes = trace.by_subject(OUTPUT_VARIANCE, self.window), trace.by_subject(OUTPUT_RMS, self.window)
        shares: dict[str, float] = {}
        for name in (name for name in sizes if name in variances):
            recent = [
                spread / size / size
                for spread, size in zip(variances[name].last(self.window), sizes[name].last(self.window), strict=False)
                if isfinite(spread) and isfinite(size) and abs(size) > 1e-30
            ]
            if len(recent) == self.window:
                shares[name] = median(recent)
        if len(shares) < 2:
            raise NotApplicable(f"{len(shares)} layers were looked at {self.window} times; 2 are needed to compare")
        collapsed = in_order(trace, [name for name, share in shares.items() if share < self.max_share])
        largest = max(shares.values())
        if not collapsed or largest < self.factor * self.max_share:
            return
        progress = settled_progress(trace)
        if progress.has_learned(self.ratio):
            return
        name = collapsed[0]
        others = f" (and of {len(collapsed) - 1} more)" if len(collapsed) > 1 else ""
        yield Finding(
            subject=name,
            message=f"{shares[name]:.0e} of the output of {name}{others} depends on the input, {largest:.1e} in the "
            f"layer with the most; more than {self.max_share:g} is expected; the loss went from "
            f"{progress.initial:.4g} to {progress.now:.4g}",
            advice=(
                f"Look at what is in front of {name}: dead or saturated units, weights far too small, a mask.",
                "Add normalisation or residual connections, or use ReLU instead of sigmoid.",
                "Lower the learning rate.",
            ),
            evidence={"share": shares[name], "largest": largest, "n_layers": len(collapsed), "loss": progress.now},
            step=self._onset(variances[name], sizes[name]),
        )

    def _onset(self, variances: Series, sizes: Series) -> int:
        """The first step from which on the layer's outputs stayed the same."""
        onset = variances.steps[-1]
        for step, spread, size in reversed(list(zip(variances.steps, variances, sizes, strict=False))):
            if not spread < self.max_share * size * size:
                break
            onset = step
        return onset
