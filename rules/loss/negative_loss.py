"""A loss below zero that cannot be: its sign was turned, or its square forgotten."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from pydantic import Field, PositiveInt

from ..engine import Finding, Json, Level, NotApplicable, Phase, Rule, Series, Severity, Trace
from ..engine.signals import LOSS
from ..engine.tables import losses_of, number, table, tables, targets_of, text, texts

_NEVER_NEGATIVE = frozenset({
    "cross_entropy", "mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "binary_cross_entropy",
    "binary_cross_entropy_with_logits", "soft_margin_loss", "multi_margin_loss", "multilabel_margin_loss", "ctc_loss",
    "multilabel_soft_margin_loss", "hinge_embedding_loss", "margin_ranking_loss", "triplet_margin_loss",
})  # fmt: skip
_DIFFERENCES = (["mean", "sub"], ["sum", "sub"])


class NegativeLoss(Rule):
    """The loss is negative though its function never is: the training maximises what it should minimise.

    ## Why it matters
    The optimizer makes the loss small. Of a loss with its sign turned that means: the worst possible answers, with ever
    more confidence. A mean of differences without a square or absolute value falls for ever, too.

    ## What to try
    - Remove the minus sign, or `maximize=True`.
    - Square the difference, or take its absolute value.

    ## When it is wrong
    Maximising a loss is right for the adversary of another model, and for making a model forget. Terms of a sum are not
    judged, functions that are not recognised neither: log-likelihoods of densities and similarities may be negative.

    ## References
    - Each of the functions is a mean of numbers that are not negative, by its definition in the PyTorch documentation.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.ERROR
    level = Level.LOGIC
    needs = (LOSS,)
    bars = {"loss": LOSS, "first": LOSS}
    needs_facts = ("loss",)
    history = 5
    finite = False
    waits_for_warmup = False
    profiles = Rule.profiles | {"autoencoder"}
    explains = (Level.DYNAMICS, Level.OUTCOME, Level.SETTING, Severity.FATAL)

    share: float = Field(0.8, gt=0, le=1)
    """Share of the losses that must be negative."""

    factor: float = Field(100.0, gt=1)
    """How many times the size of the first losses a loss of any kind may fall below zero; the likelihood of a flow
    falls to a few times its size at the start."""

    min_falling: PositiveInt = 20
    """Losses that must have been seen before a mean of differences is judged."""

    healthy = {"loss": [2.3, 2.2, 2.1, 2.0, 1.9], "facts": {"loss": {"function": "cross_entropy", "terms": 1}}}
    faulty = {"loss": [-2.3, -2.9, -4.1, -8.0, -19.0], "facts": {"loss": {"function": "cross_entropy", "terms": 1}}}

    def _has_no_bound(self, losses: Series) -> bool:
        """Whether the loss has fallen to a multiple of its size at the start that no likelihood reaches, and stays."""
        size = max([1.0, *(abs(loss) for loss in losses.first(self.min_falling) if math.isfinite(loss))])
        late = [loss for loss in losses.last(max(self.history, len(losses) // 10)) if loss == loss]
        return len(losses) >= 2 * self.min_falling and bool(late) and max(late) < -self.factor * size

    def _unbounded(self, losses: Series) -> Finding:
        lowest = max(min(loss for loss in losses if loss == loss), -1e308)
        return Finding(
            message=f"loss {lowest:.4g}, from {losses[0]:.4g} at the start, and no end; a loss has a lower bound, or "
            f"falls to no more than {self.factor:g} times its size",
            advice=(
                "Look for a term with its sign turned: of a divergence, a penalty or an entropy.",
                "Log each term of the loss: the one that falls for ever is it.",
            ),
            evidence={"loss": lowest, "factor": self.factor} | _finite("first", losses[0]),
        )

    def check(self, trace: Trace) -> Iterator[Finding]:
        losses, kinds = trace.series(LOSS), losses_of(trace)
        below, known = sum(1 for loss in losses if loss < 0), sum(1 for loss in losses if loss == loss)
        if self._has_no_bound(losses) and not all(_is_never_negative(kind, trace) for kind in kinds):
            yield self._unbounded(losses)
            return
        if not kinds:
            raise NotApplicable("no loss function was seen")
        if all(texts(kind.get("ops")) in _DIFFERENCES for kind in kinds):
            if len(losses) < self.min_falling:
                raise NotApplicable(f"{len(losses)} losses were recorded; {self.min_falling} are needed")
            late = losses.last(len(losses) // 2)
            if sum(1 for loss in late if loss < 0) < self.share * len(late) or late[-1] >= losses[0]:
                return
            what = "a mean of differences, without a square or absolute value,"
            advice = ("Square the difference, or take its absolute value.", "Use mse_loss or l1_loss.")
        else:
            for kind in kinds:
                if not _is_never_negative(kind, trace):
                    raise NotApplicable(f"the loss {text(kind.get('function'))!r} may be negative, or is part of a sum")
            if not known or below < self.share * known:
                return
            what = f"{text(kinds[0].get('function'))}, which is never below 0,"
            advice = ("Remove the minus sign ahead of the loss.", "Use maximize=False in the optimizer.")
        first, last = losses[0], losses[-1]
        last = last if abs(last) < float("inf") else -1e308
        yield Finding(
            message=f"loss {last:.4g} of {what} and {below} of {len(losses)} losses below 0; at least 0 is expected",
            advice=advice,
            evidence={"loss": last, "negative": below, "losses": len(losses)} | _finite("first", first),
        )


def _is_never_negative(kind: Mapping[str, Json], trace: Trace) -> bool:
    function, terms = text(kind.get("function")), number(kind.get("terms"))
    if function not in _NEVER_NEGATIVE or (terms is not None and terms > 1):
        return False
    if function.startswith("binary_cross_entropy"):
        # With a target beyond 0 and 1 a binary loss has no lower bound: target-contract.
        low, high = (number(targets_of(trace, function).get(key)) for key in ("low", "high"))
        return (low is None or low >= -1e-6) and (high is None or high <= 1 + 1e-6)
    if kind.get("soft_targets") is True:
        low = number(targets_of(trace, function).get("low"))
        return low is None or low >= -1e-6
    return not (function == "cross_entropy" and kind.get("by_hand") is not True
                and not _rows_are_probabilities(trace))  # fmt: skip


def _rows_are_probabilities(trace: Trace) -> bool:
    """False where what `nll_loss` was given is known to be no logarithm of probabilities."""
    high = number(table(targets_of(trace, "cross_entropy")).get("outputs_high"))
    return high is None or high <= 1e-6 or not tables(trace.facts.get("targets"))


def _finite(name: str, value: float) -> dict[str, float]:
    return {name: value} if abs(value) < float("inf") else {}
