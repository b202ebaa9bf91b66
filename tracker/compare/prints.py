"""The fingerprints of two runs beside each other: batches, gradients and weights, at the steps at which both have them.

They are taken on a schedule that depends on steps alone, so that a run and its repetition have the same ones.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

FACT = "fingerprint"

BATCH, LOSS, GRADIENT, WEIGHTS = range(4)
"""The parts of a step, in their order: a batch is drawn, it has a loss, and gradients, and changes the weights."""

_WHENS = ("start", "step", "pass", "epoch", "end")
_MOST = 100_000
"""Fingerprints of a run that are read: what probes write is bounded far below."""


class Batch(NamedTuple):
    """Digests of one batch; None for what was not seen."""

    inputs: str | None
    targets: str | None
    samples: str | None
    """Of the inputs, whatever the order of the rows."""
    is_first: bool
    """Whether it is the first of a pass over the training data."""


class Moment(NamedTuple):
    """When the weights were digested: behind how many steps, and at which occasion."""

    after: int
    when: str


@dataclass(frozen=True)
class Prints:
    """The fingerprints of one run."""

    batches: Mapping[int, tuple[Batch, ...]] = field(default_factory=dict)
    gradients: Mapping[int, Mapping[str, str]] = field(default_factory=dict)
    """By step and optimizer, as text in which each bit shows (`float.hex`)."""
    weights: Mapping[Moment, str] = field(default_factory=dict)
    """Digests of all tensors of the state, each with the kind of digest it is in front."""
    data: tuple[tuple[str, str | None], ...] = ()
    """Content of the data in memory behind each training loader, and of the choice of rows among them."""

    def before(self, steps: int) -> Prints:
        """What was known before optimizer step `steps`, counted from 0, with the weights that it began with."""
        return Prints(
            {step: told for step, told in self.batches.items() if step < steps},
            {step: told for step, told in self.gradients.items() if step < steps},
            {
                at: told
                for at, told in self.weights.items()
                if at.after <= steps and at.when in ("start", "step", "pass")
            },
            self.data,
        )

    def finals(self, steps: int | None) -> set[Moment]:
        """The moments at which the weights were those of the end, of a run that made `steps`, if that is known.

        A model that was let go while another went on training says nothing of the end.
        """
        latest = max((at.after for at in self.weights), default=0)
        return {
            at
            for at in self.weights
            if (at.when == "end" and at.after == latest) or (at.when != "start" and at.after == latest == steps)
        }


class Reader:
    """Collects the fingerprints of a run from its records; what cannot be one is passed over."""

    def __init__(self) -> None:
        self._batches: dict[int, tuple[Batch, ...]] = {}
        self._gradients: dict[int, dict[str, str]] = {}
        self._weights: dict[Moment, str] = {}
        self._data: list[tuple[str, str | None]] = []
        self._n = 0

    def take(self, step: int, value: object) -> None:
        """Takes one fact of the name `FACT`."""
        self._n += 1
        if not isinstance(value, Mapping) or self._n > _MOST:
            return
        batches, gradient, data = value.get("batches"), value.get("grad"), value.get("data")
        if isinstance(batches, list):
            self._batches[step] = tuple(_batch(one) for one in batches if isinstance(one, Mapping))
        if isinstance(gradient, Mapping):
            told = {str(number): norm for number, norm in gradient.items() if isinstance(norm, str)}
            self._gradients.setdefault(step, {}).update(told)
        if isinstance(data, Mapping) and isinstance(data.get("content"), str):
            self._data.append((data["content"], _text(data.get("selection"))))
        after, when, digest = value.get("after"), value.get("when"), value.get("weights")
        if type(after) is int and when in _WHENS and isinstance(digest, str):
            self._weights[Moment(after, str(when))] = digest

    def prints(self) -> Prints:
        """All that was taken."""
        return Prints(self._batches, self._gradients, self._weights, tuple(self._data))


def _batch(told: Mapping[str, Any]) -> Batch:
    inputs, targets, samples = (_text(told.get(key)) for key in ("inputs", "targets", "samples"))
    return Batch(inputs, targets, samples, told.get("first") is True)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


class PrintDifference(NamedTuple):
    """One fingerprint that is not the same in two runs; they are ordered as a training goes."""

    step: int
    """The optimizer step it belongs to; -1 for what was there before the first."""
    part: int
    """BATCH, GRADIENT or WEIGHTS."""
    evidence: str


@dataclass(frozen=True)
class PrintComparison:
    """The fingerprints of two runs."""

    a: Prints = field(default_factory=Prints)
    b: Prints = field(default_factory=Prints)

    @cached_property
    def differences(self) -> tuple[PrintDifference, ...]:
        """Everything that differs, the earliest first."""
        return tuple(sorted((*self._batches(), *self._gradients(), *self._weights())))

    @property
    def first(self) -> PrintDifference | None:
        """The first fingerprint that differs."""
        return self.differences[0] if self.differences else None

    @property
    def starts_differ(self) -> bool | None:
        """Whether the first weights differ; None where they are not known in both."""
        at = Moment(0, "start")
        x, y = self.a.weights.get(at), self.b.weights.get(at)
        return x != y if x is not None and y is not None and kind_of(x) == kind_of(y) else None

    def same_batch(self, step: int) -> bool | None:
        """Whether the batch of a step is the same in both; None where one is not known."""
        x, y = self.a.batches.get(step), self.b.batches.get(step)
        return _seen(x) == _seen(y) if x and y else None

    def same_gradient(self, step: int) -> bool | None:
        """Whether the gradient norms of a step are the same in both; None where one is not known."""
        x, y = self.a.gradients.get(step), self.b.gradients.get(step)
        return x == y if x and y else None

    def same_weights(self, after: int) -> bool | None:
        """Whether the weights after so many steps are the same in both; None where they are not known."""
        found = [
            self.a.weights[at] == self.b.weights[at]
            for at in self._moments()
            if at.after == after and at.when in ("start", "step", "pass")
        ]
        return all(found) if found else None

    @property
    def same_content(self) -> bool | None:
        """Whether the data in memory are the same, of the loaders that both had; None where they are not known."""
        if not self.a.data or not self.b.data:
            return None
        return all(x == y for (x, _), (y, _) in zip(self.a.data, self.b.data, strict=False))

    @property
    def same_selection(self) -> bool:
        """Whether the same rows of the data were chosen, as far as it is known."""
        return all(x == y for (_, x), (_, y) in zip(self.a.data, self.b.data, strict=False))

    def _batches(self) -> Iterator[PrintDifference]:
        for step in self.a.batches.keys() & self.b.batches.keys():
            if self.same_batch(step) is False:
                yield PrintDifference(step, BATCH, f"batch of step {step}: {self.words_of(step)}")

    def words_of(self, step: int) -> str:
        """What differs in the batch of a step, in words."""
        for x, y in zip(self.a.batches[step], self.b.batches[step], strict=False):
            if x[:3] != y[:3]:
                same = [name for name in ("inputs", "targets") if getattr(x, name) == getattr(y, name) is not None]
                other = [name for name in ("inputs", "targets") if getattr(x, name) != getattr(y, name)]
                words = [f"{' and '.join(same)} equal"] if same else []
                words.append(f"{' and '.join(other)} differ" if other else "samples differ")
                if x.samples is not None and x.samples == y.samples and "inputs" in other:
                    words.append("the samples are the same in another order")
                return ", ".join(words)
        return f"{len(self.a.batches[step])} batches against {len(self.b.batches[step])}"

    def _gradients(self) -> Iterator[PrintDifference]:
        for step in self.a.gradients.keys() & self.b.gradients.keys():
            if self.same_gradient(step) is False:
                x, y = self.a.gradients[step], self.b.gradients[step]
                key = next((key for key in x if x[key] != y.get(key)), next(iter(y)))
                shown = f"{_number(x.get(key))} against {_number(y.get(key))}"
                yield PrintDifference(step, GRADIENT, f"gradient norm of step {step}: {shown}")

    def _weights(self) -> Iterator[PrintDifference]:
        for at in self._moments():
            if self.a.weights[at] != self.b.weights[at]:
                words = {"start": "first weights", "end": "weights at the end"}.get(at.when)
                evidence = f"{words or f'weights after {at.after} step' + 's' * (at.after != 1)} differ"
                yield PrintDifference(at.after - 1, WEIGHTS + _WHENS.index(at.when), evidence)

    def _moments(self) -> list[Moment]:
        """The moments of which both have a digest of the same kind."""
        a, b = self.a.weights, self.b.weights
        return sorted(at for at in a.keys() & b.keys() if kind_of(a[at]) == kind_of(b[at]))


def _seen(batches: tuple[Batch, ...]) -> list[tuple[str | None, ...]]:
    return [tuple(batch[:3]) for batch in batches]


def _number(norm: str | None) -> str:
    try:
        value = float.fromhex(norm) if norm is not None else math.nan
    except (ValueError, OverflowError):
        return "a number that cannot be read"
    return f"{value:.9g}"


def kind_of(digest: str) -> str:
    """What stands before the colon: `state` for a digest of every byte, `sampled` for one of blocks."""
    return digest.partition(":")[0] if ":" in digest else ""


def ends(a: Prints, b: Prints, steps: int | None = None) -> tuple[str, str] | None:
    """The digests of the state at the end of two runs of so many steps; None unless both have one of the same kind."""
    common = sorted(a.finals(steps) & b.finals(steps), key=lambda at: (at.when == "end", at))
    found = [(a.weights[at], b.weights[at]) for at in common if kind_of(a.weights[at]) == kind_of(b.weights[at])]
    return found[-1] if found else None


def last_common_weights(a: Prints, b: Prints) -> int | None:
    """The most steps behind which both runs had the same weights, with none that differed before; None without one."""
    comparison = PrintComparison(a, b)
    last = None
    for at in sorted({moment.after for moment in comparison._moments() if moment.when in ("start", "step", "pass")}):
        if not comparison.same_weights(at):
            break
        last = at
    return last
