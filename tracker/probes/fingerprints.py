"""Fingerprints of a training on a fixed schedule, to find later where another run of it went another way.

The schedule knows steps and passes only, never the time: a run that is done again is looked at in the same places.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from ..frames import objects_in
from ..rules.engine.records import Json
from . import datasets
from .batch_prints import described
from .data import Data
from .loaders import TRAIN
from .nested import Aside, may_compute, tensors_in
from .norms import norm_vectors
from .parameters import is_real
from .passes import Passes
from .probe import Pass, Probe
from .readback import Label, Readback
from .sampling import DENSE
from .state import SOME_BYTES, WHOLE_BYTES, Item, State, digest_of

if TYPE_CHECKING:
    from .training import Training

FACT = "fingerprint"

_ALL, _OCTAVE = 8, 2
"""First steps that are all taken; then two to the power of `_OCTAVE` in each doubling."""

_MOST_PASSES = 64
"""Passes over the training data whose first batches are taken."""

_MOST_BATCHES, _MOST_ITERATORS, _MOST_DATA = 4, 4, 8
"""Batches of a step, loaders that share in it, and training loaders whose data are told."""


def is_scheduled(number: int) -> bool:
    """Whether the `number`-th of something, counted from 0, is taken: the first 8, then four in each doubling."""
    return number < _ALL or not number & ((1 << (number.bit_length() - 1 - _OCTAVE)) - 1)


def _after(number: int) -> int:
    """The next that is taken."""
    number += 1
    while not is_scheduled(number):
        number += 1
    return number


class _Pending(NamedTuple):
    """What a loader gave for the step that comes."""

    iterator: weakref.ref[Any]
    batches: list[dict[str, Json]]


class Fingerprints(Probe):
    """The fact `fingerprint`, again and again, dated with the step; each tells a part.

    `{"batches": [{"inputs", "targets", "samples", "first": in its pass}], "grad": {optimizer: L2 norm}}` of a step,
    ahead of its update. Digests are 16 hexadecimal digits; `samples` does not depend on the order of the rows. A norm
    is written as `float.hex` does, unscaled; those that are on a device follow in a fact of their own. Batches on a
    device are not seen. Without a loader a batch is what the model was given, in the steps that are all looked at.

    `{"weights": digest, "after": steps made, "when"}`: of the state of all models that are trained (see `state`).
    `when` is `start`, of the parameters alone; `step`, behind the steps number 1, 2, 4, 8 ... (on CUDA the first);
    `pass`, right behind the last step of a pass over the training data, before anything is evaluated; `epoch`; and
    `end`, when the run ends or the model is let go.

    `{"data": {"content", "selection"}}` of the data behind a training loader, where they are in memory (see
    `datasets`).
    """

    name = "fingerprints"
    every_step = frozenset({"batch", "before_step", "end_step"})

    def __init__(self, training: Training) -> None:
        super().__init__(training)
        self._pending: dict[int, _Pending] = {}
        self._by_hand: list[dict[str, Json]] = []
        self._began: dict[int, int] = {}
        """Steps done when the pass of an iterator began, by its id."""
        self._batches: list[dict[str, Json]] = []
        self._grads: dict[str, Json] = {}
        self._at = -1
        """The step that the two are about."""
        self._next, self._next_weights = 0, 1
        """The next step of the schedule, and the number of steps behind which the weights are taken."""
        self._passes = self._epochs = self._ends = self._gone = 0
        self._late: list[Any] = []
        """Optimizers of the step whose gradients come about in it, in a closure."""
        self._data: list[weakref.ref[Any]] = []
        self._told: list[dict[str, Json]] = []
        self._readback = Readback(self._heard)
        self._come_back: dict[int, dict[str, Json]] = {}
        self._state = State(self._before_model_goes)
        self._untold: tuple[str, int] | None = None
        """The digest behind the latest pass that was not on the schedule, and the steps made by then."""
        self._said: dict[str, tuple[str, int]] = {}
        """The latest digest of the weights for each `when`, and the steps made by then."""

    # -- batches ---------------------------------------------------------------------------------------------------

    def batch(self, iterator: Any, batch: Any) -> None:
        is_first = iterator._num_yielded == 1
        if not is_first and self.training.step < self._next:
            return
        key = id(iterator)
        if is_first:
            self._pending.pop(key, None)
            if len(self._began) > 4 * _MOST_ITERATORS:
                self._began.clear()
            self._began[key] = self.training.done
            if self._passes >= _MOST_PASSES and self.training.step < self._next:
                return
        if not torch.is_grad_enabled() or not may_compute():
            return
        pending = self._pending.get(key)
        if pending is None or pending.iterator() is not iterator:
            if len(self._pending) >= _MOST_ITERATORS:
                del self._pending[next(iter(self._pending))]
            pending = self._pending[key] = _Pending(weakref.ref(iterator), [])
        if len(pending.batches) < _MOST_BATCHES:
            with Aside():
                told = described(tensors_in(batch))
            if told:
                pending.batches.append({**told, "first": is_first})

    def root_forward(self, call: Pass) -> None:
        if self.training.step >= DENSE or not call.has_grad or self._pending or not may_compute():
            return
        if len(self._by_hand) < _MOST_BATCHES:
            with Aside():
                told = described(call.given())
            if told:
                self._by_hand.append({**told, "first": False})

    def end_pass(self, iterator: Any) -> None:
        """A loader has no more batches."""
        began = self._began.pop(id(iterator), None)
        if began is None or began == self.training.done:
            self._pending.pop(id(iterator), None)  # nothing was trained on it: an evaluation
            return
        self._take("pass", SOME_BYTES, is_told=is_scheduled(self._ends))
        self._ends += 1

    def _trained_on(self) -> list[dict[str, Json]]:
        """The batches that the step under way is made with."""
        data = self.training.probe(Data)
        found: list[dict[str, Json]] = []
        for pending in self._pending.values():
            iterator = pending.iterator()
            loader = data.loader_of(iterator) if data is not None and iterator is not None else None
            if loader is None or loader.split in (None, TRAIN):
                found += pending.batches
                if iterator is not None and any(one["first"] for one in pending.batches):
                    self._passes += 1
                    self._tell_data(getattr(iterator, "_dataset", None))
        return found[:_MOST_BATCHES] if found or self._pending else self._by_hand

    def _tell_data(self, dataset: Any) -> None:
        """Tells what the data behind a loader are, once."""
        if len(self._data) >= _MOST_DATA or any(known() is dataset for known in self._data):
            return
        try:
            self._data.append(weakref.ref(dataset))
        except TypeError:
            return  # a list: there is nothing to read in a few milliseconds
        with Aside():
            told = datasets.identity_of(dataset)
        if told is not None and told not in self._told:  # a loop may make the same data anew for each pass
            self._told.append(told)
            self._write({"data": told})

    # -- gradients -------------------------------------------------------------------------------------------------

    def before_step(self, optimizer: Any, owned: Any) -> None:
        step = self.training.step
        if (step < self._next and not self._pending) or not may_compute():
            return
        found_inf = getattr(optimizer, "found_inf", None)
        if found_inf is not None and found_inf.is_cpu and float(found_inf) > 0:
            return
        if self._at != step:
            self._at, self._batches, self._grads, self._late = step, self._trained_on(), {}, []
            self._pending.clear()
            self._by_hand = []
        if self.training.outer_backwards:
            self._read_gradients(owned, getattr(optimizer, "grad_scale", None))
        else:
            self._late.append(owned)  # a closure goes backward in the step

    def _read_gradients(self, owned: Any, scale: torch.Tensor | None = None) -> None:
        grads = [p.grad for _, p in owned.items() if p.is_leaf and p.grad is not None and is_real(p)]
        if not grads:
            return
        with Aside():
            squares = [norms.double().square().sum() for _, norms in norm_vectors(grads)]
            if len({square.device for square in squares}) > 1:
                return
            norm = torch.stack(squares).sum().sqrt()
            if scale is not None:
                norm = norm / scale.to(norm.device)
            if norm.is_cpu:
                self._grads[str(owned.number)] = float(norm).hex()
            else:
                self._readback.add([Label("", str(owned.number), self.training.step)], norm)

    def _heard(self, signal: str, number: str, step: int, value: float) -> None:
        self._come_back.setdefault(step, {})[number] = value.hex()

    def _tell_come_back(self) -> None:
        for step, grads in self._come_back.items():
            self.journal.fact(FACT, step, {"grad": grads})
        self._come_back = {}

    def end_step(self) -> None:
        step = self.training.step
        if self._at != step and step + 1 < self._next_weights and not self._come_back:
            return
        if self._at == step:
            for owned in self._late:
                self._read_gradients(owned)
            if self._batches or self._grads:
                told: dict[str, Json] = {}
                if self._batches:
                    told["batches"] = [*self._batches]
                if self._grads:
                    told["grad"] = self._grads
                self.journal.fact(FACT, step, told)
            self._batches, self._grads, self._late = [], {}, []
        while self._next <= step:
            self._next = _after(self._next)
        if step + 1 >= self._next_weights:
            if step + 1 == self._next_weights and (step == 0 or not self._is_on_device()):
                self._take("step", SOME_BYTES, step + 1)
            self._next_weights *= 2
        if self._come_back:
            self._tell_come_back()

    # -- weights ---------------------------------------------------------------------------------------------------

    def adopted(self) -> None:
        passes = self.training.probe(Passes)
        called = [model.core for model in (passes.models if passes is not None else ())]
        around = objects_in(sys._getframe(), torch.nn.Module).values()
        self._state.take_in([*around, *(core for core in called if core is not None)], self._owned())
        if self.training.done == 0:
            self._take("start", SOME_BYTES)

    def end_epoch(self) -> None:
        self._readback.flush()
        self._tell_come_back()
        if is_scheduled(self._epochs) and self._said.get("pass", ("", -1))[1] != self.training.done:
            self._take("epoch", SOME_BYTES)
        self._epochs += 1

    def finish(self) -> None:
        self._readback.flush()
        self._tell_come_back()
        self._take("end", WHOLE_BYTES)
        if self._untold is not None and self._untold[1] == self.training.done:
            # It cannot be known which pass is the last one, and the model may be gone, or its tensors others.
            self._write({"weights": self._untold[0], "after": self._untold[1], "when": "pass"})
        self._pending.clear()

    def _before_model_goes(self) -> None:
        """A model is about to go: with it goes what it has become, so its state is taken as that of the end."""
        if sys.is_finalizing():
            return
        try:
            if not self.training.done or not self.training.followed.is_here() or not may_compute() or _is_captured():
                return
            items = self._state.left() if is_scheduled(self._gone) else None
            self._gone += 1
            if items is not None:
                self._tell_weights("end", items, WHOLE_BYTES, self.training.done)
        except Exception as error:
            self.training._fault(self, error)

    def _take(self, when: str, most: int, made: int | None = None, is_told: bool = True) -> None:
        """Takes the state, unless it was for the same moment; one that is not told may be in the end."""
        made = self.training.done if made is None else made
        if (when != "start" and not made) or self._said.get(when, ("", -1))[1] == made or not may_compute():
            return
        items = self._state.items(self._owned(), parameters_only=when == "start")
        if items is not None:
            self._tell_weights(when, items, most, made, is_told)

    def _tell_weights(self, when: str, items: Sequence[Item], most: int, made: int, is_told: bool = True) -> None:
        with Aside():
            digest = digest_of(items, most)
        self._said[when] = (digest, made)
        if is_told:
            self._write({"weights": digest, "after": made, "when": when})
        else:
            self._untold = (digest, made)

    def _owned(self) -> list[Item]:
        return [item for owned in self.training.owned for item in owned.items()]

    def _is_on_device(self) -> bool:
        return any(not p.is_cpu for owned in self.training.owned[:1] for _, p in owned.items()[:1])

    def _write(self, told: dict[str, Json]) -> None:
        self.journal.fact(FACT, self.training.step, told)


def _is_captured() -> bool:
    """Whether a CUDA graph is being captured, into which nothing of ours may get."""
    return torch.cuda.is_initialized() and torch.cuda.is_current_stream_capturing()  # type: ignore[no-untyped-call]
