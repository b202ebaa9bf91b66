"""A batch whose gradient is mostly noise."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.tables import number, table


class BatchBelowNoiseScale(Rule):
    """The batch is much smaller than the gradient's noise scale: most of each step is chance.

    ## Why it matters
    Below the noise scale a batch of twice the size needs about half as many steps. Above it, larger batches cost time
    and gain little.

    ## What to try
    - Take a larger batch, or accumulate gradients over several, and raise the learning rate with it.
    - Keep the batch where memory or noise as a regulariser ask for it: nothing is wrong.

    ## When it is wrong
    One batch at the start measures it to a factor of a few; it grows as the loss falls. It is a note about time, not
    about a fault. Batch normalisation couples the samples, which the measurement takes as independent.

    ## References
    - McCandlish, Kaplan, Amodei et al. 2018, An Empirical Model of Large-Batch Training, sections 2.2, 2.3.
    """

    phases = (Phase.PREFLIGHT,)
    severity = Severity.INFO
    level = Level.SETTING
    needs_facts = ("drill/noise-scale",)
    waits_for_warmup = False

    times: float = Field(10.0, gt=1)
    """Times that the noise scale is larger than the batch: what one batch tells is within a factor of a few."""

    healthy = {"facts": {"drill/noise-scale": {"batch": 64, "scale": 40.0, "gradient": 0.1, "variance": 4.0}}}
    faulty = {"facts": {"drill/noise-scale": {"batch": 16, "scale": 900.0, "gradient": 0.1, "variance": 90.0}}}

    def check(self, trace: Trace) -> Iterator[Finding]:
        told = table(trace.facts.get("drill/noise-scale"))
        batch, scale = number(told.get("batch")), number(told.get("scale"))
        if batch is None or batch <= 0:
            raise NotApplicable("the size of the batch is not known")
        if scale is None:
            raise NotApplicable(f"the noise of {batch:.0f} samples hides their gradient: the scale lies far above that")
        if scale < self.times * batch:
            return
        about = f"{float(f'{scale:.2g}'):,g}"
        yield Finding(
            message=f"the gradient noise scale is about {about} at the start; the batch has {batch:.0f} samples",
            advice=(
                f"Up to about {about} samples, a batch of twice the size needs about half as many steps: try a larger "
                "one, or accumulate gradients.",
            ),
            evidence={"noise_scale": scale, "batch": batch},
        )
