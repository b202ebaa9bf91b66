"""An optimizer that is made and never used."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.profiles import EVERY
from ..engine.signals import LOSS
from ..engine.tables import number, table, tables, text


class OptimizerNeverSteps(Rule):
    """Losses are sent backward, and an optimizer for what they reach never steps.

    ## Why it matters
    Gradients are computed and nothing is done with them: what this optimizer owns keeps its initial weights.

    ## What to try
    - Call `optimizer.step()` after `backward()`, of every optimizer there is.
    - Check the condition around it: an accumulation window longer than the epoch is never full.
    - With a gradient scaler call `scaler.step(optimizer)`.

    ## When it is wrong
    Gradients may be wanted for themselves, for a saliency map or a Fisher matrix, with an optimizer lying about. Steps
    inside of a compiled function are not seen, and then nothing is said.

    ## References
    - TrainCheck (Jiang et al. 2025): a call of `step` between two calls of `zero_grad` is among its invariants.
    """

    phases = (Phase.RUN,)
    severity = Severity.ERROR
    level = Level.LOGIC
    needs_facts = ("graph",)
    waits_for_warmup = False
    finite = False
    profiles = EVERY
    explains = (Level.DYNAMICS, Level.OUTCOME, "missing-zero-grad", "unreached-parameters", "unused-parameters")

    min_losses: PositiveInt = 20
    """Losses that must have been sent backward."""

    healthy = {"loss": [1.0] * 40, "facts": {"graph": {"reached": 6, "unstepped": []}}}
    faulty = {"loss": [1.0] * 40, "facts": {"graph": {"reached": 6, "unstepped": [{"class": "Adam", "parameters": 6}]}}}

    def check(self, trace: Trace) -> Iterator[Finding]:
        graph = table(trace.facts.get("graph"))
        if "unstepped" not in graph:
            raise NotApplicable("which optimizers there are was not seen")
        count = trace.count(LOSS)
        if count < self.min_losses:
            raise NotApplicable(f"{count} losses were recorded; {self.min_losses} are needed")
        if "steps" in table(trace.facts.get("unseen")):
            raise NotApplicable("steps were made out of sight, in a compiled function")
        waiting = [one for one in tables(graph.get("unstepped")) if number(one.get("parameters"))]
        if not waiting:
            return
        n = int(sum(number(one.get("parameters")) or 0 for one in waiting))
        names = ", ".join(text(one.get("class")) or "?" for one in waiting)
        yield Finding(
            message=f"{len(waiting)} optimizer ({names}) made 0 steps in {count} backward calls that reached "
            f"{n} of its parameters; a step after each was expected",
            advice=(
                "Call optimizer.step() after backward(), of every optimizer there is.",
                "Check the condition around step(): an accumulation window longer than the epoch is never full.",
            ),
            evidence={"n_losses": count, "n_parameters": n, "n_optimizers": len(waiting)},
        )
