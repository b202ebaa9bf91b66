"""A training that stood still for a long while and went on."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import PositiveFloat

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.records import STALLED, Event
from ..engine.signals import STEP_SECONDS
from ..engine.tables import number, text
from .stalled_run import expected


class LongPause(Rule):
    """The training gave no sign of life, neither a step nor a batch, for minutes; then it went on.

    Told where the silence took two minutes, 20 times as long as the usual step and 3 times as long as the longest
    silence before, at least. The longest of several is named. One that did not go on is `stalled-run`.

    ## Why it matters
    What stopped it once may stop it for good the next time, and the time is lost.

    ## What to try
    - Look at what else the machine did then: swapping, a full disk, another program, a laptop that slept.
    - Look whether the data comes over a network, and keep a local copy.
    - Count what the loop does now and then: checkpoints, plots, an evaluation without a loader.

    ## When it is wrong
    An evaluation without a loader, a debugger or a suspended machine is no fault. It is for information only.

    ## References
    - The bars are ours: evaluations and checkpoints of ordinary trainings stay below them.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.INFO
    level = Level.SETTING
    waits_for_warmup = False
    profiles = Rule.profiles | {"gan", "rl", "contrastive", "autoencoder", "diffusion"}

    min_seconds: PositiveFloat = 120.0
    """Seconds of silence, at least; shorter ones are not noted."""

    healthy = {"step_seconds": [0.05, 0.05]}
    faulty = {
        "step_seconds": [0.05, 0.05],
        "events": {"stalled": {1: {"seconds": 700.0, "step_seconds": 0.05, "longest": 3.0, "went_on": True}}},
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        stalls = trace.events(STALLED)
        if not stalls and not trace.count(STEP_SECONDS):
            raise NotApplicable("no step was timed")
        pauses = [event for event in stalls if event.data.get("went_on") is True]
        event = max(pauses, key=_seconds, default=None)
        if event is None or (seconds := _seconds(event)) < self.min_seconds:
            return
        since, usual = text(event.data.get("since")), number(event.data.get("step_seconds"))
        is_loader = event.data.get("where") == "loader"
        yield Finding(
            message=f"nothing for {seconds:.0f} s behind step {event.step}{' from ' + since if since else ''}"
            f"{', waiting for the loader' if is_loader else ''}, then it went on; {expected(seconds, usual)}",
            advice=(
                "Look at what else the machine did then: swapping, a full disk, another program.",
                "Keep a local copy of data that comes over a network.",
                "Count what the loop does now and then: checkpoints, plots, an evaluation without a loader.",
            ),
            step=event.step,
            evidence={"seconds": seconds, "n_pauses": len(pauses)},
        )


def _seconds(event: Event) -> float:
    return number(event.data.get("seconds")) or 0.0
