"""Targets that the inputs say nothing of."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field, PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.tables import number, table


class UninformativeInputs(Rule):
    """After the same training samples neither the model nor simple ones do better on held-out ones than a constant.

    ## Why it matters
    Inputs and targets that were shuffled, sorted or read apart from one another belong together no longer. A network
    learns them by heart all the same, and the training loss looks well.

    ## What to try
    - Look at some samples with their targets, as the loader gives them.
    - Shuffle, split and sort inputs and targets by one and the same order.
    - Check that training and held-out data code the same classes by the same numbers.

    ## When it is wrong
    A task that takes a special architecture and thousands of steps, and is learned by heart before it is understood.

    ## References
    - Zhang et al. 2017, Understanding deep learning requires rethinking generalization: networks fit random labels.
    - Karpathy 2019, A Recipe for Training Neural Networks: simple baselines, and looking at the data, come first.
    """

    phases = (Phase.PREFLIGHT,)
    severity = Severity.WARNING
    level = Level.SETTING
    needs_facts = ("drill/simple-start",)
    waits_for_warmup = False
    explains = (Level.OUTCOME,)

    worse: float = Field(1.02, ge=1)
    """Held-out loss over that of a constant answer, of all three models: the best of 28 healthy programs' was 0.965
    at most."""

    min_samples: PositiveInt = 3000
    """Samples that they must have been given, repeated ones among them."""

    min_held_out: PositiveInt = 100
    """Held-out samples needed: of few the mean is a matter of chance."""

    healthy = {
        "facts": {
            "drill/simple-start": {
                "held_out": {
                    "own": 2.29, "constant": 2.3, "linear": 2.35, "hidden": 2.4, "samples": 6400, "unseen": 360,
                }
            }
        }
    }  # fmt: skip
    faulty = {
        "facts": {
            "drill/simple-start": {
                "held_out": {
                    "own": 2.41, "constant": 2.3, "linear": 2.4, "hidden": 3.2, "samples": 6400, "unseen": 360,
                }
            }
        }
    }  # fmt: skip

    def check(self, trace: Trace) -> Iterator[Finding]:
        told = table(table(trace.facts.get("drill/simple-start")).get("held_out"))
        constant, samples = number(told.get("constant")), number(told.get("samples"))
        losses = {name: loss for name in ("own", "linear", "hidden") if (loss := number(told.get(name))) is not None}
        if constant is None or constant <= 0 or len(losses) < 3:
            raise NotApplicable("the models were not compared on held-out samples")
        if samples is None or samples < self.min_samples:
            raise NotApplicable(f"{samples or 0:.0f} samples were trained on; {self.min_samples} are needed")
        if (unseen := number(told.get("unseen")) or 0.0) < self.min_held_out:
            raise NotApplicable(f"{unseen:.0f} samples were held out; {self.min_held_out} are needed")
        if min(losses.values()) < self.worse * constant:
            return
        yield Finding(
            message=f"after {samples:.0f} samples the held-out loss is {losses['own']:.4g}, that of a linear model "
            f"{losses['linear']:.4g}, with a hidden layer {losses['hidden']:.4g}; a constant answer has {constant:.4g}",
            advice=(
                "Look at some samples with their targets: do they belong together?",
                "Shuffle, split and sort inputs and targets by one and the same order.",
            ),
            evidence={**losses, "constant": constant},
        )
