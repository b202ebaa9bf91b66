"""Single gradients far above the others."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from pydantic import Field, PositiveInt

from ..engine import Finding, Level, Phase, Rule, Severity, Trace
from ..engine.signals import GRAD_NORM


class GradientSpike(Rule):
    """At some steps the gradient norm stood far above that of the steps before.

    ## Why it matters
    A step follows its gradient: one that is twenty times too long can undo what hundreds of steps have built.

    ## What to try
    - Look at the samples of that step.
    - Clip the gradient norm, at a few times its median.

    ## When it is wrong
    It is for information only: small batches, rare classes and restarts of a schedule have spikes in healthy runs.

    ## References
    - ZClip (Kumar et al. 2025) flags by the z-score of the norm against a running mean; the bar of 20 times the median
      is ours, and counts what clipping at a usual norm would have cut by an order of magnitude.
    """

    phases = (Phase.RUN,)
    severity = Severity.INFO
    level = Level.DYNAMICS
    needs = (GRAD_NORM,)
    bars = {"norm": GRAD_NORM, "level": GRAD_NORM}
    history = 25
    profiles = Rule.profiles | {"autoencoder", "contrastive", "diffusion"}

    factor: float = Field(20.0, gt=1)
    """How many times the median of the norms before it a spike is, at least."""

    window: PositiveInt = 20
    """Norms before a spike that give the level."""

    healthy = {"grad_norm": [1.0 + 0.3 * (i % 5) for i in range(60)]}
    faulty = {"grad_norm": [90.0 if i == 40 else 1.0 + 0.3 * (i % 5) for i in range(60)]}

    def check(self, trace: Trace) -> Iterator[Finding]:
        norms = trace.series(GRAD_NORM)
        values, steps = norms.values, norms.steps
        spikes = []
        for at in range(self.window, len(values)):
            if values[at] > self.factor * max(values[at - self.window], values[at - 1]):
                level = median(values[at - self.window : at])
                if level > 0 and values[at] > self.factor * level:
                    spikes.append((values[at] / level, steps[at], values[at], level))
        if not spikes:
            return
        _, step, norm, level = max(spikes)
        yield Finding(
            message=f"gradient norm {norm:.3g} at step {step}; the {self.window} before it had a median of {level:.3g} "
            f"({len(spikes)} spikes among {len(values)} steps looked at)",
            advice=(f"Look at the samples of step {step}.", f"Clip the gradient norm, at about {3 * level:.1g}."),
            evidence={"norm": norm, "level": level, "n_spikes": len(spikes)},
            step=step,
        )
