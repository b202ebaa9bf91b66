"""A held-out loss far below the training loss."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field, PositiveInt

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.signals import EPOCH_LOSS, VAL_LOSS
from ..engine.tables import number, table, tables


class ValidationBetterThanTraining(Rule):
    """To the end, the held-out loss is less than half the training loss, and no dropout explains it.

    ## Why it matters
    Held-out data that is easier than the training data, or was trained on, gives scores that mean nothing.

    ## What to try
    - Look for shared samples, and for classes or lengths that are missing in the held-out data.
    - Evaluate the training data the same way once, and compare.
    - Check that both losses are means over samples.

    ## When it is wrong
    Dropout, augmentation, label smoothing, added penalties, and the mean over an epoch in which the loss fell fast all
    raise the training loss alone. Hence this is a remark only.

    ## References
    - UMLAUT: validation accuracy above training accuracy by 0.05 after 3 epochs.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.INFO
    level = Level.OUTCOME
    needs = (VAL_LOSS, EPOCH_LOSS)
    bars = {"val_loss": VAL_LOSS, "train_loss": EPOCH_LOSS}
    profiles = frozenset({"supervised", "regression", "unknown"})

    ratio: float = Field(0.5, gt=0, lt=1)
    """Held-out loss over training loss."""

    patience: PositiveInt = 3
    """Latest evaluations that must all show it."""

    healthy = {"loss/val": [0.9, 0.7, 0.5, 0.45, 0.44], "loss/epoch": [1.0, 0.8, 0.55, 0.46, 0.44]}
    faulty = {"loss/val": [0.9, 0.3, 0.2, 0.15, 0.14], "loss/epoch": [1.0, 0.8, 0.55, 0.46, 0.44]}

    def check(self, trace: Trace) -> Iterator[Finding]:
        held_out, training = trace.series(VAL_LOSS).last(self.patience), trace.series(EPOCH_LOSS).last(self.patience)
        if len(held_out) < self.patience or len(training) < self.patience:
            raise NotApplicable(f"{self.patience} evaluations and epochs are needed")
        models = [table(about) for about in table(trace.facts.get("model")).values()]
        if sum(number(about.get("dropout")) or 0.0 for about in models):
            raise NotApplicable("dropout raises the training loss")
        losses = tables(trace.facts.get("loss"))
        if any(loss.get("label_smoothing") or (number(loss.get("terms")) or 1.0) > 1 for loss in losses):
            raise NotApplicable("smoothing or further terms raise the training loss")
        if any(value >= self.ratio * other for value, other in zip(held_out, training, strict=True)):
            return
        if min(training) <= 0:
            return
        yield Finding(
            message=f"held-out loss {held_out[-1]:.4g}, training loss {training[-1]:.4g}, for {self.patience} epochs; "
            f"a held-out loss above {self.ratio:g} of it is expected",
            advice=(
                "Look for shared samples, and for what is missing in the held-out data.",
                "Evaluate the training data the same way once, and compare.",
            ),
            evidence={"val_loss": held_out[-1], "train_loss": training[-1]},
        )
