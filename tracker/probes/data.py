"""Follows the data: which loaders there are and what for, repeated batches, and samples of both training and held-out
data."""

from __future__ import annotations

import itertools
import math
import sys
import weakref
from collections.abc import Sequence
from types import FrameType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import DataLoader

from ..capture.described import describe_loader
from ..frames import user_frames, variables
from ..rules.engine.signals import BATCH_SIZE, LOOKED_AT, OVERLAP, REPEATED
from . import digests
from .nested import Aside, may_compute, tensors_in
from .probe import Pass, Probe
from .workers import Workers

if TYPE_CHECKING:
    from ..rules.engine.records import Json
    from .training import Training

MOST_SAMPLES = 4096
"""Training samples, and samples of each held-out set, that are digested: 4096 of either take a few milliseconds."""

FEW = math.log(1e6)
"""Logarithm of the number of different samples there can be, below which equal ones are no surprise."""

_CONTINUOUS = 0.5
"""Share of the values of a batch that must be different for them to be measured ones, not levels or counts."""

_MOST_LOADERS = 16
_MOST_PASSES = 8
_MOST_FRAMES = 8
_MOST_SAID = 100
"""Times that the fact `loaders` is written: a script may make ever new ones."""
_WHOLE = ("SequentialSampler", "RandomSampler", "DistributedSampler", "WeightedRandomSampler", "InfiniteSampler")
"""Samplers that go over all of a data set."""

_COPIED, _COPIED_LABELS = 1 << 14, 1 << 18
"""Elements of a tensor in a batch, and of one of whole numbers, that is copied to recognise the target: many targets
are gone before the loss is there."""

TRAIN = "train"


class Loader:
    """What is known of one loader: two over the same data set with different samplers are two."""

    def __init__(self, iterator: Any) -> None:
        self.split: str | None = None
        """`train` once a backward followed a batch of it, `val`, `val2` ... once a pass without gradients did."""
        self.described = _describe(iterator)
        self.taken = 0
        """Samples that were digested."""
        self.yielded = 0
        """Batches it gave in the pass that is under way, as far as was looked."""
        self._settings = dict(self.described)
        self._dataset = _Known(iterator._dataset)
        self._sampler = _Known(iterator._index_sampler)
        self._first: int | None = None
        self._is_whole = type(_inner_sampler(iterator._index_sampler)).__name__ in _WHOLE

    def is_of(self, iterator: Any) -> bool:
        """True when the iterator comes from this loader."""
        return self._sampler.is_(iterator._index_sampler) and self._dataset.is_(iterator._dataset)

    def is_from(self, loader: DataLoader[Any]) -> bool:
        """True when the batches came from this very loader, or one over the same data."""
        return self._dataset.get() is vars(loader).get("dataset")

    def name_from(self, frame: FrameType, iterator: Any) -> None:
        """Finds the variable that the loader is in; the outermost one, which is not just a function's parameter."""
        for at in itertools.islice(user_frames(frame), _MOST_FRAMES):
            scopes = [variables(at)] + ([at.f_globals] if at.f_code.co_name != "<module>" else [])
            for name, value in [item for scope in scopes for item in list(scope.items())]:
                if isinstance(value, DataLoader) and _gives(value, iterator):
                    self.described["name"] = name

    def has_the_data_of(self, other: Loader) -> bool:
        """True when both go over the same samples, as far as can be told."""
        if not self._dataset.is_the_same_as(other._dataset):
            return False
        if self._is_whole and other._is_whole:
            return True
        mine, theirs = _inner_sampler(self._sampler.get()), _inner_sampler(other._sampler.get())
        chosen, others = getattr(mine, "indices", None), getattr(theirs, "indices", None)
        return isinstance(chosen, (list, range)) and isinstance(others, (list, range)) and set(chosen) == set(others)

    def takes_the_place_of(self, other: Loader) -> bool:
        """True for the same loader made anew, for another epoch, over all of the data, which may be made anew too."""
        return (
            (other._dataset.is_the_same_as(self._dataset) or other._dataset.is_gone)
            and other._sampler.is_gone
            and self._settings == other._settings
            and self._is_whole
        )

    def take_over(self, other: Loader) -> None:
        """Goes on where the loader that is gone stopped."""
        self.split, self.described, self.taken = other.split, other.described, other.taken
        self.yielded, self._first = other.yielded, other._first

    def begin_pass(self, digest: int | None) -> bool:
        """Another pass begins, with a batch of this digest; True when that makes something known of the loader."""
        before = dict(self.described)
        if self._first is not None and digest is not None and self.described.get("same_order") is not False:
            self.described["same_order"] = self._first == digest
        self._first = digest
        if self.yielded > 1 and self.described.get("length") is None:
            self.described["length"] = self.yielded
        return self.described != before


