"""Workers of the training loader that draw the same random numbers."""

from __future__ import annotations

from collections.abc import Iterator

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.profiles import EVERY
from ..engine.tables import number, table


class SameRandomnessInWorkers(Rule):
    """Two workers of the training loader, or two passes, make samples with a generator in the same state.

    ## Why it matters
    Augmentation is then the same in all workers, or in every epoch: far less variety than it seems, and nothing in the
    curves tells.

    ## What to try
    - Seed in `worker_init_fn` with `torch.initial_seed() % 2**32`, which differs by worker and epoch.
    - Leave it out: torch seeds Python, numpy and itself in each worker.
    - Make generators of a data set's own in the worker, not in `__init__`.

    ## When it is wrong
    Randomness that is to repeat in each epoch, such as a fixed noise for each sample, may be seeded so on purpose.
    Generators that no sample is made with are not reported.

    ## References
    - PyTorch issue #5059; documentation, "Randomness in multi-process data loading".
    """

    phases = (Phase.PREFLIGHT,)
    severity = Severity.WARNING
    level = Level.LOGIC
    needs_facts = ("drill/data-at-the-door",)
    waits_for_warmup = False
    profiles = EVERY

    healthy = {
        "facts": {
            "drill/data-at-the-door": {"workers": {"seen": 2, "generators": {"numpy": {"equal": False, "drawn": True}}}}
        }
    }
    faulty = {
        "facts": {
            "drill/data-at-the-door": {"workers": {"seen": 2, "generators": {"numpy": {"equal": True, "drawn": True}}}}
        }
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        workers = table(table(trace.facts.get("drill/data-at-the-door")).get("workers"))
        generators = table(workers.get("generators"))
        seen = number(workers.get("seen")) or 0.0
        if not generators:
            raise NotApplicable("no workers of the training loader were looked at")
        for name, told in generators.items():
            about = table(told)
            if about.get("drawn") is not True:
                continue
            if about.get("equal") is True:
                what = f"{seen:.0f} of {seen:.0f} workers begin with the same state of the generator {name}"
            elif about.get("same_each_pass") is True:
                what = f"a worker begins passes 1 and 2 with the same state of the generator {name}"
            else:
                continue
            yield Finding(
                subject=name,
                message=f"{what}, and draw from it; a state of their own, and a new one in each pass, is expected",
                advice=(
                    "Seed in worker_init_fn with torch.initial_seed() % 2**32: it differs by worker and epoch.",
                    "Make generators of the data set's own in the worker, not in its __init__.",
                ),
                evidence={"workers": seen},
            )
