"""Labels that are all the same."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.labels import class_counts, is_classification, n_classes
from ..engine.progress import is_over
from ..engine.signals import CLASS_COUNT
from ..engine.tables import losses_of, number, table, targets_of, text

_REGRESSING = ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss")


class ConstantLabels(Rule):
    """All labels, or all targets, of the training are one and the same.

    ## Why it matters
    The loss falls to 0 while the model learns to give one answer, whatever it is shown.

    ## What to try
    - Print the labels of a batch where they are read: a comparison, a cast or a wrong column may make them equal.
    - Check the mapping from names to numbers: a name that is not found may become 0.

    ## When it is wrong
    Losses whose targets are made on the spot (a contrastive loss whose right answer is always the first, a residual
    that is to be 0) are not judged: the targets must come from the data.

    ## References
    - TheDeepChecker, label checks; deepchecks, Is Single Value.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.ERROR
    level = Level.SETTING
    waits_for_warmup = False
    explains = (Level.DYNAMICS, Level.OUTCOME)

    min_labels: PositiveInt = 200
    """Labels that must have been counted, all of one class."""

    min_steps: PositiveInt = 5
    """Batches that must have been looked at where targets are quantities."""

    healthy = {
        "class_count": {"0": [300.0, 600.0], "1": [20.0, 40.0]},
        "facts": {"loss": {"function": "cross_entropy", "n_classes": 2}, "evaluation": {"target": "batch 1"}},
    }
    faulty = {
        "class_count": {"0": [320.0, 640.0]},
        "facts": {"loss": {"function": "cross_entropy", "n_classes": 2}, "evaluation": {"target": "batch 1"}},
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        if trace.epoch < 1 and not is_over(trace):
            raise NotApplicable("sorted data begins with one class: judged after two epochs, or at the end")
        source = text(table(trace.facts.get("evaluation")).get("target"))
        if not source.startswith(("batch", "frame")):
            raise NotApplicable("where the targets come from is not known")
        if is_classification(trace):
            yield from self._labels(trace, from_data=source.startswith("batch"))
        else:
            yield from self._quantities(trace, from_data=source.startswith("batch"))

    def _labels(self, trace: Trace, from_data: bool) -> Iterator[Finding]:
        counts = {name: n for name, n in class_counts(trace).items() if n > 0}
        total, n = sum(counts.values()), n_classes(trace)
        if n is None or not trace.by_subject(CLASS_COUNT):
            raise NotApplicable("the labels were not counted")
        if not from_data and n > 100:
            raise NotApplicable("labels made by hand, of many classes, may be meant to be equal")
        if total < self.min_labels:
            raise NotApplicable(f"{total:g} labels were counted; {self.min_labels} are needed")
        if len(counts) > 1:
            return
        label = next(iter(counts))
        yield Finding(
            subject=label,
            message=f"all of {total:.6g} labels are class {label}; the model tells {n} classes apart",
            advice=_ADVICE,
            evidence={"labels": total, "classes": n},
        )

    def _quantities(self, trace: Trace, from_data: bool) -> Iterator[Finding]:
        functions = [text(loss.get("function")) for loss in losses_of(trace)]
        if not from_data or len(functions) != 1 or functions[0] not in _REGRESSING:
            raise NotApplicable("the targets are no labels, nor quantities of the data")
        targets = targets_of(trace, functions[0])
        low, high, steps = (number(targets.get(name)) for name in ("low", "high", "steps"))
        if low is None or high is None or steps is None or steps < self.min_steps:
            raise NotApplicable("the range of the targets is not known")
        if low == high:
            yield Finding(
                message=f"every target is {low:.6g}, in {steps:.0f} batches that were looked at",
                advice=_ADVICE,
                evidence={"target": low, "batches": steps},
            )


_ADVICE = (
    "Print the labels of a batch where they are read: a comparison, a cast or a wrong column may make them equal.",
    "Check the mapping from names to numbers: a name that is not found may become 0.",
)
