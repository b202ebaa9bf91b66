"""A model that is to say what comes next, and sees it."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.tables import number, table, tables, text

_WHAT = {
    "attention": "attention to later positions is not masked",
    "recurrence": "a recurrent layer runs backward over the tokens",
    "convolution": "a convolution reaches as far ahead as back",
}


class FutureLeak(Rule):
    """The labels are the tokens the model is given, one position on, and a layer sees later positions.

    Each position then reads its own label: a causal mask is missing, a recurrent layer is bidirectional, or a
    convolution is padded on both sides.

    ## Why it matters
    The loss falls to almost nothing, held out as well, and the model has learned to copy: asked to go on with a text,
    where there is nothing to copy, it gives nonsense.

    ## What to try
    - Mask attention: `is_causal=True`, or `nn.Transformer.generate_square_subsequent_mask(T)` as mask of the encoder.
    - Pad a convolution on the left only, by `dilation * (kernel - 1)`; make a recurrent layer unidirectional.

    ## When it is wrong
    A prefix whose tokens are not predicted may be seen in both directions: leave it out of the labels
    (`ignore_index`), or mute this rule.

    ## References
    - Vaswani et al. 2017, Attention Is All You Need, 3.2.3: the mask that prevents leftward information flow.
    - Karpathy 2019, A Recipe for Training Neural Networks: use backprop to chart dependencies.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.ERROR
    level = Level.LOGIC
    needs_facts = ("graph",)
    waits_for_warmup = False
    finite = False
    explains = (Level.OUTCOME, "suspiciously-good", "train-eval-preprocessing-mismatch")

    min_share: float = Field(0.1, gt=0, lt=1)
    """Share of the attention that must go to later positions: even attention to all positions gives nearly a half."""

    healthy = {"facts": {"graph": {"reached": 20, "ahead": []}}}
    faulty = {"facts": {"graph": {"reached": 20, "ahead": [{"how": "attention", "share": 0.46, "layer": None}]}}}

    def check(self, trace: Trace) -> Iterator[Finding]:
        graph = table(trace.facts.get("graph"))
        if "ahead" not in graph:
            raise NotApplicable("what the layers see was not looked at")
        found = [one for one in tables(graph.get("ahead")) if text(one.get("how")) in _WHAT]
        for one in found:
            share, layer = number(one.get("share")), text(one.get("layer"))
            if share is not None and share < self.min_share:
                continue
            how = _WHAT[text(one.get("how"))] + (f" ({layer})" if layer else "")
            much = f": {share:.0%} of it goes there" if share is not None else ""
            yield Finding(
                subject=layer,
                message=f"the labels are the input tokens one position on, and {how}{much}; 0 expected",
                advice=(
                    "Mask the attention: is_causal=True, or generate_square_subsequent_mask(T) as the mask.",
                    "Pad convolutions on the left only, and make recurrent layers unidirectional.",
                ),
                evidence={"layers": len(found), **({"share": share} if share is not None else {})},
            )
            return
