"""What can be measured of an activation: which units count as dead, and where the function is flat."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import nn

from .models import parameters_of, submodules

NEAR_ZERO = 1e-5
"""Below it a smooth unit counts as dead: the 95th percentile of a dead unit's activations in TheDeepChecker."""


class Flat(NamedTuple):
    """Where a function is flat: further from `centre` than `reach`."""

    centre: float
    reach: float


class Plan(NamedTuple):
    """What is measured of a module's outputs."""

    zero: float | None = None
    """Magnitude up to which a unit counts as zero; None where units do not die."""
    is_signed: bool = True
    flat: Flat | None = None
    unit_dim: int | None = None
    """Dimension of the units; None where the layer before it tells."""

    @property
    def is_activation(self) -> bool:
        """Whether its units can die or saturate."""
        return self.zero is not None or self.flat is not None


_ZEROING = {
    nn.ReLU: (0.0, False),
    nn.ReLU6: (0.0, False),
    nn.Threshold: (0.0, True),
    nn.Hardshrink: (0.0, True),
    nn.Softshrink: (0.0, True),
    nn.Hardswish: (0.0, True),
    nn.GELU: (NEAR_ZERO, True),
    nn.SiLU: (NEAR_ZERO, True),
    nn.Mish: (NEAR_ZERO, True),
    nn.Softplus: (NEAR_ZERO, False),
}
"""Activations whose units can die: the magnitude that counts as zero, and whether their outputs have a sign."""

FLATS = {
    nn.Tanh: Flat(0.0, 0.99),
    nn.Sigmoid: Flat(0.5, 0.495),
    nn.Softsign: Flat(0.0, 0.859),
    nn.Hardsigmoid: Flat(0.5, 0.49999),
}
"""Activations with flat ends. Flat is where the slope is below 2 % of its largest: at inputs beyond 2.65 for tanh and
5.3 for sigmoid, which is DeepDiagnosis' bound of 5. (Softmax is not among them: with many classes, or positions, all
but a few of its outputs are near zero, and should be.)"""

_ROLES_BY_NAME = (
    (("gelu", "silu", "swish", "mish"), NEAR_ZERO),
    (("relu",), 0.0),
)
"""How activations that are not torch's own are called."""

_CHANNELS_FIRST = ("Conv", "BatchNorm", "InstanceNorm", "GroupNorm")
_UNITS_LAST = ("Linear", "LayerNorm", "RMSNorm", "Embedding", "Bilinear", "RNN", "LSTM", "GRU")


def plan_of(module: Any) -> Plan | None:
    """What is to be measured of a module; None for containers, and for those that only pass on what they get."""
    kind = type(module)
    if submodules(module) or isinstance(module, torch.jit.ScriptModule):
        return None
    name = kind.__name__
    unit_dim = 1 if any(part in name for part in _CHANNELS_FIRST) else None
    unit_dim = -1 if any(part in name for part in _UNITS_LAST) else unit_dim
    flat = FLATS.get(kind)
    if isinstance(module, nn.Hardtanh) and kind is not nn.ReLU6:
        low, high = float(module.min_val), float(module.max_val)
        flat = Flat((low + high) / 2, (high - low) / 2 * 0.99999)
    zero, is_signed = _ZEROING.get(kind, (None, True))
    if kind is nn.Threshold and module.value != 0:
        zero = None
    if zero is None and flat is None and not kind.__module__.startswith("torch.") and not parameters_of(module):
        lower = name.lower()
        zero = next((limit for parts, limit in _ROLES_BY_NAME if any(part in lower for part in parts)), None)
    if zero is None and flat is None and not parameters_of(module) and not module.__dict__.get("_buffers"):
        return None
    return Plan(zero, is_signed, flat, unit_dim)


FUNCTIONS = {
    "ReluBackward0": ("relu", Plan(0.0, is_signed=False)),
    "GeluBackward0": ("gelu", Plan(NEAR_ZERO)),
    "SiluBackward0": ("silu", Plan(NEAR_ZERO)),
    "MishBackward0": ("mish", Plan(NEAR_ZERO)),
    "SoftplusBackward0": ("softplus", Plan(NEAR_ZERO, is_signed=False)),
    "HardswishBackward0": ("hardswish", Plan(0.0)),
    "TanhBackward0": ("tanh", Plan(flat=FLATS[nn.Tanh])),
    "SigmoidBackward0": ("sigmoid", Plan(flat=FLATS[nn.Sigmoid])),
}
"""Activations that are called as functions, by their nodes in the graph: name, and what is measured."""

_PASSING_ON = ("MaxPool", "AvgPool", "AdaptiveAvgPool", "AdaptiveMaxPool", "NativeDropout", "MulBackward")
"""Nodes that leave a unit of zeros one: pooling and dropout (on the CPU, a product with its mask)."""


def function_of(values: torch.Tensor) -> tuple[str, Plan, bool] | None:
    """The activation that a tensor came from, and whether directly: it may have been pooled or dropped; else None."""
    node = values.grad_fn
    for depth in range(3):
        kind = type(node).__name__
        if kind in FUNCTIONS:
            return (*FUNCTIONS[kind], depth == 0)
        if node is None or not kind.startswith(_PASSING_ON) or not node.next_functions:
            return None
        node = node.next_functions[0][0]
    return None
