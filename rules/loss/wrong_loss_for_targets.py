"""A loss function of another task than the targets are of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import Field, PositiveInt

from ..engine import Finding, Json, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.tables import losses_of, number, shape, table, targets_of, text

_DISTANCES = frozenset({"mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"})


class WrongLossForTargets(Rule):
    """The loss function answers another question than the targets ask.

    ## Why it matters
    Cross entropy over a single output is always 0: nothing is trained. Over rows with several labels set it makes them
    compete, though each may hold. A squared error on class numbers takes class 9 for nearer to 8 than to 0, and the
    model answers averages between classes. A focal loss with its factor on the wrong term is least, too, where the
    right class gets no probability at all.

    ## What to try
    - One output and two classes: `binary_cross_entropy_with_logits`.
    - Several labels at once: `binary_cross_entropy_with_logits` on each column.
    - Class numbers: as many outputs as classes, and `cross_entropy`.
    - Focal loss: `(1 - p) ** gamma * -log(p)`, p being the probability of the right class.

    ## When it is wrong
    Ratings, counts and other ordered numbers are regressed with good reason: a distance is only reported where the
    numbers are as evenly spread as classes are, most of all where they were integers ahead of the loss. Two
    classes, and one-hot targets with a squared error or a binary loss, are legitimate.

    ## References
    - Lin et al. 2017, Focal Loss for Dense Object Detection, equation 4.
    - AUTOTRAINER (Zhang et al. 2021), DEFault (2025) and NeuraLint (Nikanjam et al. 2022) list the mismatch of loss and
      task among the commonest faults of training scripts.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.ERROR
    level = Level.LOGIC
    needs_facts = ("loss",)
    waits_for_warmup = False
    profiles = Rule.profiles | {"contrastive"}
    explains = (Level.DYNAMICS, Level.OUTCOME, "initial-loss", "step-does-nothing", Severity.FATAL)

    min_labels: PositiveInt = 100
    """Labels seen before class numbers under a distance are judged."""

    max_classes: PositiveInt = 50
    """More different whole numbers than these are counts, or years."""

    min_each: PositiveInt = 10
    """Labels of each class needed to tell from their frequencies that they are classes."""

    balance: float = Field(3.0, gt=1)
    """How many times as frequent as the rarest class the most frequent one is, at most: amounts thin out."""

    strict_balance: float = Field(2.0, gt=1)
    """The same where the numbers are not at hand as integers."""

    most_labels: float = Field(1.5, gt=1)
    """Sum of a row of whole-number targets from which on several labels are set."""

    healthy = {"facts": {"loss": {"function": "cross_entropy", "n_classes": 10, "outputs_shape": [32, 10]}}}
    faulty = {"facts": {"loss": {"function": "cross_entropy", "n_classes": 1, "outputs_shape": [32, 1]}}}

    def check(self, trace: Trace) -> Iterator[Finding]:
        power = number(table(trace.facts.get("graph")).get("upended"))
        if power is not None and power > 0:
            yield _upended(power)
            return
        losses = losses_of(trace)
        if all(text(loss.get("function")) in ("", "unknown") for loss in losses):
            raise NotApplicable("no loss function was recognised")
        for loss in losses:
            targets = targets_of(trace, text(loss.get("function")))
            found = _one_output(loss) or self._several_labels(loss, targets) or self._numbers(loss, targets)
            if found is not None:
                yield found
                return

    def _several_labels(self, loss: Mapping[str, Json], targets: Mapping[str, Json]) -> Finding | None:
        high = number(targets.get("row_high"))
        if loss.get("function") != "cross_entropy" or targets.get("whole") is not True or high is None:
            return None
        if high < self.most_labels or targets.get("values") != [0.0, 1.0]:
            return None
        return Finding(
            message=f"cross_entropy has targets with up to {high:.0f} labels of a sample set; 1 is expected",
            advice=("Use binary_cross_entropy_with_logits: each column is a question of its own.",),
            evidence={"labels": high, "expected": 1.0},
        )

    def _numbers(self, loss: Mapping[str, Json], targets: Mapping[str, Json]) -> Finding | None:
        function, values = text(loss.get("function")), targets.get("values")
        seen, outputs = number(targets.get("samples")), shape(targets.get("outputs"))
        if function not in _DISTANCES or targets.get("whole") is not True or not isinstance(values, list):
            return None
        labels = [one for value in values if (one := number(value)) is not None]
        is_counted = len(labels) > 2 and labels[0] in (0, 1) and labels == [labels[0] + i for i in range(len(labels))]
        is_single = len(outputs) == 1 or (len(outputs) == 2 and outputs[1] == 1)
        if not is_counted or not is_single or len(labels) > self.max_classes or (seen or 0) < self.min_labels:
            return None
        if not self._look_like_classes(labels, targets.get("counts"), were_integers=targets.get("labels") is True):
            return None
        return Finding(
            message=f"{function} on {len(labels)} class labels, {labels[0]:.0f} to {labels[-1]:.0f}, with 1 output; "
            f"cross_entropy with {len(labels)} outputs is expected",
            advice=(
                f"Give the model {len(labels)} outputs, and use cross_entropy with the labels as whole numbers.",
                "Keep the distance only if the numbers are amounts.",
            ),
            evidence={"classes": float(len(labels)), "outputs": 1.0},
        )

    def _look_like_classes(self, labels: list[float], counts: object, were_integers: bool) -> bool:
        """Whether whole numbers are about equally frequent, as classes are, and amounts are not."""
        if not isinstance(counts, list) or len(counts) != len(labels) or (labels[0] != 0 and not were_integers):
            return False
        balance = self.balance if were_integers else self.strict_balance
        numbers = [one for count in counts if (one := number(count)) is not None]
        return len(numbers) == len(labels) and min(numbers) >= self.min_each and max(numbers) < balance * min(numbers)


def _one_output(loss: Mapping[str, Json]) -> Finding | None:
    sizes = shape(loss.get("outputs_shape"))
    if loss.get("function") not in ("cross_entropy", "nll_loss") or loss.get("n_classes") != 1 or len(sizes) < 2:
        return None
    return Finding(
        message="cross_entropy over 1 output is 0 whatever the model says; 2 outputs or more are expected",
        advice=(
            "Use binary_cross_entropy_with_logits with one output and targets of 0 and 1.",
            "Or give the model one output for each class.",
        ),
        evidence={"outputs": 1.0, "expected": 2.0},
    )


def _upended(power: float) -> Finding:
    return Finding(
        message=f"the loss weighs each sample by p ** {power:g}, p being the probability of its right class; "
        f"(1 - p) ** {power:g} is expected: as it is, the loss is also 0 where p is 0",
        advice=("Weigh by (1 - p) ** gamma, so that samples that are known well weigh least.",),
        evidence={"power": power},
    )
