"""Weights that begin far too large or far too small."""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import median

from pydantic import Field

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.progress import lost_share
from ..engine.signals import LOSS, OUTPUT_RMS, OUTPUT_VARIANCE
from ..engine.tables import layers_of, number, table, tables, targets_of, text

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


class InitialisationScale(Rule):
    """The layers multiply, or shrink, what passes through them many times over, from the first step on.

    The gain of a layer is the standard deviation of its weights times the root of the number of its inputs: by how much
    it scales a signal. It is judged together with what came of it: the size of the model's first outputs, or a loss
    that does not move.

    ## Why it matters
    Outputs of hundreds are answers of full confidence before anything was learned: the loss begins far above that of
    guessing, and activations saturate. With gains far below 1 nothing of the input arrives at the end, and no gradient
    at the beginning.

    ## What to try
    - Leave the layers as PyTorch makes them (gain 0.58), or use `kaiming_normal_` (1.41) or `xavier_normal_` (1).
    - Give a hand-written scale the root of the number of inputs: `std = 1 / fan_in ** 0.5`.

    ## When it is wrong
    Norm layers undo any scale: a large gain counts only where the first outputs are large, too, and a small one only
    where the outputs vanish or the loss stands. Embeddings and parameters outside of layers are not judged. What a
    recurrent layer applies at every time step counts from `max_recurrent` on, under the same condition.

    ## References
    - He et al. 2015; Glorot & Bengio 2010. PyTorch's default is uniform with gain 1 / sqrt(3).
    - TheDeepChecker's F-test against He's variance alarms on PyTorch's default, so that the effect is judged here.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.WARNING
    level = Level.SETTING
    needs_facts = ("initialisation",)
    waits_for_warmup = False
    profiles = Rule.profiles | {"autoencoder"}
    explains = (Level.DYNAMICS, Level.OUTCOME, "initial-loss", Severity.FATAL)

    max_gain: float = Field(3.0, gt=1)
    """Median gain above which layers are too large: He's, 1.41, doubled."""

    max_recurrent: float = Field(1.5, gt=1)
    """Gain of recurrent weights above which they are too large, as it is taken to the power of the time steps.
    PyTorch's is 0.58, that of orthogonal weights 1 (Le, Jaitly & Hinton 2015, identity matrices)."""

    min_gain: float = Field(0.15, gt=0, lt=1)
    """Median gain below which layers are too small: PyTorch's, 0.58, quartered."""

    max_output: float = Field(5.0, gt=1)
    """Root mean square of the first outputs, in that of the targets (1 for scores of classes), that is too large."""

    min_output: float = Field(1e-2, gt=0, lt=1)
    """How far the last layer's first outputs differ over the batch, as a share of the first layer's, at most."""

    least_fall: float = Field(0.05, gt=0, lt=1)
    """Share of the loss that a training that works loses at least."""

    healthy = {
        "facts": {
            "initialisation": [{"name": "0.weight", "fan_in": 100, "std": 0.058}],
            "model": {"": {"layers": {"0": {"class": "Linear"}}}},
            "graph": {"tails": [{"loss": "cross_entropy", "ops": [], "layer": "0.weight"}]},
        },
        "output_rms": {"0": [0.6, 0.6]},
        "loss": [2.3, 2.2],
    }
    faulty = {
        "facts": {
            "initialisation": [{"name": "0.weight", "fan_in": 100, "std": 1.0}],
            "model": {"": {"layers": {"0": {"class": "Linear"}}}},
            "graph": {"tails": [{"loss": "cross_entropy", "ops": [], "layer": "0.weight"}]},
        },
        "output_rms": {"0": [40.0, 39.0]},
        "loss": [50.0, 49.0],
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        layers = layers_of(trace)
        gains: dict[str, float] = {}
        recurrent: dict[str, float] = {}
        for weight in tables(trace.facts.get("initialisation")):
            owner, _, own_name = text(weight.get("name")).rpartition(".")
            std = number(weight.get("std"))
            fan_in = number(weight.get("fan_in"))
            if layers.get(owner, {}).get("class") in _LINEAR and std and fan_in is not None and 0 < fan_in < 1e12:
                gains[owner] = std * math.sqrt(fan_in)
            elif own_name.startswith("weight_hh") and std and fan_in is not None and 0 < fan_in < 1e12:
                recurrent[f"{owner}.{own_name}"] = std * math.sqrt(fan_in)
        if recurrent and max(recurrent.values()) > self.max_recurrent:
            gains = recurrent
        if not gains:
            raise NotApplicable("no weights of linear or convolution layers were seen at the first step")
        gain = max(gains.values()) if gains is recurrent else median(gains.values())
        first = {name: series[0] for name, series in trace.by_subject(OUTPUT_RMS).items() if math.isfinite(series[0])}
        if gains is recurrent or gain > self.max_gain:
            tail = self._tail(trace)
            if tail is None or tail[0] not in first:
                raise NotApplicable("the size of the first outputs is not known")
            layer, unit = tail
            if first[layer] <= self.max_output * unit:
                return
            effect = (
                f"the first outputs of {layer} have a root mean square of {first[layer]:.3g}, {unit:.3g} is expected"
            )
            seen = first[layer]
        elif gain < self.min_gain:
            # What differs from sample to sample: a bias alone may keep the outputs large.
            spread = {n: math.sqrt(s[0]) for n, s in trace.by_subject(OUTPUT_VARIANCE).items() if 0 <= s[0] < math.inf}
            depth = [name for name in gains if name in spread]
            lost = lost_share(trace.series(LOSS))
            if len(depth) < 2 or lost is None:
                raise NotApplicable("two layers and some losses are needed to tell what small weights do")
            share = spread[depth[-1]] / spread[depth[0]] if spread[depth[0]] > 0 else 0.0
            if share > self.min_output or lost > self.least_fall:
                return
            effect = (
                f"{share:.2g} of what tells samples apart behind {depth[0]} is left behind {depth[-1]}, and the loss "
                f"has lost {100 * lost:.2g} %"
            )
            seen = share
        else:
            return
        kind, each = ("most extreme", " at each time step") if gains is recurrent else ("median", "")
        worst = (max if gain > 1 else min)(gains, key=gains.__getitem__)
        yield Finding(
            subject=worst,
            message=f"the weights scale a signal by {gain:.3g} in the {kind} of {len(gains)} layers, {worst} by "
            f"{gains[worst]:.3g}{each}; 0.5 to 1.5 is expected; {effect}",
            advice=(
                "Leave the layers as PyTorch makes them, or use kaiming_normal_ or xavier_uniform_.",
                "Scale a hand-written standard deviation as 1 / fan_in ** 0.5.",
            ),
            evidence={"gain": gain, "output": seen, "max_gain": self.max_gain, "min_gain": self.min_gain},
            step=0,
        )

    def _tail(self, trace: Trace) -> tuple[str, float] | None:
        """The last layer, and the size that its outputs should have: that of regression targets, 1 for scores."""
        for tail in tables(table(trace.facts.get("graph")).get("tails")):
            layer, function = text(tail.get("layer")).removesuffix(".weight"), text(tail.get("loss"))
            if not layer:
                continue
            if "loss" not in function or function == "nll_loss":
                return layer, 1.0
            targets = targets_of(trace, function)
            spread, mean = number(targets.get("std")), number(targets.get("mean"))
            if spread is not None and mean is not None:
                return layer, max(math.hypot(spread, mean), 1e-6)
        return None