class Drawn:
    """A batch as its loader gave it, ahead of any transfer to a device. It keeps nothing of it alive."""

    def __init__(self, loader: Loader, step: int, tensors: Sequence[tuple[str, torch.Tensor]]) -> None:
        self.loader = loader
        self.step = step
        self.size = next((len(t) for _, t in tensors if t.dim()), 0)
        self.digest: int | None = None
        self.samples: list[int] = []
        self.is_evaluated = False
        """Whether the latest pass of a model over it was one without gradients."""
        self._given: list[weakref.ref[torch.Tensor]] = []
        self._held = [(path, weakref.ref(t), t.detach().clone() if _may_be_target(t) else None) for path, t in tensors]

    def tensors(self) -> list[tuple[str, torch.Tensor]]:
        """(path, tensor): copies as the loader gave them, or the tensors themselves while they live."""
        found = []
        for path, ref, copy in self._held:
            tensor = copy if copy is not None else ref()
            if tensor is not None:
                found.append((path, tensor))
        return found

    def holds(self, value: Any) -> bool:
        """True for a tensor of the batch itself."""
        return any(ref() is value for _, ref, _ in self._held)

    def note_evaluated(self, given: Sequence[torch.Tensor]) -> None:
        """A model was given these without gradients, for this batch."""
        self.is_evaluated = True
        self._given = [weakref.ref(tensor) for tensor in given]

    def was_given(self, value: torch.Tensor) -> bool:
        """True for a tensor that the batch holds, or that was given to the model in its place."""
        return self.holds(value) or any(ref() is value for ref in self._given)

    def tensor_at(self, wanted: str) -> torch.Tensor | None:
        """The tensor at one path; None when there is none any more."""
        for path, ref, copy in self._held:
            if path == wanted:
                return copy if copy is not None else ref()
        return None


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
        self._by_hand: tuple[int | None, list[int], int] | None = None
        self._rows_by_hand = 0
        self._rows = 0
        self._given: list[weakref.ref[torch.Tensor]] = []
        self._batches = 0
        self._is_few: bool | None = None
        self._is_continuous = False
        self._sizes: dict[str, int] = {}
        self._seen: set[int] = set()
        self._looked_at = self._repeated = 0
        self._samples: set[int] = set()
        self._duplicates = 0
        self._is_first_epoch = True
        self._held_out: dict[str, set[int]] = {}

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
            taken = len(self._samples) if loader.split == TRAIN else loader.taken
            inputs = input_of([tensor for _, tensor in tensors])
            if inputs is not None and taken < MOST_SAMPLES:
                drawn.samples = digests.of_samples(inputs, MOST_SAMPLES - taken)
                self._note_kind(inputs)

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

    def unused_loaders(self, frame: FrameType | None) -> list[str]:
        """Variables with loaders of which no batch was taken, as far as is known."""
        found: dict[str, Any] = {}
        for at in itertools.islice(user_frames(frame), _MOST_FRAMES):
            for scope in (variables(at), at.f_globals):
                found.update({name: value for name, value in list(scope.items()) if isinstance(value, DataLoader)})
        return [name for name, value in found.items() if not any(one.is_from(value) for one in self._loaders)]

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
                self._held_out.pop(drawn.loader.split, None)  # a teacher's pass came first: it passed for evaluation
            drawn.loader.split = TRAIN
            self._say_loaders()
        self._is_by_hand = False
        self.training.fact("batches", {"source": "loader"})
        self._take(drawn.digest, drawn.samples, drawn.size)
        drawn.digest, drawn.samples = None, []

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
            loader.taken += len(drawn.samples)
            self.share(loader.split, drawn.samples)
            self._note_size("val", drawn.size)
        drawn.samples = []

    def next_split(self) -> str:
        """The name of a further held-out set: `val`, then `val2`, `val3`."""
        known = {loader.split for loader in self._loaders} | set(self._held_out)
        number = 1
        while (name := f"val{number}" if number > 1 else "val") in known:
            number += 1
        self._held_out[name] = set()
        return name

    def _note_by_hand(self, call: Pass) -> None:
        """A batch by hand is trained on once a backward follows: an evaluation may leave gradients on."""
        tensors = [t for _, t in tensors_in((call.args, call.kwargs))]
        inputs = input_of(tensors)
        if inputs is not None:
            samples = digests.of_samples(inputs, MOST_SAMPLES - len(self._samples))
            self._by_hand = (digests.of_batch(tensors), samples, len(inputs))
            # The same tensor each time is all of the data, or one batch on purpose, whatever it is a slice of.
            is_known = not self._given or any(given() is inputs for given in self._given)
            self._rows_by_hand = len(inputs) if is_known else rows_behind(inputs)
            if not any(given() is inputs for given in self._given):
                self._given = [*self._given[1 - _MOST_PASSES :], weakref.ref(inputs)]
            self._note_kind(inputs)

    def _note_kind(self, inputs: torch.Tensor) -> None:
        if self._is_few is None and inputs.is_cpu and len(inputs) > 1:
            part = inputs.detach()[:64].reshape(min(len(inputs), 64), -1)
            values = part[:, :4096].reshape(-1).tolist()
            different = len(set(values))
            self._is_few = part.shape[1] * math.log(max(different, 2)) < FEW
            self._is_continuous = part.is_floating_point() and different > _CONTINUOUS * len(values)

    def _take(self, digest: int | None, samples: list[int], size: int) -> None:
        """Takes a batch that is trained on."""
        if digest is not None:
            self._looked_at += 1
            self._batches += 1
            self._repeated += digest in self._seen
            self._seen.add(digest)
        before = len(self._samples)
        self._samples.update(samples)
        if self._is_first_epoch and not self._repeated:  # a whole batch that comes again tells nothing of its samples
            self._duplicates += len(samples) - (len(self._samples) - before)
        self._note_size(TRAIN, size)

    def _note_size(self, split: str, size: int) -> None:
        if size and self._sizes.get(split) != size:
            self._sizes[split] = size
            self.training.measure(BATCH_SIZE, split, float(size))

    # -- samples on both sides -------------------------------------------------------------------------------------

    def share(self, split: str, samples: list[int]) -> None:
        """Notes samples of a held-out set."""
        known = self._held_out.setdefault(split, set())
        known.update(samples[: MOST_SAMPLES - len(known)])

    def seen_share(self, samples: list[int]) -> float:
        """Share of samples that training has seen, 0 to 1."""
        return sum(sample in self._samples for sample in samples) / len(samples) if samples else 0.0

    def end_epoch(self) -> None:
        step = self.training.last_step
        if self._looked_at:
            self.journal.reading(LOOKED_AT.name, TRAIN, step, self._looked_at)
            self.journal.reading(REPEATED.name, TRAIN, step, self._repeated)
        self._seen.clear()
        self._looked_at = self._repeated = 0
        self._is_first_epoch = False
        found: dict[str, Json] = {
            "train_samples": len(self._samples),
            "train_duplicates": self._duplicates,
            "train_batches": self._batches,
            "is_few": bool(self._is_few),
            "is_continuous": self._is_continuous,
        }
        for split, samples in self._held_out.items():
            if samples and self._samples:
                shared = len(samples & self._samples)
                self.journal.reading(OVERLAP.name, split, step, shared / len(samples))
                found[split] = {"samples": len(samples), "shared": shared}
        if self._samples:
            self.training.fact("overlap", found)

    def end_close(self) -> None:
        self._by_hand = None
        if self.drawn is not None and self.drawn.step < self.training.done:
            self.drawn = self.current = None

    def finish(self) -> None:
        self.drawn = self.current = None
        self._recent = []


