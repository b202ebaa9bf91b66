"""Normalisation layers whose running statistics are of no use."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field, PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.layers import in_order
from ..engine.profiles import EVERY
from ..engine.signals import NORM_VAR_HIGH, NORM_VAR_LOW


class NormStatistics(Rule):
    """Running statistics of normalisation layers do not move though the layers train, or have run out of all scale.

    ## Why it matters
    In training the batch's own statistics are used, in evaluation the running ones: where they are not those of the
    data, the model that is evaluated is another than the one that was trained.

    ## What to try
    - Set the momentum back to 0.1: at 0 nothing is ever taken up.
    - Call `model.train()` ahead of training, so that the statistics are updated.
    - Scale the inputs; look for dead units in front of a layer whose variance is 0.

    ## When it is wrong
    Layers that are frozen on purpose are in evaluation mode, and not judged, unless theirs are the statistics they
    were made with. Statistics that move little are not taken to stand: they must be the same to the last digit.

    ## References
    - Ioffe & Szegedy 2015, Batch Normalization, section 3.1; torch.nn.BatchNorm2d adds 1e-5 to the
      variance. The upper bar of 1e8 is ours.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.WARNING
    level = Level.SETTING
    needs = (NORM_VAR_LOW, NORM_VAR_HIGH)
    finite = False
    profiles = EVERY
    explains = ("train-eval-gap", "overfitting", "no-better-than-baseline", "validation-better-than-training")

    min_samples: PositiveInt = 6
    """Samples needed of a layer."""

    max_variance: float = Field(1e8, gt=1)
    """Running variance above which a layer has run out of scale."""

    healthy = {
        "output/rms": {"bn1": [1.0 + 0.01 * i for i in range(20)]},
        "norm/var_low": {"bn1": [1.0 * 0.95**i for i in range(20)]},
        "norm/var_high": {"bn1": [1.0 * 1.02**i for i in range(20)]},
    }
    faulty = {
        "output/rms": {"bn1": [1.0 + 0.01 * i for i in range(20)]},
        "norm/var_low": {"bn1": [1.0] * 20},
        "norm/var_high": {"bn1": [1.0] * 20},
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        lows, highs = (
            trace.by_subject(NORM_VAR_LOW, self.min_samples),
            trace.by_subject(NORM_VAR_HIGH, self.min_samples),
        )
        names = in_order(trace, [name for name in lows if name in highs])
        if not names:
            raise NotApplicable(f"no layer with running statistics was looked at {self.min_samples} times")
        still = [
            name
            for name in names
            if max(lows[name]) == min(lows[name])
            and max(highs[name]) == min(highs[name])
            and (lows[name][0] == highs[name][0] == 1.0 or _is_training(trace, name))
        ]
        if still:
            yield Finding(
                subject=still[0],
                message=f"the running variance of {still[0]}, and of {len(still) - 1} more of {len(names)} layers, is "
                f"{lows[still[0]][0]:.3g} at each of {len(lows[still[0]])} steps looked at; it is expected to follow "
                "the batches",
                advice=(
                    "Set the layer's momentum back to 0.1: at 0 nothing is taken up.",
                    "Call model.train() ahead of training.",
                ),
                evidence={"n_still": len(still), "n_layers": len(names)},
            )
        for name in names:
            if name not in still and highs[name][-1] > self.max_variance:
                yield Finding(
                    subject=name,
                    message=f"a running variance of {name} is {highs[name][-1]:.1e}; below {self.max_variance:.0e} is "
                    "expected",
                    advice=("Scale the inputs to standard deviation 1.", "Lower the learning rate."),
                    evidence={"variance": highs[name][-1], "n_layers": len(names)},
                )


def _is_training(trace: Trace, name: str) -> bool:
    """Whether the layer is in training mode when the model trains, as far as the modes that were noted tell."""
    modes = [event.data for event in trace.events("mode") if event.data.get("kind") == "training"]
    if not modes or modes[-1].get("training") is not True:
        return False
    deviating = modes[-1].get("deviating")
    parts = [part for part in deviating if isinstance(part, str)] if isinstance(deviating, list) else []
    return not any(name == part or name.startswith(f"{part}.") for part in parts)
