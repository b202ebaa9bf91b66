"""A result that is worse than it used to be."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field, PositiveInt

from ..engine import Finding, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.signals import VAL_ACCURACY, VAL_LOSS
from .bands import different_params, enough, spread_of


class RunRegression(Rule):
    """The best held-out result of the run is far worse than that of every earlier run of its kind.

    ## Why it matters
    Something that used to work does not any more: a change of the code, the data, or the settings has cost accuracy.

    ## What to try
    - Look at what was changed since: parameters that differ are named, `tracker compare` shows the rest.
    - Check that the held-out data is the same as before.
    - Run the former configuration again.

    ## When it is wrong
    In a search over settings, bad settings are what is looked for. A run that was ended early is not judged by its
    result: one with less than nine tenths of the usual steps is left out.

    ## References
    - Control charts (Shewhart 1931) alarm at three deviations from the mean. Estimated robustly from five runs
      (Rousseeuw & Croux 1993) a deviation is often half of what it is: four, and a floor for the chance of small sets.
    """

    phases = (Phase.CROSS_RUN,)
    severity = Severity.WARNING
    waits_for_warmup = False
    profiles = Rule.profiles | {"contrastive", "autoencoder", "diffusion"}

    min_runs: PositiveInt = 5
    """Earlier runs needed."""

    factor: float = Field(4.0, gt=0)
    """Deviations from the median of the earlier runs beyond which a result is a regression."""

    max_drop: float = Field(0.05, gt=0, lt=1)
    """Least distance to the worst of them that counts, or their range, if that is more; for accuracies, where a hundred
    samples scatter by 0.04 and more."""

    margin: float = Field(0.2, gt=0)
    """The same for losses, as a share of their median."""

    min_share: float = Field(0.9, gt=0, le=1)
    """Share of the usual number of steps that the run must have done."""

    healthy = {
        "epochs": 4,
        "val_accuracy": [0.5, 0.8, 0.88, 0.89],
        "peers": {f"run{i}": {"val_accuracy": [0.5, 0.8, 0.88 + 0.002 * i, 0.9 - 0.003 * i]} for i in range(6)},
    }
    faulty = {
        "epochs": 4,
        "val_accuracy": [0.5, 0.6, 0.7, 0.72],
        "peers": {f"run{i}": {"val_accuracy": [0.5, 0.8, 0.88 + 0.002 * i, 0.9 - 0.003 * i]} for i in range(6)},
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        enough(trace, self.min_runs)
        peers = trace.peers.values()
        usual = sorted(peer.step for peer in peers)[len(peers) // 2]
        if trace.step < self.min_share * usual:
            raise NotApplicable(f"the run ended at step {trace.step}; the others usually at {usual}")
        for signal, name, best in ((VAL_ACCURACY, "accuracy", max), (VAL_LOSS, "loss", min)):
            own = trace.series(signal)
            results = [best(series) for peer in peers if len(series := peer.series(signal)) and series.is_finite]
            if not len(own) or not own.is_finite or len(results) < self.min_runs:
                continue
            band = spread_of(trace.step, best(own), results)
            span, least = band.high - band.low, self.margin * abs(band.middle)
            if signal is VAL_ACCURACY:
                limit = min(band.middle - self.factor * band.spread, band.low - max(self.max_drop, span))
                is_worse = band.value < limit
            else:
                limit = max(band.middle + self.factor * band.spread, band.high + max(least, span))
                is_worse = band.value > limit
            if is_worse:
                changed = different_params(trace)
                yield Finding(
                    subject=signal.name,
                    message=f"best held-out {name} {band.value:.4g}; the {band.n} earlier runs had {band.low:.4g} to "
                    f"{band.high:.4g}" + (f". Changed: {changed}" if changed else ""),
                    advice=(
                        f"Undo what was changed: {changed}." if changed else "Compare code and data with those runs.",
                        "Check that the held-out data is what it was.",
                        "Show all differences with: tracker compare RUN_ID RUN_ID.",
                    ),
                    evidence={"value": band.value, "median": band.middle, "spread": band.spread, "n_runs": band.n},
                )
            return  # the accuracy decides where there is one: a loss may grow while fewer errors are made
        raise NotApplicable(f"no held-out result that {self.min_runs} earlier runs have as well")
