"""The drills, in the order in which they are done: what is quick and tells most comes first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..drilling.drill import Drill
from ..errors import ConfigError
from .ablation import Ablation
from .batch_mixing import BatchMixing
from .causality import Causality
from .data_at_the_door import DataAtTheDoor
from .determinism import Determinism
from .gradient_check import GradientCheck
from .initial_loss import InitialLoss
from .inputs_matter import InputsMatter
from .inputs_reach import InputsReach
from .learning_rate_range import LearningRateRange
from .noise_scale import NoiseScale
from .overfit_one_batch import OverfitOneBatch
from .signal_propagation import SignalPropagation
from .simple_start import SimpleStart

DRILLS: tuple[type[Drill], ...] = (
    Determinism,
    GradientCheck,
    DataAtTheDoor,
    InitialLoss,
    SignalPropagation,
    InputsReach,
    BatchMixing,
    Causality,
    LearningRateRange,
    NoiseScale,
    InputsMatter,
    OverfitOneBatch,
    SimpleStart,
    Ablation,
)


def chosen_drills(only: Sequence[str]) -> list[type[Drill]]:
    """The drills of these names, all without any; raises `ConfigError` for a name that is none."""
    known = {drill.name: drill for drill in DRILLS}
    unknown = [name for name in only if name not in known]
    if unknown:
        raise ConfigError(f"There is no drill {unknown[0]!r}. Expected some of: {', '.join(known)}.")
    return [drill for name, drill in known.items() if not only or name in only]


def made_drills(only: Sequence[str], *, regularised: bool) -> Iterator[Drill]:
    """The drills of these names, each made when it is asked for.

    With `regularised`, dropout and the like stay on while one batch is overfitted.
    """
    for kind in chosen_drills(only):
        yield OverfitOneBatch(regularised=regularised) if kind is OverfitOneBatch else kind()
