"""A loss that is summed over the batch where a mean is meant."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from pydantic import Field, PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.progress import is_over, lost_share
from ..engine.signals import BATCH_SIZE, LOSS
from ..engine.tables import losses_of, number, shape, tables, text


class LossReductionSum(Rule):
    """The loss is the sum over the batch, and the training does not bear it.

    ## Why it matters
    The gradient of a sum is as many times that of the mean as there are samples: the learning rate means another thing
    with each batch size. With rates that are usual for a mean, steps are a hundred times too long.

    ## What to try
    - Use `reduction="mean"`, or divide by the number of samples.
    - Or divide the learning rate by the batch size.

    ## When it is wrong
    Sums are right in a variational bound, where the other term is a sum, too, and harmless with optimizers that divide
    by the size of the gradient, such as Adam, so that those are not judged. It is only reported where the loss rises or
    is lost, or, with a rate that is long for a sum, jumps about, or stands once the training has had its time.

    ## References
    - TheDeepChecker (Braiek & Khomh 2022) doubles a batch five times and watches the loss double.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.WARNING
    level = Level.SETTING
    needs = (LOSS,)
    needs_facts = ("loss",)
    history = 50
    finite = False
    waits_for_warmup = False
    profiles = Rule.profiles | {"autoencoder"}
    explains = (Level.DYNAMICS, Level.OUTCOME, Level.SETTING, Severity.FATAL)

    least_fall: float = Field(0.1, gt=0, lt=1)
    """Share of its first level that the loss loses in a training that bears the sum."""

    max_rate: float = Field(0.1, gt=0)
    """Rate of SGD, momentum counted in, times samples in a batch, from which on steps are long for a mean, too."""

    jump: float = Field(8.0, gt=1)
    """How many times the median of the later losses the largest of them is where the loss jumps about."""

    rise: float = Field(1.0, gt=0)
    """Share of its first level by which a loss that rises is blamed at once: it has doubled."""

    settled: PositiveInt = 500
    """Steps from which on a loss that stands is judged while the training goes on; before, only at its end."""

    min_samples: PositiveInt = 4
    """Samples in a batch from which on the sum is another thing than the mean."""

    healthy = {
        "loss": [32.0 * 0.97**i for i in range(60)],
        "batch_size": {"train": [32]},
        "facts": {"loss": {"function": "mse_loss", "reduction": "sum", "terms": 1}},
    }
    faulty = {
        "loss": [32.0 * 1.1**i for i in range(60)],
        "batch_size": {"train": [32]},
        "facts": {"loss": {"function": "mse_loss", "reduction": "sum", "terms": 1}},
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        losses = losses_of(trace)
        known = [one for one in losses if text(one.get("function")) not in ("", "unknown")]
        if not known:
            raise NotApplicable("no loss function was recognised")
        summed = next((one for one in known if one.get("reduction") == "sum"), None)
        # Divided by the number of samples elsewhere it is a mean; beside other terms a sum may be meant.
        if summed is None or (number(summed.get("terms")) or 1) > 1 or summed.get("scaled") is True:
            return
        sizes, outputs = trace.series(BATCH_SIZE, "train"), shape(summed.get("outputs_shape"))
        samples = median(sizes) if sizes and sizes.is_finite else float(outputs[0]) if outputs else 0.0
        if samples < self.min_samples:
            raise NotApplicable(f"{samples:g} samples in a batch; from {self.min_samples} on a sum is judged")
        series = trace.series(LOSS)
        lost = lost_share(series) if series.is_finite else None
        if not _takes_plain_steps(trace):
            return
        if not series.is_finite:
            came = "is no longer finite"
        elif lost is not None and self._is_lost(trace, samples, lost):
            came = (
                f"has lost {100 * lost:.2g} % of its first level"
                if lost < self.least_fall
                else "was thrown up, and came back to where it began"
            )
        elif (times := self._jumps(trace, samples)) is not None:
            came = f"jumps to {times:.3g} times its median"
        else:
            return
        yield Finding(
            message=f"{summed.get('function')} is summed over {samples:g} samples, its gradient {samples:g} times that "
            f"of the mean; the loss {came}, a steady fall of more than {100 * self.least_fall:g} % is expected",
            advice=(
                "Use reduction='mean', or divide the loss by the number of samples.",
                f"Or divide the learning rate by {samples:g}.",
            ),
            evidence={"samples": samples} | ({"fall": lost} if lost is not None else {}),
        )

    def _is_lost(self, trace: Trace, samples: float, lost: float) -> bool:
        """Whether the loss has risen far; or, in the time it had, rises, or with long steps does not come down."""
        if lost < -self.rise:
            return True
        if not is_over(trace) and trace.step < self.settled:
            return False
        if not self._is_long(trace, samples):
            return lost < -self.least_fall
        # Where the first steps throw the loss up, a fall from there is none: where it began is what counts.
        losses = trace.series(LOSS).values
        return lost < self.least_fall or median(losses[-10:]) > (1 - self.least_fall) * min(losses[:3])

    def _is_long(self, trace: Trace, samples: float) -> bool:
        """Whether plain steps with this rate are long for a mean, too."""
        optimizers = tables(trace.facts.get("optimizer"))
        groups = tables(optimizers[0].get("groups")) if len(optimizers) == 1 else []
        if not groups or optimizers[0].get("class") != "SGD":
            return False
        rate, momentum = number(groups[0].get("lr")) or 0.0, number(groups[0].get("momentum")) or 0.0
        return rate * samples > self.max_rate * max(1e-3, 1 - momentum)

    def _jumps(self, trace: Trace, samples: float) -> float | None:
        """How far the later losses jump above their median, with long plain steps; None where they do not."""
        late = trace.series(LOSS).values[len(trace.series(LOSS)) // 2 :]
        level = median(late)
        if not self._is_long(trace, samples) or level <= 0 or max(late) <= self.jump * level:
            return None
        return min(max(late) / level, 1e300)


def _takes_plain_steps(trace: Trace) -> bool:
    """Whether the length of a step is that of the gradient: true of SGD, and of loops without an optimizer."""
    classes = {text(one.get("class")) for one in tables(trace.facts.get("optimizer"))}
    return not classes or bool(classes & {"SGD", "ASGD"})
