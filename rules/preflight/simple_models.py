"""How a model stands beside the simple ones, of the fact `drill/simple-start`."""

from __future__ import annotations

from typing import NamedTuple

from ..engine import NotApplicable, Trace
from ..engine.tables import number, table, tables


class Stand(NamedTuple):
    """Losses after the same steps on the same batch; `best` is the model's with the rate that did best."""

    own: float
    best: float
    constant: float
    linear: float
    steps: float


class Trial(NamedTuple):
    """The model after these steps, at a multiple of its learning rate, or with an Adam of the drill's."""

    name: str
    half: float | None
    last: float | None

    def has_learned(self, bar: float, fall: float, own: float) -> bool:
        """Whether it came below the bar, or is on its way from the model's `own` loss, not to it from far above."""
        if self.last is None:
            return False
        falls = self.half is not None and self.half - self.last >= fall * abs(self.half)
        return self.last <= bar or (falls and self.last <= own)


def bar_of(trace: Trace, near: float, behind: float, learned: float) -> tuple[float, list[Trial]]:
    """(loss above which the model is behind, its trials: the first is with its own learning rate).

    Raises `NotApplicable` where there is nothing to compare.
    """
    told = table(trace.facts.get("drill/simple-start"))
    constant, linear = number(told.get("constant")), number(told.get("linear"))
    trials = [
        Trial(f"with {factor:g} times its learning rate", number(one.get("half")), number(one.get("last")))
        for one in tables(told.get("tried"))
        if (factor := number(one.get("factor"))) is not None
    ] + [
        Trial(f"with Adam at {rate:g}", number(one.get("half")), number(one.get("last")))
        for one in tables(told.get("adam"))
        if (rate := number(one.get("rate"))) is not None
    ]
    if constant is None or linear is None or not trials or trials[0].last is None or constant <= 0:
        raise NotApplicable("what the model, or a linear one, came to is no number")
    bar = max(near * constant, behind * linear)
    if trials[0].last > bar and linear > learned * constant:
        raise NotApplicable(f"the linear model came to {linear:.3g} only, a constant answer to {constant:.3g}")
    return bar, trials


def is_still(trace: Trace) -> bool:
    """Whether no weight of the model moved, at any of several learning rates: its optimizer has others."""
    tried = tables(table(trace.facts.get("drill/simple-start")).get("tried"))
    return len(tried) > 1 and all(number(one.get("moved")) == 0 for one in tried)


def stand_of(trace: Trace, near: float, behind: float, fall: float, learned: float) -> Stand | None:
    """Where a model is behind whatever its learning rate; None where it is not.

    Raises `NotApplicable` where that cannot be told: it learns otherwise, or other rates could not be tried.
    """
    bar, trials = bar_of(trace, near, behind, learned)
    own = trials[0].last
    if own is None or own <= bar:
        return None
    told = table(trace.facts.get("drill/simple-start"))
    tried = tables(told.get("tried"))
    if is_still(trace):
        trials = trials[: len(tried)]
    for one in trials:
        if one.has_learned(bar, fall, own):
            raise NotApplicable(f"{one.name} the model comes to {one.last:.3g}, and learns")
    rates = {number(one.get("factor")) or 0.0: number(one.get("rate")) or 0.0 for one in tried}
    highest = max(rates)
    if highest < 100 or rates[highest] < 0.5 * highest * rates.get(1.0, 0.0) or not rates.get(1.0):
        raise NotApplicable("other learning rates could not be tried")
    if not tables(told.get("adam")) and not is_still(trace):
        raise NotApplicable("whether another optimizer does better could not be tried")
    return Stand(
        own,
        min(one.last for one in trials if one.last is not None),
        number(told.get("constant")) or 0.0,
        number(told.get("linear")) or 0.0,
        number(told.get("steps")) or 0.0,
    )
