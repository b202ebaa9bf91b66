"""An optimizer that trains what is no longer used."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.profiles import EVERY
from ..engine.tables import number, table, texts


class StaleOptimizerParameters(Rule):
    """An optimizer owns parameters that no loss reaches, of a model that is gone or is no longer the one that is
    trained.

    ## Why it matters
    The model was made anew, copied, or got a new layer after the optimizer was made: the optimizer steps the old
    tensors, and the new ones stay as they were initialised.

    ## What to try
    - Make the optimizer after the last change to the model: after replacing heads, copying, wrapping and moving.
    - For a single new layer call `optimizer.add_param_group({"params": layer.parameters()})`.

    ## When it is wrong
    A model that is out of sight, in a closure say, cannot be told from one that is gone; then another model must hold
    what the loss reaches, or nothing is said.

    ## References
    - PyTorch forum and accelerate issue 2665: optimizers built ahead of wrapping or re-heading a model.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.ERROR
    level = Level.LOGIC
    needs_facts = ("graph",)
    waits_for_warmup = False
    profiles = EVERY
    explains = (
        Level.DYNAMICS, Level.OUTCOME, "parameters-not-in-optimizer", "unreached-parameters", "unused-parameters",
        "step-does-nothing", "learning-rate-too-low", "optimizer-never-steps",
    )  # fmt: skip

    min_steps: PositiveInt = 2
    """Steps before anything is said."""

    healthy = {"lr": [1e-3] * 20, "facts": {"graph": {"reached": 6, "stale": [], "n_stale": 0, "n_unowned": 0}}}
    faulty = {
        "lr": [1e-3] * 20,
        "facts": {"graph": {"reached": 6, "stale": ["fc.weight", "fc.bias"], "n_stale": 2, "n_unowned": 2}},
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        graph = table(trace.facts.get("graph"))
        stale, n = texts(graph.get("stale")), int(number(graph.get("n_stale")) or 0)
        reached = number(graph.get("reached"))
        if not reached:
            raise NotApplicable("what the loss reaches was not seen")
        if trace.step < self.min_steps:
            raise NotApplicable(f"step {trace.step}; judged from step {self.min_steps} on")
        unowned, n_unreached = int(number(graph.get("n_unowned")) or 0), int(number(graph.get("n_unreached")) or 0)
        if n < 1 and unowned >= reached and n_unreached > 0 and not number(graph.get("foreign")):
            # Another model still holds what it owns: the one that was copied, say.
            stale, n = texts(graph.get("unreached")), n_unreached
        if not stale or n < 1 or unowned < 1:
            return  # what took the place of a parameter that is gone is reached by the loss, and owned by nobody
        yield Finding(
            subject=stale[0],
            message=f"{n} parameters of the optimizer ({', '.join(stale[:3])}) belong to no model that is "
            "trained: no loss "
            f"reaches them, while {unowned} that the loss reaches are in no optimizer; 0 were expected",
            advice=(
                "Make the optimizer after the last change to the model: new heads, copies, wrappers, moves.",
                "Give parameters of a layer that was added later to the optimizer with add_param_group.",
            ),
            evidence={"n_stale": n, "n_unowned": unowned, "n_reached": reached},
        )
