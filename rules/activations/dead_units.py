"""Hidden units that no sample wakes."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field, PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.layers import in_order
from ..engine.progress import settled_progress
from ..engine.signals import DEAD


class DeadUnits(Rule):
    """Most units of a hidden layer have been zero for every sample, step after step, and the training shows it.

    A unit counts as dead in a batch when no sample of it makes the unit answer; that it is zero for most samples is
    how these units are meant to work, and is not counted.

    ## Why it matters
    A unit that is zero for all inputs gets no gradient, so that it stays dead. Where nearly all are, nothing in front
    of them learns any more, and what is behind sees the same for every input.

    ## What to try
    - Lower the learning rate, or warm it up: one step too long throws the biases below what inputs can lift.
    - Check biases and weights set by hand, and the scale and the sign of the inputs.
    - Use LeakyReLU or GELU, or normalise in front of the activation.

    ## When it is wrong
    Deep networks begin with many units of one sign and wake up as they learn, so that nothing is said before the end,
    or step 500. Layers that are sparse on purpose (experts, sparse autoencoders, pruned channels) do no harm, and are
    silent while the loss comes down.

    ## References
    - SageMaker Debugger, DeadRelu: a layer fires at 50 % of its units. AUTOTRAINER (Zhang et al. 2021) counts zero
      gradients, 70 %.
    - Lu et al. 2019, Dying ReLU and Initialization: deep, narrow networks are born dead.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.WARNING
    level = Level.DYNAMICS
    needs = (DEAD,)
    bars = {"quantile": DEAD, "max_dead": DEAD, "dead": DEAD}
    profiles = Rule.profiles | {"autoencoder", "contrastive", "diffusion"}
    explains = (
        "activation-scale", "collapsed-representation", "vanishing-gradient", "zero-gradient-layer",
        "absent-gradient", "update-ratio", Level.OUTCOME,
    )  # fmt: skip

    quantile: float = Field(0.5, gt=0, le=1)
    """Share of dead units from which on a layer is judged, where next to nothing was learned."""

    min_rise: float = Field(0.2, ge=0, le=1)
    """How much more that must be than in the first sample: with what was there from the start networks can learn."""

    max_dead: float = Field(0.9, gt=0, le=1)
    """Share of dead units that is reported also where something was learned."""

    ratio: float = Field(0.1, gt=0, lt=1)
    """Share by which the loss must have come down for a layer above `quantile` to pass."""

    max_ratio: float = Field(0.6, gt=0, lt=1)
    """Share by which it must have come down for one above `max_dead` to pass."""

    window: PositiveInt = 5
    """Latest samples that must all be above, and at least a third of all: the state is to last."""

    healthy = {
        "loss": [2.3 * 0.995**i for i in range(600)],
        "output/dead": {"relu1": [0.6] * 20 + [0.2] * 40, "relu2": [0.3] * 60},
    }
    faulty = {
        "loss": [2.3 + 0.01 * (i % 3) for i in range(600)],
        "output/dead": {"relu1": [0.1] * 10 + [0.95] * 50, "relu2": [0.3] * 60},
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        layers = trace.by_subject(DEAD, self.window)
        if not layers:
            raise NotApplicable(f"no activation was looked at {self.window} times")
        lasting = {name: min(dead.last(max(self.window, len(dead) // 3))) for name, dead in layers.items()}
        lasting = {
            name: level
            for name, level in lasting.items()
            if level >= self.max_dead or level >= max(self.quantile, layers[name][0] + self.min_rise)
        }
        if not lasting:
            return
        worst = max(lasting.values())
        progress = settled_progress(trace)
        if progress.has_learned(self.max_ratio if worst >= self.max_dead else self.ratio):
            return
        bar = min(worst, self.max_dead)
        found = in_order(trace, [name for name, level in lasting.items() if level >= bar])
        name = found[0]
        others = f" (and of {len(found) - 1} more)" if len(found) > 1 else ""
        yield Finding(
            subject=name,
            message=f"{100 * lasting[name]:.0f} % of the units of {name}{others} were zero for every sample of the "
            f"latest batches; {100 * layers[name][0]:.0f} % were at the start, below {100 * self.quantile:g} % is "
            f"expected; the loss went from {progress.initial:.4g} to {progress.now:.4g}",
            advice=(
                "Lower the learning rate, or warm it up: one step too long kills units for good.",
                "Check biases and weights that are set by hand, and the scale of the inputs.",
                "Use LeakyReLU or GELU, or normalise in front of the activation.",
            ),
            evidence={"dead": lasting[name], "n_layers": len(found), "loss": progress.now},
            step=next(step for step, dead in zip(layers[name].steps, layers[name], strict=True) if dead >= bar),
        )
