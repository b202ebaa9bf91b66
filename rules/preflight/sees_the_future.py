"""A model that is to say what comes next changed its answer with what comes next."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.profiles import EVERY
from ..engine.tables import number, table, text


class SeesTheFuture(Rule):
    """The targets are the inputs one step on, and outputs changed when only later steps did.

    ## Why it matters
    Each step can then read its own answer: the loss falls to almost nothing, held out as well, and the model has
    learned to copy. Where there is nothing to copy, in use, it fails.

    ## What to try
    - Mask attention: `is_causal=True`, or `nn.Transformer.generate_square_subsequent_mask(T)`.
    - Pad a convolution on the left only, by `dilation * (kernel - 1)`; make a recurrent layer unidirectional.

    ## When it is wrong
    A beginning that is not predicted may be seen in both directions: leave it out of the targets (`ignore_index`), and
    it is left out here.

    ## References
    - Karpathy 2019, A Recipe for Training Neural Networks, "use backprop to chart dependencies".
    - Vaswani et al. 2017, Attention Is All You Need, 3.2.3: the mask that prevents leftward information flow.
    """

    phases = (Phase.PREFLIGHT,)
    severity = Severity.ERROR
    level = Level.LOGIC
    needs_facts = ("drill/causality",)
    waits_for_warmup = False
    profiles = EVERY

    min_share: float = Field(0.01, gt=0, lt=1)
    """Change of an earlier output, as a share of the change of later ones, beyond which it counts. It should be zero:
    attention without a mask, a convolution that is padded on both sides, and a second direction give 0.1 and more."""

    healthy = {"facts": {"drill/causality": {"shift": 1, "length": 32, "ahead": 0.0, "noise": 0.0, "input": "x"}}}
    faulty = {
        "facts": {
            "drill/causality": {
                "shift": 1, "length": 32, "ahead": 0.6, "noise": 0.0, "input": "x", "layer": "blocks.0.attn",
                "kind": "SelfAttention", "by_summary": False,
            }
        }
    }  # fmt: skip

    def check(self, trace: Trace) -> Iterator[Finding]:
        told = table(trace.facts.get("drill/causality"))
        ahead, shift = number(told.get("ahead")), number(told.get("shift"))
        if ahead is None or shift is None:
            raise NotApplicable("what later steps change is not known")
        if shift != 1:
            raise NotApplicable("the targets are not the inputs one step on")
        if ahead <= max(self.min_share, 100 * (number(told.get("noise")) or 0.0)):
            return
        layer, kind = text(told.get("layer")), text(told.get("kind"))
        if told.get("by_summary") is True:
            raise NotApplicable(
                f"later steps change earlier outputs by {ahead:.2g} of what they change later ones, through a summary "
                "of the whole sequence, as an autoencoder has it"
            )
        where = f"; it begins in {layer or 'the model'} ({kind})" if kind else ""
        yield Finding(
            subject=layer,
            message=f"later steps change earlier outputs by {ahead:.2g} of what they change later ones, and targets "
            f"are the next steps; 0 expected{where}",
            advice=(
                "Mask the attention: is_causal=True, or generate_square_subsequent_mask(T) as the mask.",
                "Pad convolutions on the left only, and make recurrent layers unidirectional.",
            ),
            evidence={"share": ahead},
        )
