"""A training that waits for its data."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from pydantic import Field, PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.signals import STEP_SECONDS, WAIT_DATA


class InputBound(Rule):
    """The training waits for its data loader most of the time.

    ## Why it matters
    The model could be trained faster for nothing: the time goes into reading and preparing batches.

    ## What to try
    - Give the loader workers: num_workers=4, persistent_workers=True.
    - Prepare once what is the same in each epoch: decode, resize and tokenise ahead of the training.
    - On a GPU: pin_memory=True, and non_blocking=True in the transfer.

    ## When it is wrong
    A small model on a CPU waits for its data by nature, and says nothing about the health of the training: it is for
    information only. What is measured without workers is the time of loading itself.

    ## References
    - TensorBoard's profiler calls a training input bound when a considerable share of the step is spent on input; its
      recommendation begins at 5 %, and "highly" at 20 %. Half leaves no doubt on small steps either.
    """

    phases = (Phase.RUN,)
    severity = Severity.INFO
    level = Level.SETTING
    needs = (WAIT_DATA,)
    bars = {"ratio": WAIT_DATA, "share": WAIT_DATA}
    waits_for_warmup = False
    profiles = Rule.profiles | {"gan", "rl", "contrastive", "autoencoder", "diffusion"}

    ratio: float = Field(0.5, gt=0, le=1)
    """Share of the training time spent in waiting, from which on it is reported."""

    min_epochs: PositiveInt = 2
    """Epochs needed: the first one starts workers and fills caches."""

    healthy = {"wait_data": [0.4, 0.08, 0.1, 0.09], "step_seconds": [0.02, 0.01, 0.01, 0.01]}
    faulty = {"wait_data": [0.8, 0.72, 0.75, 0.7], "step_seconds": [0.02, 0.01, 0.01, 0.01]}

    def check(self, trace: Trace) -> Iterator[Finding]:
        waits = trace.series(WAIT_DATA)
        if len(waits) < self.min_epochs:
            raise NotApplicable(f"{len(waits)} epochs with a loader; {self.min_epochs} are needed")
        share = median(waits[1:])
        if share <= self.ratio:
            return
        seconds = trace.series(STEP_SECONDS)
        lost = f", {1e3 * share * seconds.median:.3g} ms of each step" if seconds and seconds.is_finite else ""
        yield Finding(
            message=f"{share:.0%} of the training time was waiting for data{lost}; below {self.ratio:.0%} expected",
            advice=(
                "Give the data loader workers (num_workers, persistent_workers).",
                "Do ahead of the training, once, what each epoch does again to the same samples.",
                "On a GPU, pin the memory of batches and transfer them without blocking.",
            ),
            evidence={"share": share, "n_epochs": len(waits)},
        )
