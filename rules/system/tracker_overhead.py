"""What observing costs."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field, PositiveFloat

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.signals import OVERHEAD, STEP_SECONDS


class TrackerOverhead(Rule):
    """The tracker takes more than a tenth of the time of a training that lasts minutes.

    ## Why it matters
    The time is yours. The first steps are observed densely whatever it costs, so that short runs are judged too; later
    the share should be a few hundredths.

    ## What to try
    - Set observe = "light" in [tool.tracker].
    - Make steps larger, when they take less than a millisecond each.

    ## When it is wrong
    On a machine that is busy with other work, times say little. It is for information only.

    ## References
    - The tracker's own budget: 1 % of steps that take long, up to a quarter of those of a fraction of a millisecond.
    """

    phases = (Phase.RUN,)
    severity = Severity.INFO
    level = Level.SETTING
    needs = (OVERHEAD, STEP_SECONDS)
    bars = {"ratio": OVERHEAD, "share": OVERHEAD}
    waits_for_warmup = False
    profiles = Rule.profiles | {"gan", "rl", "contrastive", "autoencoder", "diffusion"}

    ratio: float = Field(0.1, gt=0, lt=1)
    """Share of the time from which on it is reported."""

    min_seconds: PositiveFloat = 120.0
    """Seconds of training, by its steps, before anything is said: a short run costs little whatever the share."""

    healthy = {"overhead": [0.5, 0.2, 0.05, 0.02], "step_seconds": [0.8] * 4, "epoch_len": 100}
    faulty = {"overhead": [0.5, 0.4, 0.3, 0.3], "step_seconds": [0.8] * 4, "epoch_len": 100}

    def check(self, trace: Trace) -> Iterator[Finding]:
        seconds = trace.series(STEP_SECONDS).median * (trace.step + 1)
        if not seconds >= self.min_seconds:
            raise NotApplicable(f"the run took about {seconds:.3g} s; judged from {self.min_seconds:g} s on")
        share = trace.series(OVERHEAD)[-1]
        if share <= self.ratio:
            return
        yield Finding(
            message=f"{share:.0%} of the time went into observing; below {self.ratio:.0%} expected",
            advice=('Set observe = "light" in [tool.tracker].', "Enlarge steps that take less than a millisecond."),
            evidence={"share": share, "seconds": min(seconds, 1e300)},
        )
