"""Memory that grows from epoch to epoch."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from pydantic import Field, PositiveFloat, PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Series, Severity, Trace
from ..engine.signals import MEMORY

MIB = 2**20


class MemoryGrowth(Rule):
    """The memory in use grows through the whole run, and has become a multiple of what the first epochs needed.

    Both must hold at the end: more than twice as much as behind the first quarter of the run, and half a gigabyte more;
    and it must have risen in each quarter of the rest. What a first pass over the data fills is not counted.

    ## Why it matters
    A training that takes more memory with every epoch ends by being killed, hours later, without a message of its own.

    ## What to try
    - Add up numbers, not tensors: total += loss.item(); keep outputs with .detach().cpu().
    - Look for lists that collect batches, activations or graphs, and for hooks that are registered again and again.
    - With loader workers and Python objects in the data set: keep samples in arrays, not in lists of objects.

    ## When it is wrong
    A cache that is filled over several epochs grows as well, and stops. A model that grows on purpose is one.

    ## References
    - PyTorch, Frequently Asked Questions, "My model reports out of memory": history accumulated across the loop.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.WARNING
    level = Level.SETTING
    needs = (MEMORY,)
    bars = {"bytes": MEMORY, "bytes_before": MEMORY}
    waits_for_warmup = False
    profiles = Rule.profiles | {"gan", "rl", "contrastive", "autoencoder", "diffusion"}

    factor: float = Field(2.0, gt=1)
    """Memory at the end over that behind the first quarter, from which on it counts."""

    min_growth: PositiveFloat = 500 * MIB
    """Bytes by which it must have grown: little memory doubles easily."""

    min_epochs: PositiveInt = 8
    """Readings needed, one an epoch: a quarter has two."""

    healthy = {"memory": {"process": [1e9, 1.6e9, 1.6e9, 1.61e9, 1.6e9, 1.62e9, 1.6e9, 1.62e9]}}
    faulty = {"memory": {"process": [1e9 * (1 + 0.4 * i) for i in range(12)]}}

    def check(self, trace: Trace) -> Iterator[Finding]:
        judged = {kind: series for kind, series in trace.by_subject(MEMORY).items() if len(series) >= self.min_epochs}
        if not judged:
            raise NotApplicable(f"{trace.count(MEMORY)} readings of the memory; {self.min_epochs} are needed")
        for kind, series in judged.items():
            levels = _quarters(series)
            first, last = levels[0], levels[-1]
            rises = all(after > before * 1.02 for before, after in pairwise(levels))
            if not (rises and last > self.factor * first and last - first > self.min_growth):
                continue
            where = "on the GPU" if kind == "cuda" else "in the process"
            yield Finding(
                subject=kind,
                message=f"{last / MIB:.0f} MiB {where}, {first / MIB:.0f} MiB after a quarter of the run; "
                f"it rose in every quarter since, less than {self.factor:g} times as much was expected",
                advice=(
                    "Add up numbers instead of tensors: total += loss.item().",
                    "Keep outputs and activations with .detach(), and empty lists after each epoch.",
                    "Look for hooks and callbacks that are registered in every epoch.",
                ),
                evidence={"bytes": last, "bytes_before": first, "n_readings": len(series)},
            )


def _quarters(series: Series) -> list[float]:
    """The memory at the end of each quarter of the readings."""
    n = len(series)
    return [series[max(0, n * part // 4 - 1)] for part in (1, 2, 3, 4)]
