"""Inputs on a scale that the first layer was not made for."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from pydantic import Field, PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.progress import settled_progress
from ..engine.records import Json
from ..engine.signals import INPUT_HIGH, INPUT_LOW, INPUT_MEAN, INPUT_STD, INPUT_VARIED, OUTPUT_RMS
from ..engine.tables import layers_of, shape, table, text

_LINEAR = ("Linear", "Conv1d", "Conv2d", "Conv3d", "LSTM", "GRU", "RNN", "Bilinear")
_BOUNDED = ("LSTM", "GRU", "RNN")
_MEMORYLESS = ("ReLU", "Identity", "Flatten", "Dropout", "Dropout2d", "GELU", "Tanh", "Sigmoid", "LeakyReLU")


class UnnormalisedInput(Rule):
    """The values of the input are tens of times larger, or hundreds of times smaller, than a layer is initialised for.

    Judged is the root mean square of the main input as the model is given it, where the first layer is linear, a
    convolution or recurrent, and takes it as it is. So are inputs whose samples hardly differ beside their level, as
    those of an image divided by 255 twice and then shifted, where the training shows no progress.

    ## Why it matters
    Initial weights assume inputs around 1: with 0 to 255 the outputs, the loss and the gradients start a hundred times
    too large, and columns of large values drown the others. The usual learning rates then do not fit. Where all samples
    are nearly the same constant, the first layer puts out nearly the same for all of them.

    ## What to try
    - Subtract the mean and divide by the standard deviation of the training data, each column or channel by itself.
    - Divide 8-bit images by 255, once.
    - Or put a normalisation layer first.

    ## When it is wrong
    Images with ImageNet statistics and anything else within one order of magnitude of 1 are not reported, nor are
    models that normalise or rescale first, as far as a layer or the first layer's output shows it.

    ## References
    - Glorot & Bengio 2010 and He et al. 2015: initial weights for inputs of unit variance.
    - SageMaker Debugger, NotNormalizedData: mean off 0 by more than 0.2; that fires on most image models and is not
      used. 20 is twice the largest scale at which plain data sets (0 to 16, ages, percentages) were seen to do well.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.WARNING
    level = Level.SETTING
    needs = (INPUT_MEAN, INPUT_STD)
    bars = {"max_rms": INPUT_STD, "mean": INPUT_MEAN, "std": INPUT_STD, "low": INPUT_LOW, "high": INPUT_HIGH}
    waits_for_warmup = False
    profiles = Rule.profiles | {"autoencoder", "contrastive"}
    explains = (
        Level.DYNAMICS, Level.OUTCOME, "initial-loss", "initialisation-scale", "learning-rate-too-high",
        "learning-rate-too-low", "target-scale", "unlearnable-labels", Severity.FATAL,
    )  # fmt: skip

    max_rms: float = Field(20.0, gt=1)
    """Root mean square of the values above which they are too large."""

    min_rms: float = Field(0.005, gt=0, lt=1)
    """Root mean square of the values below which they are too small: an image divided by 255 twice has 0.002."""

    ratio: float = Field(0.02, gt=0, lt=1)
    """Root mean square of the first layer's output over that of the input, below which something rescales between."""

    min_varied: float = Field(0.005, gt=0, lt=1)
    """Standard deviation over the samples, as a share of the root mean square of all values, below which samples drown
    in what they share: an image divided by 255 twice and shifted by one half has 0.002."""

    min_batches: PositiveInt = 3
    """Batches that must have been measured."""

    healthy = {"input/mean": {"train/x": [0.1] * 5}, "input/std": {"train/x": [1.1] * 5}}
    faulty = {
        "input/mean": {"train/x": [33.0] * 5},
        "input/std": {"train/x": [78.0] * 5},
        "facts": {"model": {"": {"layers": {"fc": {"class": "Linear"}}}}},
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        name = _main_input(trace)
        means, stds = trace.series(INPUT_MEAN, name), trace.series(INPUT_STD, name)
        n = min(len(means), len(stds))
        if n < self.min_batches:
            raise NotApplicable(f"{n} batches of the input were measured; {self.min_batches} are needed")
        mean, std = means.median, stds.median
        rms = math.hypot(mean, std)
        if not math.isfinite(rms):
            raise NotApplicable("the scale of the input is not finite")
        is_off = rms > 0 and not self.min_rms <= rms <= self.max_rms
        varied = None if is_off else self._drowned(trace, name, rms)
        if not (is_off or varied is not None) or not self._is_taken_as_it_is(trace, rms):
            return
        low = min(trace.series(INPUT_LOW, name), default=mean - std)
        high = max(trace.series(INPUT_HIGH, name), default=mean + std)
        beside = f", and its samples differ by {varied:.2g} only" if varied is not None else ""
        yield Finding(
            subject=name,
            message=f"input {name} has mean {mean:.3g}, standard deviation {std:.3g} and values from {low:.3g} to "
            f"{high:.3g}{beside}; around 0 and 1 are expected by the first layer",
            advice=(
                "Subtract the mean and divide by the standard deviation of the training data, column by column.",
                "Divide 8-bit images by 255, once.",
            ),
            evidence={"mean": mean, "std": std, "rms": rms, "low": low, "high": high}
            if math.isfinite(low) and math.isfinite(high)
            else {"mean": mean, "std": std, "rms": rms},
        )

    def _drowned(self, trace: Trace, name: str, rms: float) -> float | None:
        """How far samples differ where that is next to nothing beside what they share, and nothing is learned."""
        varied = trace.series(INPUT_VARIED, name)
        if len(varied) < self.min_batches or not 0 < varied.median < self.min_varied * rms:
            return None
        return None if settled_progress(trace).has_learned(0.1) else varied.median

    def _is_taken_as_it_is(self, trace: Trace, rms: float) -> bool:
        layers = [(name, leaf) for name, leaf in layers_of(trace).items() if not _passes(leaf)]
        if not layers:
            raise NotApplicable("the layers of the model are not known")
        first, leaf = layers[0]
        if not text(leaf.get("class")).startswith(_LINEAR):
            return False
        if len(layers) > 1 and "Norm" in text(layers[1][1].get("class")):
            return False  # normalised right behind the first layer: the scale cancels
        outputs = trace.series(OUTPUT_RMS, first)
        if not outputs or rms < self.min_rms or text(leaf.get("class")).startswith(_BOUNDED):
            return True
        # Behind weights of torch's own initialisation about half of the input's scale remains.
        return outputs[0] > self.ratio * rms


def _passes(leaf: Mapping[str, Json]) -> bool:
    return text(leaf.get("class")) in _MEMORYLESS


def _main_input(trace: Trace) -> str:
    """The floating-point input of the training with the most values; raises `NotApplicable` when there is none."""
    names = [name for name in trace.by_subject(INPUT_STD) if name.startswith("train/") and "." not in name]
    if not names:
        raise NotApplicable("no floating-point input of the training was measured")
    known = table(trace.facts.get("inputs"))
    sizes = {name: math.prod(shape(table(known.get(name.partition("/")[2])).get("shape"))[1:] or [1]) for name in names}
    if any("int" in text(table(about).get("dtype")) for about in known.values()):
        raise NotApplicable("the model is given whole numbers as well: ids, most likely")
    best = max(sizes.values())
    return min(name for name in names if sizes[name] == best)
