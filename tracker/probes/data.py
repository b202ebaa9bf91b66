"""Follows the data: which loaders there are and what for, repeated batches, and samples of both training and held-out
data."""

from __future__ import annotations

import sys
import weakref
from types import FrameType
from typing import TYPE_CHECKING, Any

import torch

from ..rules.engine.signals import BATCH_SIZE, LOOKED_AT, OVERLAP, REPEATED
from . import digests
from .batches_seen import BatchesSeen
from .drawn import Drawn, input_of, rows_behind
from .loaders import TRAIN, Loader, loaders_around
from .nested import Aside, may_compute, tensors_in
from .overlap import MOST_SAMPLES, Overlap, Samples, nowhere
from .probe import Pass, Probe
from .workers import Workers

if TYPE_CHECKING:
    from .training import Training

_MOST_LOADERS = 16
_MOST_PASSES = 8
_MOST_SAID = 100
"""Times that the fact `loaders` is written: a script may make ever new ones."""


class Data(Probe):
    """Loaders and batches.

    Fact `loaders`: a list of `{"split": "train" | "val" | "val2" ... | null, "length": batches, "batch_size",
    "sampler", "shuffle", "num_workers", "drop_last", "dataset", "dataset_length", "same_order": whether the first batch
    of each pass was the same, ...}`; what is not known is null or missing. A length that only a `__len__` of the
    user's could tell is the number of batches of the first pass. A loader that nothing was trained on yet, and that was
    not evaluated, has the split null. A loader over the training data that is evaluated is `train` too.

    `name` is the user's variable that the loader is found in.

    Fact `batches`: `{"source": "loader" | "by hand"}` of the training; by hand with `rows`, the samples of the tensor
    that the batch is a slice of (of a copy, the batch itself).

    Fact `overlap`, at the end of an epoch: `{"train_samples", "train_duplicates", "train_batches", "is_few",
    "is_continuous", "val": {"samples", "shared"}, ...}`: different samples that were digested, how many of the
    training's were there twice in the first epoch, in how many batches, and how many of each held-out set training has
    seen. Only batches that were looked at closely count, so the share is a lower bound. A sample is what the loader
    gave (or, by hand, what the model was given), augmentation included; one on a device is not seen. `is_few`: there
    are so few different samples of this kind (a handful of whole numbers) that the same ones come by chance.
    `is_continuous`: most values are different from each other, as those that were measured are.

    Fact `near`, where the setting `near_leakage` asks for it: `{"kind": "signal" | "table" | null, "train_samples",
    "train_twins", "dimension", "by_chance", "val": {"samples", "twins", "distance", "usual", "example"}, ...}` or
    `{"why": there is no comparison, ...}`: see `twins`. `distance` is the median of the twins' distance, `usual` that
    of the same samples to their eighth neighbour, `example` the indices of one in its data set and of its twin's in the
    training's, null where they are not known.

    REPEATED counts batches that were there before in the epoch, among the LOOKED_AT that were digested.
    """

    name = "data"
    every_step = frozenset({"batch"})

    def __init__(self, training: Training) -> None:
        super().__init__(training)
        self.drawn: Drawn | None = None
        """The batch of a loader that the step is about: the latest, or where batches are fetched ahead the one before,
        once the model was given it."""
        self._recent: list[Drawn] = []
        self.current: Drawn | None = None
        """In `root_forward`, for the probes behind this one: the batch that the pass is made for; None by hand."""
        self._loaders: list[Loader] = []
        self._said = 0
        self._training_on = 0
        """`id` of the iterator that training takes its batches from: on most steps, all there is to know."""
        self._yielded = 0
        self._passed_over = -1
        """Steps done when a batch of the training came that was not looked at."""
        self._is_by_hand = True
        self._by_hand: tuple[int | None, Samples, int] | None = None
        self._rows_by_hand = 0
        self._rows = 0
        self._given: list[weakref.ref[torch.Tensor]] = []
        self._sizes: dict[str, int] = {}
        self._seen: set[int] = set()
        self._looked_at = self._repeated = 0
        self._is_first_epoch = True
        self.overlap = Overlap(training.session.settings.near_leakage)

    # -- batches of a loader ---------------------------------------------------------------------------------------

    def batch(self, iterator: Any, batch: Any) -> None:
        yielded = iterator._num_yielded
        # An evaluation's iterator may be where one was that training is done with; it draws without gradients.
        if self._training_on == id(iterator) and not self.training.close and yielded != 1 and torch.is_grad_enabled():
            if self._recent:
                self._recent, self.drawn, self.current = [], None, None
            self._yielded, self._passed_over = yielded, self.training.done
            return
        loader = self._loader(iterator)
        if self._training_on == id(iterator) and loader.split != TRAIN:
            self._training_on = 0  # another iterator lives at the address of one that is gone
        elif loader.split == TRAIN and torch.is_grad_enabled():
            self._training_on = id(iterator)
        if yielded == 1:
            workers = self.training.probe(Workers)
            if workers is not None:
                workers.note_pass(iterator, loader)
        if may_compute():
            with Aside():
                self._look(loader, [(path or "0", tensor) for path, tensor in tensors_in(batch)], yielded == 1)
        loader.yielded = self._yielded = yielded

    def _look(self, loader: Loader, tensors: list[tuple[str, torch.Tensor]], is_first: bool) -> None:
        drawn = self.drawn = Drawn(loader, self.training.done, tensors)
        self._recent = [*self._recent[-1:], drawn]
        is_watched = self.training.close and loader.split in (TRAIN, None)
        if is_first or is_watched:
            digest = digests.of_batch([tensor for _, tensor in tensors])
            drawn.digest = digest if is_watched else None
            if is_first:
                if loader.split == TRAIN:
                    loader.yielded = max(loader.yielded, self._yielded)
                if loader.begin_pass(digest):
                    self._say_loaders()
        if is_watched or loader.split != TRAIN:
            room = self.overlap.room if loader.split == TRAIN else MOST_SAMPLES - loader.taken
            inputs = input_of([tensor for _, tensor in tensors])
            if inputs is not None and room > 0:
                drawn.samples = self.overlap.look(inputs, room, self._places)
                self.overlap.note_kind(inputs)

    def _places(self) -> list[int] | None:
        """Indices of the samples of the latest batch in its data set, as far as they are known."""
        seen = self.training.probe(BatchesSeen)
        return seen.indices() if seen is not None else None

    def _loader(self, iterator: Any) -> Loader:
        for loader in self._loaders:
            if loader.is_of(iterator):
                return loader
        loader = Loader(iterator)
        before = next((known for known in self._loaders if loader.takes_the_place_of(known)), None)
        if before is not None:
            loader.take_over(before)
            loader.name_from(sys._getframe(), iterator)
            self._loaders[self._loaders.index(before)] = loader
            return loader
        loader.name_from(sys._getframe(), iterator)
        self._loaders.append(loader)
        del self._loaders[:-_MOST_LOADERS]
        self._say_loaders()
        return loader

    def loader_of(self, iterator: Any) -> Loader | None:
        """The loader that an iterator comes from, where it gave a batch before."""
        return next((loader for loader in self._loaders if loader.is_of(iterator)), None)

    def unused_loaders(self, frame: FrameType | None) -> list[str]:
        """Variables with loaders of which no batch was taken, as far as is known."""
        found = loaders_around(frame).items()
        return [name for name, value in found if not any(one.is_from(value) for one in self._loaders)]

    def _say_loaders(self) -> None:
        self._said += 1
        if self._said <= _MOST_SAID:
            self.training.fact("loaders", [{"split": loader.split, **loader.described} for loader in self._loaders])

    # -- what the batches are for ----------------------------------------------------------------------------------

    def backward(self, tensor: torch.Tensor, loss: torch.Tensor) -> None:
        drawn, by_hand = self.drawn, self._by_hand
        self._by_hand = None
        if by_hand is not None and self._is_by_hand:
            self._rows = max(self._rows, self._rows_by_hand)
            self.training.fact("batches", {"source": "by hand", "rows": self._rows})
            self._take(*by_hand)
        if drawn is None or drawn.step != self.training.done or drawn.is_evaluated:
            return
        if drawn.loader.split != TRAIN:
            if drawn.loader.split is not None:
                self.overlap.forget(drawn.loader.split)  # a teacher's pass came first: it passed for evaluation
            drawn.loader.split = TRAIN
            self._say_loaders()
        self._is_by_hand = False
        self.training.fact("batches", {"source": "loader"})
        self._take(drawn.digest, drawn.samples, drawn.size)
        drawn.digest, drawn.samples = None, Samples([])

    def root_forward(self, call: Pass) -> None:
        self.current = None
        if not may_compute():
            return
        drawn = self.current = self._drawn_for(call)
        with Aside():
            if drawn is not None:
                if call.has_grad:
                    drawn.is_evaluated = False
                else:
                    drawn.note_evaluated([t for _, t in tensors_in((call.args, call.kwargs))])
                    self._note_evaluation(drawn)
            elif call.has_grad and self.training.close and self._is_by_hand:
                self._note_by_hand(call)

    @property
    def is_within_step(self) -> bool:
        """Whether a batch came that no step was made with yet, and that was not looked at: a pass may be one of it."""
        return self._passed_over == self.training.done

    def _drawn_for(self, call: Pass) -> Drawn | None:
        given = [t for _, t in tensors_in((call.args, call.kwargs))]
        for recent in reversed(self._recent):
            if any(recent.holds(tensor) for tensor in given):
                recent.step = self.training.done
                self.drawn = recent
                return recent
        drawn = self.drawn
        if drawn is None or drawn.step != self.training.done:
            return None
        if call.has_grad and drawn.is_evaluated and not any(drawn.was_given(t) for t in given):
            return None  # training goes on by hand behind an evaluation with a loader
        sizes = {len(t) for t in given if t.dim()}
        return drawn if drawn.size in sizes or not sizes else None

    def _note_evaluation(self, drawn: Drawn) -> None:
        loader = drawn.loader
        if loader.split is None:
            alike = [o for o in self._loaders if o is not loader and o.has_the_data_of(loader)]
            known = [o.split for o in alike if o.split is not None]
            loader.split = TRAIN if TRAIN in known else known[0] if known else self.next_split()
            self._say_loaders()
        if loader.split != TRAIN:
            loader.taken += len(drawn.samples.digests)
            self.overlap.hold_out(loader.split, drawn.samples)
            self._note_size("val", drawn.size)
        drawn.samples = Samples([])

    def next_split(self) -> str:
        """The name of a further held-out set: `val`, then `val2`, `val3`."""
        known = {loader.split for loader in self._loaders} | set(self.overlap.held_out)
        number = 1
        while (name := f"val{number}" if number > 1 else "val") in known:
            number += 1
        self.overlap.hold_out(name, Samples([]))
        return name

    def _note_by_hand(self, call: Pass) -> None:
        """A batch by hand is trained on once a backward follows: an evaluation may leave gradients on."""
        tensors = [t for _, t in tensors_in((call.args, call.kwargs))]
        inputs = input_of(tensors)
        if inputs is not None:
            samples = self.overlap.look(inputs, self.overlap.room, nowhere)
            self._by_hand = (digests.of_batch(tensors), samples, len(inputs))
            # The same tensor each time is all of the data, or one batch on purpose, whatever it is a slice of.
            is_known = not self._given or any(given() is inputs for given in self._given)
            self._rows_by_hand = len(inputs) if is_known else rows_behind(inputs)
            if not any(given() is inputs for given in self._given):
                self._given = [*self._given[1 - _MOST_PASSES :], weakref.ref(inputs)]
            self.overlap.note_kind(inputs)

    def _take(self, digest: int | None, samples: Samples, size: int) -> None:
        """Takes a batch that is trained on."""
        if digest is not None:
            self._looked_at += 1
            self.overlap.batches += 1
            self._repeated += digest in self._seen
            self._seen.add(digest)
        # A whole batch that comes again tells nothing of its samples.
        self.overlap.train_on(samples, counts_duplicates=self._is_first_epoch and not self._repeated)
        self._note_size(TRAIN, size)

    def _note_size(self, split: str, size: int) -> None:
        if size and self._sizes.get(split) != size:
            self._sizes[split] = size
            self.training.measure(BATCH_SIZE, split, float(size))

    def end_epoch(self) -> None:
        step = self.training.last_step
        if self._looked_at:
            self.journal.reading(LOOKED_AT.name, TRAIN, step, self._looked_at)
            self.journal.reading(REPEATED.name, TRAIN, step, self._repeated)
        self._seen.clear()
        self._looked_at = self._repeated = 0
        self._is_first_epoch = False
        for split, (samples, shared) in self.overlap.shared().items():
            self.journal.reading(OVERLAP.name, split, step, shared / samples)
        if self.overlap.trained:
            self.training.fact("overlap", self.overlap.described())
        near = self.overlap.near()
        if near is not None:
            self.training.fact("near", near)

    def end_close(self) -> None:
        self._by_hand = None
        if self.drawn is not None and self.drawn.step < self.training.done:
            self.drawn = self.current = None

    def finish(self) -> None:
        self.drawn = self.current = None
        self._recent = []
