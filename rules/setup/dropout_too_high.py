"""A dropout that leaves little over."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.tables import layers_of, number, table, text


class DropoutTooHigh(Rule):
    """A dropout leaves out more than three quarters of its input.

    ## Why it matters
    PyTorch's argument is the share that is *left out*. At 0.9 a tenth of the units is left in each step, multiplied by
    ten: the gradient is mostly noise, and the model underfits. Elsewhere the argument is the share that is kept.

    ## What to try
    - Use 0.1 to 0.5; 0.5 for wide hidden layers only.
    - Where the share to keep was meant, give one minus it.

    ## When it is wrong
    Masking most of an input on purpose, as masked autoencoders do, is not done with dropout modules as a rule.

    ## References
    - Srivastava et al. 2014: keeping 0.5 of hidden and 0.8 of input units is close to optimal in many tasks.
    - UMLAUT (Schoop et al. 2021) warns above 0.5; that alarms on classic heads.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.WARNING
    level = Level.SETTING
    waits_for_warmup = False
    profiles = Rule.profiles | {"autoencoder"}
    explains = (Level.DYNAMICS, Level.OUTCOME)

    max_share: float = Field(0.75, gt=0, lt=1)
    """Largest share that may be left out."""

    healthy = {"facts": {"model": {"": {"layers": {"drop": {"class": "Dropout", "p": 0.5}}}}}}
    faulty = {"facts": {"model": {"": {"layers": {"drop": {"class": "Dropout", "p": 0.9}}}}}}

    def check(self, trace: Trace) -> Iterator[Finding]:
        shares = {
            name: share
            for name, leaf in layers_of(trace).items()
            if "ropout" in text(leaf.get("class")) and (share := number(leaf.get("p"))) is not None
        }
        seen = table(trace.facts.get("graph")).get("dropouts")
        functions = [share for one in (seen if isinstance(seen, list) else ()) if (share := number(one)) is not None]
        if not shares and not functions:
            raise NotApplicable("no dropout was seen")
        name = max(shares, key=shares.__getitem__, default="")
        share = max([shares[name]] if name else [], default=0.0)
        if max(functions, default=0.0) > share:
            name, share = "", max(functions)
        if share <= self.max_share:
            return
        yield Finding(
            subject=name,
            message=f"{name or 'a dropout function'} leaves out {share:.3g} of its input; at most {self.max_share:g} "
            "is expected, 0.1 to 0.5 is common",
            advice=(
                "Use 0.1 to 0.5: the argument is the share that is left out.",
                "Where the share to keep was meant, give one minus it.",
            ),
            evidence={"share": share, "max_share": self.max_share},
        )
