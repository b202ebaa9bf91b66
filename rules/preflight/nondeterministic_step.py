"""The same step, made twice, with two results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import Field

from ..engine import Finding, Json, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.tables import number, table, text, texts


class NondeterministicStep(Rule):
    """The model, given the same weights, inputs and random numbers twice, computed two different things.

    ## Why it matters
    A run that differs from itself after one step cannot be done again, and a small change cannot be told from chance.

    ## What to try
    - Look at the module that is named for random numbers from elsewhere: a generator without a seed, the time, urandom.
    - Look there for memory that is used before it is written (torch.empty), and for sets that are iterated over.
    - Call torch.use_deterministic_algorithms(True): it names the operation, or takes another one.

    ## When it is wrong
    A training that nobody wants to repeat bit by bit loses nothing. Differences of rounding, as sums in another order
    give on a GPU, and those that the training loop makes (augmentation, schedules) are told by `differing-bits`.

    ## References
    - PyTorch, Reproducibility notes; Karpathy 2019, A Recipe for Training Neural Networks, "fix random seed".
    """

    phases = (Phase.PREFLIGHT,)
    severity = Severity.WARNING
    level = Level.SETTING
    needs_facts = ("drill/determinism",)
    waits_for_warmup = False
    profiles = Rule.profiles | {"gan", "rl", "contrastive", "autoencoder", "diffusion"}

    loss_tolerance: float = Field(1e-5, gt=0, lt=1)
    """Relative difference of two losses that rounding explains on an accelerator: float32 has 1e-7, and sums in another
    order lose one or two digits."""
    gradient_tolerance: float = Field(1e-2, gt=0, lt=1)
    """Relative difference of two gradients, by norm, that rounding explains there: bfloat16 has steps of 8e-3."""
    cpu_factor: float = Field(1e-2, gt=0, le=1)
    """What is left of both on a CPU, where sums are added in the same order each time: hardly anything differs."""

    healthy = {"facts": {"drill/determinism": {"first": 2.3, "second": 2.3, "loop": {"kind": "", "total": 4}}}}
    faulty = {
        "facts": {
            "drill/determinism": {
                "first": 2.3, "second": 2.31, "loop": {"kind": "module", "name": "noise", "weights": 4, "total": 4,
                                                        "loss": 4e-3, "gradient": 0.2},
                "alone": {"kind": "module", "name": "noise", "type": "Noise", "loss": 4e-3, "gradient": 0.2},
            }
        }
    }  # fmt: skip

    def check(self, trace: Trace) -> Iterator[Finding]:
        told = table(trace.facts.get("drill/determinism"))
        loop = table(told.get("loop"))
        if not isinstance(loop.get("kind"), str):
            raise NotApplicable("two iterations could not be compared")
        culprit = culprit_of(told)
        if not culprit or self.is_rounding(culprit, text(told.get("device"))):
            return
        loss, gradient = number(culprit.get("loss")) or 0.0, number(culprit.get("gradient")) or 0.0
        weights, total = number(loop.get("weights")) or 0.0, number(loop.get("total")) or 0.0
        operations = texts(told.get("operations"))
        advice = [f"Use a deterministic form of {operations[0]}."] if operations else []
        if told.get("unwritten") is True:
            advice.append("Write to what torch.empty made before it is read: torch.zeros in its place shows it.")
        advice.append("Take random numbers from torch, numpy or random after seeding them, not from elsewhere.")
        advice.append("Call torch.use_deterministic_algorithms(True): it names the operation, or takes another one.")
        yield Finding(
            message=(
                f"{place_of(culprit)}: losses {loss:.2g} and gradients {gradient:.2g} of their size apart, "
                f"{weights:.0f} of {total:.0f} weights differ after the step; 0 expected"
            ),
            advice=tuple(advice[:3]),
            subject=text(culprit.get("name")),
            evidence={"loss": loss, "gradient": gradient, "differing": weights},
        )

    def is_rounding(self, culprit: Mapping[str, Json], device: str) -> bool:
        """Whether the two are no further apart than sums in another order would make them."""
        loss, gradient = number(culprit.get("loss")) or 0.0, number(culprit.get("gradient")) or 0.0
        if text(culprit.get("kind")) in ("optimizer", "buffer"):  # what comes behind the gradients
            gradient = number(culprit.get("end")) or 0.0
        factor = self.cpu_factor if device == "cpu" else 1.0
        return loss <= factor * self.loss_tolerance and gradient <= factor * self.gradient_tolerance


def culprit_of(told: Mapping[str, Json]) -> Mapping[str, Json]:
    """Where the model itself parts from itself; empty where it does not, or a script's own loop may be the cause."""
    loop, alone = table(told.get("loop")), table(told.get("alone"))
    if text(loop.get("kind")) in ("", "schedule"):  # a rate that follows a schedule is no chance
        return {}
    if text(alone.get("kind")):
        return alone
    # A script's loop may draw numbers, count and follow schedules; the loop of a preflight from code does not.
    return {} if told.get("is_script") is not False else loop


def place_of(parting: Mapping[str, Json]) -> str:
    """Where two iterations part, in words."""
    kind, name, of = (text(parting.get(key)) for key in ("kind", "name", "type"))
    module = (f"{name} ({of})" if name else of) or name or "the model"
    return {
        "inputs": "the model is called with other inputs the second time",
        "between": f"{module} gives what it calls other inputs the second time, from the same inputs",
        "module": f"{module} gives another output the second time, for the same inputs",
        "path": f"other modules are called the second time, from {module} on",
        "loss": "the loss is another the second time, for the same outputs of the model",
        "gradient": f"the gradient of {name} is another the second time, for the same loss",
        "optimizer": f"the optimizer makes another {name} of the same gradients the second time",
        "buffer": f"{name} is another the second time, with the same weights",
    }.get(kind, f"{module} differs the second time")
