"""Weights that grow without end."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field, PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.layers import in_order, matrices
from ..engine.progress import progress_of
from ..engine.signals import WEIGHT_NORM


class WeightDivergence(Rule):
    """Most weight matrices have grown to many times their size, and the loss has not profited.

    ## Why it matters
    Large weights make large outputs and large gradients: each step is taken further from where it was computed, and
    what was learned before is lost in the growth.

    ## What to try
    - Lower the learning rate, and start again: weights do not come back by themselves.
    - Set gradients to zero once per step; check the sign of each loss term.
    - Clip the gradient norm; add weight decay.

    ## When it is wrong
    Small networks that are trained long on a simple task grow twentyfold as their loss goes to zero, and weights that
    start tiny grow at once; nothing is said where the loss came down at all.

    ## References
    - TheDeepChecker (Braiek & Khomh 2022): five doublings in a row, or a mean above 1e8. Healthy short runs show up to
      nine times their start; the ten here count only without a fall of the loss.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.WARNING
    level = Level.DYNAMICS
    needs = (WEIGHT_NORM,)
    finite = False
    profiles = Rule.profiles | {"autoencoder", "contrastive", "diffusion"}
    explains = (
        "dead-units", "saturated-units", "activation-scale", "collapsed-representation", Level.OUTCOME,
        Severity.FATAL,
    )  # fmt: skip

    factor: float = Field(10.0, gt=1)
    """How many times its first norm a matrix must have."""

    quantile: float = Field(0.5, gt=0, le=1)
    """Share of the matrices that must have grown so."""

    ratio: float = Field(0.02, gt=0, lt=1)
    """Share by which the loss must have come down for growth to be healthy."""

    window: PositiveInt = 3
    """Latest samples that must all be above."""

    healthy = {
        "loss": [2.3 * 0.99**i for i in range(200)],
        "weight_norm": {"fc1.weight": [1.0 + 0.3 * i for i in range(60)], "fc2.weight": [1.0] * 60},
    }
    faulty = {
        "loss": [2.3 + 0.05 * i for i in range(200)],
        "weight_norm": {"fc1.weight": [1.15**i for i in range(60)], "fc2.weight": [1.1**i for i in range(60)]},
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        shapes = matrices(trace)
        growths = {
            name: min(norms.last(self.window)) / norms[0]
            for name, norms in trace.by_subject(WEIGHT_NORM, 3 * self.window).items()
            if norms[0] > 0 and (name in shapes if shapes else not name.endswith("bias"))
        }
        # Matrices that start at zero have no size to compare with after their first step either.
        growths = {name: growth for name, growth in growths.items() if growth < 1e12}
        if not growths:
            raise NotApplicable(f"no weight matrix was looked at {3 * self.window} times with a finite norm")
        grown = in_order(trace, [name for name, growth in growths.items() if growth >= self.factor])
        if len(grown) < self.quantile * len(growths):
            return
        progress = progress_of(trace)
        if progress is None:
            raise NotApplicable("whether the loss profits cannot be told: too few finite losses")
        if progress.has_learned(self.ratio):
            return
        most = max(grown, key=growths.__getitem__)
        yield Finding(
            subject=most,
            message=f"the norm of {most} is {growths[most]:.3g} times what it was at the start, {len(grown)} of "
            f"{len(growths)} matrices have grown more than {self.factor:g} times; the loss went from "
            f"{progress.initial:.4g} to {progress.now:.4g}",
            advice=(
                "Lower the learning rate, and start again.",
                "Set gradients to zero once per step; check the sign of each loss term.",
                "Clip the gradient norm.",
            ),
            evidence={"growth": growths[most], "n_grown": len(grown), "n_matrices": len(growths)},
        )
