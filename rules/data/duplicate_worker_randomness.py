"""Loader workers that draw the same random numbers."""

from __future__ import annotations

from collections.abc import Iterator

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.profiles import EVERY
from ..engine.tables import number, table, tables


class DuplicateWorkerRandomness(Rule):
    """Workers of the training loader draw from generators in the same state, or in the same state in each epoch.

    ## Why it matters
    Augmentation is then the same in all workers, or in every epoch: far less variety than it seems, and nothing in the
    curves tells.

    ## What to try
    - Seed in `worker_init_fn` with `torch.initial_seed() % 2**32`, which differs by worker and epoch.
    - Leave it out: torch seeds Python, numpy and itself in each worker.
    - Make generators of a data set's own in the worker, not in `__init__`.

    ## When it is wrong
    Randomness that is to repeat in each epoch, such as a fixed noise for each sample, may be seeded so on purpose.
    Generators that no worker draws from are not reported, nor are loaders of held-out data.

    ## References
    - PyTorch issue #5059; documentation, "Randomness in multi-process data loading".
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.WARNING
    level = Level.LOGIC
    needs_facts = ("workers",)
    waits_for_warmup = False
    profiles = EVERY
    explains = ()

    healthy = {
        "facts": {"workers": [{"split": "train", "seen": 2, "generators": {"numpy": {"equal": False, "drawn": True}}}]}
    }
    faulty = {
        "facts": {"workers": [{"split": "train", "seen": 2, "generators": {"numpy": {"equal": True, "drawn": True}}}]}
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        loaders = [one for one in tables(trace.facts.get("workers")) if one.get("split") == "train"]
        if not any(table(one.get("generators")) for one in loaders):
            raise NotApplicable("no worker of the training loader told the state of its generators")
        for loader in loaders:
            seen = number(loader.get("seen")) or 0.0
            for name, about in table(loader.get("generators")).items():
                if table(about).get("drawn") is not True:
                    continue
                if table(about).get("equal") is True:
                    what = f"at least 2 of {seen:.0f} workers begin with the same state of the generator {name}"
                elif table(about).get("same_each_pass") is True:
                    what = f"a worker begins epochs 1 and 2 with the same state of the generator {name}"
                else:
                    continue
                yield Finding(
                    subject=name,
                    message=f"{what}, and draw from it; a state of their own, and a new one in each epoch, is expected",
                    advice=(
                        "Seed in worker_init_fn with torch.initial_seed() % 2**32: it differs by worker and epoch.",
                        "Make generators of the data set's own in the worker, not in its __init__.",
                    ),
                    evidence={"workers": seen},
                )
