"""A gradient that has grown out of all proportion."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field, PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.progress import progress_of
from ..engine.signals import GRAD_NORM


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
    bars = {"norm": GRAD_NORM, "norm_at_start": GRAD_NORM}
    history = 1
    waits_for_warmup = False
    explains = (
        "gradient-spike", "weight-divergence", "update-ratio", "vanishing-gradient", Level.OUTCOME, Severity.FATAL,
    )  # fmt: skip
    profiles = Rule.profiles | {"autoencoder", "contrastive", "diffusion"}

    factor: float = Field(100.0, gt=1)
    """How many times its level at the start of the run the gradient norm must be."""

    ratio: float = Field(0.05, gt=0, lt=1)
    """Share by which the loss must have come down for the growth to be healthy."""

    window: PositiveInt = 5
    """Norms in one level (a median)."""

    min_norms: PositiveInt = 15
    """Norms needed."""

    healthy = {
        "grad_norm": [1.0 + 0.1 * (i % 5) for i in range(80)],
        "loss": [2.3 * 0.98**i for i in range(80)],
    }
    faulty = {
        "grad_norm": [1.0 * 1.15**i for i in range(80)],
        "loss": [2.3 * 1.02**i for i in range(80)],
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        norms = trace.series(GRAD_NORM)
        if len(norms) < self.min_norms:
            raise NotApplicable(f"{len(norms)} norms of the whole gradient were recorded; {self.min_norms} are needed")
        start, now = norms.first(self.window).median, norms.last(self.window).median
        if start == 0 or now <= self.factor * start:
            return
        progress = progress_of(trace)
        if progress is None:
            raise NotApplicable("whether the loss profits cannot be told: too few finite losses")
        if progress.has_learned(self.ratio):
            return
        yield Finding(
            message=f"gradient norm {now:.2e} over the last {self.window} looked at; {start:.2e} over the first, "
            f"while the loss went from {progress.initial:.4g} to {progress.now:.4g}",
            advice=(
                f"Clip the gradient norm, at about {start:.1g}.",
                "Divide the learning rate by 3 to 10, or warm it up.",
                "Add normalisation or a residual path.",
            ),
            evidence={"norm": now, "norm_at_start": start, "factor": self.factor, "loss": progress.now},
        )
