"""A model that is very large for its data."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.tables import number, table


class TooFewSamples(Rule):
    """The model has thousands of parameters to train for each sample of the training data.

    ## Why it matters
    It can learn every sample by heart; what it says of others then depends on regularisation alone.

    ## What to try
    - Begin with a smaller model, or with pretrained weights.
    - Augment the data, and stop early by the held-out loss.

    ## When it is wrong
    Pretrained and strongly regularised models do well with few samples. Hence this is a remark only.

    ## References
    - Karpathy 2019, A Recipe for Training Neural Networks, "don't be a hero". 10 000 for each sample is a proposal:
      ResNet-50 on CIFAR-10 has 500.
    """

    phases = (Phase.PREFLIGHT,)
    severity = Severity.INFO
    level = Level.SETTING
    needs_facts = ("drill/data-at-the-door",)
    waits_for_warmup = False
    profiles = frozenset({"supervised", "regression", "unknown"})

    max_ratio: float = Field(1e4, gt=1)
    """Parameters that are trained, for each sample."""

    healthy = {
        "facts": {"drill/data-at-the-door": {"capacity": {"parameters": 5000}, "splits": {"train": {"length": 1400}}}}
    }
    faulty = {
        "facts": {
            "drill/data-at-the-door": {"capacity": {"parameters": 25000000}, "splits": {"train": {"length": 600}}}
        }
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        told = table(trace.facts.get("drill/data-at-the-door"))
        parameters = number(table(told.get("capacity")).get("parameters"))
        length = number(table(table(told.get("splits")).get("train")).get("length"))
        if parameters is None or not length or length < 0:
            raise NotApplicable("the number of samples, or of parameters, is not known")
        if parameters / length > self.max_ratio:
            yield Finding(
                message=f"{parameters:.3g} parameters are trained on {length:.0f} samples, {parameters / length:.3g} "
                f"for each; at most {self.max_ratio:g} are expected",
                advice=("Begin with a smaller model, or with pretrained weights.", "Augment the data."),
                evidence={"parameters": parameters, "samples": length},
            )
