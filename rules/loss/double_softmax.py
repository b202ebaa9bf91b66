"""A softmax or sigmoid ahead of a loss that applies its own."""

from __future__ import annotations

from collections.abc import Iterator

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.profiles import EVERY
from ..engine.tables import table, tables, text, texts

_SQUASHING = {
    "cross_entropy": ("softmax", "sigmoid"),
    "binary_cross_entropy_with_logits": ("sigmoid", "softmax"),
    "multilabel_soft_margin_loss": ("sigmoid", "softmax"),
}
"""What must not come between the last layer and the loss function: the function does it itself."""

_UNDONE = frozenset({"log", "log2", "log10", "log1p", "logit", "log_softmax"})
"""Operations that take a probability back to a logit: after one of these the outputs are logits again."""


class DoubleSoftmax(Rule):
    """The outputs are squashed into probabilities before a loss function that expects raw scores and squashes them.

    ## Why it matters
    `cross_entropy` applies a softmax and `binary_cross_entropy_with_logits` a sigmoid. Given values between 0 and 1
    it can never say more than e to 1 for one class over another: with ten classes its loss cannot fall below 1.46,
    the gradient fades where the model is sure, and training is slow or stands still. `Categorical(logits=...)` and
    `Bernoulli(logits=...)` do the same, and a model that ends in a softmax may be given to a second one by hand.

    ## What to try
    - Remove the softmax or sigmoid from the model's end, and apply it only where probabilities are shown.
    - Or keep it and use `nll_loss` of its logarithm, `binary_cross_entropy`, or `Categorical(probs=...)`.

    ## When it is wrong
    Probabilities that are multiplied by a large temperature before the loss can reach any value. A `log_softmax` ahead
    of `cross_entropy` changes nothing and is not reported.

    ## References
    - PyTorch documentation of CrossEntropyLoss: the input is expected to contain unnormalized logits.
    - NeuraLint (Nikanjam et al. 2022) and UMLAUT (Schoop et al. 2021) check the same by the last layer's class, which
      misses functions; here the operations of the graph are read.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.ERROR
    level = Level.LOGIC
    needs_facts = ("graph",)
    waits_for_warmup = False
    profiles = EVERY
    explains = (Level.DYNAMICS, Level.OUTCOME)

    healthy = {"facts": {"graph": {"tails": [{"loss": "cross_entropy", "ops": [], "layer": "head.weight"}]}}}
    faulty = {"facts": {"graph": {"tails": [{"loss": "cross_entropy", "ops": ["softmax"], "layer": "head.weight"}]}}}

    def check(self, trace: Trace) -> Iterator[Finding]:
        tails = [one for one in tables(table(trace.facts.get("graph")).get("tails")) if one.get("loss") in _SQUASHING]
        doubled = tables(table(trace.facts.get("graph")).get("doubled"))
        if not tails and not doubled:
            raise NotApplicable("no loss function was seen that applies a softmax or sigmoid itself")
        for tail in tails:
            function = text(tail.get("loss"))
            own, other = _SQUASHING[function]
            ops = texts(tail.get("ops"))
            at = next((place for place, op in enumerate(ops) if op in (own, other)), None)
            if at is None or _UNDONE.intersection(ops[:at]):
                continue
            layer = text(tail.get("layer"))
            where = f"the {ops[at]} behind {layer}" if layer else f"a {ops[at]}"
            yield Finding(
                subject=layer.removesuffix(".weight"),
                message=f"{where} makes its outputs probabilities, 0 to 1, and {function} applies a {own} to them: "
                "2 in a row, where 1 is expected",
                advice=(
                    f"Remove the {ops[at]} ahead of the loss: {function} takes raw scores.",
                    "Apply it only where probabilities are shown or thresholded.",
                ),
                evidence={"activations": 2.0, "expected": 1.0},
            )
            return
        for one in doubled:
            first, second, layer = (text(one.get(key)) for key in ("first", "second", "layer"))
            where = f"the {first} behind {layer}" if layer else f"a {first}"
            yield Finding(
                subject=layer.removesuffix(".weight"),
                message=f"the result of {where}, 0 to 1, is given to a {second} as it is: 2 in a row, where 1 is "
                "expected",
                advice=(
                    f"Remove one of the two: give the {second} the raw scores.",
                    "Or tell torch.distributions that these are probabilities: probs=, not logits=.",
                ),
                evidence={"activations": 2.0, "expected": 1.0},
            )
            return
