"""Optimizer steps that change nothing."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.profiles import EVERY
from ..engine.signals import GRAD_NORM, LR, UPDATE_RATIO
from ..engine.tables import number, table


class StepDoesNothing(Rule):
    """The optimizer steps with a rate above zero, and every parameter it owns stays bitwise the same.

    ## Why it matters
    The loop runs, the loss is printed, and the model at the end is the one from the beginning.

    ## What to try
    - Check that the gradients are there when `step` is called: `zero_grad` stands between backward and step, or the
      loss is multiplied by zero or masked whole.
    - Check that the optimizer owns the tensors the model uses, not copies of them.
    - Check that nothing puts old weights back after the step.

    ## When it is wrong
    Rates so small that no bit changes in float16 or bfloat16 weights look the same, and are as useless.

    ## References
    - TrainCheck (Jiang et al. 2025), two steps without any change: PyTorch forum 84911, accelerate issue 2665. Bitwise,
      as the relative tolerance of SageMaker Debugger's UnchangedTensor also hides healthy updates of 1e-6.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.ERROR
    level = Level.LOGIC
    needs_facts = ("optimizer",)
    waits_for_warmup = False
    finite = False
    profiles = EVERY
    explains = (Level.DYNAMICS, Level.OUTCOME, "learning-rate-too-low")

    min_steps: PositiveInt = 5
    """Steps that must have been looked at."""

    healthy = {
        "update_ratio": {"a.weight": [1e-3, 0.0] * 10, "b.weight": [1e-3] * 20},
        "lr": {"0": [0.1]},
        "facts": {"optimizer": [{"class": "SGD"}]},
    }
    faulty = {
        "update_ratio": {"a.weight": [0.0] * 20, "b.weight": [0.0] * 20},
        "lr": {"0": [0.1]},
        "facts": {"optimizer": [{"class": "SGD"}], "weights": {"start": "4af1", "end": "4af1", "step": 20}},
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        if trace.step < self.min_steps:
            raise NotApplicable(f"step {trace.step}; judged from step {self.min_steps} on")
        rates = [series for series in (trace.series(LR), *trace.by_subject(LR).values()) if series]
        if not any(rate > 0 for series in rates for rate in series):
            raise NotApplicable("no learning rate above 0 was seen")
        ratios = trace.by_subject(UPDATE_RATIO)
        looked = max((len(series) for series in ratios.values()), default=0)
        weights = table(trace.facts.get("weights"))
        is_whole = bool(weights.get("start")) and weights.get("start") == (weights.get("end") or weights.get("later"))
        steps = number(weights.get("step")) or 0.0
        if is_whole and steps >= self.min_steps and not any(ratio > 0 for one in ratios.values() for ratio in one):
            shown = f"the weights after {steps:g} steps are bitwise those of the start"
        elif looked >= self.min_steps and not weights and all(r == 0 for one in ratios.values() for r in one):
            shown = f"{len(ratios)} parameters did not change by a bit in {looked} steps that were looked at"
        elif not ratios and not weights:
            raise NotApplicable("no update of any parameter was seen")
        else:
            return
        norms = [norm for norm in trace.series(GRAD_NORM) if norm == norm]
        if norms and not any(norms):
            raise NotApplicable("every gradient is exactly 0: that is absent-gradient")
        gradient = f"the gradient norm was at most {max(norms):.2g}" if norms else "no gradient was there"
        yield Finding(
            message=f"{shown}; {gradient}; a change at every step was expected",
            advice=(
                "Check that the gradients are there and not zero when step() is called.",
                "Check that the optimizer owns the tensors the model uses, not copies or replaced ones.",
                "Check that nothing restores old weights after the step.",
            ),
            evidence={"n_steps": max(steps, float(looked)), "n_parameters": len(ratios)},
        )
