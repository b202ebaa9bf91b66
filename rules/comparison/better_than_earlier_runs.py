"""A result that is better than ever before."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field, PositiveInt

from ..engine import Finding, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.signals import VAL_ACCURACY, VAL_LOSS
from .bands import different_params, enough, spread_of


class BetterThanEarlierRuns(Rule):
    """The best held-out result of the run is far better than that of every earlier run of its kind.

    ## Why it matters
    It is worth knowing what made the difference, and that it is no leak: a jump that nobody can explain is most often
    held-out data that has found its way into training.

    ## What to try
    - Look at what was changed since: parameters that differ are named, `tracker compare` shows the rest.
    - Check that the split is the same as before.

    ## When it is wrong
    Better settings give better results: it is for information only.

    ## References
    - Kapoor & Narayanan 2023, Leakage and the reproducibility crisis in machine-learning-based science.
    """

    phases = (Phase.CROSS_RUN,)
    severity = Severity.INFO
    waits_for_warmup = False
    profiles = Rule.profiles | {"contrastive", "autoencoder", "diffusion"}

    min_runs: PositiveInt = 5
    """Earlier runs needed."""

    factor: float = Field(3.0, gt=0)
    """Deviations from the median of the earlier runs beyond which a result stands out."""

    min_rise: float = Field(0.03, gt=0, lt=1)
    """Least distance to the best of them that counts, for accuracies."""

    margin: float = Field(0.2, gt=0, lt=1)
    """The same for losses, as a share of their median."""

    healthy = {
        "epochs": 4,
        "val_accuracy": [0.5, 0.8, 0.88, 0.89],
        "peers": {f"run{i}": {"val_accuracy": [0.5, 0.8, 0.88 + 0.002 * i, 0.9 - 0.003 * i]} for i in range(6)},
    }
    faulty = {
        "epochs": 4,
        "val_accuracy": [0.7, 0.9, 0.97, 0.99],
        "peers": {f"run{i}": {"val_accuracy": [0.5, 0.8, 0.88 + 0.002 * i, 0.9 - 0.003 * i]} for i in range(6)},
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        enough(trace, self.min_runs)
        for signal, name, best in ((VAL_ACCURACY, "accuracy", max), (VAL_LOSS, "loss", min)):
            own = trace.series(signal)
            results = [
                best(series) for peer in trace.peers.values() if len(series := peer.series(signal)) and series.is_finite
            ]
            if not len(own) or not own.is_finite or len(results) < self.min_runs:
                continue
            band = spread_of(trace.step, best(own), results)
            if signal is VAL_ACCURACY:
                is_better = band.value > max(band.middle + self.factor * band.spread, band.high + self.min_rise)
            else:
                least = min(band.middle - self.factor * band.spread, band.low - self.margin * abs(band.middle))
                is_better = band.value < least
            if is_better:
                changed = different_params(trace)
                yield Finding(
                    subject=signal.name,
                    message=f"best held-out {name} {band.value:.4g}; the {band.n} earlier runs had {band.low:.4g} to "
                    f"{band.high:.4g}" + (f". Changed: {changed}" if changed else ""),
                    advice=("Check that the split is the same as before, and that no held-out sample is trained on.",),
                    evidence={"value": band.value, "median": band.middle, "spread": band.spread, "n_runs": band.n},
                )
            return
        raise NotApplicable(f"no held-out result that {self.min_runs} earlier runs have as well")
