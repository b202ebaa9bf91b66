"""Loaders of batches: known again from pass to pass and over the epochs, described, and told what they are for."""

from __future__ import annotations

import itertools
import weakref
from types import FrameType, SimpleNamespace
from typing import TYPE_CHECKING, Any

from torch.utils.data import DataLoader

from ..capture.described import describe_loader
from ..frames import user_frames, variables

if TYPE_CHECKING:
    from ..rules.engine.records import Json

TRAIN = "train"
"""The split of what is trained on."""

MOST_FRAMES = 8
"""Frames of the user's code whose variables are looked at for loaders."""

_WHOLE = ("SequentialSampler", "RandomSampler", "DistributedSampler", "WeightedRandomSampler", "InfiniteSampler")
"""Samplers that go over all of a data set."""


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

    def samples_in(self, batches: int) -> list[int]:
        """How many samples a pass of so many batches may have had: all of the data, or whole batches only."""
        n, size = self.described.get("dataset_length"), self.described.get("batch_size")
        if not self._is_whole or not isinstance(n, int) or not isinstance(size, int):
            return []
        return [n] if -(-n // size) == batches else [batches * size]

    def name_from(self, frame: FrameType, iterator: Any) -> None:
        """Finds the variable that the loader is in; the outermost one, which is not just a function's parameter."""
        for at in itertools.islice(user_frames(frame), MOST_FRAMES):
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


def loaders_around(frame: FrameType | None) -> dict[str, DataLoader[Any]]:
    """The loaders in the variables of the user's code, by name."""
    found: dict[str, DataLoader[Any]] = {}
    for at in itertools.islice(user_frames(frame), MOST_FRAMES):
        for scope in (variables(at), at.f_globals):
            found.update({name: value for name, value in list(scope.items()) if isinstance(value, DataLoader)})
    return found


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
