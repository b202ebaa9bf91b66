"""Training on the inputs came no further than training without them."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.tables import number, table


class InputsDoNotMatter(Rule):
    """On one batch the loss fell no further than when every sample had the inputs of the first one.

    And then other inputs no longer changed the output: units died on the way, or the inputs were never used.

    ## Why it matters
    Without inputs a model learns how often each answer is right. A model that does no better on a handful of samples,
    which it could learn by heart, does not use what it is given.

    ## What to try
    - Look whether the inputs differ: are they normalised to a constant, cut to zeros, or all the same token?
    - Look for units that are never active or always saturated, and for a learning rate that killed them.
    - Look for a `detach`, or a `no_grad`, around the layers that read the input.

    ## When it is wrong
    Where the inputs of one batch are alike for what the model looks at. Models that are slow to learn are not reported:
    their outputs do follow the inputs.

    ## References
    - Karpathy 2019, A Recipe for Training Neural Networks, "input-independent baseline".
    - Ben Braiek and Khomh 2023, Testing Feedforward Neural Networks Training Programs (TheDeepChecker).
    """

    phases = (Phase.PREFLIGHT,)
    severity = Severity.WARNING
    level = Level.OUTCOME
    needs_facts = ("drill/inputs-matter",)
    waits_for_warmup = False
    profiles = Rule.profiles | {"autoencoder"}

    min_gap: float = Field(0.02, gt=0, lt=1)
    """By how much the loss on the inputs must be lower than without, as a share of the first loss."""
    max_effect: float = Field(1e-4, gt=0, lt=1)
    """Change of the output with other samples' inputs, after the training on the batch and as a share of its size, up
    to which the model does not look at them. A model that is only slow, or too small, has 1e-2 and more."""
    min_change: float = Field(1e-3, gt=0, lt=1)
    """Change of the loss, as a share of the first, below which nothing was trained: a learning rate that starts at
    zero, for instance."""

    healthy = {
        "facts": {
            "drill/inputs-matter": {
                "iterations": 30, "real_first": 2.3, "real_last": 0.9, "without_first": 2.3, "without_last": 2.1,
                "effect_before": 0.4, "effect_after": 0.9,
            }
        }
    }  # fmt: skip
    faulty = {
        "facts": {
            "drill/inputs-matter": {
                "iterations": 120, "real_first": 2.4, "real_last": 2.1, "without_first": 2.3, "without_last": 2.1,
                "effect_before": 0.4, "effect_after": 0.0,
            }
        }
    }  # fmt: skip

    def check(self, trace: Trace) -> Iterator[Finding]:
        told = table(trace.facts.get("drill/inputs-matter"))
        first, last = number(told.get("without_first")), number(told.get("without_last"))
        began, real = number(told.get("real_first")), number(told.get("real_last"))
        iterations, effect = number(told.get("iterations")), number(told.get("effect_after"))
        if first is None or last is None or began is None or real is None or iterations is None:
            raise NotApplicable("how far the loss fell is not known")
        size = abs(first) or 1.0
        said = f"loss {real:.4g} on the inputs, {last:.4g} with one sample's for all, after {iterations:.0f} iterations"
        if last - real > self.min_gap * size:
            if real < began:
                return
            raise NotApplicable(f"{said}: it did not fall from {began:.4g}")
        if effect is None or effect > self.max_effect:
            raise NotApplicable(f"{said}: no better yet, but outputs do follow the inputs")
        if not number(told.get("effect_before")) and abs(began - real) < self.min_change * size:
            raise NotApplicable(f"{said}: nothing was trained")
        yield Finding(
            message=f"{said} on one batch, and other samples' inputs then change the output by {effect:.2g} of its "
            f"size; a loss below {last - self.min_gap * size:.4g} expected",
            advice=(
                "Look whether the inputs differ from one another when they reach the first layer.",
                "Look for units that are never active, and for a detach or no_grad on the way.",
            ),
            evidence={"real": real, "without": last},
        )
