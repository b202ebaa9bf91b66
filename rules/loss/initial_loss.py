"""A first loss above that of guessing."""

from __future__ import annotations

import math
from collections.abc import Iterator

from pydantic import Field, PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.signals import LOSS

_SOFTMAX = frozenset({"cross_entropy", "crossentropyloss", "nll_loss", "nllloss"})
_SIGMOID = frozenset(
    {"binary_cross_entropy", "bceloss", "binary_cross_entropy_with_logits", "bcewithlogitsloss"}
)  # fmt: skip


class InitialLoss(Rule):
    """The loss of the untrained model is well above that of giving every class the same probability.

    ## Why it matters
    A new classifier should not prefer any class: its cross entropy is ln(number of classes). One that starts far above
    is confidently wrong before it has seen anything, and spends its first epochs on unlearning that.

    ## What to try
    - Bring the inputs to mean 0 and standard deviation 1.
    - Make the last layer's initial weights smaller; check any initialisation written by hand.
    - Check that labels fit the outputs in order and number.

    ## When it is wrong
    A training that starts high and learns all the same has got over it: unless the start was ten times too high, it is
    then no longer reported. A regulariser added to the loss shifts the first value. A loss *below* that of guessing is
    right for a pre-trained model, so it is never reported; neither are fine-tuning, sums over a batch, and weighted
    binary losses. Class weights and label smoothing do not change the loss of a uniform answer.

    ## References
    - Karpathy 2019, A Recipe for Training Neural Networks, "verify loss @ init"; CS231n notes: 2.302 for 10 classes.
    - TheDeepChecker (Braiek & Khomh 2022) fires at an error of 1.0 times ln C; 0.5 times is ours.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.WARNING
    level = Level.SETTING
    needs = (LOSS,)
    bars = {"loss": LOSS, "expected": LOSS}
    needs_facts = ("loss",)
    history = 5
    finite = False
    waits_for_warmup = False
    profiles = frozenset({"supervised", "language-model", "unknown"})

    factor: float = Field(1.5, gt=1)
    """How many times ln(number of classes) the first loss may be."""

    gross: float = Field(10.0, gt=1)
    """How many times that loss is reported even of a training that has got over it."""

    learned: float = Field(0.5, gt=0, lt=1)
    """Share of the loss of guessing below which a training has got over its beginning."""

    window: PositiveInt = 5
    """How many first losses are looked at: both their median and the very first must be above."""

    healthy = {
        "loss": [2.31, 2.30, 2.29, 2.25, 2.20],
        "facts": {"loss": {"function": "cross_entropy", "n_classes": 10}},
    }
    faulty = {"loss": [7.9, 7.0, 6.8, 6.1, 5.9], "facts": {"loss": {"function": "cross_entropy", "n_classes": 10}}}

    def check(self, trace: Trace) -> Iterator[Finding]:
        expected, words = _loss_of_guessing(trace)
        start = trace.series(LOSS).first(self.window)
        if not start.is_finite:
            raise NotApplicable("one of the first losses is not finite")
        # The very first loss is seen before any step, the median guards against one odd batch: a learning rate that
        # is too high spoils the second, a small batch the first.
        seen = min(start[0], start.median)
        if seen <= self.factor * expected:
            return
        now = trace.series(LOSS).last(max(self.window, len(trace.series(LOSS)) // 10))
        if seen <= self.gross * expected and now.is_finite and now.median < self.learned * expected:
            return
        yield Finding(
            message=f"first loss {seen:.4g}; an untrained model that prefers no class has {words} = {expected:.4g}",
            advice=(
                "Bring the inputs to mean 0 and standard deviation 1.",
                "Make the initial weights of the last layer smaller.",
                "Check that labels fit the outputs in order and number.",
            ),
            evidence={"loss": seen, "expected": expected, "factor": self.factor},
        )


def _loss_of_guessing(trace: Trace) -> tuple[float, str]:
    """Loss of a uniform answer, in nats, and how it is written; raises `NotApplicable` when it cannot be known."""
    loss = trace.facts.get("loss")
    if not isinstance(loss, dict):
        raise NotApplicable("more than one loss, or an unknown one")
    function = str(loss.get("function", "")).lower().rsplit(".", 1)[-1]
    if loss.get("reduction", "mean") != "mean":
        raise NotApplicable(f"the loss is not a mean over the batch but reduction={loss.get('reduction')!r}")
    if loss.get("logarithms") is False:
        raise NotApplicable("what the loss was given are no logarithms of probabilities")
    if function in _SOFTMAX:
        classes = loss.get("n_classes")
        if not isinstance(classes, int) or isinstance(classes, bool) or classes < 2:
            raise NotApplicable("the number of classes is not known")
        return math.log(classes), f"ln {classes}"
    if function in _SIGMOID:
        if loss.get("weighted"):
            raise NotApplicable("a weighted binary loss has no fixed first value")
        return math.log(2), "ln 2"
    raise NotApplicable(f"the first value of the loss {function or 'unknown'!r} is not known beforehand")
