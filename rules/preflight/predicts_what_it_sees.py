"""The targets of a model that reads from left to right are the very tokens it is given."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.profiles import EVERY
from ..engine.tables import number, table, text


class PredictsWhatItSees(Rule):
    """Each target is the token at the same position of the input, and the model looks back only.

    A model that looks back only is one that is to say what comes next. Here the shift by one was forgotten, or is made
    neither by the data nor by the loss.

    ## Why it matters
    The answer is the token just read: the loss falls to zero within a moment, and the model can say nothing of what
    comes next.

    ## What to try
    - Take `x = tokens[:, :-1]` and `y = tokens[:, 1:]`.
    - With a model that shifts by itself, as those of Hugging Face do with `labels`, shift nowhere else.

    ## When it is wrong
    Where a model is to give back what it reads, to show that it can.

    ## References
    - Karpathy, nanoGPT, `get_batch`: the targets begin one position later.
    """

    phases = (Phase.PREFLIGHT,)
    severity = Severity.WARNING
    level = Level.LOGIC
    needs_facts = ("drill/causality",)
    waits_for_warmup = False
    profiles = EVERY - {"autoencoder"}

    max_ahead: float = Field(0.01, gt=0, lt=1)
    """Change of an earlier output with later tokens, as a share of the change of later ones, up to which a model looks
    back only."""
    min_itself: float = Field(1e-3, gt=0, lt=1)
    """Change of an output with the token at its position, as a share of its size, from which the model sees it."""

    healthy = {"facts": {"drill/causality": {"shift": 0, "length": 32, "ahead": 0.0, "itself": 0.0, "input": "x"}}}
    faulty = {"facts": {"drill/causality": {"shift": 0, "length": 32, "ahead": 0.0, "itself": 0.5, "input": "x"}}}

    def check(self, trace: Trace) -> Iterator[Finding]:
        told = table(trace.facts.get("drill/causality"))
        ahead, shift, itself = number(told.get("ahead")), number(told.get("shift")), number(told.get("itself"))
        if ahead is None or shift is None or itself is None:
            raise NotApplicable("what steps change is not known")
        if shift != 0:
            raise NotApplicable("the targets are not the tokens at the same position")
        if ahead > self.max_ahead:
            raise NotApplicable("the targets are the inputs, and the model looks both ways, as an autoencoder does")
        if itself < self.min_itself:
            return
        name = text(told.get("input"))
        yield Finding(
            message=f"each target is the token at the same position of {name or 'the input'}, which changes the output "
            f"there by {itself:.2g} of its size; targets one position on expected",
            advice=("Take x = tokens[:, :-1] and y = tokens[:, 1:].",),
            evidence={"itself": itself},
        )
