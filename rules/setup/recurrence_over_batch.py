"""A layer for sequences that runs along the samples of the batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ..engine import Finding, Json, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.profiles import EVERY
from ..engine.tables import losses_of, shape, table, text

_ATTENTION = "MultiheadAttention"


class RecurrenceOverBatch(Rule):
    """A recurrent layer, or attention, takes the samples of the batch for the steps of a sequence.

    These layers of torch want (time, batch, features) unless `batch_first=True`. Given (batch, time, features) they
    raise nothing: each step is a batch of its own, whose samples are read one after the other.

    ## Why it matters
    No step of a sample is ever brought together with another one of its own. What the layer carries on is the state of
    the samples before, which tells nothing; of `out[:, -1]` only the last step of each sample is left.

    ## What to try
    - Set `batch_first=True` in the layer.
    - Or give it `x.transpose(0, 1)`, and take `out[-1]`.

    ## When it is wrong
    Attention between samples can be meant: where other attention of the model has `batch_first=True` it is taken for
    that. What is reported has one row of outputs and of targets for each of the first dimension, and none for the
    second one, as samples have. Data in order of time with a target for each step is not reported, nor are sequences
    of one step, and those of as many steps as there are samples.

    ## References
    - PyTorch documentation: `LSTM` and `MultiheadAttention`, on `batch_first`, which is False by default.
    """

    phases = (Phase.EPOCH, Phase.RUN)
    severity = Severity.ERROR
    level = Level.LOGIC
    needs_facts = ("model", "loss")
    waits_for_warmup = False
    profiles = EVERY
    explains = (
        Level.DYNAMICS, Level.OUTCOME, "unlearnable-labels", "learning-rate-too-high", "learning-rate-too-low",
        "padding-dominates", "suspiciously-good", "train-eval-preprocessing-mismatch",
    )  # fmt: skip

    healthy = {
        "facts": {
            "model": {"": {"sequences": {"lstm": {"class": "LSTM", "batch_first": True, "output": [40, 24, 32]}}}},
            "loss": {"function": "cross_entropy", "outputs_shape": [40, 4], "targets_shape": [40]},
        }
    }
    faulty = {
        "facts": {
            "model": {"": {"sequences": {"lstm": {"class": "LSTM", "batch_first": False, "output": [40, 24, 32]}}}},
            "loss": {"function": "cross_entropy", "outputs_shape": [40, 4], "targets_shape": [40]},
        }
    }

    def check(self, trace: Trace) -> Iterator[Finding]:
        layers = [
            (name, table(one))
            for model in table(trace.facts.get("model")).values()
            for name, one in table(table(model).get("sequences")).items()
        ]
        if not layers:
            raise NotApplicable("no recurrent layer or attention of torch was seen")
        losses = losses_of(trace)
        if not losses or not all(shape(one.get("outputs_shape")) for one in losses):
            raise NotApplicable("the shape of what the loss compares is not known")
        given = [
            shape(table(one).get("shape"))[:2]
            for name, one in table(trace.facts.get("inputs")).items()
            if "." not in name
        ]
        # Attention along each of the two in turn is meant, as transformers of tables have it.
        is_meant = any(about.get("class") == _ATTENTION and about.get("batch_first") is True for _, about in layers)
        found = [
            (name, about)
            for name, about in layers
            if _runs_over_samples(about, losses, given) and not (is_meant and about.get("class") == _ATTENTION)
        ]
        if not found:
            return
        name, about = found[0]
        samples, steps = shape(about.get("output"))[:2]
        yield Finding(
            subject=name,
            message=f"{name} ({text(about.get('class'))}) runs along the {samples} samples of the batch, for each of "
            f"their {steps} steps by itself: batch_first is False, and samples come first; {steps} steps of {samples} "
            "samples expected",
            advice=(
                "Set batch_first=True in the layer.",
                "Or give it x.transpose(0, 1), and take its last output with out[-1].",
            ),
            evidence={"samples": float(samples), "steps": float(steps), "layers": len(found)},
        )


def _runs_over_samples(about: Mapping[str, Json], losses: list[Mapping[str, Json]], given: list[list[int]]) -> bool:
    """Whether the first dimension of a layer's output, that of time, is that of the samples in every loss."""
    output = shape(about.get("output"))
    if about.get("batch_first") is not False or len(output) != 3:
        return False
    first, second = output[:2]
    if min(first, second) < 2:
        return False
    # Rows of images as long as the batch, one behind the other: what the model was given tells them from samples.
    if [first, second] not in given and second % first == 0:
        return False
    for loss in losses:
        outputs, targets = shape(loss.get("outputs_shape")), shape(loss.get("targets_shape"))
        if len(outputs) > 2 or outputs[0] != first or second in outputs:
            return False
        if targets and (len(targets) > 2 or targets[0] != first or second in targets):
            return False
    return True
