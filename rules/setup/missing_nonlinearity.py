"""Layers stacked without an activation between them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import Field

from ..engine import Finding, Json, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.tables import layers_of, number, shape, table, tables, text

_LINEAR = (
    "Linear",
    "LazyLinear",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
)


_GATED = ("weight_ih", "in_proj")
"""Weights that are the first half of a recurrent layer, or of attention: a projection ahead of those is usual, and what
follows inside of the layer is not linear."""


class MissingNonlinearity(Rule):
    """Most layers of the model are given another layer's output with nothing nonlinear between.

    ## Why it matters
    Two linear layers in a row are one linear layer with more parameters. However many there are, the model cannot learn
    more than a straight line, or plane, through its inputs.

    ## What to try
    - Put an activation (ReLU, GELU) behind each hidden layer.
    - Check that `forward` applies the activations that `__init__` makes.

    ## When it is wrong
    A narrow layer between two wide ones is a low-rank factorisation, and left out, as is a depthwise convolution ahead
    of a pointwise one, and a projection ahead of a recurrent layer or of attention. A single projection ahead of the
    last layer of a deeper model is common and not reported. Linear models that are meant, as for the study of linear
    networks, are.

    ## References
    - NeuraLint (Nikanjam et al. 2022) and UMLAUT (Schoop et al. 2021) report any hidden layer without activation; that
      alarms on projections, so that here more than half of the connections must lack one.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.WARNING
    level = Level.SETTING
    needs_facts = ("graph",)
    waits_for_warmup = False
    profiles = Rule.profiles | {"autoencoder"}
    explains = (Level.DYNAMICS, Level.OUTCOME)

    share: float = Field(0.5, ge=0, lt=1)
    """Share of the connections between layers that must lack an activation, and more."""

    healthy = {
        "facts": {
            "graph": {"linear_pairs": []},
            "model": {"": {"layers": {"0": {"class": "Linear"}, "1": {"class": "ReLU"}, "2": {"class": "Linear"}}}},
        }
    }
    faulty = {
        "facts": {
            "graph": {
                "linear_pairs": [
                    {"first": "0.weight", "second": "1.weight", "kind": "linear", "widths": [20, 64, 3]},
                ]
            },
            "model": {"": {"layers": {"0": {"class": "Linear"}, "1": {"class": "Linear"}}}},
        }
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        graph = table(trace.facts.get("graph"))
        layers = [name for name, leaf in layers_of(trace).items() if leaf.get("class") in _LINEAR]
        named = {one for pair in tables(graph.get("linear_pairs")) for one in (pair.get("first"), pair.get("second"))}
        n_layers = max(len(layers), len(named), int(number(graph.get("linear")) or 0))
        if "linear_pairs" not in graph or n_layers < 2:
            raise NotApplicable(f"{n_layers} linear or convolution layers were seen; 2 are needed")
        first_layer = layers[0] if layers else ""
        lossless = [pair for pair in tables(graph.get("linear_pairs")) if _loses_nothing(pair, first_layer)]
        # Queries, keys and values of one layer's output stand side by side: they are one connection.
        wide = list({text(pair.get("first")): pair for pair in reversed(lossless)}.values())[::-1]
        connections = n_layers - 1
        if not wide or len(wide) <= self.share * connections:
            return
        pair = wide[0]
        first, second = (text(pair.get(key)).removesuffix(".weight") for key in ("first", "second"))
        yield Finding(
            subject=second,
            message=f"no activation between {first} and {second}, and at {len(wide)} of {connections} connections "
            f"between layers; at most {int(self.share * connections)} are expected",
            advice=(
                "Put an activation (ReLU, GELU) behind each hidden layer.",
                "Check that forward applies the activations that __init__ makes.",
            ),
            evidence={"missing": len(wide), "connections": connections},
        )


def _loses_nothing(pair: Mapping[str, Json], first_layer: str) -> bool:
    """Whether the two layers are as one: what lies between is no narrower than what comes in or goes out."""
    widths = shape(pair.get("widths"))
    if len(widths) != 3 or text(pair.get("second")).split(".")[-1].startswith(_GATED):
        return False
    given, between, out = widths
    if (
        pair.get("kind") == "convolution"
        and given == 1
        and text(pair.get("first")).removesuffix(".weight") != first_layer
    ):
        return False  # a channel each: a depthwise convolution
    return between >= min(given, out)
