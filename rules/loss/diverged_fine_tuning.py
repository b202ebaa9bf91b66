"""A short log of a fine-tuning whose loss has only grown."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from pydantic import Field, PositiveInt

from ..engine import Finding, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.signals import LOSS


class DivergedFineTuning(Rule):
    """In a log of few entries, each a mean over many steps, the last losses are far above the first ones.

    Such entries scatter little, so that a handful tell what `loss-diverging` needs more single losses for.

    ## Why it matters
    The model is worse than the one that the fine-tuning started from.

    ## What to try
    - Divide the learning rate by 3 to 10, and warm it up over the first 5 to 10 % of the steps.
    - Clip the gradient norm.
    - Go back to the model before the fine-tuning; nothing in the last checkpoint is worth keeping.

    ## When it is wrong
    Curricula that make the task harder raise the loss on purpose.

    ## References
    - Mosbach, Andriushchenko & Klakow 2021, On the Stability of Fine-tuning BERT.
    """

    phases = (Phase.RUN,)
    severity = Severity.ERROR
    needs = (LOSS,)
    bars = {"loss": LOSS, "first": LOSS}
    waits_for_warmup = False
    profiles = frozenset({"fine-tune"})
    explains = ("loss-spike", "no-better-than-baseline")

    min_steps: PositiveInt = 8
    """Losses needed."""

    max_steps: PositiveInt = 24
    """Losses up to which this rule judges; `loss-diverging` judges more of them."""

    factor: float = Field(1.5, gt=1)
    """Level of the last quarter over the largest of the first two, from which on it counts."""

    healthy = {"profile": "fine-tune", "loss": [2.0, 1.9, 2.1, 1.7, 1.9, 1.5, 1.6, 1.5, 1.4, 1.5]}
    faulty = {"profile": "fine-tune", "loss": [2.0, 1.9, 2.4, 3.9, 6.0, 8.1, 7.9, 9.2, 9.4, 9.1]}

    def check(self, trace: Trace) -> Iterator[Finding]:
        losses = trace.series(LOSS)
        n = len(losses)
        if not self.min_steps <= n <= self.max_steps:
            raise NotApplicable(f"{n} losses were recorded; judged for {self.min_steps} to {self.max_steps}")
        recent = losses.values[-max(2, n // 4) :]
        first, now = max(losses.values[:2]), median(recent)
        if not (first > 0 and min(recent) > self.factor * first):
            return
        yield Finding(
            message=f"loss {now:.4g} over the last {len(recent)} of {n} entries; at most {first:.4g} at the start",
            advice=(
                "Divide the learning rate by 3 to 10, and warm it up over the first 5 to 10 % of the steps.",
                "Clip the gradient norm.",
                "Start again from the model before the fine-tuning.",
            ),
            evidence={"loss": min(now, 1e300), "first": min(first, 1e300)},
        )
