"""Judges how much of a gradient is zero."""

from collections.abc import Iterator

from pydantic import Field, PositiveInt

from tracker.rules import Finding, Level, Phase, Rule, Severity, Trace

from .signals import ZEROS


class SparseGradient(Rule):
    """Nearly all elements of a weight's gradient are exactly zero, step after step.

    ## Why it matters
    What has no gradient is not trained: most of the layer stays as it was initialised.

    ## What to try
    - Look at the activation behind the layer: units of a ReLU that never fire let no gradient through.
    - Lower the learning rate that killed them, or use a leaky activation.

    ## When it is wrong
    An embedding gets gradients for the tokens of the batch only, and a mixture of experts for those that were chosen.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.INFO
    level = Level.DYNAMICS
    needs = (ZEROS,)
    history = 10

    quantile: float = Field(0.9, gt=0, lt=1)
    """Share of zeros from which on a gradient counts as sparse; batches of thirty leave fewer in a healthy layer."""

    window: PositiveInt = 10
    """Latest steps that must all be so."""

    healthy = {"sparse_gradients/zeros": {"fc1.weight": [0.3, 0.5] * 10, "fc2.weight": [0.0] * 20}}
    faulty = {"sparse_gradients/zeros": {"fc1.weight": [0.97, 0.99] * 10, "fc2.weight": [0.0] * 20}}

    def check(self, trace: Trace) -> Iterator[Finding]:
        for subject, zeros in trace.by_subject(ZEROS, self.history).items():
            least = min(zeros.last(self.window))
            if least > self.quantile:
                yield Finding(
                    subject=subject,
                    message=f"{least:.0%} of the gradient or more is exactly 0 in the last {self.window} looks; "
                    f"at most {self.quantile:.0%} was expected",
                    advice=("Look for units that never fire behind this layer.", "Lower the learning rate."),
                    evidence={"zeros": least, "quantile": self.quantile},
                )
