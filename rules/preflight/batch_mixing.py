"""What a model says of a sample depends on the samples beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import Field

from ..engine import Finding, Json, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.tables import number, shape, table, text

_OF_SEQUENCES = "MultiheadAttention"
_PER_SAMPLE = frozenset({
    "cross_entropy", "nll_loss", "binary_cross_entropy", "binary_cross_entropy_with_logits", "mse_loss", "l1_loss",
    "smooth_l1_loss", "huber_loss", "soft_margin_loss", "multi_margin_loss", "multilabel_margin_loss", "kl_div",
    "gaussian_nll_loss", "poisson_nll_loss", "ctc_loss",
})  # fmt: skip
"""Losses that compare each sample with a target of its own."""


class BatchMixing(Rule):
    """The output for a sample changed when other samples were put beside it, in evaluation mode.

    Each sample has a target of its own, so its output should be its own as well: usually a reduction, a softmax or a
    norm goes over dimension 0, a `view` stands where a `permute` was meant, or `batch_first` is not what the layer got.

    ## Why it matters
    Each sample is told by chance what its neighbours are. The model trains on something else than it will be asked:
    with another batch size, or one sample alone, its answers are others.

    ## What to try
    - Look at the `dim` of every softmax, mean, sum, max and norm: dimension 0 is the batch.
    - Reorder dimensions with `permute` or `transpose`; `view` and `reshape` only cut the same row of numbers anew.
    - Set `batch_first=True` in recurrent layers and attention that are given samples first.

    ## When it is wrong
    Where samples are meant to look at one another: attention between samples, pairs of all with all, nodes of a graph,
    points of a set, or steps of one sequence. What looks like these is not judged.

    ## References
    - Karpathy 2019, A Recipe for Training Neural Networks, "use backprop to chart dependencies".
    - Lightning Bolts, BatchGradientVerification: no gradient of one sample's output for another's input.
    """

    phases = (Phase.PREFLIGHT,)
    severity = Severity.WARNING
    level = Level.LOGIC
    needs_facts = ("drill/batch-mixing",)
    waits_for_warmup = False
    profiles = Rule.profiles | {"autoencoder"}

    min_share: float = Field(0.02, gt=0, lt=1)
    """Change of a sample's output, as a share of what samples differ by, beyond which it counts. It should be zero: a
    softmax or a mean over the batch gives 0.3 and more. Rounding differs by about 1e-6 in float32; steps of a solver,
    and scales of quantised numbers, that are chosen for a whole batch give up to 0.01."""

    healthy = {
        "facts": {
            "drill/batch-mixing": {
                "samples": 32, "mixed": 0.0, "noise": 0.0, "resizes": True, "per_sample": True,
                "function": "cross_entropy",
            }
        }
    }  # fmt: skip
    faulty = {
        "facts": {
            "drill/batch-mixing": {
                "samples": 32, "mixed": 0.4, "noise": 0.0, "resizes": True, "per_sample": True, "reach": "all",
                "gradients": 31, "paired_by": "", "layer": "pool", "kind": "AttentionPool", "given": [32, 24, 16],
                "batch_first": None, "recurrent": False, "function": "cross_entropy",
            }
        }
    }  # fmt: skip

    def check(self, trace: Trace) -> Iterator[Finding]:
        told = table(trace.facts.get("drill/batch-mixing"))
        mixed, samples = number(told.get("mixed")), number(told.get("samples"))
        if mixed is None or samples is None:
            raise NotApplicable("how much samples change one another is not known")
        if mixed <= max(self.min_share, 100 * (number(told.get("noise")) or 0.0)):
            return
        why_not = "" if _runs_over_samples(told) else _may_be_meant(told)
        if why_not:
            raise NotApplicable(
                f"other samples change an output by {mixed:.2g} of what samples differ by, but {why_not}"
            )
        layer, kind = text(told.get("layer")), text(told.get("kind"))
        where = f"; it begins in {layer or 'the model'} ({kind})" if kind else ""
        before, after = text(told.get("before")), text(told.get("after"))
        where += (f", after {after}" if after else "") + (f", before {before}" if before else "") if kind else ""
        advice = (
            "Look at the dim of every softmax, mean, sum and norm: dimension 0 is the batch.",
            "Reorder dimensions with permute or transpose, not with view or reshape.",
            "Set batch_first=True in recurrent layers and attention that are given samples first.",
        )
        yield Finding(
            subject=layer,
            message=f"other samples beside it change a sample's output by {mixed:.2g} of what samples differ by; 0 "
            f"expected{where}",
            advice=(advice[2], *advice[:2]) if _runs_over_samples(told) else advice,
            evidence={"share": mixed, "samples": samples},
        )


def _runs_over_samples(told: Mapping[str, Json]) -> bool:
    """Whether the first layer to mix reads along the first dimension, which is that of the samples."""
    given = shape(told.get("given"))
    is_of_sequences = told.get("recurrent") is True or text(told.get("kind")) == _OF_SEQUENCES
    samples = number(told.get("samples"))
    return (
        is_of_sequences
        and told.get("batch_first") is False
        and len(given) == 3
        and given[0] == samples
        and given[1] > 1
    )


def _may_be_meant(told: Mapping[str, Json]) -> str:
    """Why it may be as it should; empty where nothing speaks for that."""
    if text(told.get("function")) not in _PER_SAMPLE or told.get("per_sample") is not True:
        return "the loss is not known to compare each sample with a target of its own"
    if told.get("resizes") is not True:
        return "the model takes this number of samples only: they may be nodes of a graph, or points of a set"
    if told.get("recurrent") is True:
        return "a recurrent layer reads the batch as one sequence"
    if text(told.get("kind")).startswith(("BatchNorm", "SyncBatchNorm")):
        return "batch normalisation keeps no statistics of its own, as it was told"
    if text(told.get("paired_by")):
        return f"samples are compared all with all ({text(told.get('paired_by'))}), which can be meant"
    if told.get("gradients") == 0:
        return "no gradient flows between samples: they share something such as places in experts"
    if text(told.get("reach")) not in ("all", "scattered"):
        return "samples reach their neighbours as steps of a sequence do"
    return ""
