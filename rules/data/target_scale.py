"""Regression targets far from 0 or far apart, that the model cannot reach."""

from __future__ import annotations

import math
from collections.abc import Iterator

from pydantic import Field, PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.progress import is_over
from ..engine.signals import LOSS, TARGET_ERROR
from ..engine.tables import losses_of, number, targets_of, text

_REGRESSING = ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss")


class TargetScale(Rule):
    """The targets of a regression are large, and the model ends no closer to them than a constant would be.

    ## Why it matters
    Outputs start near 0, and each step moves them by about the learning rate: targets in the hundreds of thousands are
    out of reach, or their squared error makes gradients that throw the weights away.

    ## What to try
    - Train on `(y - mean) / std` of the training targets, and turn predictions back for reports.
    - Take the logarithm of prices, counts and other quantities that span orders of magnitude.
    - Start the bias of the last layer at the mean of the targets.

    ## When it is wrong
    Large targets as such are not reported: the error must not be smaller than the spread of the targets, or the loss
    not finite, after a few hundred steps or at the end. Then a rate that is too low, or a fault elsewhere, is possible.

    ## References
    - Karpathy 2019, A Recipe for Training Neural Networks: start the last bias at the mean of the targets.
    - TheDeepChecker, un-normalised targets.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.WARNING
    level = Level.SETTING
    needs_facts = ("targets",)
    bars = {"error": TARGET_ERROR, "std": TARGET_ERROR}
    waits_for_warmup = False
    profiles = frozenset({"supervised", "regression", "unknown"})
    explains = (Level.DYNAMICS, Level.OUTCOME, "learning-rate-too-high", Severity.FATAL)

    max_scale: float = Field(50.0, gt=1)
    """Mean (as a size) or standard deviation of the targets above which they are far from what outputs begin with."""

    ratio: float = Field(0.95, gt=0, le=1)
    """Error over standard deviation of the targets at which the model is no better than a constant."""

    max_offset: float = Field(50.0, gt=1)
    """Mean, as a size, over standard deviation of the targets above which most of a run is spent on the mean alone."""

    offset_ratio: float = Field(0.5, gt=0, le=1)
    """The `ratio` of such targets: with the mean taken off, less than half of the spread is soon explained."""

    min_steps: PositiveInt = 300
    """Steps before the end of the run at which it is judged already."""

    healthy = {
        "facts": {"loss": {"function": "mse_loss"}, "targets": [{"function": "mse_loss", "mean": 0.1, "std": 1.0}]},
        "error": {"train": [0.5, 0.3, 0.2]},
    }
    faulty = {
        "facts": {"loss": {"function": "mse_loss"}, "targets": [{"function": "mse_loss", "mean": 250e3, "std": 80e3}]},
        "error": {"train": [262e3, 262e3, 261e3]},
        "loss": [6.9e10] * 400,
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        functions = [name for loss in losses_of(trace) if (name := text(loss.get("function"))) in _REGRESSING]
        if not functions:
            raise NotApplicable("no loss is that of a regression")
        targets = targets_of(trace, functions[0])
        mean, std = number(targets.get("mean")), number(targets.get("std"))
        errors = trace.series(TARGET_ERROR, "train")
        if mean is None or std is None:
            raise NotApplicable("mean and standard deviation of the targets are not known")
        if max(abs(mean), std) <= self.max_scale:
            return
        broken = trace.nonfinite(LOSS)
        if broken is None and trace.step < self.min_steps and not is_over(trace):
            raise NotApplicable(f"step {trace.step}: judged from step {self.min_steps} on, or at the end")
        error = errors[-1] if errors and math.isfinite(errors[-1]) else None
        if broken is None and error is None:
            raise NotApplicable("the error of the model is not known")
        if broken is None and error is not None and (std == 0 or error < self._ratio(mean, std) * std):
            return
        seen = f"the loss is not finite from step {broken[1]} on" if broken else f"the model is off by {error:.4g}"
        evidence = {"mean": mean, "std": std} | ({"error": error} if error is not None else {})
        yield Finding(
            message=f"targets have mean {mean:.4g} and standard deviation {std:.4g}, and {seen}; values around 0 and 1 "
            f"are within reach of an untrained model",
            advice=(
                "Train on (y - mean) / std of the training targets, and turn predictions back for reports.",
                "Take the logarithm of quantities that span orders of magnitude.",
            ),
            evidence=evidence,
        )

    def _ratio(self, mean: float, std: float) -> float:
        return self.offset_ratio if abs(mean) > self.max_offset * std else self.ratio
