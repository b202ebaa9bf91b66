"""Parameters that a loss reaches and nobody trains."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.profiles import EVERY
from ..engine.tables import number, table, tables, text, texts


class ParametersNotInOptimizer(Rule):
    """The loss reaches parameters that want a gradient, and no optimizer owns them.

    ## Why it matters
    Their gradients are computed at every step and never used: these layers keep their initial weights.

    ## What to try
    - Give the optimizer the parameters of every part: `[*encoder.parameters(), *decoder.parameters()]`.
    - Make the optimizer after the model is complete; for parts added later call `add_param_group`.
    - Freeze on purpose in words: `requires_grad_(False)`, which also saves their backward.

    ## When it is wrong
    Parts that are frozen by leaving them out of the optimizer look the same; those that an optimizer of the run has
    trained before are not named. Neither is anything when only inputs are optimized, such as an image or a prompt, as
    the model is a given then, nor what a plain list hides, which is told as `unregistered-modules`.

    ## References
    - TrainCheck (Jiang et al. 2025) finds this class of silent errors by the identities of parameters.
    - lightning-bolts and accelerate issue 2665: optimizers made before the model was complete.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.ERROR
    level = Level.LOGIC
    needs_facts = ("graph",)
    waits_for_warmup = False
    profiles = EVERY
    explains = (
        Level.DYNAMICS, Level.OUTCOME, "learning-rate-too-low", "learning-rate-too-high", "optimizer-never-steps",
        "step-does-nothing", "unused-parameters",
    )  # fmt: skip

    min_steps: PositiveInt = 5
    """Steps before anything is said: a second optimizer may be made a little later."""

    healthy = {"lr": [1e-3] * 20, "facts": {"graph": {"reached": 6, "unowned": [], "n_unowned": 0, "foreign": 0}}}
    faulty = {
        "lr": [1e-3] * 20,
        "facts": {"graph": {"reached": 6, "unowned": ["decoder.weight", "decoder.bias"], "n_unowned": 2, "foreign": 0}},
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        graph = table(trace.facts.get("graph"))
        reached, names = number(graph.get("reached")), texts(graph.get("unowned"))
        if not reached:
            raise NotApplicable("what the loss reaches was not seen")
        if trace.step < self.min_steps:
            raise NotApplicable(f"step {trace.step}; judged from step {self.min_steps} on")
        hidden = _unregistered(trace)
        named = [
            name
            for name in names
            if not any(name == path or name.startswith((path + ".", path + "[")) for path in hidden)
        ]
        n = int(number(graph.get("n_unowned")) or 0) - (len(names) - len(named))
        if not named or n < 1:
            return
        foreign = int(number(graph.get("foreign")) or 0)
        if foreign and foreign >= reached - n:
            raise NotApplicable("what is optimized belongs to no model: inputs, as for an image or a prompt")
        more = f" and {n - 3} more" if n > 3 else ""
        yield Finding(
            subject=named[0],
            message=f"{n} of the {reached:g} parameters that the loss reaches are in no optimizer: "
            f"{', '.join(sorted(named)[:3])}{more}; 0 were expected",
            advice=(
                "Give the optimizer the parameters of every part that is to learn.",
                "Make the optimizer after the model is complete, or call add_param_group for parts added later.",
                "If they are to stay as they are, say so: requires_grad_(False).",
            ),
            evidence={"n_unowned": n, "n_reached": reached},
        )


def _unregistered(trace: Trace) -> set[str]:
    models = table(trace.facts.get("model")).values()
    return {
        path
        for model in models
        for one in tables(table(model).get("unregistered"))
        if (path := text(one.get("path"))) and one.get("owned") is not True
    }
