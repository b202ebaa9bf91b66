"""Values that the first layer was not initialised for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import Field

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.records import Json
from ..engine.tables import number, table, tables, text

_LINEAR = ("Linear", "Conv1d", "Conv2d", "Conv3d", "LSTM", "GRU", "RNN", "Bilinear")
_BOUNDED = ("LSTM", "GRU", "RNN")
_MEMORYLESS = ("ReLU", "Identity", "Flatten", "Unflatten", "Dropout", "Dropout2d", "GELU", "Tanh", "Sigmoid")


class UnscaledFeature(Rule):
    """The first layer is given values tens of times larger, or hundreds of times smaller, than it is initialised for.

    Judged is the root mean square of what the first layer with weights is given, so that a scaling inside the model
    counts, where that layer is linear, a convolution or recurrent.

    ## Why it matters
    Initial weights assume inputs around 1: with 0 to 255 the outputs, the loss and the gradients start a hundred times
    too large, and columns of large values drown the others.

    ## What to try
    - Subtract the mean and divide by the standard deviation of the training data, each column or channel by itself.
    - Divide 8-bit images by 255, once.
    - Or put a normalisation layer first.

    ## When it is wrong
    Anything within one order of magnitude of 1 is not reported, nor where a normalisation follows the first layer, or
    its output shows that its weights were made for such values. A model that is given whole numbers as well is not
    judged.

    ## References
    - Glorot & Bengio 2010 and He et al. 2015: initial weights for inputs of unit variance.
    - SageMaker Debugger, NotNormalizedData: mean off 0 by more than 0.2; that fires on most image models and is not
      used. 20 is twice the largest scale at which plain data sets (0 to 16, ages, percentages) were seen to do well.
    """

    phases = (Phase.PREFLIGHT,)
    severity = Severity.WARNING
    level = Level.SETTING
    needs_facts = ("drill/data-at-the-door",)
    waits_for_warmup = False
    profiles = Rule.profiles | {"autoencoder", "contrastive"}

    max_rms: float = Field(20.0, gt=1)
    """Root mean square of the values above which they are too large."""

    min_rms: float = Field(0.005, gt=0, lt=1)
    """Root mean square of the values below which they are too small: an image divided by 255 twice has 0.002."""

    ratio: float = Field(0.02, gt=0, lt=1)
    """Root mean square of the layer's output over that of its input, below which its weights are made for them."""

    healthy = {
        "facts": {"drill/data-at-the-door": {"first": [{"name": "fc", "class": "Linear", "input": {"rms": 1.1}}]}}
    }
    faulty = {
        "facts": {"drill/data-at-the-door": {"first": [{"name": "fc", "class": "Linear", "input": {"rms": 85.0}}]}}
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        told = table(trace.facts.get("drill/data-at-the-door"))
        if any("int" in text(table(about).get("dtype")) for about in table(told.get("given")).values()):
            raise NotApplicable("the model is given whole numbers as well: ids, most likely")
        layers = [one for one in tables(told.get("first")) if text(one.get("class")) not in _MEMORYLESS]
        given = table(layers[0].get("input")) if layers else {}
        rms = number(given.get("rms"))
        if rms is None or not text(layers[0].get("class")).startswith(_LINEAR):
            raise NotApplicable("the first layer is not linear, or what it is given is not known")
        if rms <= 0 or self.min_rms <= rms <= self.max_rms or not self._is_taken_as_it_is(layers, rms):
            return
        mean, low, high = (number(given.get(key)) for key in ("mean", "low", "high"))
        about = f", from {low:.3g} to {high:.3g} around {mean:.3g}" if None not in (mean, low, high) else ""
        yield Finding(
            subject=text(layers[0].get("name")),
            message=f"the first layer is given values of root mean square {rms:.3g}{about}; around 1 is expected",
            advice=(
                "Subtract the mean and divide by the standard deviation of the training data, column by column.",
                "Divide 8-bit images by 255, once.",
            ),
            evidence={"rms": rms},
        )

    def _is_taken_as_it_is(self, layers: list[Mapping[str, Json]], rms: float) -> bool:
        if len(layers) > 1 and "Norm" in text(layers[1].get("class")):
            return False  # normalised right behind the first layer: the scale cancels
        output = number(table(layers[0].get("output")).get("rms"))
        if output is None or rms < self.min_rms or text(layers[0].get("class")).startswith(_BOUNDED):
            return True
        # Behind weights of torch's own initialisation about half of the input's scale remains.
        return output > self.ratio * rms