def input_of(tensors: Sequence[torch.Tensor]) -> torch.Tensor | None:
    """The tensor of a batch that tells its samples apart: the first of those with the most values for each."""
    rows = [t for t in tensors if t.dim() and t.numel()]
    return max(rows, key=lambda t: t.numel() // len(t), default=None)


def rows_behind(tensor: torch.Tensor) -> int:
    """Rows of the tensor that this one is a slice of, by its memory; its own where it is a copy."""
    width = tensor.stride(0) if tensor.dim() > 1 else 1
    if width <= 0:
        return len(tensor)
    return max(len(tensor), tensor.untyped_storage().nbytes() // (width * tensor.element_size()))


def _may_be_target(tensor: torch.Tensor) -> bool:
    if not tensor.is_cpu:
        return False
    if tensor.is_floating_point() or tensor.dtype is torch.uint8:  # images, mostly
        return tensor.numel() <= _COPIED and tensor.dim() < 3
    return tensor.numel() <= _COPIED_LABELS


class _Known:
    """An object that is known again and not kept alive; one without weak references (a list) by its place alone."""

    def __init__(self, value: Any) -> None:
        self._id = id(value)
        try:
            self._ref: Any = weakref.ref(value)
        except TypeError:
            self._ref = None

    def is_(self, value: Any) -> bool:
        return id(value) == self._id and (self._ref is None or self._ref() is value)

    def is_the_same_as(self, other: _Known) -> bool:
        return self._id == other._id and self.get() is other.get()

    @property
    def is_gone(self) -> bool:
        return self._ref is not None and self._ref() is None

    def get(self) -> Any:
        return None if self._ref is None else self._ref()


def _gives(loader: DataLoader[Any], iterator: Any) -> bool:
    """Whether the iterator is one of this loader's."""
    held = vars(loader)
    samplers = (held.get("batch_sampler"), held.get("sampler"))
    return held.get("dataset") is iterator._dataset and any(one is iterator._index_sampler for one in samplers)


def _inner_sampler(sampler: Any) -> Any:
    return getattr(sampler, "sampler", sampler)


def _describe(iterator: Any) -> dict[str, Json]:
    """The settings of the loader that an iterator comes from, as far as it holds them."""
    sampler = iterator._index_sampler
    loader = SimpleNamespace(
        dataset=iterator._dataset,
        num_workers=iterator._num_workers,
        drop_last=iterator._drop_last,
        persistent_workers=getattr(iterator, "_persistent_workers", None),
        **({"batch_sampler": sampler} if iterator._auto_collation else {"sampler": sampler}),
    )
    found = describe_loader(loader)
    del found["class"]
    if type(sampler).__module__.partition(".")[0] == "torch":
        inner = _inner_sampler(sampler)
        # Asking for a length calls the data set's and the sampler's `__len__`: only where these are not the user's.
        if type(inner).__module__.partition(".")[0] == "torch" and found.get("dataset_length") is not None:
            try:
                found["length"] = len(sampler)
            except Exception:
                found["length"] = None
    return found
