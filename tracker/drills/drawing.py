"""Drawing batches from the user's loaders, within a time, and leaving the loaders as they were found."""

from __future__ import annotations

import copy
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain, islice
from typing import Any

import torch
from torch.utils.data import DataLoader, IterableDataset

from ..probes.nested import tensors_in

Tensors = list[tuple[str, torch.Tensor]]
"""(path, tensor) of each tensor of a batch: `0` and `1` of a pair, the keys of a dictionary."""

_MOST_ITEMS = 100_000
"""Items of a container of the data set's, up to which it is put back as it was."""

_LONG = 5_000_000
"""Samples from which on the order of a sampler is not asked for: a permutation of them takes a while."""

_END = object()


class _TooLong(BaseException):
    """Raised within the user's data set; no `except Exception` of theirs is to catch it."""


def draw(loader: Any, look: Callable[[Tensors], bool], seconds: float) -> str:
    """Gives `look` the tensors of batch after batch, until it returns False, the pass ends, or the time is over.

    Returns why nothing, or not all, could be drawn, in words for the user; empty when there was no trouble. Batches are
    made in this process, whatever the loader's workers are; the loader's own iterator, if one is under way, is not
    touched.
    """
    source = _own_pass_of(loader)
    if isinstance(source, str):
        return source
    has_tensors = True

    def take(batch: Any) -> bool:
        nonlocal has_tensors
        found = [(path or "0", tensor) for path, tensor in tensors_in(batch)]
        has_tensors = bool(found)
        return has_tensors and look(found)

    reason = draw_objects(source, take, seconds)
    return reason if has_tensors else "a batch holds no tensors"


def draw_objects(source: Any, take: Callable[[Any], bool | None], seconds: float) -> str:
    """Gives `take` whatever comes of an iterable, until it returns False; returns why it went wrong, if it did."""
    deadline = time.monotonic() + seconds
    iterator: Any = None
    try:
        while (left := deadline - time.monotonic()) > 0:
            try:
                with _limit(left):
                    iterator = iter(source) if iterator is None else iterator
                    batch = next(iterator, _END)
            except _TooLong:
                return f"a batch did not come within {seconds:.3g} s"
            except Exception as error:
                return f"a batch could not be made: {type(error).__name__}: {error}"[:300]
            if batch is _END or take(batch) is False:
                return ""
    finally:
        for name in ("close", "_shutdown_workers"):
            end = getattr(iterator, name, None)
            if callable(end):
                end()
    return ""


@contextmanager
def left_alone(loader: Any) -> Iterator[None]:
    """Afterwards the loader, its samplers and its data sets have the attributes that they had, with the same items.

    Drills are put back by `preserved`, generators included; that takes what is large below a loader for data. A data
    set that remembers the samples it has made, random ones perhaps, must forget ours. What a data set does to the
    values inside its own tensors is not seen.
    """
    attributes = [(part, _Attributes(part)) for part in _parts(loader)]
    try:
        yield
    finally:
        for part, kept in attributes:
            kept.put_back(part)


def order_of(loader: Any, most: int = 512) -> tuple[list[int], list[int]] | None:
    """The first indices that two passes of the loader ask the data set for; None where they are not known."""
    if not isinstance(loader, DataLoader) or isinstance(loader.dataset, IterableDataset):
        return None
    length = length_of(loader)
    if length is None or length > _LONG:
        return None
    sampler: Any = loader.batch_sampler if loader.batch_sampler is not None else loader.sampler
    found = []
    for _ in range(2):
        try:
            indices = list(islice(_flat(iter(sampler)), most))
        except Exception:
            return None
        if not all(isinstance(one, int) for one in indices):
            return None
        found.append(indices)
    return found[0], found[1]


