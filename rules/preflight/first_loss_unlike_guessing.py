"""A first loss far above what guessing gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import Field

from ..engine import Finding, Json, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.tables import number, table, tables, text


class FirstLossUnlikeGuessing(Rule):
    """The loss of the untouched model is far above that of an answer that knows nothing.

    For classes that is the same probability for each: ln 10 = 2.303 for ten, ln 2 = 0.693 for two, computed by the loss
    function itself from the labels of the batch, with its weights, smoothing and reduction. For a regression it is the
    larger of three: 0 for each target, the mean target (the variance of the targets), and an error of 1.

    ## Why it matters
    A new model should not prefer any answer. One that starts far above guessing is confidently wrong before it has seen
    anything: its first epochs, and its largest gradients, go into unlearning that.

    ## What to try
    - Bring the inputs to mean 0 and standard deviation 1.
    - Make the last layer's initial weights smaller; check any initialisation written by hand.
    - Check that the labels fit the outputs in order and number.

    ## When it is wrong
    Lower than guessing is right for a model that was trained before, so it is never reported. A trained model on
    another task may start high and recover within steps, as may embeddings of unit size that are the last layer, too.

    ## References
    - Karpathy 2019, A Recipe for Training Neural Networks, "verify loss @ init"; CS231n notes: 2.302 for 10 classes.
    - TheDeepChecker (Braiek & Khomh 2022) fires from 2.0 times ln C on, an error of 1.0 times.
    """

    phases = (Phase.PREFLIGHT,)
    severity = Severity.WARNING
    level = Level.SETTING
    needs_facts = ("drill/initial-loss",)
    waits_for_warmup = False
    profiles = Rule.profiles | {"autoencoder"}

    factor: float = Field(3.0, gt=1)
    """How many times the loss of guessing a class the first may be. Healthy classifiers of the corpus that were looked
    at start at 1.13 times at most, one with pictures of 0 to 255 at 3.9 times; the number between is ours."""

    max_factor: float = Field(10.0, gt=1)
    """The same for a regression: outputs three times as large as the targets, or as 1."""

    healthy = {
        "facts": {
            "drill/initial-loss": {
                "loss": 2.4,
                "in_loop": 2.5,
                "terms": [{"name": "cross_entropy", "value": 2.4, "factor": 1.0, "uniform": 2.303, "n_classes": 10}],
            }
        }
    }
    faulty = {
        "facts": {
            "drill/initial-loss": {
                "loss": 56.1,
                "in_loop": 55.0,
                "terms": [{"name": "cross_entropy", "value": 56.1, "factor": 1.0, "uniform": 2.303, "n_classes": 10}],
            }
        }
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        told = table(trace.facts.get("drill/initial-loss"))
        terms = tables(told.get("terms"))
        in_loop = number(told.get("in_loop"))
        judged = 0
        for term in terms:
            value, (expected, words, bar) = number(term.get("value")), self._expected(term)
            if value is None or expected is None or expected <= 0:
                continue
            judged += 1
            # The loop's own loss is what counts: a loss that was made again from the output is what it is taken for.
            seen = value if in_loop is None or len(terms) > 1 else min(value, in_loop)
            if seen <= bar * expected:
                continue
            yield Finding(
                subject=text(term.get("name")) if len(terms) > 1 else "",
                message=f"first loss {seen:.4g}; {words} {expected:.4g}, at most {bar:g} times that is expected",
                advice=(
                    "Bring the inputs to mean 0 and standard deviation 1.",
                    "Make the initial weights of the last layer smaller; check an initialisation written by hand.",
                    "Check that the targets fit the outputs in order and scale.",
                ),
                evidence={"loss": seen, "expected": expected, "factor": bar},
            )
        if not judged:
            raise NotApplicable("the loss is not one whose first value is known")

    def _expected(self, term: Mapping[str, Json]) -> tuple[float | None, str, float]:
        """The loss of guessing, how it is said, and how many times it the first loss may be."""
        uniform = number(term.get("uniform"))
        if uniform is not None:
            classes = number(term.get("n_classes"))
            among = f" among {classes:.0f} classes" if classes is not None and classes > 1 else ""
            return uniform, f"guessing{among} gives", self.factor
        known = [one for key in ("zero", "mean", "unit") if (one := number(term.get(key))) is not None]
        if len(known) < 3:
            return None, "", self.max_factor
        return max(known), "the best known of a constant answer, or an error of 1, gives", self.max_factor
