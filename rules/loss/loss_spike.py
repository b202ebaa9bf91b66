"""Single losses far above their neighbours."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from pydantic import Field, PositiveInt

from ..engine import Finding, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.gates import why_incomparable
from ..engine.profiles import ONE_OBJECTIVE
from ..engine.records import EPOCH
from ..engine.signals import LOSS


class LossSpike(Rule):
    """Some batch's loss stood far above the losses just before it.

    ## Why it matters
    Spikes are often one broken sample or one step too long. Large trainings survive many; each costs some
    progress, and one that does not recover is a divergence (loss-diverging).

    ## What to try
    - Look at the samples of that batch.
    - Clip the gradient norm, or leave out batches whose gradient is far off.
    - Lower the learning rate, or Adam's beta2, when spikes come again and again.

    ## When it is wrong
    Small batches of uneven difficulty spike by nature. The last batch of an epoch, often a smaller one, is left out.
    It is for information only, as a spike that recovers does not make a run suspicious.

    ## References
    - Chowdhery et al. 2022, PaLM: more than 20 spikes in one healthy run, cured by leaving out the batches.
    - ZClip (Kumar et al. 2025) flags by the z-score against a running mean; the bars of 6 deviations *and* 3 times the
      level are ours, set to stay quiet on heavy-tailed batch losses.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.INFO
    needs = (LOSS,)
    bars = {"loss": LOSS, "level": LOSS}
    history = 100
    profiles = ONE_OBJECTIVE

    factor: float = Field(3.0, gt=1)
    """How many times the level before it a spike is, at least."""

    tolerance: float = Field(6.0, gt=0)
    """How many robust standard deviations above the level before it a spike is, at least."""

    window: PositiveInt = 50
    """Losses before a spike that give its level."""

    healthy = {"loss": [2.0 * 0.995**i + 0.05 * (i % 5) for i in range(200)], "epoch_len": 50}
    faulty = {"loss": [1.0 + 0.05 * (i % 5) + (9.0 if i == 130 else 0.0) for i in range(200)], "epoch_len": 50}

    def check(self, trace: Trace) -> Iterator[Finding]:
        incomparable = why_incomparable(trace)
        if incomparable is not None:
            raise NotApplicable(incomparable)
        losses = trace.series(LOSS)
        if min(losses) < 0:
            raise NotApplicable("the loss is negative at times: a multiple of its level means nothing")
        ends = {event.data.get("last_step") for event in trace.events(EPOCH)}

        spikes: list[tuple[int, float, float]] = []
        for at in range(self.window, len(losses), self.window):
            before = losses.values[at - self.window : at]
            level = median(before)
            bar = max(self.factor * level, level + self.tolerance * 1.4826 * median(abs(v - level) for v in before))
            stretch = zip(losses.steps[at : at + self.window], losses.values[at : at + self.window], strict=True)
            spikes += [(step, loss, level) for step, loss in stretch if loss > bar and step not in ends]
        if not spikes or losses.last(self.window).median > self.factor * losses.first(self.window).median:
            return
        step, loss, level = max(spikes, key=lambda spike: spike[1] / (spike[2] or 1.0))
        yield Finding(
            message=f"loss {loss:.4g} at step {step}; the {self.window} losses before it had a median of {level:.4g} "
            f"({len(spikes)} spikes so far){_batch(trace, step)}",
            advice=(
                f"Look at the samples of step {step}.",
                "Clip the gradient norm.",
                "Lower the learning rate when spikes come again and again.",
            ),
            evidence={"loss": loss, "level": level, "step": step, "n_spikes": len(spikes)},
        )


def _batch(trace: Trace, step: int) -> str:
    """The samples of the batch, in words; empty where they are not known."""
    for event in trace.events("loss_spiked"):
        indices = event.data.get("batch_indices")
        if event.step == step and isinstance(indices, list) and indices:
            return f"; batch of samples {', '.join(map(str, indices[:8]))}{', ...' if len(indices) > 8 else ''}"
    return ""
