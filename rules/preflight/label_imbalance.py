"""Classes of which one is far rarer than another."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field, PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.tables import number, table, texts


class LabelImbalance(Rule):
    """Some class has less than a tenth of the labels of another, and neither weights nor a sampler make up for it.

    ## Why it matters
    The loss is a mean over samples: a class of 1 % moves it by 1 %, and the model may never answer it.

    ## What to try
    - Watch recall per class instead of accuracy.
    - Give the loss class weights of one over the class's share, or sample classes evenly.
    - Start the last layer's bias at the logarithm of the class shares.

    ## When it is wrong
    Where calibrated probabilities are wanted the natural shares are right, and many models learn rare classes anyway.
    Hence this is a remark only.

    ## References
    - SageMaker Debugger, ClassImbalance: largest over smallest count above 10, from 500 labels on.
    """

    phases = (Phase.PREFLIGHT,)
    severity = Severity.INFO
    level = Level.SETTING
    needs_facts = ("drill/data-at-the-door",)
    waits_for_warmup = False

    max_ratio: float = Field(10.0, gt=1)
    """Labels of the most frequent class for each label of the rarest."""

    min_labels: PositiveInt = 500
    """Labels that must have been drawn; and on average fifty for each class, as small counts differ by chance."""

    healthy = {"facts": {"drill/data-at-the-door": {"splits": {"train": {"counts": {"0": 600, "1": 400}}}}}}
    faulty = {"facts": {"drill/data-at-the-door": {"splits": {"train": {"counts": {"0": 980, "1": 20}}}}}}

    def check(self, trace: Trace) -> Iterator[Finding]:
        told = table(trace.facts.get("drill/data-at-the-door"))
        train = table(table(told.get("splits")).get("train"))
        spread = table(table(told.get("order")).get("spread"))
        counts = {label: n for label, count in table(train.get("counts")).items() if (n := number(count)) and n > 0}
        total = sum(counts.values())
        if len(counts) < 2 or total < max(self.min_labels, 50 * len(counts)):
            raise NotApplicable(f"{total:.0f} labels of {len(counts)} classes were drawn; not enough to compare")
        if spread:
            raise NotApplicable("the loader does not shuffle: its first samples need not be like the others")
        weighted = table(told.get("labels")).get("weighted") is True
        if weighted or any("Weighted" in kind for kind in texts(train.get("samplers"))):
            return
        rarest, commonest = min(counts, key=counts.__getitem__), max(counts, key=counts.__getitem__)
        ratio = counts[commonest] / counts[rarest]
        if ratio > self.max_ratio:
            yield Finding(
                subject=rarest,
                message=f"class {rarest} has {counts[rarest]:.0f} of {total:.0f} labels, class {commonest} has "
                f"{counts[commonest]:.0f}: {ratio:.3g} to 1; at most {self.max_ratio:g} to 1 is expected",
                advice=(
                    "Watch recall per class instead of accuracy.",
                    "Give the loss class weights of one over the class's share, or sample classes evenly.",
                ),
                evidence={"ratio": ratio, "labels": total},
            )
