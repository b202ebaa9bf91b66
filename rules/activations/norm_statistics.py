"""Normalisation layers whose statistics are of no use."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from pydantic import Field, PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.labels import as_shares
from ..engine.layers import in_order
from ..engine.profiles import EVERY
from ..engine.progress import is_over
from ..engine.signals import (
    BATCH_SIZE,
    EPOCH_LOSS,
    NORM_VAR_HIGH,
    NORM_VAR_LOW,
    TRAIN_ACCURACY,
    VAL_ACCURACY,
    VAL_LOSS,
)
from ..engine.tables import layers_of, number, table, tables, text


class NormStatistics(Rule):
    """Running statistics of normalisation layers do not move though the layers train, follow the latest batch alone, or
    have run out of all scale; or a layer normalises over a single value.

    ## Why it matters
    In training the batch's own statistics are used, in evaluation the running ones: where they are not those of the
    data, the model that is evaluated is another than the one that was trained.

    A single value less its own mean is 0: a layer or group norm over one value puts out its bias, whatever it is given.

    ## What to try
    - Set the momentum back to 0.1: at 0 nothing is ever taken up. It is the share of the new batch: the 0.9 or 0.99 of
      other libraries is 0.1 or 0.01 here.
    - Call `model.train()` ahead of training, so that the statistics are updated.
    - Normalise over more than one value: LayerNorm over the features or the whole series, not over an axis of length
      one; GroupNorm with fewer groups than channels where no positions are left.
    - Scale the inputs; look for dead units in front of a layer whose variance is 0.

    ## When it is wrong
    Layers that are frozen on purpose are in evaluation mode, and not judged, unless theirs are the statistics they
    were made with. Statistics that move little are not taken to stand: they must be the same to the last digit.

    ## References
    - Ioffe & Szegedy 2015, Batch Normalization, section 3.1; torch.nn.BatchNorm2d adds 1e-5 to the
      variance. The upper bar of 1e8 is ours.
    - torch.nn.BatchNorm2d: "This momentum argument is different from one used in optimizer classes".
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.WARNING
    level = Level.SETTING
    bars = {"max_variance": NORM_VAR_HIGH, "variance": NORM_VAR_HIGH}
    finite = False
    profiles = EVERY
    explains = (
        "train-eval-gap", "overfitting", "no-better-than-baseline", "validation-better-than-training",
        "collapsed-representation", "zero-gradient-layer", "vanishing-gradient", "dead-units", "collapsed-predictions",
        "loss-not-decreasing", "loss-plateaued", "stuck-at-guessing", "unlearnable-labels", "per-class-failure",
        "overtraining",
    )  # fmt: skip

    min_samples: PositiveInt = 6
    """Samples needed of a layer."""

    max_momentum: float = Field(0.9, gt=0, lt=1)
    """Share of the newest batch from which on the statistics are those of it alone; 1 is given on purpose."""

    max_samples: PositiveInt = 128
    """Samples in a batch up to which its own statistics are no measure of the data."""

    max_untouched: float = Field(0.3, gt=0, lt=1)
    """Share of the values they were made with that running statistics may still have at the end of a run."""

    min_gap: float = Field(0.03, gt=0, lt=1)
    """How far held-out accuracy must be below that of the training, at its worst after the first half."""

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
        alone = tables(table(trace.facts.get("graph")).get("of_one_value"))
        if alone:
            layer, what = text(alone[0].get("layer")).removesuffix(".weight"), text(alone[0].get("kind"))
            yield Finding(
                subject=layer,
                message=f"{layer or f'a {what}'} normalises over 1 value: it puts out its bias, whatever it is given; "
                "2 values and more are expected",
                advice=(
                    "Normalise over the features, or the whole series: not over an axis of length one.",
                    "Give GroupNorm fewer groups than channels where no positions are left.",
                    "Scale inputs of one feature with the mean and deviation of the training data.",
                ),
                evidence={"values": 1, "n_layers": len(alone)},
            )
        if not trace.by_subject(NORM_VAR_LOW):
            if alone:
                return
            raise NotApplicable(f"{NORM_VAR_LOW.name!r} was not observed")
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
        elif (found := self._momentum(trace, names)) is not None:
            yield found
        for name in names:
            if name not in still and highs[name][-1] > self.max_variance:
                yield Finding(
                    subject=name,
                    message=f"a running variance of {name} is {highs[name][-1]:.1e}; below {self.max_variance:.0e} is "
                    "expected",
                    advice=("Scale the inputs to standard deviation 1.", "Lower the learning rate."),
                    evidence={"variance": highs[name][-1], "n_layers": len(names)},
                )

    def _momentum(self, trace: Trace, names: list[str]) -> Finding | None:
        """A finding where a momentum takes up next to all of each batch, or next to nothing in the whole run."""
        layers, passes = layers_of(trace), trace.step + 1
        for name in names:
            momentum = number(table(layers.get(name)).get("momentum"))
            if momentum is None or not 0 < momentum < 1 or not _is_training(trace, name):
                continue
            untouched, sizes = (1 - momentum) ** passes, trace.series(BATCH_SIZE, "train")
            is_last = momentum >= self.max_momentum and len(sizes) > 0 and median(sizes) <= self.max_samples
            is_first = is_over(trace) and passes >= self.min_samples and untouched > self.max_untouched
            if not (is_last or is_first) or not self._does_harm(trace):
                continue
            what = (
                f"{name} takes {momentum:.0%} of its running statistics from the latest batch of "
                f"{median(sizes):.0f} samples"
                if is_last
                else f"{untouched:.0%} of the running statistics of {name} are still those it was made with, after "
                f"{passes} steps"
            )
            return Finding(
                subject=name,
                message=f"{what} (momentum={momentum:g}); 0.1 is usual: it is the share of the new batch",
                advice=("Set momentum=0.1; the 0.99 of other libraries is 0.01 in torch.",),
                evidence={"momentum": momentum, "untouched": untouched},
            )
        return None

    def _does_harm(self, trace: Trace) -> bool:
        """Whether held-out data does worse than the training, or nothing is known of it."""
        held_out, training = as_shares(trace.series(VAL_ACCURACY)), as_shares(trace.series(TRAIN_ACCURACY))
        if held_out and training:
            late = held_out[len(held_out) // 2 :]
            return median(training[-3:]) - min(late) > self.min_gap
        losses, epochs = trace.series(VAL_LOSS).values, trace.series(EPOCH_LOSS).values
        if losses and epochs:
            return max(losses[len(losses) // 2 :]) > 1.5 * epochs[-1]
        return True


def _is_training(trace: Trace, name: str) -> bool:
    """Whether the layer is in training mode when the model trains, as far as the modes that were noted tell."""
    modes = [event.data for event in trace.events("mode") if event.data.get("kind") == "training"]
    if not modes or modes[-1].get("training") is not True:
        return False
    deviating = modes[-1].get("deviating")
    parts = [part for part in deviating if isinstance(part, str)] if isinstance(deviating, list) else []
    return not any(name == part or name.startswith(f"{part}.") for part in parts)
