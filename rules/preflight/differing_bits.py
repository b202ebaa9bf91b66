"""Two iterations that differ for a reason outside of the model, or by rounding only."""

from __future__ import annotations

from collections.abc import Iterator

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.tables import number, table, text, texts
from .nondeterministic_step import NondeterministicStep, culprit_of, place_of


class DifferingBits(Rule):
    """Two iterations from the same state differ, by rounding or because the training loop made them differ.

    ## Why it matters
    A run of it cannot be repeated bit by bit without more care than a seed.

    ## What to try
    - Where an operation is named, call torch.use_deterministic_algorithms(True) if bits matter.
    - Where the loop draws random numbers, draw them from a generator with a seed, and keep its state in checkpoints.

    ## When it is wrong
    It is a note. A loop may count its steps, follow a schedule, or augment with a generator of its own: then its
    second iteration is another one for good reason.

    ## References
    - PyTorch, Reproducibility notes.
    """

    phases = (Phase.PREFLIGHT,)
    severity = Severity.INFO
    level = Level.SETTING
    needs_facts = ("drill/determinism",)
    waits_for_warmup = False
    profiles = Rule.profiles | {"gan", "rl", "contrastive", "autoencoder", "diffusion"}

    healthy = {"facts": {"drill/determinism": {"first": 2.3, "second": 2.3, "loop": {"kind": "", "total": 4}}}}
    faulty = {
        "facts": {
            "drill/determinism": {
                "first": 2.3, "second": 2.31, "is_script": True,
                "loop": {"kind": "inputs", "weights": 4, "total": 4, "loss": 4e-3, "gradient": 0.2},
                "alone": {"kind": ""},
            }
        }
    }  # fmt: skip

    def check(self, trace: Trace) -> Iterator[Finding]:
        told = table(trace.facts.get("drill/determinism"))
        loop = table(told.get("loop"))
        if not isinstance(loop.get("kind"), str):
            raise NotApplicable("two iterations could not be compared")
        culprit = culprit_of(told)
        if text(loop.get("kind")) in ("", "schedule") or (
            culprit and not NondeterministicStep().is_rounding(culprit, text(told.get("device")))
        ):
            return
        seen = culprit or loop
        loss, gradient = number(seen.get("loss")) or 0.0, number(seen.get("gradient")) or 0.0
        operations = texts(told.get("operations"))
        named = f" ({', '.join(operations)})" if operations else ""
        why = f"by rounding{named}" if culprit else "by what the training loop does; the model alone repeats itself"
        if not culprit and told.get("alone") is None:
            why = "by the training loop or the model, which could not be run without it"
        yield Finding(
            message=f"{place_of(seen)}: losses {loss:.2g} and gradients {gradient:.2g} of their size apart, {why}",
            advice=(
                "Call torch.use_deterministic_algorithms(True) if the bits matter."
                if culprit
                else "Seed what the loop draws from, if the run is to be repeated.",
            ),
            subject=text(seen.get("name")),
            evidence={"loss": loss, "gradient": gradient},
        )
