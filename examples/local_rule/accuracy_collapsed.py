"""A rule of one's own: the accuracy was good once and is not any more.

It is switched on by a line in pyproject.toml:

    [tool.tracker.rules]
    local = ["accuracy_collapsed.py"]
"""

from collections.abc import Iterator

from pydantic import Field

from tracker.rules import Finding, NotApplicable, Phase, Rule, Trace
from tracker.rules.engine.signals import VAL_ACCURACY


class AccuracyCollapsed(Rule):
    """The validation accuracy has lost most of what it once had.

    ## Why it matters
    A model that once solved the task and no longer does was broken by something that happened in between.

    ## What to try
    - Look at what changed at that epoch: the learning rate, the data, what is frozen.

    ## When it is wrong
    Where the task itself changes on purpose, as in continual learning.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    needs = (VAL_ACCURACY,)
    history = 4

    ratio: float = Field(0.5, gt=0, lt=1)
    """Share of the best accuracy below which it counts as lost; a half is far outside the noise of an evaluation."""

    healthy = {"accuracy/val": [0.5, 0.7, 0.9, 0.88, 0.9]}
    faulty = {"accuracy/val": [0.5, 0.7, 0.9, 0.4, 0.35]}

    def check(self, trace: Trace) -> Iterator[Finding]:
        accuracy = trace.series(VAL_ACCURACY)
        if len(accuracy) < self.history:
            raise NotApplicable("there is no accuracy of the first held-out set")
        best = max(accuracy)
        if max(accuracy.last(2)) < self.ratio * best:
            yield Finding(
                message=f"accuracy {accuracy[-1]:.3g} in the latest evaluation; {best:.3g} was reached before",
                advice=("Look at what changed in that epoch, first at the learning rate.",),
                evidence={"accuracy": accuracy[-1], "best": best, "ratio": self.ratio},
            )
