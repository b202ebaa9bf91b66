"""An input, or some of its features, that changes nothing."""

from __future__ import annotations

from collections.abc import Iterator

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.profiles import EVERY
from ..engine.tables import number, table, tables, text


class InputWithoutEffect(Rule):
    """An input was exchanged for that of other samples, alone, and no output changed.

    ## Why it matters
    What the model does not look at it cannot learn from: a layer forgotten in `forward`, a slice one column too short.

    ## What to try
    - Look for the input in `forward`: is it used, and is what is made of it used?
    - Leave it out if it is not needed.

    ## When it is wrong
    Lengths that are the same, masks that hide nothing, and names of samples may well have no effect.

    ## References
    - Karpathy 2019, A Recipe for Training Neural Networks, "use backprop to chart dependencies".
    """

    phases = (Phase.PREFLIGHT,)
    severity = Severity.INFO
    level = Level.LOGIC
    needs_facts = ("drill/inputs-reach",)
    waits_for_warmup = False
    profiles = EVERY

    healthy = {"facts": {"drill/inputs-reach": {"effect": 0.3, "inputs": [{"name": "x", "effect": 0.3}], "dead": []}}}
    faulty = {
        "facts": {
            "drill/inputs-reach": {
                "effect": 0.3,
                "inputs": [{"name": "x", "effect": 0.3}, {"name": "age", "effect": 0.0}],
                "dead": [],
            }
        }
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        told = table(trace.facts.get("drill/inputs-reach"))
        if not number(told.get("effect")):
            raise NotApplicable("no input has an effect, or it is not known")
        for one in tables(told.get("inputs")):
            if number(one.get("effect")) == 0:
                yield Finding(
                    subject=text(one.get("name")),
                    message=f"{text(one.get('name'))} of other samples changes the output by 0 of its size; more "
                    "expected",
                    advice=("Look whether forward uses it, and what is made of it.",),
                    evidence={"effect": 0.0},
                )
        dead, features = told.get("dead"), number(told.get("features"))
        if isinstance(dead, list) and dead and features:
            which = ", ".join(f"{one}" for one in dead[:8]) + (", ..." if len(dead) > 8 else "")
            yield Finding(
                subject=f"{text(told.get('main'))} features",
                message=f"{len(dead)} of {features:.0f} features of {text(told.get('main')) or 'the input'} change no "
                f"output ({which}); 0 expected",
                advice=("Look for a slice, an index or a mask that leaves them out.",),
                evidence={"features": len(dead)},
            )