def spread_over(loader: Any, n: int) -> Any:
    """A loader of the same data set whose one batch has `n` samples from all over it; None where it has no places."""
    length = length_of(loader)
    if not isinstance(loader, DataLoader) or isinstance(loader.dataset, IterableDataset) or not length:
        return None
    if loader.batch_sampler is None:
        return None
    n = min(n, length)
    return DataLoader(loader.dataset, n, sampler=[at * length // n for at in range(n)], collate_fn=loader.collate_fn)


def length_of(loader: Any) -> int | None:
    """Samples in the data set of a loader; None where that is not known."""
    dataset = getattr(loader, "dataset", None)
    try:
        return len(dataset) if dataset is not None else None
    except Exception:
        return None


def samplers_of(loader: Any) -> list[Any]:
    """The samplers of a loader, one inside another."""
    found: list[Any] = []
    queue = [vars(loader).get("batch_sampler"), vars(loader).get("sampler")] if hasattr(loader, "__dict__") else []
    while queue and len(found) < 8:
        one = queue.pop(0)
        if one is not None and all(one is not known for known in found):
            found.append(one)
            queue += [getattr(one, "sampler", None), getattr(one, "batch_sampler", None)]
    return found


def _own_pass_of(loader: Any) -> Any:
    """Something to iterate that shares no iterator with the user's loop; in words, why there is nothing."""
    if isinstance(loader, DataLoader):
        if isinstance(loader.dataset, IterableDataset):
            return "the data set is a stream: looking at it takes from it"
        found = copy.copy(loader)
        found.__dict__.update(num_workers=0, timeout=0, pin_memory=False, persistent_workers=False, _iterator=None)
        return found
    if not hasattr(loader, "__iter__"):
        return f"a {type(loader).__name__} cannot be iterated"
    if hasattr(loader, "__next__"):
        return "it can be gone through once only: looking at it takes from it"
    return loader


def _flat(indices: Iterator[Any]) -> Iterator[Any]:
    return chain.from_iterable(one if isinstance(one, (list, tuple)) else (one,) for one in indices)


def _parts(loader: Any) -> list[Any]:
    """The loader, its samplers and its data sets, one inside another."""
    found = [loader, *samplers_of(loader)]
    queue = [getattr(loader, "dataset", None), getattr(loader, "collate_fn", None)]
    while queue and len(found) < 32:
        one = queue.pop(0)
        if one is None or isinstance(one, (torch.Tensor, str, list, tuple)) or any(one is known for known in found):
            continue
        found.append(one)
        held = getattr(one, "__dict__", None)
        if isinstance(held, dict):
            queue += [held.get(name) for name in ("dataset", "transform", "target_transform", "transforms")]
            several = held.get("datasets")
            queue += several[:8] if isinstance(several, (list, tuple)) else []
    return found


class _Attributes:
    """The attributes of an object as they are, and the items of the plain containers among them."""

    def __init__(self, part: Any) -> None:
        held = getattr(part, "__dict__", None)
        self._held = dict(held) if type(held) is dict else {}
        self._items = [
            (value, copy.copy(value))
            for value in self._held.values()
            if type(value) in (list, dict, set) and len(value) <= _MOST_ITEMS
        ]

    def put_back(self, part: Any) -> None:
        held = getattr(part, "__dict__", None)
        if type(held) is not dict or isinstance(part, type):
            return
        if list(held) != list(self._held) or any(held[key] is not value for key, value in self._held.items()):
            held.clear()
            held.update(self._held)
        for value, items in self._items:
            if not _is_same(value, items):
                value.clear()
                value.extend(items) if isinstance(value, list) else value.update(items)


def _is_same(value: Any, items: Any) -> bool:
    """Whether a container holds the very objects it held; their own equality is not asked."""
    if len(value) != len(items):
        return False
    if isinstance(value, dict):
        return all(a is c and b is d for (a, b), (c, d) in zip(value.items(), items.items(), strict=True))
    return all(a is b for a, b in zip(value, items, strict=True))


@contextmanager
def _limit(seconds: float) -> Iterator[None]:
    """Raises `_TooLong` in the block after so long, where nobody else uses the alarm clock of the process."""
    is_free = (
        threading.current_thread() is threading.main_thread()
        and hasattr(signal, "setitimer")
        and signal.getsignal(signal.SIGALRM) is signal.SIG_DFL
        and signal.getitimer(signal.ITIMER_REAL)[0] == 0
    )
    if not is_free:
        yield
        return

    def ring(*_: Any) -> None:
        raise _TooLong

    signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.01))
        yield
    finally:
        try:
            signal.setitimer(signal.ITIMER_REAL, 0)
        finally:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)


__all__ = ["Tensors", "draw", "draw_objects", "left_alone", "length_of", "order_of", "samplers_of", "spread_over"]
