"""Gradients that are clipped while they still have a scaler's factor."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.profiles import EVERY
from ..engine.signals import GRAD_SCALE
from ..engine.tables import number, tables, text


class ClipBeforeUnscale(Rule):
    """Gradients are clipped before the gradient scaler has taken its factor out of them.

    ## Why it matters
    They are tens of thousands of times too large then: the limit cuts all of them, and what is left after unscaling is
    almost nothing.

    ## What to try
    - Call `scaler.unscale_(optimizer)` between `backward` and the clipping.

    ## When it is wrong
    A limit that was multiplied with the scale by hand does the same as unscaling.

    ## References
    - PyTorch documentation, Automatic Mixed Precision examples, Gradient clipping.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.ERROR
    level = Level.LOGIC
    needs_facts = ("clipping",)
    bars = {"scale": GRAD_SCALE}
    waits_for_warmup = False
    finite = False
    profiles = EVERY
    explains = (Level.DYNAMICS, Level.OUTCOME, "clipping-always-bites", "learning-rate-too-low", Severity.FATAL)

    factor: float = Field(1.0, ge=0)
    """Scale up to which it makes no difference."""

    healthy = {"loss": [1.0] * 20, "facts": {"clipping": [{"kind": "norm", "max_norm": 1.0, "before_unscale": False}]}}
    faulty = {
        "loss": [1.0] * 20,
        "grad_scale": {"": {0: 65536.0}},
        "facts": {"clipping": [{"kind": "norm", "max_norm": 1.0, "before_unscale": True}]},
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        ways = [one for one in tables(trace.facts.get("clipping")) if isinstance(one.get("before_unscale"), bool)]
        if not ways:
            raise NotApplicable("gradients are not clipped by a function that is known")
        early = [one for one in ways if one.get("before_unscale") is True]
        scales = [scale for scale in trace.series(GRAD_SCALE) if 0 < scale < 1e38]
        if not early or (scales and max(scales) <= self.factor):
            return
        limit, scale = number(early[0].get("max_norm")), scales[-1] if scales else 0.0
        times = f"{scale:g} times their size" if scale else "still scaled"
        yield Finding(
            message=f"gradients are clipped by {text(early[0].get('kind')) or 'norm'} to "
            f"{'a limit' if limit is None else format(limit, 'g')} while they are {times}; a factor of 1 was expected",
            advice="Call scaler.unscale_(optimizer) between backward() and the clipping.",
            evidence={"limit": limit or 0.0, "scale": scale},
        )
