"""Graphs of past steps that are kept."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field, PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.signals import GRAPHS_HELD, GRAPHS_MARKED


class RetainedGraphs(Rule):
    """The graphs of nearly all steps so far, or of nearly all evaluations, are still in memory.

    A sample of graphs is marked as they are made; those of earlier epochs should all be gone. They are not when a loss
    is added to a total, or kept in a list, as a tensor: each holds the history of all that it was computed from. So do
    outputs that an evaluation without `torch.no_grad()` collects. A sum that begins anew in each epoch is not counted.

    ## Why it matters
    Memory grows with every step, and on long runs the training is killed for it. Where the graph goes on from step to
    step, as with a hidden state that is never detached, each backward also goes through all steps before.

    ## What to try
    - Write total += loss.item(), or losses.append(loss.item()); on a GPU: loss.detach().
    - Put torch.no_grad() around evaluations, and keep outputs with .detach().
    - Between chunks of a sequence: hidden = hidden.detach().

    ## When it is wrong
    A loop that is to be differentiated as a whole (meta learning over all steps) keeps its graphs on purpose.

    ## References
    - PyTorch, Frequently Asked Questions: "Don't accumulate history across your training loop."
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.WARNING
    level = Level.LOGIC
    needs = (GRAPHS_HELD, GRAPHS_MARKED)
    bars = {"n_held": GRAPHS_HELD, "n_marked": GRAPHS_MARKED}
    waits_for_warmup = False
    profiles = Rule.profiles | {"gan", "rl", "contrastive", "autoencoder", "diffusion"}
    explains = ("memory-growth",)

    quantile: float = Field(0.9, gt=0, le=1)
    """Share of the marked graphs of earlier epochs that must still be there: one that is kept an epoch is no fault."""

    min_steps: PositiveInt = 10
    """Marked graphs needed."""

    min_epochs: PositiveInt = 1
    """Epochs in a row, the first one not counted, in which it must be so."""

    healthy = {"graphs/held": {"": [0, 1, 0, 2]}, "graphs/marked": {"": [20, 40, 60, 80]}}
    faulty = {"graphs/held": {"": [20, 40, 60, 80]}, "graphs/marked": {"": [20, 40, 60, 80]}}

    def check(self, trace: Trace) -> Iterator[Finding]:
        judged = False
        for subject, what, advice in (("", "steps", _OF_STEPS), ("evaluation", "evaluation passes", _OF_EVALUATIONS)):
            held, marked = trace.series(GRAPHS_HELD, subject), trace.series(GRAPHS_MARKED, subject)
            if min(len(held), len(marked)) < self.min_epochs or marked[-1] < self.min_steps:
                continue
            judged = True
            recent = list(zip(held.last(self.min_epochs), marked.last(self.min_epochs), strict=False))
            if not all(kept >= self.quantile * made > 0 for kept, made in recent):
                continue
            kept, made = recent[-1]
            yield Finding(
                subject=subject,
                message=f"the graphs of {kept:.0f} of {made:.0f} {what} of earlier epochs are still in memory; "
                "0 expected",
                advice=advice,
                evidence={"n_held": kept, "n_marked": made},
            )
        if not judged:
            raise NotApplicable(f"too few graphs of earlier epochs were marked; {self.min_steps} are needed")


_OF_STEPS = (
    "Add up and keep numbers, not tensors: total += loss.item(), losses.append(loss.item()).",
    "Keep outputs and hidden states with .detach().",
    "Leave out retain_graph=True where the graph is needed once.",
)
_OF_EVALUATIONS = (
    "Put torch.no_grad() around the evaluation.",
    "Keep outputs with .detach(), and add up losses with .item().",
)
