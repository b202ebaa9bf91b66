"""A layer that gets almost no gradient."""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import median

from pydantic import Field, PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.layers import in_order, matrices
from ..engine.progress import is_over, progress_of, settled_progress
from ..engine.signals import GRAD_NORM, LOSS, UPDATE_RATIO


class VanishingGradient(Rule):
    """A weight matrix gets almost none of the gradient that another gets, and hardly changes, or nothing is learned.

    One of the two must hold, as optimizers like Adam make up for a small gradient. Gradients are compared per element,
    as root mean squares, so that large matrices do not stand out; and with the largest, as through saturated layers
    each is a fixed factor smaller than the next, and their median is lost too.

    ## Why it matters
    The layer keeps its initial weights: the network trains as if it were frozen random features.

    ## What to try
    - Use ReLU or GELU instead of sigmoid or tanh in hidden layers, and an initialisation that fits.
    - Add a residual path or normalisation between this layer and the loss.
    - Look for a stray detach(), or units that are all dead, behind this layer.

    ## When it is wrong
    Layers frozen on purpose report no gradient and are not judged, nor are embeddings, whose rare rows are quiet by
    nature, and fine-tuning. Experts that are never chosen are quiet too. A branch that starts at zero is quiet in its
    first steps. Deep networks with torch's initialisation begin this way and recover: what is judged by the loss is
    judged at the end, or from step 500 on.

    ## References
    - Glorot & Bengio 2010, Understanding the difficulty of training deep feedforward neural networks.
    - AUTOTRAINER (Zhang et al. 2021) compares the first layer with the last, at 1e-3; a tenth of that is used here. The
      absolute bars in use (SageMaker Debugger 1e-7, TheDeepChecker 1e-6, DEFault 1e-4) alarm on any loss of another
      scale. An update of 1e-5 is DeepDiagnosis's lower bound (Wardat et al. 2022).
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.WARNING
    level = Level.DYNAMICS
    needs = (GRAD_NORM, UPDATE_RATIO)
    bars = {"max_update": UPDATE_RATIO, "update_ratio": UPDATE_RATIO}
    finite = False
    profiles = Rule.profiles - {"fine-tune"} | {"autoencoder", "contrastive", "diffusion"}
    explains = ("collapsed-representation", "update-ratio", Level.OUTCOME)

    ratio: float = Field(1e-4, gt=0, lt=1)
    """Share of the largest gradient of a matrix below which a matrix counts as starved."""

    max_ratio: float = Field(1e-3, gt=0, lt=1)
    """The same where next to nothing was learned."""

    min_fall: float = Field(0.05, gt=0, lt=1)
    """Share by which the loss must have come down for something to have been learned."""

    max_fall: float = Field(0.5, gt=0, lt=1)
    """Share by which it must have come down for a starved matrix to have done no harm."""

    max_update: float = Field(1e-5, gt=0)
    """Relative change per step below which a matrix counts as unchanged."""

    factor: float = Field(100.0, gt=1)
    """How many times less than the most changed matrix it must change: at the end of a schedule all change little."""

    window: PositiveInt = 5
    """How many recent samples give a matrix's level (a median)."""

    min_rest: float = Field(0.2, gt=0, lt=1)
    """Share of the run, from its start, in which a matrix was starved and the loss stood, that is reported at the end
    though the matrix woke up: at least `rest_steps`, and only where the loss has not come down by `max_fall`."""

    rest_steps: PositiveInt = 60
    """See `min_rest`: deep networks with torch's own initialisation rest for some tens of steps."""

    min_steps: PositiveInt = 20
    """Steps before anything is judged: branches that start at zero wake up within them."""

    healthy = {
        "grad_norm": {"stem.weight": [0.9] * 25, "body.weight": [1.0] * 25, "head.weight": [1.1] * 25},
        "update_ratio": {"stem.weight": [1e-3] * 25, "body.weight": [1e-3] * 25, "head.weight": [1e-3] * 25},
    }
    faulty = {
        "grad_norm": {"stem.weight": [1e-7] * 25, "body.weight": [1.0] * 25, "head.weight": [1.1] * 25},
        "update_ratio": {"stem.weight": [1e-10] * 25, "body.weight": [1e-3] * 25, "head.weight": [1e-3] * 25},
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        if trace.step < self.min_steps:
            raise NotApplicable(f"step {trace.step}; judged from step {self.min_steps} on")
        levels = self._levels(trace)
        if len(levels) < 3:
            raise NotApplicable(f"{len(levels)} weight matrices with gradients; 3 are needed to compare")
        largest = max(levels.values())
        starved = in_order(trace, [name for name, level in levels.items() if level < self.max_ratio * largest])
        found = list(self._starved(trace, levels, starved)) if starved else []
        yield from found or self._rested(trace, list(levels))

    def _starved(self, trace: Trace, levels: dict[str, float], starved: list[str]) -> Iterator[Finding]:
        """What is starved now, and does not move, or nothing was learned."""
        largest = max(levels.values())
        recents = {name: trace.series(UPDATE_RATIO, name).last(self.window) for name in levels}
        updates = {name: recent.median for name, recent in recents.items() if recent and recent.is_finite}
        unchanged = min(self.max_update, max(updates.values(), default=0.0) / self.factor)
        still = [name for name in starved if levels[name] < self.ratio * largest and updates.get(name, 1.0) < unchanged]
        progress = progress_of(trace)
        if progress is None or not progress.has_learned(self.max_fall):
            yield from (self._finding(trace, name, levels, largest, updates) for name in still)
        if len(still) < len(starved) and not settled_progress(trace).has_learned(self.min_fall):
            yield from (self._finding(trace, name, levels, largest, updates) for name in starved if name not in still)

    def _rested(self, trace: Trace, names: list[str]) -> Iterator[Finding]:
        """What was starved for a large part of the run, while the loss stood, and cost the run its success."""
        losses = trace.series(LOSS)
        if not is_over(trace) or not losses.is_finite:
            return
        shapes = matrices(trace)
        sizes: dict[int, dict[str, float]] = {}
        for name in names:
            norms = trace.series(GRAD_NORM, name)
            for step, norm in zip(norms.steps, norms, strict=True):
                sizes.setdefault(step, {})[name] = norm / math.sqrt(shapes.get(name, 1))
        seen: dict[str, list[tuple[float, float]]] = {}
        woke = 0
        for step in sorted(sizes):
            largest = max(sizes[step].values())
            least = min(sizes[step], key=sizes[step].__getitem__)
            if not 0 < sizes[step][least] < self.max_ratio * largest:
                break
            woke = step
            seen.setdefault(least, []).append((sizes[step][least], largest))
        progress = progress_of(trace)
        stood = [loss for step, loss in zip(losses.steps, losses, strict=True) if step <= woke]
        if woke < max(self.rest_steps, self.min_rest * trace.step) or len(stood) < self.rest_steps or progress is None:
            return
        reached = median(stood[-self.window * 4 :])
        if reached < (1 - self.min_fall) * progress.initial or progress.has_learned(self.max_fall):
            return
        name = max(seen, key=lambda one: len(seen[one]))
        level, largest = (median(column) for column in zip(*seen[name], strict=True))
        updates = trace.series(UPDATE_RATIO, name)
        yield Finding(
            subject=name,
            message=f"gradient {level:.1e} (root mean square) up to step {woke} of {trace.step}, {largest:.1e} in the "
            f"matrix with the most; more than {self.max_ratio:g} of it is expected; the loss went from "
            f"{progress.initial:.4g} to {reached:.4g} by then, and is {progress.now:.4g} now",
            advice=_ADVICE,
            evidence={
                "gradient": level,
                "largest_gradient": largest,
                "update_ratio": updates[0] if updates and math.isfinite(updates[0]) else 0.0,
                "steps": woke,
            },
            step=trace.series(GRAD_NORM, name).steps[0],
        )

    def _levels(self, trace: Trace) -> dict[str, float]:
        """Gradient of each weight matrix, root mean square of its elements, over the latest samples."""
        shapes = matrices(trace)
        levels: dict[str, float] = {}
        for name, norms in trace.by_subject(GRAD_NORM, self.window).items():
            recent = norms.last(self.window)
            known = name in shapes if shapes else not (name.endswith("bias") or "emb" in name.lower())
            if known and recent.is_finite:
                levels[name] = recent.median / math.sqrt(shapes.get(name, 1))
        return levels

    def _finding(
        self, trace: Trace, name: str, levels: dict[str, float], largest: float, updates: dict[str, float]
    ) -> Finding:
        update, norms = updates.get(name, 0.0), trace.series(GRAD_NORM, name)
        below = [step for step, norm in zip(norms.steps, norms, strict=True) if norm <= 10 * norms[-1]]
        return Finding(
            subject=name,
            message=f"gradient {levels[name]:.1e} (root mean square), {largest:.1e} in the matrix with the most; "
            f"more than {self.max_ratio:g} of it is expected; it changes by {update:.1e} of its norm a step",
            advice=_ADVICE,
            evidence={"gradient": levels[name], "largest_gradient": largest, "update_ratio": update},
            step=below[0] if below else None,  # about the level it has now: shrunk by then
        )


_ADVICE = (
    "Use ReLU or GELU instead of sigmoid or tanh in hidden layers.",
    "Add a residual path or normalisation between this layer and the loss.",
    "Look for a stray detach(), or dead units, behind this layer.",
)
