"""A penalty that is what the training is about."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from statistics import median

from pydantic import Field, PositiveInt

from ..engine import Finding, Json, Level, NotApplicable, Phase, Rule, Series, Severity, Trace
from ..engine.layers import matrices
from ..engine.progress import is_over, progress_of
from ..engine.signals import LOSS_TERM
from ..engine.tables import losses_of, number, tables, text

_PENALTIES = frozenset({"l2_penalty", "l1_penalty", "weight_norm"})

_OF_DATA = frozenset({
    "cross_entropy", "nll_loss", "mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
})  # fmt: skip
"""Functions that compare outputs with targets."""


class RegularisationDominates(Rule):
    """A penalty on the weights outweighs the loss of the data, which does not come down; or one on the code of a model
    presses it to nothing; or all weights are cut off at bounds that leave too little of them to learn with.

    ## Why it matters
    The optimizer lowers the sum. Where most of it is the penalty, it makes the weights small and learns nothing: the
    total falls, and looks like learning.

    ## What to try
    - Divide the penalty's coefficient by 10 until the data's loss falls; 1e-5 to 1e-3 is common for a sum of squares.
    - Use the optimizer's `weight_decay` instead.
    - Leave biases and norm layers out of the penalty.
    - Leave weights alone that were clamped: the bounds of +-0.01 belong to the critic of a Wasserstein GAN.
    - A variational bound: lower the weight of the divergence, or raise it slowly from 0.

    ## When it is wrong
    A penalty that is large only at the beginning, while the data's loss falls, does its work and is not reported.
    Bounds are reported where they are narrower than what the weights were drawn from, in all of the model, and the loss
    stands: latent weights of binary networks are clamped, as critics are.

    ## References
    - TheDeepChecker (Braiek & Khomh 2022) compares gradients: that of the penalty at least twice that of the data, five
      checks in a row. Here the values are compared, and what came of the data's loss.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.WARNING
    level = Level.SETTING
    bars = {"rest": LOSS_TERM, "rest_first": LOSS_TERM}
    finite = False
    waits_for_warmup = False
    profiles = Rule.profiles | {"autoencoder"}
    explains = (Level.DYNAMICS, Level.OUTCOME, "unlearnable-labels")

    share: float = Field(0.3, gt=0, lt=1)
    """Share of the sum that is the penalty, at the beginning or all along."""

    least_fall: float = Field(0.1, gt=0, lt=1)
    """Share of its first level that the data's loss loses in a training that learns."""

    remains: float = Field(0.2, gt=0, lt=1)
    """Share of its first level that a divergence from a prior keeps at least, where something is encoded."""

    gone: float = Field(0.02, gt=0, lt=1)
    """Share of its first size below which a code that was penalised carries nothing; one that is sparse keeps some."""

    narrow: float = Field(0.5, gt=0, lt=1)
    """Share of the largest initial number of a weight below which bounds cut its initialisation down."""

    at_bounds: float = Field(0.1, gt=0, lt=1)
    """Share of the numbers of all weights that are at the bounds."""

    window: PositiveInt = 5
    """Watched steps at the beginning, and at the end, whose median is a level."""

    healthy = {
        "facts": {
            "loss_terms": [{"name": "ce", "function": "cross_entropy"}, {"name": "l2", "function": "l2_penalty"}]
        },
        "loss/term": {"ce": [2.3 * 0.9**i for i in range(20)], "l2": [0.01] * 20},
    }
    faulty = {
        "facts": {
            "loss_terms": [{"name": "ce", "function": "cross_entropy"}, {"name": "l2", "function": "l2_penalty"}]
        },
        "loss/term": {"ce": [2.3] * 20, "l2": [30.0 * 0.9**i for i in range(20)]},
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        told = tables(trace.facts.get("loss_terms"))
        clamped = self._clamped(trace)
        if clamped is not None:
            yield clamped
            return
        series = trace.by_subject(LOSS_TERM, min_points=2 * self.window)
        if not told or not series:
            raise NotApplicable("the loss is no sum of terms whose values are known")
        found = self._pressed_to_nothing(told, series) or self._code_is_gone(told, series)
        if found is not None:
            yield found
            return
        penalties = [n for one in told if one.get("function") in _PENALTIES and (n := text(one.get("name"))) in series]
        data = [n for one in told if one.get("function") not in _PENALTIES and (n := text(one.get("name"))) in series]
        if not penalties and any(one.get("function") == "gaussian_kl" and one.get("name") in series for one in told):
            return
        if not penalties or not data:
            raise NotApplicable("the loss has no penalty on weights beside the loss of the data")
        if not all(series[name].is_finite for name in (*penalties, *data)):
            raise NotApplicable("a term of the loss is not finite")
        first = sum(self._level(series[name]) for name in data)
        last = sum(self._level(series[name], at_end=True) for name in data)
        if first <= 0:
            raise NotApplicable("the loss of the data is not above 0")
        name = max(penalties, key=lambda one: self._level(series[one]))
        at_first, at_last = self._level(series[name]), self._level(series[name], at_end=True)
        early, late = _share(at_first, first), _share(at_last, last)
        lost = (first - last) / first
        if max(early, late) <= self.share or not math.isfinite(lost) or lost >= self.least_fall:
            return
        factor = next((number(one.get("factor")) for one in told if one.get("name") == name), None)
        written = f" with the coefficient {factor:.3g}" if factor is not None and factor != 1 else ""
        yield Finding(
            subject=name,
            message=f"the penalty {name}{written} is {100 * early:.3g} % of the loss at the beginning and "
            f"{100 * late:.3g} % now; the rest went from {first:.4g} to {last:.4g}, a fall of more than "
            f"{100 * self.least_fall:g} % is expected",
            advice=(
                "Divide the coefficient by 10 until the rest of the loss falls.",
                "Use the optimizer's weight_decay instead, 1e-5 to 1e-2.",
            ),
            evidence={"share": early, "share_now": late, "rest": last, "rest_first": first},
        )

    def _clamped(self, trace: Trace) -> Finding | None:
        """A finding where every weight matrix was cut off at the same narrow bounds, and the loss stands."""
        bounds = {text(one.get("name")): one for one in tables(trace.facts.get("bounds"))}
        trained = matrices(trace)
        functions = {text(one.get("function")) for one in losses_of(trace)}
        if not bounds or not trained or set(trained) - set(bounds) or not functions & _OF_DATA or not is_over(trace):
            return None
        sizes = {number(bounds[name].get("bound")) or 0.0 for name in trained}
        drawn = [number(one.get("high")) or 0.0 for one in tables(trace.facts.get("initialisation"))]
        share = sum((number(bounds[name].get("share")) or 0.0) * n for name, n in trained.items()) / sum(
            trained.values()
        )
        bound, progress = max(sizes), progress_of(trace)
        if len(sizes) != 1 or not drawn or bound >= self.narrow * median(drawn) or share < self.at_bounds:
            return None
        if progress is None or progress.has_learned(self.least_fall):
            return None
        return Finding(
            message=f"all {len(trained)} weight matrices are cut off at +-{bound:.3g}: {100 * share:.3g} % of their "
            f"numbers are exactly that, and they were drawn up to {median(drawn):.3g}; the loss went from "
            f"{progress.initial:.4g} to {progress.now:.4g}; a fall of {100 * self.least_fall:g} % is expected",
            advice=(
                "Leave out the clamp of the weights: bounds of 0.01 belong to the critic of a Wasserstein GAN.",
                "To limit steps, clip the gradient: clip_grad_norm_ or clip_grad_value_.",
            ),
            evidence={"bound": bound, "share": share, "drawn": median(drawn), "loss": progress.now},
        )

    def _pressed_to_nothing(self, told: list[Mapping[str, Json]], series: Mapping[str, Series]) -> Finding | None:
        """A divergence from a prior that outweighs the rest at first, and is then as good as gone."""
        names = [text(one.get("name")) for one in told if one.get("function") == "gaussian_kl"]
        others = [text(one.get("name")) for one in told if one.get("function") != "gaussian_kl"]
        if len(names) != 1 or not others or not all(n in series and series[n].is_finite for n in (*names, *others)):
            return None
        kept, rest = series[names[0]], sum(abs(self._level(series[name])) for name in others)
        first, last = self._level(kept), self._level(kept, at_end=True)
        early = _share(first, rest)
        if early <= self.share or last >= self.remains * first:
            return None
        return Finding(
            subject=names[0],
            message=f"the divergence {names[0]} is {100 * early:.3g} % of the loss at the beginning and was pressed "
            f"from {first:.4g} to {last:.4g}: the code carries nothing; less than {100 * self.share:g} % is expected",
            advice=(
                "Divide the weight of the divergence by 10 or more, or raise it slowly from 0.",
                "Reduce both terms alike: a mean over elements beside a sum over the code weighs the code too much.",
            ),
            evidence={"share": early, "first": first, "last": last},
        )

    def _code_is_gone(self, told: list[Mapping[str, Json]], series: Mapping[str, Series]) -> Finding | None:
        """A penalty on activations that outweighs the rest at first, and has driven them to 0."""
        data = [n for one in told if one.get("function") in _OF_DATA and (n := text(one.get("name"))) in series]
        if not data or not all(series[name].is_finite for name in data):
            return None
        rest, remains = (sum(abs(self._level(series[n], at_end)) for n in data) for at_end in (False, True))
        for one in told:
            name = text(one.get("name"))
            if one.get("function") != "code_penalty" or name not in series or not series[name].is_finite:
                continue
            first, last = abs(self._level(series[name])), abs(self._level(series[name], at_end=True))
            early = _share(first, rest)
            if early <= self.share or last >= self.gone * first or remains < self.remains * rest:
                continue
            return Finding(
                subject=name,
                message=f"the penalty on the size of what is inside the model is {100 * early:.3g} % of the loss at "
                f"the beginning and was pressed from {first:.4g} to {last:.4g}: the code is 0 and carries nothing; "
                f"less than {100 * self.share:g} % is expected",
                advice=(
                    "Take a mean over the batch and the code, as the loss of the data does: not a sum.",
                    "Divide the coefficient by 10 until the rest of the loss falls.",
                ),
                evidence={"share": early, "first": first, "last": last, "rest": remains},
            )
        return None

    def _level(self, values: Series, at_end: bool = False) -> float:
        return median(values.values[-self.window :] if at_end else values.values[: self.window])


def _share(part: float, rest: float) -> float:
    total = part + rest
    return part / total if total > 0 and math.isfinite(total) else 0.0
