"""A simple model that knows more of new samples, after the same ones."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.tables import number, table

_NAMES = {"linear": "a linear model", "hidden": "one with a hidden layer"}


class SimpleModelAhead(Rule):
    """After the same training samples a linear model, or one hidden layer, knows held-out ones, and the model does not.

    ## Why it matters
    What a simple model has found by then is easy; a network that has found nothing of it starts slowly, or not at all.

    ## What to try
    - Look at the learning-rate range test, and try the rate that it names.
    - Train until the simple model is reached, before anything is tuned.

    ## When it is wrong
    Deep models are slower at first, and a warm-up makes them so by intention. Hence this is a remark only.

    ## References
    - Karpathy 2019, A Recipe for Training Neural Networks: simple baselines first.
    - Google, Rules of Machine Learning: compare with a simple model.
    """

    phases = (Phase.PREFLIGHT,)
    severity = Severity.INFO
    level = Level.OUTCOME
    needs_facts = ("drill/simple-start",)
    waits_for_warmup = False

    near: float = Field(0.9, gt=0)
    """Share of a constant answer's loss above which a model has learned next to nothing, and below which it has."""

    behind: float = Field(1.5, gt=1)
    """Loss over that of the better simple model from which on it is far behind."""

    healthy = {
        "facts": {
            "drill/simple-start": {
                "held_out": {"own": 0.5, "constant": 2.3, "linear": 0.4, "training": 0.45, "samples": 6400}
            }
        }
    }
    faulty = {
        "facts": {
            "drill/simple-start": {
                "held_out": {"own": 2.29, "constant": 2.3, "linear": 0.4, "training": 2.29, "samples": 6400}
            }
        }
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        told = table(table(trace.facts.get("drill/simple-start")).get("held_out"))
        own, constant = number(told.get("own")), number(told.get("constant"))
        simple = {name: loss for name in ("linear", "hidden") if (loss := number(told.get(name))) is not None}
        training = number(told.get("training"))
        if own is None or constant is None or training is None or not simple:
            raise NotApplicable("the models were not compared on held-out samples")
        # What is learned, but not yet shown in evaluation mode, as by batch normalisation, is no lag.
        name = min(simple, key=simple.__getitem__)
        best = simple[name]
        if best < self.near * constant < min(own, training) and own > self.behind * best:
            yield Finding(
                message=f"after {number(told.get('samples')) or 0:.0f} samples the held-out loss is {own:.4g}; "
                f"{_NAMES[name]} has {best:.4g}, a constant answer {constant:.4g}",
                advice=(
                    "Look at the learning-rate range test, and try the rate that it names.",
                    "Train until the simple model is reached, before anything is tuned.",
                ),
                evidence={"own": own, "best": best, "constant": constant},
            )
