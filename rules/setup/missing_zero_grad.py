"""Gradients that are never cleared."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.profiles import EVERY
from ..engine.signals import GRAD_NORM
from ..engine.tables import number, table, texts


class MissingZeroGrad(Rule):
    """A backward adds its gradients to those of steps that were made already.

    ## Why it matters
    Every step goes along the sum of all gradients so far: a momentum that never fades. Early directions win, the steps
    grow, and the loss circles or blows up.

    ## What to try
    - Call `optimizer.zero_grad()` once for each `optimizer.step()`, ahead of `backward()`.
    - Look whether it stands outside of the loop over batches.
    - With several optimizers or models, clear all of them: those parameters that are left out keep adding up.

    ## When it is wrong
    Gradient accumulation within one step is not meant: what counts is what is left over from a step that was made. The
    gradients that one loss leaves to another model's optimizer are not meant either, if they are cleared before its
    own.

    ## References
    - PyTorch documentation, Zeroing out gradients in PyTorch.
    - TrainCheck (Jiang et al. 2025) infers the same invariant.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.ERROR
    level = Level.LOGIC
    needs_facts = ("loop",)
    waits_for_warmup = False
    finite = False
    profiles = EVERY
    explains = (
        Level.DYNAMICS, Level.OUTCOME, "learning-rate-too-high", "accumulation-not-averaged",
        "clipping-always-bites", "optimizer-settings-unusual", "schedule-collapsed", "weight-decay-dominates",
        Severity.FATAL,
    )  # fmt: skip

    min_steps: PositiveInt = 2
    """Steps before anything is said."""

    healthy = {
        "grad_norm": [1.0] * 20,
        "facts": {"loop": {"order": ["zero_grad", "step"], "grads_at_backward": "none"}},
    }
    faulty = {
        "grad_norm": [float(i) for i in range(20)],
        "facts": {"loop": {"order": ["forward", "backward", "step"], "grads_at_backward": "kept"}},
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        loop = table(trace.facts.get("loop"))
        state = loop.get("grads_at_backward")
        if state not in ("none", "zero", "kept"):
            raise NotApplicable("what the gradients were when a backward began was not seen")
        if trace.step < self.min_steps:
            raise NotApplicable(f"step {trace.step}; judged from step {self.min_steps} on")
        if state != "kept":
            return
        order = texts(loop.get("order"))
        cleared = "zero_grad is called in the step" if "zero_grad" in order else "zero_grad was not seen in a step"
        norms = trace.series(GRAD_NORM)
        grown = f"; the gradient norm went from {norms[0]:.2g} to {norms[-1]:.2g}" if len(norms) > 1 else ""
        every = number(table(trace.facts.get("accumulation")).get("backwards")) or 1.0
        yield Finding(
            message=f"gradients of earlier steps were still there when a backward began ({cleared}){grown}; "
            f"they were expected to be cleared after each step, of {every:g} backward",
            advice=(
                "Call optimizer.zero_grad() for each optimizer.step(), ahead of backward().",
                "Move it into the loop over batches if it stands in the loop over epochs.",
                "With several optimizers or models, clear the gradients of all of them.",
            ),
            evidence={"n_backwards": every, "n_steps": trace.step + 1},
        )
