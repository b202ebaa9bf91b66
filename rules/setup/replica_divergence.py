"""Ranks that should hold the same model and do not."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace

_SHARDED = re.compile(r"FSDP|Sharded|DeepSpeed|Pipeline|TensorParallel|Stage", re.IGNORECASE)
"""Names of wrappers whose ranks hold different parts of one model."""


class ReplicaDivergence(Rule):
    """The processes that train together end with different weights, or with different learning rates.

    Digests of the weights are compared after the same number of steps. Where they differ from the start, they are
    judged only if the parameters have the same names and shapes on all ranks, and nothing says that each holds a part.

    ## Why it matters
    Each rank trains a model of its own on a part of the data. The checkpoint of rank 0 has seen one part only, and
    evaluation on several ranks measures several models.

    ## What to try
    - Wrap the model in DistributedDataParallel before the first step, and call the wrapper, not model.module.
    - Initialise with the same seed on all ranks, and load the same checkpoint everywhere.
    - Make every rank take the same steps: no rank may skip one, or change parameters by itself.

    ## When it is wrong
    Local SGD, federated averaging and population based training let replicas differ on purpose between two exchanges.
    Ranks with parts of one model (sharded, a pipeline) are not judged.

    ## References
    - Li et al. 2020, PyTorch Distributed: DistributedDataParallel broadcasts the weights once, and replicas stay equal
      only as long as they take the same steps.
    """

    phases = (Phase.RUN,)
    severity = Severity.ERROR
    level = Level.LOGIC
    needs_facts = ("ranks",)
    waits_for_warmup = False
    profiles = Rule.profiles | {"gan", "rl", "contrastive", "autoencoder", "diffusion"}
    explains = (Level.DYNAMICS, Level.OUTCOME)

    healthy = {"facts": {"ranks": {"world_size": 2, "seen": [0, 1], "differ": {}}}}
    faulty = {
        "facts": {
            "ranks": {"world_size": 2, "seen": [0, 1], "differ": {"weights/end": {"0": "a1", "1": "b2"}}},
            "model": {"": {"class": "Net", "wrapper": ""}},
        }
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        ranks = trace.facts.get("ranks")
        differ = ranks.get("differ") if isinstance(ranks, Mapping) else None
        seen = ranks.get("seen") if isinstance(ranks, Mapping) else None
        if not isinstance(differ, Mapping) or not isinstance(seen, list) or len(seen) < 2:
            raise NotApplicable("fewer than two ranks told of their weights")
        wrappers = _wrappers(trace.facts.get("model"))
        if any(_SHARDED.search(name) for name in wrappers):
            raise NotApplicable(f"each rank holds a part of the model ({', '.join(sorted(wrappers))})")
        if differ.get("parameters"):
            raise NotApplicable("the ranks hold parameters of different names or shapes: parts of one model")

        ends, starts = _by_rank(differ.get("weights/end")), _by_rank(differ.get("weights/start"))
        if ends or starts:
            by_rank = ends or starts
            is_wrapped = any("DistributedDataParallel" in name for name in wrappers)
            since = "from the first step on" if starts else "since some step after the first"
            kinds = len(set(map(str, by_rank.values())))
            yield Finding(
                subject="weights",
                message=f"{kinds} different sets of weights on {len(by_rank)} ranks {since}; 1 expected"
                + ("" if is_wrapped else "; the model is in no DistributedDataParallel"),
                advice=(
                    "Call the wrapper and not model.module, and let no rank change parameters or skip steps by itself."
                    if is_wrapped
                    else "Wrap the model in DistributedDataParallel before the first step.",
                    "Initialise with the same seed, or load the same checkpoint, on all ranks.",
                ),
                evidence={"n_different": kinds, "n_ranks": len(by_rank)},
            )
        for name in sorted(str(key) for key in differ if str(key).startswith("lr/")):
            rates = _by_rank(differ.get(name))
            numbers = [rate for rate in rates.values() if isinstance(rate, (int, float)) and abs(rate) < 1e300]
            if len(set(numbers)) > 1:
                yield Finding(
                    subject=name,
                    message=f"learning rate {min(numbers):.3g} to {max(numbers):.3g} on {len(rates)} ranks; 1 expected",
                    advice=(
                        "Step the scheduler on every rank alike, from the same number of steps or the same metric.",
                    ),
                    evidence={"lowest": min(numbers), "highest": max(numbers)},
                )


def _by_rank(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def _wrappers(models: object) -> set[str]:
    """Class and wrapper of each model."""
    found = [model for model in models.values() if isinstance(model, Mapping)] if isinstance(models, Mapping) else []
    names = {str(model.get(key) or "") for model in found for key in ("wrapper", "class")}
    return names - {""}
