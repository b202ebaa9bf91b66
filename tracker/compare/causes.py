"""Where in a training two runs part, and what usually does that.

A step has four parts: its batch, its loss, its gradients, and the weights behind it. Whatever differs first, while all
before it is equal, tells what kind of thing is to be looked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from .prints import BATCH, GRADIENT, LOSS, WEIGHTS, PrintComparison, PrintDifference
from .streams import OBSERVED, Comparison, Ledger

Where = Literal[
    "initialisation", "first step", "data order", "data content", "forward", "first update", "epoch boundary",
    "evaluation", "drift",
]  # fmt: skip

_LOSS, _RATE = OBSERVED + "loss", OBSERVED + "lr"
_KERNELS = "kernels, number of threads or precision"


@dataclass(frozen=True)
class Cause:
    """Where in a training two runs part, and what usually does that."""

    where: Where
    likely: str
    evidence: str = ""
    """The first thing that differs, and what was still equal: `batch of step 0: targets equal, inputs differ`."""


def why(
    original: Ledger,
    comparison: Comparison,
    before: Mapping[str, str],
    after: Mapping[str, str],
    *,
    data_same: bool | None = None,
) -> Cause | None:
    """Classifies where two runs part; None when nothing differs.

    `before` and `after` are digests of the weights of both runs (`start`, `end`), for runs without fingerprints.
    `data_same` says whether both read the same data files, as far as that is known.
    """
    prints = comparison.prints
    if _starts_differ(prints, before, after):
        likely = "the first weights differ: another seed, or the model is built differently"
        return Cause("initialisation", likely, "first weights differ")
    first = comparison.first_difference
    found = _first_of_training(comparison)
    if found is None:
        return None if first is None else _beside_the_training(original, comparison)
    data = _data(comparison, found, data_same)
    if data is not None:
        return _at_boundary(original, prints, data)
    return _of_computation(original, comparison, found)


def _starts_differ(prints: PrintComparison, before: Mapping[str, str], after: Mapping[str, str]) -> bool:
    told = prints.starts_differ
    if told is not None:
        return told
    return bool(before.get("start") and after.get("start") and before["start"] != after["start"])


def _first_of_training(comparison: Comparison) -> PrintDifference | None:
    """The first loss, gradient or state that differs: the training itself, not what is said of it."""
    # Of batches alone nothing follows: what a model does not use may differ in each of them.
    found = [one for one in comparison.prints.differences if one.part >= GRADIENT]
    loss = comparison.firsts.get(_LOSS)
    if loss is not None:
        found.append(PrintDifference(loss.moment, LOSS, f"loss of step {loss.moment}: {loss.size}"))
    return min(found, default=None)


def _beside_the_training(original: Ledger, comparison: Comparison) -> Cause:
    """Nothing of the training is known to differ: a number that was said of it does."""
    first = comparison.first_difference
    assert first is not None
    evidence = f"{first.metric} of step {first.step}: {first.size}"
    if not first.metric.startswith(OBSERVED) and _LOSS in comparison.metrics:
        likely = "the training is equal: evaluation data, its order, or a model left in train mode"
        return Cause("evaluation", likely, evidence)
    return _by_moment(original, first.moment, evidence)


def _by_moment(original: Ledger, moment: int, evidence: str) -> Cause:
    """What the step alone tells, where there are no fingerprints of what is in it."""
    steps = list(dict.fromkeys(original.steps))
    if steps and moment == steps[0]:
        return Cause("first step", "initial weights, the first batch, or a seed that was not restored", evidence)
    if len(steps) > 1 and moment == steps[1]:
        return Cause("first update", f"{_KERNELS}: the first step was equal, its update not", evidence)
    if moment in original.epoch_starts:
        likely = "the shuffle of this epoch, or the random numbers of data-loader workers"
        return Cause("epoch boundary", likely, evidence)
    return Cause("drift", "a nondeterministic kernel, or anything that depends on time", evidence)


# -- data --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Data:
    """A difference of the data that explains the first difference of the training."""

    where: Literal["data order", "data content"]
    likely: str
    step: int
    evidence: str


def _data(comparison: Comparison, found: PrintDifference, data_same: bool | None) -> _Data | None:
    """The difference of the data that lies behind the first difference of the training, if one does."""
    prints = comparison.prints
    step = found.step if found.part < WEIGHTS else max(0, found.step)
    same_content = prints.same_content if prints.same_content is not None else data_same
    known = prints.same_batch(step)
    if known is None and found.part == LOSS:
        # Between two steps of the schedule: batches do not depend on the weights, so that the next one tells as well.
        later = next((one for one in prints.differences if one.part == BATCH and one.step > step), None)
        following = min((at for at in prints.a.batches if at > step and at in prints.b.batches), default=None)
        if later is not None and later.step == following:
            return _classified(prints, later, same_content, found)
        if same_content is False:
            likely = "the data differ, and no batch that was digested has what differs"
            return _Data("data content", likely, step, f"the data differ; {found.evidence}")
    if known is not False:
        return None
    at = PrintDifference(step, BATCH, f"batch of step {step}: {prints.words_of(step)}")
    return _classified(prints, at, same_content, found)


def _classified(
    prints: PrintComparison, at: PrintDifference, same_content: bool | None, found: PrintDifference
) -> _Data:
    evidence = at.evidence if at.step <= found.step else f"{at.evidence}; {found.evidence}"
    pairs = list(zip(prints.a.batches[at.step], prints.b.batches[at.step], strict=False))
    x, y = next(((x, y) for x, y in pairs if x[:3] != y[:3]), pairs[0])
    if x.samples is not None and x.samples == y.samples and x.inputs != y.inputs:
        return _Data("data order", "the same samples come in another order within the batch", at.step, evidence)
    if x.inputs == y.inputs and x.inputs is not None:
        return _Data("data content", "the inputs are equal and their targets are not", at.step, evidence)
    if same_content is False:
        return _Data("data content", "the data themselves differ", at.step, evidence)
    if x.targets is not None and x.targets == y.targets:
        likely = "the same samples with other values: preprocessing, or random augmentation"
        return _Data("data content", likely, at.step, evidence)
    if not prints.same_selection:
        likely = "other rows of the same data were chosen to train on: the split, or its seed"
        return _Data("data order", likely, at.step, evidence)
    if same_content or _is_elsewhere(prints, x.samples) or _is_elsewhere(prints, y.samples):
        return _Data(
            "data order", "the same data in another order: the shuffle, its seed, or a sampler", at.step, evidence
        )
    return _Data(
        "data order", "another order of the samples, or other data: they are not identified", at.step, evidence
    )


def _is_elsewhere(prints: PrintComparison, samples: str | None) -> bool:
    """Whether both runs have had a batch of these samples, at whatever step."""
    if samples is None:
        return False
    return all(
        any(one.samples == samples for told in of.batches.values() for one in told) for of in (prints.a, prints.b)
    )


def _at_boundary(original: Ledger, prints: PrintComparison, data: _Data) -> Cause:
    """A new order that begins with a pass over the data, behind passes that were equal, is a matter of the shuffle."""
    first_of_pass = any(batch.is_first for batch in prints.a.batches.get(data.step, ()))
    earlier = any(step < data.step for step in prints.a.batches if prints.same_batch(step))
    if data.where == "data order" and earlier and (first_of_pass or data.step in original.epoch_starts):
        likely = "the shuffle of this pass over the data, or the random numbers of data-loader workers"
        return Cause("epoch boundary", likely, data.evidence)
    if data.likely.startswith("the same samples with other") and earlier and first_of_pass:
        likely = "the random numbers of data-loader workers, or of augmentation, from this pass over the data on"
        return Cause("epoch boundary", likely, data.evidence)
    return Cause(data.where, data.likely, data.evidence)


# -- computation -------------------------------------------------------------------------------------------------------


def _of_computation(original: Ledger, comparison: Comparison, found: PrintDifference) -> Cause:
    """Batches are equal, or not known: what is computed with them differs."""
    prints = comparison.prints
    steps = list(dict.fromkeys(original.steps)) or [0]
    equal = _equal_before(prints, found)
    evidence = f"{found.evidence}{f'; equal: {equal}' if equal else ''}"
    rate = next((one for key, one in comparison.firsts.items() if key.startswith(_RATE)), None)
    is_rate = rate is not None and rate.moment <= found.step
    if found.part == LOSS:
        if prints.same_batch(found.step) and prints.same_weights(found.step):
            likely = f"the same weights and the same batch have another loss: {_KERNELS}, or random numbers of dropout"
            return Cause("forward", likely, evidence)
        if is_rate and found.step == (steps[1] if len(steps) > 1 else None):
            return Cause("first update", "the learning rate differs", evidence)
        return _by_moment(original, found.step, evidence)
    if found.part == GRADIENT:
        if found.step <= steps[0]:
            likely = f"backward: the first loss is equal and its gradient is not: {_KERNELS}"
            return Cause("first update", likely, evidence)
        likely = "a nondeterministic kernel in backward: batch and loss of the step are equal, its gradient is not"
        return Cause("drift", likely, evidence)
    if found.step <= steps[0]:
        likely = "the learning rate differs" if is_rate else f"update: the optimizer, its settings, {_KERNELS}"
        return Cause("first update", f"{likely}; the first gradient is equal", evidence)
    if found.part > WEIGHTS + 2 and prints.same_weights(found.step + 1):
        likely = "the weights are equal behind the last step: evaluation, averaging, or a model left in train mode"
        return Cause("evaluation", likely, evidence)
    likely = "the learning rate differs" if is_rate else "an optimizer's kernel, or anything that depends on time"
    return Cause("drift", likely, evidence)


def _equal_before(prints: PrintComparison, found: PrintDifference) -> str:
    """What of the same step is known to be equal."""
    same: list[str] = []
    step = max(0, found.step)
    if prints.same_weights(step):
        same.append("weights before it")
    if prints.same_batch(step):
        same.append("batch")
    if found.part > GRADIENT and prints.same_gradient(step):
        same.append("gradient norm")
    return ", ".join(same)
