"""Every probe there is, in the order in which they are told of a moment."""

from __future__ import annotations

from .gradients import Gradients
from .losses import Losses, LossFunction
from .probe import Probe
from .rates import Rates
from .weights import Weights

PROBES: tuple[type[Probe], ...] = (
    Losses,
    LossFunction,
    Gradients,
    Rates,
    Weights,
)
