"""A gradient that has grown out of all proportion."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field, PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.signals import GRAD_NORM, LOSS


class ExplodingGradient(Rule):
    """The gradient norm has grown by orders of magnitude, and the loss has not profited.

    ## Why it matters
    Each step is as long as its gradient, unless something limits it: steps a hundred times too long throw the weights
    out of the region in which the gradient meant anything.

    ## What to try
    - Clip the gradient norm, at about the median seen in the first epoch.
    - Divide the learning rate by 3 to 10, or warm it up.
    - Add normalisation or a residual path; in recurrent networks use gates or shorter sequences.

    ## When it is wrong
    A network that leaves a plateau, or starts with zero weights, has growing gradients while its loss falls: that is
    healthy, and not reported. Where gradients are clipped before they are measured nothing can be seen.

    ## References
    - Pascanu, Mikolov & Bengio 2013, On the difficulty of training recurrent neural networks.
    - AUTOTRAINER (Zhang et al. 2021) uses a ratio of 70 between layers, TheDeepChecker (Braiek & Khomh 2022) five
      doublings in a row (32 times); 100 times the run's own level is ours. Absolute bars depend on the loss's scale.
    """

    phases = (Phase.STEP, Phase.EPOCH, Phase.RUN)
    severity = Severity.WARNING
    level = Level.DYNAMICS
    needs = (GRAD_NORM,)
    history = 1
    waits_for_warmup = False
    explains = (
        "nonfinite-gradient", "nonfinite-loss", "loss-diverging", "loss-spike", "loss-not-decreasing",
        "no-better-than-baseline",
    )  # fmt: skip

    factor: float = Field(100.0, gt=1)
    """How many times its level at the start of the run the gradient norm must be."""

    window: PositiveInt = 20
    """Norms in one level (a median); also how many losses are compared."""

    healthy = {
        "grad_norm": [1.0 + 0.1 * (i % 5) for i in range(80)],
        "loss": [2.3 * 0.98**i for i in range(80)],
    }
    faulty = {
        "grad_norm": [1.0 * 1.15**i for i in range(80)],
        "loss": [2.3 * 1.02**i for i in range(80)],
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        norms, losses = trace.series(GRAD_NORM), trace.series(LOSS)
        if len(norms) < 2 * self.window:
            raise NotApplicable(f"{len(norms)} norms of the whole gradient were recorded; {2 * self.window} are needed")
        start, now = norms.first(self.window).median, norms.last(self.window).median
        if start == 0 or now <= self.factor * start:
            return
        if len(losses) < 2 * self.window or not losses.is_finite:
            raise NotApplicable("whether the loss profits cannot be told: too few finite losses")
        loss_then, loss_now = losses.first(self.window).median, losses.last(self.window).median
        if loss_now < loss_then:
            return
        yield Finding(
            message=f"gradient norm {now:.2e} over the last {self.window} steps; {start:.2e} over the first, "
            f"while the loss went from {loss_then:.4g} to {loss_now:.4g}",
            advice=(
                f"Clip the gradient norm, at about {start:.1g}.",
                "Divide the learning rate by 3 to 10, or warm it up.",
                "Add normalisation or a residual path.",
            ),
            evidence={"norm": now, "norm_at_start": start, "factor": self.factor, "loss": loss_now},
        )
