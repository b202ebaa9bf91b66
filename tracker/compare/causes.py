"""Where in a training two runs part, and what usually does that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from .streams import OBSERVED, Comparison, Ledger


@dataclass(frozen=True)
class Cause:
    """Where in a training two runs part, and what usually does that."""

    where: Literal["initialisation", "first step", "first update", "epoch boundary", "evaluation", "drift"]
    likely: str


def why(original: Ledger, comparison: Comparison, before: Mapping[str, str], after: Mapping[str, str]) -> Cause | None:
    """Classifies where two runs part; None when nothing differs."""
    first = comparison.first_difference
    if before.get("start") and after.get("start") and before["start"] != after["start"]:
        return Cause("initialisation", "the first weights differ: another seed, or the model is built differently")
    if first is None:
        return None
    steps = list(dict.fromkeys(original.steps))
    loss = OBSERVED + "loss"
    if steps and first.moment == steps[0]:
        return Cause("first step", "initial weights, the first batch, or a seed that was not restored")
    if len(steps) > 1 and first.moment == steps[1]:
        return Cause(
            "first update", "kernels, number of threads or precision: the first step was equal, its update not"
        )
    if (
        first.metric != loss
        and not first.metric.startswith(OBSERVED)
        and loss in comparison.metrics
        and loss not in comparison.different
    ):
        return Cause("evaluation", "the training is equal: evaluation data, its order, or a model left in train mode")
    if first.moment in original.epoch_starts:
        return Cause("epoch boundary", "the shuffle of this epoch, or the random numbers of data-loader workers")
    return Cause("drift", "a nondeterministic kernel, or anything that depends on time")
