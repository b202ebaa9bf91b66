"""Labels that the model can read off its input."""

from __future__ import annotations

import math
from collections.abc import Iterator

from pydantic import Field, PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.labels import loss_of, n_classes
from ..engine.signals import EPOCH_LOSS, VAL_LOSS
from ..engine.tables import table, text


class SuspiciouslyGood(Rule):
    """The labels are the input itself, position by position, and the loss is next to 0 almost at once.

    A language model that is to give the next token, and whose labels were not shifted, only has to copy.

    ## Why it matters
    The loss is excellent, and the model has learned to repeat what it is shown.

    ## What to try
    - Shift the labels by one position: inputs `tokens[:, :-1]`, labels `tokens[:, 1:]`.
    - Leave the shift to the model if it makes it, and then pass labels unshifted to it alone.

    ## When it is wrong
    Autoencoders of tokens and copying tasks have their input as labels on purpose: they take longer to be perfect.

    ## References
    - Karpathy 2019, A Recipe for Training Neural Networks: use backprop to chart dependencies; leaks of the future.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.WARNING
    level = Level.SETTING
    needs_facts = ("evaluation",)
    bars = {"loss": VAL_LOSS, "guess": VAL_LOSS}
    waits_for_warmup = False
    profiles = frozenset({"supervised", "language-model", "fine-tune", "unknown"})
    explains = (Level.OUTCOME,)

    ratio: float = Field(0.05, gt=0, lt=1)
    """Loss over that of guessing, from which on it is next to 0."""

    within: PositiveInt = 2
    """First epochs, or evaluations, within which it must have got there."""

    min_classes: PositiveInt = 8
    """Classes from which on that cannot be luck."""

    healthy = {
        "loss/val": [2.2, 1.8, 1.5],
        "facts": {
            "evaluation": {"target": "frame y", "change": "same"},
            "loss": {"function": "cross_entropy", "n_classes": 60},
        },
    }
    faulty = {
        "loss/val": [0.05, 0.01, 0.002],
        "facts": {
            "evaluation": {"target": "pass 0/0", "change": "same"},
            "loss": {"function": "cross_entropy", "n_classes": 60},
        },
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        evaluation, loss = table(trace.facts.get("evaluation")), loss_of(trace)
        n = n_classes(trace)
        if n is None or n < self.min_classes or text(loss.get("function")) != "cross_entropy":
            raise NotApplicable(f"judged for cross entropy of {self.min_classes} classes and more")
        losses = trace.series(VAL_LOSS) or trace.series(EPOCH_LOSS)
        if not losses or not losses.is_finite:
            raise NotApplicable("no finite loss of an epoch or evaluation is known")
        if not text(evaluation.get("target")).startswith("pass") or evaluation.get("change") != "same":
            return
        bar = self.ratio * math.log(n)
        best = min(losses.first(self.within))
        if best >= bar:
            return
        at = next(number for number, value in enumerate(losses, 1) if value < bar)
        yield Finding(
            message=f"the labels are the model's own input, and the loss is {best:.3g} from evaluation {at} on; "
            f"guessing among {n} classes has {math.log(n):.3g}",
            advice=(
                "Shift the labels by one position: inputs tokens[:, :-1], labels tokens[:, 1:].",
                "Check what the labels are made from: they must not be part of the input.",
            ),
            evidence={"loss": best, "guess": math.log(n), "evaluation": at},
        )
