"""A dropout right ahead of batch normalisation."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.tables import layers_of, number, text


class DropoutBeforeBatchnorm(Rule):
    """A dropout is followed directly by batch normalisation.

    ## Why it matters
    Dropout raises the variance in training and not in evaluation. The running variance is that of training: in
    evaluation every unit behind it is scaled by a wrong number.

    ## What to try
    - Put the dropout behind the last norm layer, or leave it out: batch normalisation regularises by itself.
    - Compare the loss of the same data in both modes.

    ## When it is wrong
    With a small share the shift is small, and some published architectures do it on purpose. It is for information
    only, by the order in which the layers are registered.

    ## References
    - Li et al. 2019, Understanding the Disharmony between Dropout and Batch Normalization by Variance Shift.
    """

    phases = (Phase.RUN,)
    severity = Severity.INFO
    level = Level.SETTING
    needs_facts = ("model",)
    waits_for_warmup = False

    healthy = {
        "facts": {"model": {"": {"layers": {"0": {"class": "BatchNorm1d"}, "1": {"class": "Dropout", "p": 0.5}}}}}
    }
    faulty = {
        "facts": {"model": {"": {"layers": {"0": {"class": "Dropout", "p": 0.5}, "1": {"class": "BatchNorm1d"}}}}}
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        layers = list(layers_of(trace).items())
        if not any(text(leaf.get("class")).startswith("BatchNorm") for _, leaf in layers):
            raise NotApplicable("the model has no batch normalisation")
        for (name, leaf), (below, following) in pairwise(layers):
            share = number(leaf.get("p"))
            if not share or "ropout" not in text(leaf.get("class")):
                continue
            if text(following.get("class")).startswith("BatchNorm"):
                yield Finding(
                    subject=below,
                    message=f"{name} leaves out {share:.3g} right ahead of {below}, whose variance in evaluation is "
                    f"then {1 - share:.3g} of that in training",
                    advice=("Put the dropout behind the last norm layer.",),
                    evidence={"share": share},
                )
                return
