"""Hidden units on the flat part of their function."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field, PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.progress import settled_progress
from ..engine.signals import SATURATION


class SaturatedUnits(Rule):
    """Most outputs of a tanh or sigmoid layer are where the function is flat, and the training shows it.

    Flat is where the slope is below 2 % of its largest: beyond 2.65 in front of a tanh, 5.3 in front of a sigmoid.

    ## Why it matters
    Where the function is flat the gradient does not get through: layers in front of it hardly learn.

    ## What to try
    - Scale the inputs to mean 0 and standard deviation 1.
    - Make the initial weights smaller (Xavier for tanh and sigmoid), or lower the learning rate.
    - Normalise in front of the activation, or use ReLU or GELU in hidden layers.

    ## When it is wrong
    The last sigmoid of a classifier that is sure of itself is saturated, and should be; gates and hard attention are
    too. They come to it while the loss falls, and are not reported then.

    ## References
    - Glorot & Bengio 2010, Understanding the difficulty of training deep feedforward neural networks, section 3.
    - SageMaker Debugger, SaturatedActivation: a layer fires at 50 % of its nodes. DeepDiagnosis (Wardat et al. 2022)
      takes more than half of the values beyond 5.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.WARNING
    level = Level.DYNAMICS
    needs = (SATURATION,)
    bars = {"quantile": SATURATION, "saturated": SATURATION}
    profiles = Rule.profiles | {"autoencoder", "contrastive", "diffusion"}
    explains = (
        "collapsed-representation", "vanishing-gradient", "zero-gradient-layer", "absent-gradient", "update-ratio",
        Level.OUTCOME,
    )  # fmt: skip

    quantile: float = Field(0.5, gt=0, le=1)
    """Share of flat values from which on a layer is judged."""

    at_start: float = Field(0.3, gt=0, le=1)
    """Share of flat values in the first samples from which on it began that way."""

    ratio: float = Field(0.1, gt=0, lt=1)
    """Share by which the loss must have come down for a layer to pass."""

    max_ratio: float = Field(0.7, gt=0, lt=1)
    """Share by which it must have come down for a layer to pass that was saturated from the start."""

    window: PositiveInt = 5
    """Samples at the start, and latest samples, whose median counts."""

    healthy = {
        "loss": [0.7 * 0.995**i for i in range(600)],
        "output/saturation": {"tanh": [0.02] * 60, "sigmoid": [0.01 * i for i in range(60)]},
    }
    faulty = {
        "loss": [2.3 + 0.01 * (i % 3) for i in range(600)],
        "output/saturation": {"tanh1": [0.8] * 60, "tanh2": [0.1] * 60},
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        layers = trace.by_subject(SATURATION, 2 * self.window)
        if not layers:
            raise NotApplicable(f"no activation with a flat part was looked at {2 * self.window} times")
        now = {name: flat.last(self.window).median for name, flat in layers.items()}
        if max(now.values()) < self.quantile:
            return
        progress = settled_progress(trace)
        for name, flat in layers.items():
            began = flat.first(self.window).median >= self.at_start
            if now[name] < self.quantile or progress.has_learned(self.max_ratio if began else self.ratio):
                continue
            yield Finding(
                subject=name,
                message=f"{100 * now[name]:.0f} % of the outputs of {name} are where the function is flat, "
                f"{100 * flat.first(self.window).median:.0f} % at the start; below {100 * self.quantile:g} % is "
                f"expected; the loss went from {progress.initial:.4g} to {progress.now:.4g}",
                advice=(
                    "Scale the inputs to mean 0 and standard deviation 1.",
                    "Make the initial weights smaller, or lower the learning rate.",
                    "Normalise in front of the activation, or use ReLU in hidden layers.",
                ),
                evidence={"saturated": now[name], "at_start": flat[0], "loss": progress.now},
                step=next(step for step, share in zip(flat.steps, flat, strict=True) if share >= self.quantile),
            )
