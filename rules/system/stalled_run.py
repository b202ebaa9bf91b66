"""A training that stood still when it ended, or stands still now."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import PositiveFloat

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.records import STALLED
from ..engine.signals import STEP_SECONDS
from ..engine.tables import number, text


class StalledRun(Rule):
    """The training gave no further sign of life, neither a step nor a batch, and did not go on: it was ended, or waits.

    Told where the silence took two minutes, 20 times as long as the usual step and 3 times as long as the longest
    silence before, at least. The training says so when it is interrupted; where its process is killed, the sidecar,
    which has watched the journal meanwhile.

    ## Why it matters
    A process that hangs costs the machine and the wait, and is easily taken for one that fails: there is no traceback.

    ## What to try
    - While it hangs: py-spy dump --pid PID shows the line that waits.
    - Workers of a loader that wait for each other: try num_workers=0; set timeout= to be told.
    - Several processes: every rank must reach the same collective operations as often.

    ## When it is wrong
    A script that does something else for minutes behind its last step, and is then ended by hand, did not hang. An
    evaluation without a loader gives no sign either.

    ## References
    - The bars are ours: evaluations and checkpoints of ordinary trainings stay below them.
    """

    phases = (Phase.STEP, Phase.EPOCH, Phase.RUN)
    severity = Severity.WARNING
    level = Level.SETTING
    waits_for_warmup = False
    profiles = Rule.profiles | {"gan", "rl", "contrastive", "autoencoder", "diffusion"}

    min_seconds: PositiveFloat = 120.0
    """Seconds of silence, at least; shorter ones are not noted."""

    healthy = {"step_seconds": [0.05, 0.05]}
    faulty = {
        "step_seconds": [0.05, 0.05],
        "events": {"stalled": {1: {"seconds": 700.0, "step_seconds": 0.05, "longest": 3.0, "went_on": False}}},
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        stalls = trace.events(STALLED)
        if not stalls and not trace.count(STEP_SECONDS):
            raise NotApplicable("no step was timed")
        for event in stalls[-1:]:
            seconds, usual = number(event.data.get("seconds")), number(event.data.get("step_seconds"))
            if event.data.get("went_on") is not False or seconds is None or seconds < self.min_seconds:
                continue
            since = text(event.data.get("since"))
            is_loader = event.data.get("where") == "loader"
            yield Finding(
                message=f"nothing for {seconds:.0f} s behind step {event.step}{' since ' + since if since else ''}"
                f"{', waiting for the loader' if is_loader else ''}; {expected(seconds, usual)}",
                advice=(
                    "Look where it waits while it hangs: py-spy dump --pid PID.",
                    "Try the loader with num_workers=0; give it timeout= to be told of a worker that hangs.",
                    "With several processes, let every rank reach the same collective operations.",
                ),
                step=event.step,
                evidence={"seconds": seconds, **({"step_seconds": usual} if usual is not None else {})},
            )


def expected(seconds: float, usual: float | None) -> str:
    """What a step took before, and how many times longer the silence was."""
    if not usual:
        return "no step had been timed before"
    return f"a step took {usual:.3g} s before (median), which is {seconds / usual:,.0f} times less"
