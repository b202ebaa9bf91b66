"""Far more parameters than samples, or far fewer."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.tables import number, table, tables


class CapacityMismatch(Rule):
    """The model has ten thousand trained parameters for each training sample, or less than one for a thousand.

    ## Why it matters
    A model that is far too large for its data remembers it, one that is far too small cannot tell samples apart.

    ## What to try
    - Many parameters: more data, augmentation, a pre-trained and mostly frozen model, weight decay.
    - Few: more or wider layers.

    ## When it is wrong
    Pre-trained models are fine-tuned on little data with success, and simple relations need few parameters. It is for
    information only.

    ## References
    - The bars are ours; Karpathy 2019, A Recipe for Training Neural Networks, on first overfitting, then regularising.
    """

    phases = (Phase.RUN,)
    severity = Severity.INFO
    level = Level.SETTING
    needs_facts = ("model", "loaders")
    waits_for_warmup = False
    profiles = frozenset({"supervised", "regression", "unknown"})

    most: float = Field(1e4, gt=1)
    """Trained parameters for each sample that are many."""

    least: float = Field(1e-3, gt=0, lt=1)
    """Trained parameters for each sample that are few."""

    healthy = {"facts": {"model": {"": {"trainable": 60000}}, "loaders": [{"split": "train", "dataset_length": 50000}]}}
    faulty = {"facts": {"model": {"": {"trainable": 11000000}}, "loaders": [{"split": "train", "dataset_length": 100}]}}

    def check(self, trace: Trace) -> Iterator[Finding]:
        models = table(trace.facts.get("model"))
        trained = [number(table(model).get("trainable")) for model in models.values()]
        loaders = [one for one in tables(trace.facts.get("loaders")) if one.get("split") == "train"]
        samples = [number(one.get("dataset_length")) for one in loaders]
        if len(trained) != 1 or not trained[0] or len(samples) != 1 or not samples[0] or samples[0] < 0:
            raise NotApplicable("one model and one training loader of known length are needed")
        ratio = trained[0] / samples[0]
        if self.least <= ratio <= self.most:
            return
        yield Finding(
            message=f"{trained[0]:.3g} trained parameters for {samples[0]:.3g} samples, {ratio:.2g} each; "
            f"{self.least:g} to {self.most:g} is expected",
            advice=(
                ("Use more data, augmentation, or a pre-trained and mostly frozen model.", "Make the model smaller.")
                if ratio > 1
                else ("Make the layers wider, or more.",)
            ),
            evidence={"parameters": trained[0], "samples": samples[0], "ratio": ratio},
        )
