"""A layer whose gradient is exactly zero."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field, PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.gates import profile_of
from ..engine.layers import in_order, matrices
from ..engine.profiles import EVERY
from ..engine.progress import settled_progress
from ..engine.signals import GRAD_NORM
from ..engine.tables import number, table, texts


class ZeroGradientLayer(Rule):
    """A trained weight matrix has a gradient, and it is exactly 0 at nearly every step, while others learn.

    ## Why it matters
    The loss does reach the layer, yet nothing it does would change the loss: it stays what it was at the start.

    ## What to try
    - Look for a product with 0, a mask that leaves nothing, or a rounding or argmax made differentiable by hand, behind
      the layer. Pass the gradient on around a rounding: `x + (x.round() - x).detach()`.
    - Look at the units behind it: dead ReLUs pass nothing on.
    - Start at most one of two matrices in a row at zero.

    ## When it is wrong
    Experts that no sample chooses, recurrent weights of sequences of length one, and embeddings are quiet by nature.
    Nothing is said while the loss comes down, nor of branches that are quiet in their first steps only. Where the graph
    shows that nothing but operations of derivative 0 (round, floor, sign) lead there, progress does not matter.

    ## References
    - SageMaker Debugger, AllZero (100 % of the values). Gradients that are exactly zero do not come about by rounding:
      float32 holds 1e-38.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.WARNING
    level = Level.DYNAMICS
    needs = (GRAD_NORM,)
    finite = False
    profiles = EVERY
    explains = ("vanishing-gradient", "update-ratio", "collapsed-representation", Level.OUTCOME)

    quantile: float = Field(0.95, gt=0.5, le=1)
    """Share of the samples at which the gradient must be exactly 0."""

    ratio: float = Field(0.3, gt=0, lt=1)
    """Share by which the loss must have come down for nothing to be reported."""

    min_samples: PositiveInt = 12
    """Samples needed."""

    healthy = {
        "loss": [2.3 * 0.995**i for i in range(600)],
        "grad_norm": {"fc1.weight": [0.0] + [0.5] * 59, "fc2.weight": [0.8] * 60},
    }
    faulty = {
        "loss": [2.3 + 0.01 * (i % 3) for i in range(600)],
        "grad_norm": {"fc1.weight": [0.0] * 60, "fc2.weight": [0.8] * 60},
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        stilled = self._stilled(trace)
        if stilled is not None:
            yield stilled
            return
        if profile_of(trace) in ("gan", "rl"):
            raise NotApplicable("its loss tells nothing of progress: whether a quiet layer does harm cannot be told")
        shapes = matrices(trace)
        norms = {
            name: series
            for name, series in trace.by_subject(GRAD_NORM, self.min_samples).items()
            if (name in shapes if shapes else not (name.endswith("bias") or "emb" in name.lower()))
        }
        if not norms:
            raise NotApplicable(f"no weight matrix has {self.min_samples} gradients")
        shares = {name: sum(norm == 0 for norm in series) / len(series) for name, series in norms.items()}
        silent = in_order(trace, [name for name, share in shares.items() if share >= self.quantile])
        everything = trace.by_subject(GRAD_NORM).values()
        if not silent or not any(norm > 0 for series in everything for norm in series.last(self.min_samples)):
            return
        progress = settled_progress(trace)
        if progress.has_learned(self.ratio):
            return
        yield Finding(
            subject=silent[0],
            message=f"the gradient of {silent[0]} was exactly 0 at {100 * shares[silent[0]]:.0f} % of "
            f"{len(norms[silent[0]])} steps looked at, as that of {len(silent)} of {len(norms)} matrices; the loss "
            f"went from {progress.initial:.4g} to {progress.now:.4g}",
            advice=(
                "Look behind the layer for dead units, a product with 0, or a mask that leaves nothing.",
                "Look for round, sign, argmax or comparisons between it and the loss.",
                "Start at most one of two matrices in a row at zero.",
            ),
            evidence={"share": shares[silent[0]], "n_silent": len(silent), "n_matrices": len(norms)},
            step=next(step for step, norm in zip(norms[silent[0]].steps, norms[silent[0]], strict=True) if norm == 0),
        )

    def _stilled(self, trace: Trace) -> Finding | None:
        """What the graph shows: parameters that the loss reaches through nothing but operations of derivative 0."""
        graph = table(trace.facts.get("graph"))
        names, by = texts(graph.get("stilled")), texts(graph.get("stilled_by"))
        norms = trace.by_subject(GRAD_NORM)
        if not names or not by or any(norm != 0 for name in names if name in norms for norm in norms[name]):
            return None
        if not any(norm > 0 for series in norms.values() for norm in series):
            return None  # of the whole model: see absent-gradient
        n = number(graph.get("n_stilled")) or len(names)
        subject = next((name for name in names if not name.endswith("bias")), names[0])
        return Finding(
            subject=subject,
            message=f"the gradient of {subject} is exactly 0 at every step, as that of {n:g} parameters in all: the "
            f"loss hangs on them through {', '.join(by)} alone, of derivative 0; a gradient was expected",
            advice=(
                f"Leave out the {by[0]} in training: apply it where results are shown or scored.",
                "Or pass the gradient on around it: x + (x.round() - x).detach().",
            ),
            evidence={"n_silent": float(n)},
        )
