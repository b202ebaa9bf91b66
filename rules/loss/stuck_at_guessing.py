"""A fine-tuning whose loss stays that of guessing."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from statistics import median

from pydantic import Field, PositiveInt

from ..engine import Finding, NotApplicable, Phase, Rule, Series, Severity, Trace
from ..engine.signals import LOSS, VAL_ACCURACY


class StuckAtGuessing(Rule):
    """The loss of a fine-tuning is that of guessing, from the first entry to the last, or has fallen back to it.

    A loss that hardly falls is how many fine-tunings look: the model was good before. That of guessing among k classes,
    ln k, with hardly any scatter is what a model shows that gives every input the same answer. The number of classes is
    that of the loss, or the one the held-out accuracy is one part of; where neither is known, 2 to 4 are considered,
    and whatever only a vocabulary can be.

    ## Why it matters
    The model has collapsed to the frequencies of the labels, or never left them, and will stay there.

    ## What to try
    - Lower the learning rate (2e-5 is usual for whole encoders), or warm it up: collapse is most often a rate too high.
    - Check that labels belong to their inputs, and that the new head is trained.
    - Check the loss's input: logits, not probabilities.

    ## When it is wrong
    A loss of another kind can rest at ln 2 or ln 3 by chance. Learning from preferences (DPO) begins at ln 2 by
    construction, and is not judged.

    ## References
    - Mosbach, Andriushchenko & Klakow 2021, On the Stability of Fine-tuning BERT: failed runs stay at the loss of the
      majority classifier.
    """

    phases = (Phase.RUN,)
    severity = Severity.WARNING
    needs = (LOSS,)
    bars = {"loss": LOSS, "guess": LOSS}
    profiles = frozenset({"fine-tune"})
    explains = ("no-better-than-baseline", "loss-not-decreasing", "loss-diverging", "diverged-fine-tuning")

    min_steps: PositiveInt = 20
    """Losses needed."""

    tolerance: float = Field(0.01, gt=0, lt=0.1)
    """Distance from ln k, as a share of the loss, within which it counts as guessing."""

    ratio: float = Field(0.02, gt=0, lt=1)
    """Fall since the start, as a share of the loss, from which on something is being learned."""

    max_scatter: float = Field(0.03, gt=0)
    """Robust standard deviation of the losses, as a share, above which a loss is of something else."""

    min_fall: float = Field(0.15, gt=0, lt=1)
    """Share of the loss by which it was lower before, from which on it has fallen back to guessing."""

    min_vocabulary: float = Field(7.0, gt=0)
    """A flat loss above this, ln 1100, is that of a language model that knows nothing, whatever its vocabulary."""

    healthy = {"profile": "fine-tune", "loss": [0.69 * 0.98**i for i in range(60)]}
    faulty = {"profile": "fine-tune", "loss": [0.6931 + 0.004 * ((7 * i) % 5 - 2) for i in range(60)]}

    def check(self, trace: Trace) -> Iterator[Finding]:
        losses = trace.series(LOSS)
        if len(losses) < self.min_steps:
            raise NotApplicable(f"{len(losses)} losses were recorded; {self.min_steps} are needed")
        history = trace.facts.get("history")
        if isinstance(history, dict) and history.get("preferences"):
            raise NotApplicable("learning from preferences starts at the loss of guessing by construction")
        level, scatter, guess = self._rest(losses.values[-max(self.min_steps // 2, len(losses) // 3) :], trace)
        if guess is None:
            return
        before = losses.values[: len(losses) - max(self.min_steps // 2, len(losses) // 3)]
        best = min(median(before[at : at + 5]) for at in range(max(1, len(before) - 4)))
        fell_back = best < (1 - self.min_fall) * level and scatter < 2 * self.tolerance
        whole = self._rest(losses.values[1:] if len(losses) > 2 * self.min_steps else losses.values, trace)
        n = max(5, len(losses) // 5)
        fall = (median(losses.values[1 : n + 1]) - median(losses.values[-n:])) / level
        if not fell_back and (whole[2] is None or fall > self.ratio):
            return
        since = f"of late; it was {best:.4g} before" if fell_back else "from the first entry to the last"
        yield Finding(
            message=f"loss {level:.4g} within {scatter:.1%} {since} (of {len(losses)}); guessing gives {guess:.4g}",
            advice=(
                "Lower the learning rate 3 to 10 times, and warm it up over the first 5 to 10 % of the steps.",
                "Check that the labels belong to their inputs, and that the new head is among the trained parameters.",
                "Overfit twenty samples: when that fails, the fault is in the loss or the loop.",
            ),
            evidence={"loss": level, "guess": guess, "scatter": scatter, "fall": fall},
        )

    def _rest(self, values: Sequence[float], trace: Trace) -> tuple[float, float, float | None]:
        """Level and scatter of losses, and the loss of guessing that they are, if they are one."""
        level = median(values)
        if not 0 < level < 1e3:
            return level, 0.0, None
        scatter = 1.4826 * median(abs(loss - level) for loss in values) / level
        guess = self._guess(level, scatter, self._n_classes(trace)) if scatter <= self.max_scatter else None
        return level, scatter, guess

    def _guess(self, level: float, scatter: float, classes: Sequence[int]) -> float | None:
        """The loss of guessing that the level is, or None."""
        for n in classes:
            if abs(level - math.log(n)) <= max(self.tolerance, scatter / 2) * level:
                return math.log(n)
        return level if level > self.min_vocabulary and scatter < self.tolerance else None

    def _n_classes(self, trace: Trace) -> Sequence[int]:
        loss = trace.facts.get("loss")
        known = loss.get("n_classes") if isinstance(loss, dict) else None
        if isinstance(known, int) and known > 1:
            return (known,)
        accuracies: Series = trace.series(VAL_ACCURACY)
        last = accuracies[-1] if accuracies else 0.0
        if 0 < last < 1:
            # No better than one in k, with a tenth to spare for the chance of a small set; a majority may be larger.
            return tuple(k for k in range(2, 1001) if abs(last * k - 1) < 0.1 or (k == 2 and 0.4 < last < 0.6))
        return (2, 3, 4) if not accuracies else ()
