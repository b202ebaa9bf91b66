"""A dropout right ahead of batch normalisation."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.tables import layers_of, number, table, text


class DropoutBeforeBatchnorm(Rule):
    """A dropout is followed directly by batch normalisation.

    ## Why it matters
    Dropout raises the variance in training and not in evaluation. The running variance is that of training: in
    evaluation every unit behind it is scaled by a wrong number.

    ## What to try
    - Put the dropout behind the last norm layer, or leave it out: batch normalisation regularises by itself.
    - Compare the loss of the same data in both modes.

    ## When it is wrong
    Some published architectures do it on purpose, mostly with a small share, for which the shift is small. Only a norm
    layer that was given the output of a dropout module as it is counts, not the order in which layers are registered.

    ## References
    - Li et al. 2019, Understanding the Disharmony between Dropout and Batch Normalization by Variance Shift.
    """

    phases = (Phase.RUN,)
    severity = Severity.WARNING
    level = Level.SETTING
    needs_facts = ("model",)
    waits_for_warmup = False
    explains = ("train-eval-gap", "validation-better-than-training")

    min_share: float = Field(0.3, gt=0, lt=1)
    """Share that is left out from which on it is reported: the variance in evaluation is then 0.7 of the running one.
    Li et al. 2019 find the shift to grow with the share and to do little at 0.1."""

    healthy = {
        "facts": {"model": {"": {"layers": {"0": {"class": "BatchNorm1d"}}, "calls": {"0": {"at": 1}}}}},
    }
    faulty = {
        "facts": {"model": {"": {"layers": {"1": {"class": "BatchNorm1d"}}, "calls": {"1": {"at": 1, "dropped": 0.5}}}}}
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        layers = list(layers_of(trace).items())
        if not any(text(leaf.get("class")).startswith("BatchNorm") for _, leaf in layers):
            raise NotApplicable("the model has no batch normalisation")
        calls = [
            call
            for model in table(trace.facts.get("model")).values()
            for call in table(table(model).get("calls")).items()
        ]
        if not calls:
            raise NotApplicable("the order in which layers are called is not known")
        shares = {name: number(table(call).get("dropped")) or 0.0 for name, call in calls}
        found = [name for name, share in shares.items() if self.min_share <= share < 1]
        if found:
            others = f", and so it is with {len(found) - 1} more" if len(found) > 1 else ""
            share = shares[found[0]]
            yield Finding(
                subject=found[0],
                message=f"a dropout leaves out {share:.3g} right ahead of {found[0]}{others}; in evaluation its "
                f"variance is then {1 - share:.3g} of that in training",
                advice=(
                    "Put the dropout behind the last norm layer.",
                    "Leave it out: batch normalisation regularises by itself.",
                ),
                evidence={"share": share, "n_layers": len(found)},
            )
