"""Inputs with NaNs or infinities."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from ..engine import Finding, Level, NotApplicable, Phase, Rule, Severity, Trace
from ..engine.profiles import EVERY
from ..engine.signals import INPUT_NONFINITE, LOSS, VAL_LOSS

_TAKES_DATA = frozenset({
    "addmm", "mm", "linear", "mkldnnlinear", "convolution", "nativebatchnorm", "nativelayernorm", "mkldnnrnnlayer",
    "mseloss", "smoothl1loss", "huberloss", "binarycrossentropy", "binarycrossentropywithlogits",
})  # fmt: skip
"""Operations whose data is that of a batch; others may be given infinities on purpose, as masks of attention are."""

_ADVICE = (
    "Count NaNs and infinities in the raw data; fill or drop them before training.",
    "Look for a division by 0 in the preprocessing: a column without spread, an empty sample.",
)


class NonfiniteInput(Rule):
    """The model is given NaNs or infinities, and its loss is no number any more.

    ## Why it matters
    One NaN in one sample makes the loss of its batch NaN, then every gradient, then every weight.

    ## What to try
    - Count the NaNs and infinities in the raw data, and fill or drop them before training.
    - Look at what is computed from it: a division by a standard deviation of 0, a logarithm of 0.

    ## When it is wrong
    A model may mark what is missing with NaN and mask it: while the loss stays finite nothing is reported. Inputs that
    are made by a model that has diverged already are its consequence: they have to be there before the loss breaks, or
    in some batches only.

    ## References
    - UMLAUT, "NaN in input": reported only together with a NaN loss, as here.
    - SageMaker Debugger, NLP and image input checks; deepchecks, mixed nulls.
    """

    phases = (Phase.STEP, Phase.EPOCH, Phase.RUN)
    severity = Severity.ERROR
    level = Level.SETTING
    waits_for_warmup = False
    profiles = EVERY
    explains = (Level.DYNAMICS, Level.OUTCOME, "learning-rate-too-high", "constant-input", Severity.FATAL)

    tolerance: float = Field(0.9, gt=0, le=1)
    """Share of the batches behind the first bad loss, above which bad inputs may be that loss's own doing."""

    healthy = {"input/nonfinite": {"train/x": [0.0] * 5}, "loss": [0.9, 0.8, 0.7, 0.6, 0.5]}
    faulty = {"input/nonfinite": {"train/x": [0.0, 0.0, 3.0, 0.0]}, "loss": [0.9, 0.8, float("nan"), float("nan")]}

    def check(self, trace: Trace) -> Iterator[Finding]:
        broken = _broken_at(trace)
        seen = False
        for subject, series in trace.by_subject(INPUT_NONFINITE).items():
            pairs = list(zip(series.steps, series.values, strict=True))
            bad = [(step, value) for step, value in pairs if value > 0]
            seen = seen or any(value == 0 for _, value in pairs) or bool(bad)
            if not bad or broken is None:
                continue
            step, count = bad[0]
            behind = [value > 0 for at, value in pairs if at >= broken]
            if step > broken and sum(behind) > self.tolerance * len(behind):
                continue
            yield Finding(
                subject=subject,
                message=f"input {subject} had {_count(count)} values that are not finite at step {step}, in {len(bad)} "
                f"of {len(pairs)} batches looked at; 0 expected, and the loss is not finite from step {broken} on",
                advice=_ADVICE,
                evidence={"values": _count(count), "batches": len(bad), "looked_at": len(pairs)},
                step=step,
            )
        yield from self._by_origin(trace, broken)
        if not seen and broken is None:
            raise NotApplicable("no count of values that are not finite is known")

    def _by_origin(self, trace: Trace, broken: int | None) -> Iterator[Finding]:
        """What was found in the graph of the first bad loss: its batch need not have been looked at otherwise."""
        first = next(iter(trace.events("nonfinite_origin")), None)
        op = str(first.data.get("op")) if first is not None else ""
        if first is None or broken is None or first.data.get("kind") != "input" or op.lower() not in _TAKES_DATA:
            return
        what = "targets" if op.lower().endswith(("loss", "logits", "entropy")) else "inputs"
        is_clean = first.data.get("data_finite") is True or (what == "inputs" and _was_finite(trace, first.step))
        if is_clean:
            return  # what the model made of it ahead of its first layer, a scaling of its own say, was not
        indices = first.data.get("batch_indices")
        batch = f"; samples {indices[:8]} of the data set" if isinstance(indices, list) and indices else ""
        yield Finding(
            subject="batch",
            message=f"{what} of the batch at step {first.step} are not finite where {op} takes them, nor is the loss "
            f"from step {broken} on{batch}",
            advice=_ADVICE,
            evidence={"step": first.step},
            step=first.step,
        )


def _count(value: float) -> int:
    return int(min(value, 1e18))


def _was_finite(trace: Trace, step: int) -> bool:
    """Whether all inputs of the model were measured at that step, and were finite."""
    counts = [
        value
        for subject, series in trace.by_subject(INPUT_NONFINITE).items()
        if subject.startswith("train/")
        for at, value in zip(series.steps, series.values, strict=True)
        if at == step
    ]
    return bool(counts) and max(counts) == 0


def _broken_at(trace: Trace) -> int | None:
    """The first step at which a loss was not finite; None while all are."""
    steps = [bad[1] for signal in (LOSS, VAL_LOSS) if (bad := trace.nonfinite(signal)) is not None]
    return min(steps, default=None)
