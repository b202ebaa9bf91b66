"""Accumulated gradients that add up instead of being averaged."""

from __future__ import annotations

import math
from collections.abc import Iterator

from pydantic import Field, PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.kinds import SCALE_FREE, kind_of, optimizers_of
from ..engine.tables import losses_of, number, table, text


class AccumulationNotAveraged(Rule):
    """The gradients of several batches are added up for one step, and the loss is not divided by their number.

    ## Why it matters
    Each step is as many times too long as there are batches in it: the same learning rate is another one as soon as the
    number of accumulated batches changes, and clipping and weight decay weigh otherwise.

    ## What to try
    - Divide: `(loss / accumulation_steps).backward()`.
    - Or divide the learning rate by the number of accumulated batches.

    ## When it is wrong
    A learning rate that was chosen for the sum does the same. Losses that are sums over the batch are not judged, nor
    optimizers that divide by the size of the gradient, such as Adam: a factor is nothing to them. Several losses of one
    batch that are sent backward one by one are not meant.

    ## References
    - Goyal et al. 2017, Accurate, Large Minibatch SGD, section 2.1: the rate belongs to the mean over the batch.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.WARNING
    level = Level.LOGIC
    needs_facts = ("accumulation", "optimizer")
    waits_for_warmup = False
    finite = False
    explains = (Level.DYNAMICS, Level.OUTCOME, "learning-rate-too-high", "clipping-always-bites", Severity.FATAL)

    tolerance: float = Field(0.5, gt=0, lt=1)
    """How far the product of the loss's factor and the number of batches may be from 1 and still be an average."""

    min_backwards: PositiveInt = 4
    """Backward calls in a step that count as accumulation where batches are made by hand; from a loader, two do."""

    healthy = {
        "loss": [1.0] * 40,
        "facts": {
            "accumulation": {"backwards": 4, "batches": 4},
            "optimizer": [{"class": "SGD"}],
            "evaluation": {"factor": 0.25},
            "loss": [{"function": "cross_entropy", "reduction": "mean", "scaled": True, "terms": 1}],
        },
    }
    faulty = {
        "loss": [1.0] * 40,
        "facts": {
            "accumulation": {"backwards": 4, "batches": 4},
            "optimizer": [{"class": "SGD"}],
            "evaluation": {"factor": 1.0},
            "loss": {"function": "cross_entropy", "reduction": "mean", "scaled": False, "terms": 1},
        },
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        window = table(trace.facts.get("accumulation"))
        n, batches = number(window.get("backwards")), number(window.get("batches"))
        if n is None or batches is None or n < 2:
            raise NotApplicable("how many batches a step is made of is not known")
        if not (batches == n or (batches == 0 and n >= self.min_backwards)):
            raise NotApplicable(f"{n:g} backward calls on {batches:g} batches in a step: no accumulation over batches")
        kinds = {kind_of(one) for one in optimizers_of(trace)}
        if not kinds or kinds & SCALE_FREE:
            raise NotApplicable(f"a factor of the gradient is nothing to {', '.join(sorted(kinds)) or 'the optimizer'}")
        losses = losses_of(trace)
        if len(losses) != 1 or text(losses[0].get("reduction")) != "mean":
            raise NotApplicable("the loss is not one mean over the batch")
        factor = number(table(trace.facts.get("evaluation")).get("factor"))
        if factor is None and isinstance(trace.facts.get("loss"), dict) and losses[0].get("scaled") is False:
            factor = 1.0  # a loss that is told as one table is that function, and nothing else
        if factor is None:
            raise NotApplicable("what the loss is multiplied with is not known")
        if factor > 1 + self.tolerance:
            raise NotApplicable(f"the loss has a factor of {factor:.3g}, for another reason")
        if len(trace.events("step_skipped")) > self.tolerance * trace.step:
            raise NotApplicable("a gradient scaler skips steps: their batches look accumulated")
        total = factor * n
        if not math.isfinite(total) or total <= 1 + self.tolerance:
            return
        yield Finding(
            message=f"{n:g} batches are accumulated for a step, and the loss has a factor of {factor:.3g}: "
            "gradients are "
            f"{total:.3g} times their mean, about 1 was expected",
            advice=(
                f"Divide the loss: (loss / {n:g}).backward().",
                f"Or divide the learning rate by {n:g}.",
            ),
            evidence={"n_backwards": n, "factor": factor, "total": total},
        )
