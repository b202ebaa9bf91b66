"""Every probe there is, in the order in which they are told of a moment."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from functools import cache
from types import ModuleType

from ..integrations.tensorboard import TensorBoard
from ..rules.engine import plugins
from ..rules.engine.signals import SIGNALS
from .activations import Activations
from .batches_seen import BatchesSeen
from .clipping import Clipping
from .contracts import Contracts
from .data import Data
from .evaluation import Evaluation
from .features import Features
from .filters import Filters
from .fingerprints import Fingerprints
from .gradients import Gradients
from .graph import Graph
from .histograms import Histograms
from .initialisation import Initialisation
from .inputs import Inputs
from .kept import Kept
from .loop import Loop
from .loss_terms import LossTerms
from .losses import Losses, LossFunction
from .modules import Modules
from .passes import Passes
from .precision import Precision
from .probe import Probe
from .rates import Rates
from .retained import Retained
from .samples import Samples
from .schedulers import Schedulers
from .sequences import Sequences
from .signs import Signs
from .spelling import Spelling
from .system import System
from .targets import Targets
from .trainings import Trainings
from .weights import Weights
from .workers import Workers

PROBES: tuple[type[Probe], ...] = (
    Trainings,
    Passes,
    Modules,
    Activations,
    Histograms,
    Filters,
    Losses,
    LossFunction,
    LossTerms,
    Targets,
    Contracts,
    Signs,
    Graph,
    Sequences,
    Workers,
    BatchesSeen,
    Data,
    Inputs,
    Features,
    Evaluation,
    Samples,
    Initialisation,
    Gradients,
    Rates,
    Schedulers,
    Precision,
    Clipping,
    Loop,
    TensorBoard,
    Spelling,
    Weights,
    Fingerprints,
    Kept,
    Retained,
    System,
)


@cache
def plugin_probes() -> tuple[tuple[type[Probe], ...], dict[str, str]]:
    """The probes of installed plug-ins, and why what could not be used could not, by entry point."""
    found: dict[str, type[Probe]] = {kind.name: kind for kind in PROBES}
    problems: dict[str, str] = {}
    for point in plugins.entry_points(plugins.PROBES):
        where = f"plug-in {point.name} ({point.value})"
        try:
            with plugins.public_name():
                kinds = list(_in(point.load()))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a module may call sys.exit() when it is imported
            problems[where] = f"could not be imported: {type(error).__name__}: {error}"
            continue
        for kind in kinds:
            if found.setdefault(kind.name, kind) is not kind:
                problems[where] = f"brings a second probe called {kind.name!r}; rename it"
            else:
                for signal in kind.signals:
                    SIGNALS.setdefault(signal.name, signal)
    return tuple(kind for kind in found.values() if kind not in PROBES), problems


def _in(module: ModuleType) -> Iterator[type[Probe]]:
    """The probes that are defined in a module, or in those of a package."""
    for value in vars(module).values():
        if inspect.isclass(value) and issubclass(value, Probe) and value.__module__ == module.__name__:
            yield value
    for part in pkgutil.iter_modules(getattr(module, "__path__", ())):
        yield from _in(importlib.import_module(f"{module.__name__}.{part.name}"))
