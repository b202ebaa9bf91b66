"""Weight decay that outweighs what the data says."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from statistics import median

from pydantic import Field, PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.kinds import kind_of, optimizers_of
from ..engine.layers import is_matrix
from ..engine.progress import lost_share
from ..engine.records import Json
from ..engine.signals import GRAD_NORM, LOSS, LR, UPDATE_RATIO, WEIGHT_NORM
from ..engine.tables import number, table, tables

MOST = 16
"""Weight matrices that are compared; of more, every n-th is."""


class WeightDecayDominates(Rule):
    """Weight decay pulls harder than the gradient from the start, weights shrink, and the loss does not fall.

    Decay that is added to the gradient (SGD, Adam) is compared with the gradient itself; decay that is applied beside
    it (AdamW) with what a step changes in all.

    ## Why it matters
    The optimum of data and penalty together is near zero weights: the model forgets faster than it learns.

    ## What to try
    - Lower `weight_decay`: 1e-4 is usual for SGD and Adam, 1e-2 for AdamW, up to 0.1 for language models.
    - With Adam, use AdamW: in Adam the penalty is normalised along with the gradient.

    ## When it is wrong
    Strong decay on purpose (grokking) shrinks the weights and lowers the loss: as long as it falls, nothing is said.
    Late in a training decay and gradient always balance, which is why the first steps are compared.

    ## References
    - TheDeepChecker (Braiek & Khomh 2022): a penalty's gradient at least twice that of the data, 5 checks in a row.
    - Loshchilov & Hutter 2019, Decoupled Weight Decay Regularization.
    - CS231n notes, Babysitting the learning process: the penalty must not overwhelm the data loss.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.WARNING
    level = Level.SETTING
    needs = (WEIGHT_NORM,)
    needs_facts = ("optimizer",)
    history = 10
    finite = False
    profiles = frozenset({"supervised", "regression", "language-model", "autoencoder", "diffusion", "unknown"})
    explains = (Level.DYNAMICS, Level.OUTCOME, "learning-rate-too-low", "learning-rate-too-high", Severity.FATAL)

    factor: float = Field(1.0, gt=0)
    """How many times the gradient the decay is, in the median matrix; TheDeepChecker's 2 with a margin, as the loss
    must show it here."""

    share: float = Field(0.5, gt=0, lt=1)
    """Part of each step's change that is decay, where it is applied beside the gradient."""

    ratio: float = Field(0.7, gt=0, lt=1)
    """Part of their first norm below which the median matrix must have shrunk."""

    min_fall: float = Field(0.25, gt=0, lt=1)
    """Share of its first level by which the loss must have fallen for nothing to be said."""

    window: PositiveInt = 10
    """First samples that are compared, and steps before anything is said."""

    healthy = {
        "loss": [2.0 * 0.98**i for i in range(60)],
        "weight_norm": {"a.weight": [5.0] * 60, "b.weight": [4.0] * 60},
        "grad_norm": {"a.weight": [0.5] * 60, "b.weight": [0.4] * 60},
        "facts": {"optimizer": [{"class": "SGD", "groups": [{"weight_decay": 5e-4, "lr": 0.1}]}]},
    }
    faulty = {
        "loss": [1.39] * 60,
        "weight_norm": {"a.weight": [5.0 * 0.95**i for i in range(60)], "b.weight": [4.0 * 0.95**i for i in range(60)]},
        "grad_norm": {"a.weight": [0.5] * 60, "b.weight": [0.4] * 60},
        "facts": {"optimizer": [{"class": "SGD", "groups": [{"weight_decay": 1.0, "lr": 0.1}]}]},
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        optimizers = optimizers_of(trace)
        decay = _decay(optimizers[0]) if len(optimizers) == 1 else None
        if decay is None:
            raise NotApplicable("there is not one optimizer with one weight decay")
        if decay == 0:
            return
        fell = lost_share(trace.series(LOSS))
        if trace.step < self.window or fell is None:
            raise NotApplicable("the loss is too short, or not finite")
        every = trace.by_subject(WEIGHT_NORM, 2)
        names = sorted(name for name in every if is_matrix(trace, name))
        matrices = {name: every[name] for name in names[:: 1 + len(names) // MOST]}
        pulls = [
            pull
            for name, norms in matrices.items()
            if (pull := self._pull(trace, optimizers[0], name, norms.values, decay)) is not None
        ]
        if not pulls:
            raise NotApplicable("no gradient of a weight matrix is known")
        ends = [(norms[0], norms[-1]) for norms in matrices.values()]
        shares = [last / first for first, last in ends if 0 < first < math.inf and last < math.inf]
        if not shares:
            raise NotApplicable("no weight matrix begins at anything but 0")
        kept = median(shares)
        pull, is_apart = median(pulls), _is_decoupled(optimizers[0])
        bar = self.share if is_apart else self.factor
        if pull < bar or kept > self.ratio or fell >= self.min_fall:
            return
        what = "of a step's change is decay" if is_apart else "times the gradient is decay"
        yield Finding(
            message=f"weight_decay={decay:g}: {pull:.2g} {what} in the first {self.window} steps (below {bar:g} "
            "is expected); the "
            f"median weight matrix went to {kept:.0%} of its norm, and the loss fell by {max(fell, 0.0):.0%}",
            advice=(
                f"Lower weight_decay: {'1e-2' if is_apart else '1e-4'} is a usual start.",
                *(() if is_apart or kind_of(optimizers[0]) == "sgd" else ("Use AdamW: its decay is not normalised.",)),
            ),
            evidence={"weight_decay": decay, "pull": pull, "weights_kept": kept, "fall": fell},
            step=0,
        )

    def _pull(
        self, trace: Trace, optimizer: Mapping[str, Json], name: str, norms: list[float], decay: float
    ) -> float | None:
        """How strong the decay of one matrix is: beside its gradient, or as a part of its change."""
        if _is_decoupled(optimizer):
            rates = [rate for series in trace.by_subject(LR).values() for rate in series]
            changes = [one for one in trace.series(UPDATE_RATIO, name).first(self.window) if 0 < one < float("inf")]
            return max(rates) * decay / median(changes) if rates and changes else None
        pulls = [
            decay * weight / gradient
            for weight, gradient in zip(
                norms[: self.window], trace.series(GRAD_NORM, name).first(self.window), strict=False
            )
            if 0 < gradient < float("inf") and weight < float("inf")
        ]
        return median(pulls) if pulls else None


def _decay(optimizer: Mapping[str, Json]) -> float | None:
    """The weight decay of the group with most elements; None when none is known."""
    groups = tables(optimizer.get("groups"))
    known = [(number(table(g.get("params")).get("elements")) or 0.0, number(g.get("weight_decay"))) for g in groups]
    decays = [(size, decay) for size, decay in known if decay is not None]
    return max(decays, key=lambda one: one[0])[1] if decays else None


def _is_decoupled(optimizer: Mapping[str, Json]) -> bool:
    groups = tables(optimizer.get("groups"))
    said = any(group.get("decoupled_weight_decay") is True for group in groups)
    return said or kind_of(optimizer) in ("adamw", "adamw8bit", "lion")
