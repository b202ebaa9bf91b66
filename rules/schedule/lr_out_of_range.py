"""A learning rate far from what its optimizer can use."""

from __future__ import annotations

import math
from collections.abc import Iterator

from pydantic import Field, PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.signals import GRAD_NORM, LOSS, LR

_ADAM_LIKE = frozenset(
    {"adam", "adamw", "nadam", "radam", "adamax", "sparseadam", "adam8bit", "adamw8bit", "lion", "rmsprop"}
)
_SGD_LIKE = frozenset({"sgd", "asgd"})


class LrOutOfRange(Rule):
    """The learning rate is outside of what its optimizer is known to work with, and the loss shows it.

    ## Why it matters
    It is the one setting that decides between learning, standing still and blowing up, and a slip of the decimal point
    costs the whole run.

    ## What to try
    - Adam and its kin: start at 3e-4 to 1e-3. SGD with momentum: start at 1e-2 to 1e-1.
    - Check whether a scheduler's base rate or a scaling rule multiplied the value.
    - Look at the update ratio: about 1e-3 is usual.

    ## When it is wrong
    Small networks bear high rates: a rate outside the range is reported only when the loss has not come down, or is
    beyond a hundred times the bar. Optimizers that set their own scale (Prodigy, Adafactor, LARS, LAMB, Adagrad,
    Adadelta) are not judged, nor are the tail and the warm-up of a schedule: its peak counts.

    ## References
    - UMLAUT (Schoop, Huang & Hartmann 2021): above 0.01 or below 1e-7 for any optimizer. For SGD the upper bar is 1.0
      here, as 0.1 is the classic rate of residual networks (He et al. 2016).
    """

    phases = (Phase.STEP, Phase.EPOCH, Phase.RUN)
    severity = Severity.ERROR
    level = Level.SETTING
    needs_facts = ("optimizer",)
    finite = False
    waits_for_warmup = False
    explains = (
        "update-ratio", "exploding-gradient", "vanishing-gradient", "nonfinite-gradient", "nonfinite-loss",
        "loss-diverging", "loss-spike", "loss-not-decreasing", "no-better-than-baseline",
    )  # fmt: skip

    max_adam: float = Field(1e-2, gt=0)
    """Highest learning rate for optimizers that normalise the gradient (Adam, AdamW, RMSprop, Lion ...)."""

    max_sgd: float = Field(1.0, gt=0)
    """Highest learning rate for SGD."""

    min_lr: float = Field(1e-7, ge=0)
    """Lowest peak learning rate."""

    factor: float = Field(100.0, gt=1)
    """How many times the highest rate is reported without waiting for the loss."""

    ratio: float = Field(0.1, gt=0, lt=1)
    """Share by which the loss must have come down for a rate outside the range to pass."""

    window: PositiveInt = 20
    """Losses that give the loss's present level (a median)."""

    healthy = {
        "loss": [2.3 * 0.98**i for i in range(60)],
        "facts": {"optimizer": [{"class": "Adam", "groups": [{"lr": 1e-3}]}]},
    }
    faulty = {
        "loss": [2.3 + 0.1 * (i % 7) for i in range(60)],
        "facts": {"optimizer": [{"class": "Adam", "groups": [{"lr": 0.1}]}]},
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        fact = trace.facts.get("optimizer")
        optimizers = [entry for entry in (fact if isinstance(fact, list) else [fact]) if isinstance(entry, dict)]
        bars = [(name, self._bar(name)) for name in (str(entry.get("class", "")) for entry in optimizers)]
        known = [(name, bar) for name, bar in bars if bar]
        if len(known) != 1 or len(optimizers) != 1:
            names = ", ".join(name for name, _ in bars) or "none"
            raise NotApplicable(f"judged for one optimizer of the Adam or SGD kind; here: {names}")
        name, bar = known[0]
        peak = _peak(trace, optimizers[0].get("groups"))
        if self.min_lr <= peak <= bar:
            return

        high = peak > bar
        shown = f"{self.factor:g} times that is not waited for" if peak > self.factor * bar else self._harm(trace)
        if shown is None:
            return
        expected = f"at most {bar:g}" if high else f"at least {self.min_lr:g}"
        yield Finding(
            message=f"{name} with learning rate {peak:.3g}; {expected} is expected; {shown}",
            advice=(
                f"{'Lower' if high else 'Raise'} the learning rate: "
                f"{'3e-4 to 1e-3' if bar == self.max_adam else '1e-2 to 1e-1'} is a usual start for {name}.",
                "Check whether a scheduler or a scaling rule multiplied the value.",
            ),
            evidence={"lr": peak, "bar": bar if high else self.min_lr},
        )

    def _bar(self, name: str) -> float:
        lower = name.lower()
        return self.max_adam if lower in _ADAM_LIKE else self.max_sgd if lower in _SGD_LIKE else 0.0

    def _harm(self, trace: Trace) -> str | None:
        """What the loss shows, in words, or None when it came down; raises `NotApplicable` when it is too early."""
        losses, norms = trace.series(LOSS), trace.series(GRAD_NORM)
        if not losses.is_finite:
            return "the loss is no longer finite"
        if not norms.is_finite:
            return "the gradient is no longer finite"
        if len(losses) < 2 * self.window:
            raise NotApplicable(f"{len(losses)} losses were recorded; {2 * self.window} are needed")
        # The lowest of the first five: at such rates the second loss may already be a thousand times the first.
        start, now = min(losses.first(5)), losses.last(self.window).median
        if now < start - self.ratio * abs(start):
            return None
        return f"the loss is {now:.4g} after {losses.count} losses, {start:.4g} at the start"


def _peak(trace: Trace, groups: object) -> float:
    """Highest learning rate of the run so far; raises `NotApplicable` when none is known."""
    rates = [rate for series in (trace.series(LR), *trace.by_subject(LR).values()) for rate in series]
    for group in groups if isinstance(groups, list) else ():
        rate = group.get("lr") if isinstance(group, dict) else None
        if isinstance(rate, (int, float)) and not isinstance(rate, bool):
            rates.append(float(rate))
    rates = [rate for rate in rates if math.isfinite(rate)]
    if not rates:
        raise NotApplicable("no learning rate is known")
    return max(rates)
