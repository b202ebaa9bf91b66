"""A loss that takes probabilities, or their logarithms, and is given something else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import Field

from ..engine import Finding, Json, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.gates import profile_of
from ..engine.profiles import EVERY
from ..engine.tables import losses_of, number, table, tables, targets_of, text, texts

_WORDS = {
    "nll_loss": "logarithms of probabilities, at most 0",
    "kl_div": "logarithms of probabilities, at most 0",
    "ctc_loss": "logarithms of probabilities, at most 0",
    "binary_cross_entropy": "probabilities, 0 to 1",
}
_USES = {
    "overlap": "a ratio of sums, as the losses of Dice, Jaccard and Tversky are, is made of",
    "logarithm": "the logarithm of a probability is taken of",
    "likelihood": "the loss is the mean of the right classes' values, which can fall without end, of",
}
_CLIPPING = frozenset({"clamp", "clampmin", "clampmax", "relu", "hardtanh", "tanh", "minimum", "maximum"})
"""What brings numbers into a range without making probabilities of them."""


_ACTING = ("gan", "rl")
"""Profiles in which the value of one class, or action, may be raised for its own sake."""


class ProbabilityLossOnLogits(Rule):
    """A loss that expects probabilities or their logarithms is given raw scores, or probabilities for logarithms.

    ## Why it matters
    `nll_loss` only picks out the value of the right class: given raw scores it pushes that one to infinity and learns
    nothing of the others; given probabilities it is a loss between -1 and 0 whose gradient fades.
    `binary_cross_entropy` of clipped scores has no gradient wherever they are clipped. A soft Dice loss of raw scores
    has a denominator that passes through zero: it is unbounded, and its optimum is not the mask.

    ## What to try
    - `nll_loss`: apply `log_softmax` to the outputs, or use `cross_entropy` on the raw scores.
    - `binary_cross_entropy`: use `binary_cross_entropy_with_logits` on the raw scores.
    - `kl_div`, `ctc_loss`: give them `log_softmax` of the outputs.
    - Losses by hand (Dice, focal, logarithms): apply a sigmoid or softmax to the outputs first.

    ## When it is wrong
    A model that makes logarithms of probabilities in a way that is not recognised, in a custom function, is judged by
    its numbers: they must be at most 0, and their exponentials must add up to 1.

    ## References
    - PyTorch documentation: NLLLoss expects log-probabilities, KLDivLoss its input in log space, BCELoss 0 to 1.
    - AUTOTRAINER (Zhang et al. 2021) takes rows of probabilities that add up to more than 1.1 for wrong; TheDeepChecker
      (Braiek & Khomh 2022) takes 0.95 to 1.05 for right.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.ERROR
    level = Level.LOGIC
    needs_facts = ("loss",)
    waits_for_warmup = False
    profiles = EVERY
    explains = (Level.DYNAMICS, Level.OUTCOME, "initial-loss", "negative-loss", Severity.FATAL)

    max_sum: float = Field(1.5, gt=1)
    """Sum of a row's exponentials above which they are no probabilities."""

    healthy = {"facts": {"loss": {"function": "cross_entropy", "n_classes": 10, "logarithms": True}}}
    faulty = {"facts": {"loss": {"function": "nll_loss", "n_classes": 10, "logarithms": False}}}

    def check(self, trace: Trace) -> Iterator[Finding]:
        losses = losses_of(trace)
        known = [loss for loss in losses if text(loss.get("function")) in (*_WORDS, "cross_entropy")]
        by_hand = [
            one
            for one in tables(table(trace.facts.get("graph")).get("raw"))
            if text(one.get("use")) in _USES and not (one.get("use") == "likelihood" and profile_of(trace) in _ACTING)
        ]
        if not known and not by_hand:
            raise NotApplicable("no loss function was seen that takes probabilities")
        tails = tables(table(trace.facts.get("graph")).get("tails"))
        for loss in known:
            function = text(loss.get("function"))
            targets = targets_of(trace, function)
            tail = next((one for one in tails if one.get("loss") == function), None)
            what = self._fault(loss, function, targets, tail)
            if what is None:
                continue
            expects = _WORDS.get(function, _WORDS["nll_loss"])
            high, low = number(targets.get("outputs_high")), number(targets.get("outputs_low"))
            seen = f", {low:.4g} to {high:.4g} here" if low is not None and high is not None else ""
            evidence = {} if high is None or low is None else {"outputs_low": low, "outputs_high": high}
            name = "nll_loss" if function == "cross_entropy" else function
            yield Finding(
                subject=text((tail or {}).get("layer")).removesuffix(".weight"),
                message=f"{name} is given {what}{seen}; it expects {expects}",
                advice=_advice(name),
                evidence=evidence | {"expected_high": 1.0 if name == "binary_cross_entropy" else 0.0},
            )
            return

        for one in by_hand:
            layer = text(one.get("layer"))
            yield Finding(
                subject=layer.removesuffix(".weight"),
                message=f"{_USES[text(one.get('use'))]} the raw scores of {layer or 'a layer'}; probabilities, 0 to 1, "
                "are expected",
                advice=(
                    "Apply a sigmoid, or a softmax over the classes, to the outputs ahead of this loss.",
                    "Or use a loss that takes raw scores: cross_entropy, binary_cross_entropy_with_logits.",
                ),
                evidence={"expected_high": 1.0},
            )
            return

    def _fault(
        self,
        loss: Mapping[str, Json],
        function: str,
        targets: Mapping[str, Json],
        tail: Mapping[str, Json] | None,
    ) -> str | None:
        """What the function was given that it must not be; None when all is well."""
        ops = texts(tail.get("ops")) if tail is not None else []
        if function == "nll_loss" and loss.get("logarithms") is False:
            return f"the result of a {ops[0]}" if ops else "raw scores"
        if function == "cross_entropy" and loss.get("by_hand") is not True:
            total, high = number(targets.get("output_row_high")), number(targets.get("outputs_high"))
            if total is not None and high is not None and high > 0 and total > self.max_sum:
                return "numbers above 0"
        if function in ("kl_div", "ctc_loss") and ops[:1] in (["softmax"], ["sigmoid"]):
            return f"the result of a {ops[0]}"
        if function in ("kl_div", "ctc_loss") and tail is not None and text(tail.get("layer")) and not ops:
            return "the raw scores of the last layer"
        if function == "binary_cross_entropy" and tail is not None and text(tail.get("layer")):
            if not ops:
                return "the raw scores of the last layer"
            if set(ops) <= _CLIPPING:
                return f"scores that a {ops[0]} brought into range"
        return None


def _advice(function: str) -> tuple[str, ...]:
    if function == "nll_loss":
        return (
            "Use cross_entropy on the raw scores of the last layer.",
            "Or apply log_softmax over the classes ahead of nll_loss.",
        )
    if function == "ctc_loss":
        return ("Give ctc_loss the log_softmax of the outputs, over the classes.",)
    if function == "kl_div":
        return ("Give kl_div the log_softmax of the outputs.", "Use reduction='batchmean'.")
    return ("Use binary_cross_entropy_with_logits on the raw scores.", "Or end the model in a sigmoid.")
