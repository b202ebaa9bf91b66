"""Every probe there is, in the order in which they are told of a moment."""

from __future__ import annotations

from ..integrations.tensorboard import TensorBoard
from .activations import Activations
from .clipping import Clipping
from .data import Data
from .evaluation import Evaluation
from .gradients import Gradients
from .graph import Graph
from .inputs import Inputs
from .loop import Loop
from .loss_terms import LossTerms
from .losses import Losses, LossFunction
from .modules import Modules
from .passes import Passes
from .precision import Precision
from .probe import Probe
from .rates import Rates
from .schedulers import Schedulers
from .trainings import Trainings
from .weights import Weights
from .workers import Workers

PROBES: tuple[type[Probe], ...] = (
    Trainings,
    Passes,
    Modules,
    Activations,
    Losses,
    LossFunction,
    LossTerms,
    Graph,
    Workers,
    Data,
    Inputs,
    Evaluation,
    Gradients,
    Rates,
    Schedulers,
    Precision,
    Clipping,
    Loop,
    TensorBoard,
    Weights,
)
