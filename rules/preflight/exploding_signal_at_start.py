"""A signal that grows from layer to layer of the untouched model."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.tables import number, table, tables, text


class ExplodingSignalAtStart(Rule):
    """What samples differ by grows a thousand times and more on its way through the untouched model.

    ## Why it matters
    Outputs of thousands are answers of full confidence before anything was learned, and gradients grow with them: the
    first steps throw the weights far away, or the loss becomes infinite.

    ## What to try
    - Leave the layers as PyTorch makes them, or use `kaiming_normal_` for ReLU and `xavier_uniform_` for tanh.
    - Give a hand-written scale the root of the number of inputs: `std = 1 / fan_in ** 0.5`.
    - Add norm layers, or scale the branches of skip connections.

    ## When it is wrong
    A layer that turns its outputs back into the units of large targets grows on purpose. Inputs that are large
    themselves are taken into account; embeddings count as 1.

    ## References
    - He et al. 2015; Glorot & Bengio 2010. SageMaker Debugger's bound for initial weights is a ratio of 10.
    """

    phases = (Phase.PREFLIGHT,)
    severity = Severity.WARNING
    level = Level.SETTING
    needs_facts = ("drill/signal-propagation",)
    waits_for_warmup = False
    profiles = Rule.profiles | {"gan", "rl", "contrastive", "autoencoder", "diffusion"}

    ratio: float = Field(1000.0, gt=1)
    """How many times as much samples may differ behind the last layer as in the inputs, or as 1."""

    healthy = {
        "facts": {
            "drill/signal-propagation": {
                "input_spread": 1.0,
                "layers": [
                    {"name": "0", "weighted": True, "spread": 0.57},
                    {"name": "2", "weighted": True, "spread": 0.2},
                ],
            }
        }
    }
    faulty = {
        "facts": {
            "drill/signal-propagation": {
                "input_spread": 1.0,
                "layers": [
                    {"name": "0", "weighted": True, "spread": 57.0},
                    {"name": "2", "weighted": True, "spread": 6.5e4},
                ],
            }
        }
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        told = table(trace.facts.get("drill/signal-propagation"))
        weighted = [one for one in tables(told.get("layers")) if one.get("weighted") is True]
        spreads = [(text(one.get("name")), number(one.get("spread"))) for one in weighted]
        known = [(name, spread) for name, spread in spreads if spread is not None]
        if len(known) < 2:
            raise NotApplicable(f"{len(known)} layers whose outputs differ from sample to sample; 2 are needed")
        entering = number(told.get("input_spread"))
        size = max(1.0, entering if entering is not None else 1.0)
        name, last = known[-1]
        if last <= self.ratio * size:
            return
        first = next((where for where, spread in known if spread > self.ratio * size), name)
        yield Finding(
            subject=first,
            message=f"samples differ by {last:.3g} behind the last layer, and by {size:.3g} in front of the first; at "
            f"most {self.ratio:g} times that is expected of an untrained model",
            advice=(
                "Leave the layers as PyTorch makes them, or use kaiming_normal_ (ReLU) or xavier_uniform_ (tanh).",
                "Scale a hand-written standard deviation as 1 / fan_in ** 0.5.",
                "Add norm layers, or scale the branches of skip connections.",
            ),
            evidence={"spread": last, "input_spread": size, "ratio": self.ratio},
        )
