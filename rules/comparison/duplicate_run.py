"""A run that was made before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import Field

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.signals import EPOCH_LOSS, VAL_ACCURACY, VAL_LOSS
from .bands import FACT, enough


class DuplicateRun(Rule):
    """An earlier run had the same code, parameters and seeds.

    ## Why it matters
    With the same result, the run has told nothing new. With another one, something that is not recorded has changed:
    the data, the environment, or an order that no seed fixes.

    ## What to try
    - Change the seed, when the spread of the results is what is looked for.
    - Where the results differ: compare the two with `tracker compare`, and run `tracker reproduce`.

    ## When it is wrong
    Runs are repeated on purpose to see whether they repeat. It is for information only.

    ## References
    - Bouthillier et al. 2021, Accounting for Variance in Machine Learning Benchmarks.
    """

    phases = (Phase.CROSS_RUN,)
    severity = Severity.INFO
    level = Level.SETTING
    waits_for_warmup = False
    profiles = Rule.profiles | {"gan", "rl", "contrastive", "autoencoder", "diffusion"}

    tolerance: float = Field(1e-6, ge=0)
    """Relative difference of the last values up to which two results are the same."""

    healthy = {
        "epoch_loss": [2.0, 1.0],
        "facts": {"family": {"code": "a1", "seed": {"torch": "1"}, "params": {"lr": "0.1"}}},
        "peers": {
            "run0": {
                "epoch_loss": [2.0, 1.1],
                "facts": {"family": {"code": "a1", "seed": {"torch": "2"}, "params": {"lr": "0.1"}}},
            }
        },
    }
    faulty = {
        "epoch_loss": [2.0, 1.0],
        "facts": {"family": {"code": "a1", "seed": {"torch": "1"}, "params": {"lr": "0.1"}}},
        "peers": {
            "run0": {
                "epoch_loss": [2.0, 1.1],
                "facts": {"family": {"code": "a1", "seed": {"torch": "1"}, "params": {"lr": "0.1"}}},
            }
        },
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        enough(trace, 1)
        own = _identity(trace)
        if own is None:
            raise NotApplicable("its code is not stored, or it was not seeded: whether it was made before is not known")
        for run_id, peer in trace.peers.items():
            if _identity(peer) != own:
                continue
            for signal in (VAL_ACCURACY, VAL_LOSS, EPOCH_LOSS):
                ours, theirs = trace.series(signal), peer.series(signal)
                if not (len(ours) and len(theirs) and ours.is_finite and theirs.is_finite):
                    continue
                now, then = ours[-1], theirs[-1]
                is_same = abs(now - then) <= self.tolerance * max(abs(now), abs(then))
                yield Finding(
                    message=f"code, parameters and seeds are those of run {run_id[:8]}: {signal.name} {now:.6g} at the "
                    f"end, {then:.6g} there" + ("" if is_same else "; the same was expected"),
                    advice=("Change the seed, when the spread of the results is looked for.",)
                    if is_same
                    else (f"Compare the two: tracker compare {run_id[:8]} with this run.", "Run tracker reproduce."),
                    evidence={"value": now, "earlier": then},
                )
                return
            return


def _identity(trace: Trace) -> tuple[object, ...] | None:
    """Code, seeds and parameters; None where one of them is not known."""
    fact = trace.facts.get(FACT)
    if not isinstance(fact, Mapping):
        return None
    code, seed, params = fact.get("code"), fact.get("seed"), fact.get("params")
    if not (isinstance(code, str) and code and isinstance(seed, Mapping) and seed and isinstance(params, Mapping)):
        return None
    return code, dict(seed), dict(params)
