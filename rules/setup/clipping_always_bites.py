"""Gradient clipping that never lets a gradient pass."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from pydantic import Field, PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.kinds import SCALE_FREE, kind_of, optimizers_of
from ..engine.progress import lost_share
from ..engine.signals import CLIP_NORM, LOSS
from ..engine.tables import number, tables


class ClippingAlwaysBites(Rule):
    """Nearly every gradient is clipped to a small part of its norm, and the loss hardly falls.

    ## Why it matters
    Clipping is there for the odd large gradient. When it cuts all of them to a fraction, the learning rate is that
    fraction of what was set.

    ## What to try
    - Raise `max_norm` to a few times the median norm.
    - Or raise the learning rate by the factor that the clipping takes away.

    ## When it is wrong
    Some clip on purpose at every step, to have steps of one length: as long as the loss falls, nothing is said, nor
    with optimizers that divide by the size of the gradient, such as Adam.

    ## References
    - Pascanu, Mikolov & Bengio 2013, On the difficulty of training recurrent neural networks: the average norm over
      many updates is a good limit, half to ten times that works.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.WARNING
    level = Level.SETTING
    needs = (CLIP_NORM,)
    bars = {"median_norm": CLIP_NORM, "limit": CLIP_NORM}
    needs_facts = ("clipping", "optimizer")
    finite = False
    explains = (Level.DYNAMICS, Level.OUTCOME, "learning-rate-too-low")

    factor: float = Field(10.0, gt=1)
    """How many times the limit the median norm is: ten times the mean norm is the other end of what works (Pascanu)."""

    quantile: float = Field(0.95, gt=0, le=1)
    """Share of the norms above the limit."""

    ratio: float = Field(0.3, gt=0, lt=1)
    """Share of its first level by which the loss must have fallen for nothing to be said."""

    history = 20
    min_steps: PositiveInt = 50
    """Steps before anything is said."""

    healthy = {
        "loss": [2.0 * 0.98**i for i in range(100)],
        "clip_norm": {"": [2.0, 0.5] * 50},
        "facts": {
            "clipping": [{"kind": "norm", "max_norm": 1.0, "varies": False, "before_unscale": False}],
            "optimizer": [{"class": "SGD"}],
        },
    }
    faulty = {
        "loss": [2.0] * 100,
        "clip_norm": {"": [2.0] * 100},
        "facts": {
            "clipping": [{"kind": "norm", "max_norm": 1e-3, "varies": False, "before_unscale": False}],
            "optimizer": [{"class": "SGD"}],
        },
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        ways = tables(trace.facts.get("clipping"))
        limit = number(ways[0].get("max_norm")) if len(ways) == 1 else None
        if limit is None or limit <= 0 or ways[0].get("kind") != "norm" or ways[0].get("varies") is not False:
            raise NotApplicable("there is no single limit for the norm of the gradient")
        if ways[0].get("before_unscale") is True:
            raise NotApplicable("the gradients still had a scaler's factor when they were clipped")
        kinds = {kind_of(one) for one in optimizers_of(trace)}
        if not kinds or kinds & SCALE_FREE:
            raise NotApplicable(f"{', '.join(sorted(kinds)) or 'the optimizer'} divides by the size of the gradient")
        if trace.step < self.min_steps:
            raise NotApplicable(f"step {trace.step}; judged from step {self.min_steps} on")
        norms = [norm for norm in trace.series(CLIP_NORM) if norm == norm]
        fell = lost_share(trace.series(LOSS))
        if not norms or fell is None:
            raise NotApplicable("the loss, or the norms, are not finite or too few")
        clipped, middle = sum(norm > limit for norm in norms) / len(norms), median(norms)
        if clipped < self.quantile or middle <= self.factor * limit or fell >= self.ratio:
            return
        if middle == float("inf"):
            raise NotApplicable("the norms are not finite")
        yield Finding(
            message=f"{clipped:.0%} of {len(norms)} gradients are clipped, from a median norm of {middle:.3g} to "
            f"{limit:.3g}; "
            f"a limit of at least {middle / self.factor:.2g} is expected; the loss fell by {max(fell, 0.0):.0%}",
            advice=(
                f"Raise max_norm to about {2 * middle:.2g}, a few times the median norm.",
                f"Or raise the learning rate up to {middle / limit:.2g} times.",
            ),
            evidence={"median_norm": middle, "limit": limit, "share": clipped, "fall": fell},
            step=0,
        )
