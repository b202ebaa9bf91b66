"""Settings of an optimizer that are far from what it is used with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import Field

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.kinds import kind_of, optimizers_of
from ..engine.progress import lost_share, stands
from ..engine.records import Json
from ..engine.signals import LOSS
from ..engine.tables import number, tables, text


class OptimizerSettingsUnusual(Rule):
    """Momentum, betas or epsilon are far from what the optimizer is used with, and the loss shows it.

    ## Why it matters
    Betas in the wrong order, a momentum of 0.999 or an epsilon as large as the gradients make another optimizer of the
    one that was named, at the same learning rate.

    ## What to try
    - Adam: `betas=(0.9, 0.999)`, `eps=1e-8`. SGD: `momentum=0.9`.
    - With a momentum of m, steps add up to 1 / (1 - m) times their length: divide the learning rate accordingly.

    ## When it is wrong
    Large values of epsilon are used with some networks (0.1 with Inception, 0.01 in reinforcement learning) and serve
    them: as long as the loss falls, nothing is said, but for betas in the wrong order.

    ## References
    - Kingma & Ba 2015, Adam: betas and epsilon, and why the second moment needs the longer memory.
    - Sutskever et al. 2013, On the importance of initialization and momentum: momentum up to 0.99 and, late, 0.995.
    - TheDeepChecker (Braiek & Khomh 2022): a wrong epsilon among its faults.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.WARNING
    level = Level.SETTING
    needs_facts = ("optimizer",)
    finite = False
    waits_for_warmup = False
    profiles = Rule.profiles | {"autoencoder", "contrastive", "diffusion"}
    explains = (Level.DYNAMICS, Level.OUTCOME, "learning-rate-too-low", "learning-rate-too-high", Severity.FATAL)

    max_momentum: float = Field(0.995, gt=0, lt=1)
    """Highest momentum, or first beta, that is in use (Sutskever et al. 2013)."""

    max_eps: float = Field(1e-2, gt=0)
    """Highest epsilon of optimizers of Adam's kind that is told without wonder: most gradients are smaller."""

    ratio: float = Field(0.15, gt=0, lt=1)
    """Share of its first level by which the loss must have fallen for a value out of range to pass."""

    healthy = {
        "loss": [2.0 * 0.98**i for i in range(60)],
        "facts": {"optimizer": [{"class": "Adam", "groups": [{"betas": [0.9, 0.999], "eps": 1e-8}]}]},
    }
    faulty = {
        "loss": [2.0] * 60,
        "facts": {"optimizer": [{"class": "Adam", "groups": [{"betas": [0.999, 0.9], "eps": 1e-8}]}]},
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        optimizers = optimizers_of(trace)
        groups = [(one, group) for one in optimizers for group in tables(one.get("groups"))]
        if not groups:
            raise NotApplicable("the settings of the optimizer are not known")
        for number_of_group, (optimizer, group) in enumerate(groups):
            found = self._fault(trace, optimizer, group)
            if found is not None:
                name, value, expected, advice = found
                yield Finding(
                    subject=f"{text(optimizer.get('class'))} {name}",
                    message=f"{text(optimizer.get('class'))} has {name}={value:g}; {expected} is expected"
                    f"{_shown(trace)}",
                    advice=(advice, "Compare the settings with the defaults of the optimizer."),
                    evidence={"value": value, "group": number_of_group},
                    step=0,
                )
                return

    def _fault(
        self, trace: Trace, optimizer: Mapping[str, Json], group: Mapping[str, Json]
    ) -> tuple[str, float, str, str] | None:
        """Setting, its value, what is expected, and advice; None when all is usual or does no harm."""
        betas = group.get("betas")
        first, second = (
            (number(betas[0]), number(betas[1])) if isinstance(betas, list) and len(betas) > 1 else (None, None)
        )
        if first is not None and second is not None and kind_of(optimizer) != "lion" and first > second:
            advice = f"Swap the betas: betas=({second:g}, {first:g}) if they were meant the other way round."
            return "betas[0]", first, f"less than betas[1]={second:g}", advice
        if not stands(trace, self.ratio):
            return None
        momentum, eps = number(group.get("momentum")), number(group.get("eps"))
        for name, value in (("momentum", momentum), ("betas[0]", first)):
            if value is not None and value > self.max_momentum:
                return name, value, f"0.9, at most {self.max_momentum:g},", f"Set {name} to 0.9."
        if eps is not None and eps >= self.max_eps and betas is not None:
            return "eps", eps, f"1e-8, below {self.max_eps:g},", "Set eps to 1e-8."
        lost = lost_share(trace.series(LOSS))
        if group.get("maximize") is True and lost is not None and lost < -self.ratio:
            return "maximize", 1.0, "maximize=False for a loss", "Set maximize=False: the loss is made larger."
        return None


def _shown(trace: Trace) -> str:
    lost = lost_share(trace.series(LOSS))
    return "" if lost is None else f"; the loss {'fell' if lost >= 0 else 'rose'} by {abs(lost):.0%}"
