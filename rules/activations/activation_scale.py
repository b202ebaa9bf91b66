"""A signal that dies out, or blows up, on its way through the layers."""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite

from pydantic import Field, PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.layers import in_order
from ..engine.progress import settled_progress
from ..engine.signals import OUTPUT_RMS

_NOTHING = 1e-30
"""Root mean square of outputs that are all zero."""


class ActivationScale(Rule):
    """Outputs grow or shrink by orders of magnitude from layer to layer, from the first steps on, and it does harm.

    Compared are the root mean squares of the outputs of one pass, the smallest and the largest, at the start and now.

    ## Why it matters
    A signal that shrinks a hundredfold on its way is drowned by the biases; one that grows a hundredfold saturates
    what is behind it, and its gradients grow as much on the way back.

    ## What to try
    - Use an initialisation that keeps the variance: He for ReLU, Xavier for tanh; check the ones written by hand.
    - Put normalisation between the layers.
    - Bring the inputs to standard deviation 1.

    ## When it is wrong
    Branches that start near zero on purpose, and logits, have scales of their own; they are silent while the loss comes
    down. Those that start at zero are not compared.

    ## References
    - He et al. 2015, Delving Deep into Rectifiers; Mishkin & Matas 2016, All you need is a good init.
    - SageMaker Debugger, PoorWeightInitialization, compares layers at a ratio of 10; of outputs, healthy networks with
      torch's initialisation show up to 10 and zero-initialised branches more, hence 100 *and* harm here.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.WARNING
    level = Level.DYNAMICS
    needs = (OUTPUT_RMS,)
    bars = {"smallest": OUTPUT_RMS, "largest": OUTPUT_RMS}
    finite = False
    profiles = Rule.profiles | {"autoencoder", "contrastive", "diffusion"}
    explains = (
        "collapsed-representation", "vanishing-gradient", "exploding-gradient", "update-ratio", "loss-spike",
        "loss-not-decreasing", "loss-diverging", "loss-oscillating", "no-better-than-baseline", Severity.FATAL,
    )  # fmt: skip

    factor: float = Field(100.0, gt=1)
    """How many times larger than the smallest the largest output must be."""

    ratio: float = Field(0.2, gt=0, lt=1)
    """Share by which the loss must have come down for nothing to be reported."""

    window: PositiveInt = 5
    """Samples at the start, and latest samples, whose median counts."""

    min_layers: PositiveInt = 3
    """Layers that must be known."""

    healthy = {
        "loss": [2.3 * 0.995**i for i in range(600)],
        "output/rms": {"fc1": [1.0] * 60, "fc2": [0.5] * 60, "branch": [1e-3] * 60, "fc3": [0.3] * 60},
    }
    faulty = {
        "loss": [2.3 + 0.01 * (i % 3) for i in range(600)],
        "output/rms": {"fc1": [1e-1] * 60, "fc2": [1e-3] * 60, "fc3": [1e-5] * 60},
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        # What puts out nothing at first is a branch that begins at zero, as that of a low-rank adapter.
        every = trace.by_subject(OUTPUT_RMS, 2 * self.window)
        layers = {name: sizes for name, sizes in every.items() if sizes.values[0] > _NOTHING}
        start = _levels({name: sizes.values[: self.window] for name, sizes in layers.items()})
        now = _levels({name: sizes.values[-self.window :] for name, sizes in layers.items()})
        if min(len(start), len(now)) < self.min_layers:
            raise NotApplicable(f"{min(len(start), len(now))} layers were looked at; {self.min_layers} are needed")
        if min(_spread(start), _spread(now)) < self.factor:
            return
        progress = settled_progress(trace)
        if progress.has_learned(self.ratio):
            return
        small, large = min(start, key=start.__getitem__), max(start, key=start.__getitem__)
        grows = in_order(trace, [large, small])[0] == small
        yield Finding(
            subject=large if grows else small,
            message=f"outputs {'grow' if grows else 'shrink'} from {start[small if grows else large]:.1e} in "
            f"{small if grows else large} to {start[large if grows else small]:.1e} in {large if grows else small}, "
            f"root mean squares of the first steps; a factor below {self.factor:g} is expected; the loss went from "
            f"{progress.initial:.4g} to {progress.now:.4g}",
            advice=(
                "Use an initialisation that keeps the variance: He for ReLU, Xavier for tanh.",
                "Put normalisation between the layers.",
                "Bring the inputs to standard deviation 1.",
            ),
            evidence={"smallest": start[small], "largest": start[large], "loss": progress.now},
            step=layers[small].steps[0],
        )


def _levels(layers: dict[str, list[float]]) -> dict[str, float]:
    """Median of each layer's sizes; layers that put out nothing but zeros, or no numbers, are left out."""
    levels = {name: sorted(sizes)[len(sizes) // 2] for name, sizes in layers.items() if isfinite(sum(sizes))}
    return {name: level for name, level in levels.items() if level > _NOTHING}


def _spread(levels: dict[str, float]) -> float:
    low, high = min(levels.values()), max(levels.values())
    return high / low
