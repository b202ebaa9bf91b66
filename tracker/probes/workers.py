"""Tells whether the worker processes of a loader draw the same random numbers."""

from __future__ import annotations

import hashlib
import json
import os
import random
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import dataloader

from ..patching import Patches
from .probe import Probe

if TYPE_CHECKING:
    from ..rules.engine.records import Json
    from .loaders import Loader
    from .training import Training

PASSES = 2
"""Passes of a loader of which each worker tells its state: a second one shows what is the same in each epoch."""

_MOST_OWN = 8
_MOST_DATASETS = 1000
_DEPTH = 3
_MAX_ITEMS = 32

_folder: str | None = None
"""Where forked workers leave their notes; None when nobody asks."""
_passes: dict[int, int] = {}
"""Passes begun so far, by the `id` of the data set: in a forked worker it is the same."""
_pid = os.getpid()


class Workers(Probe):
    """Fact `workers`: a list, one item for each loader with worker processes, of

    `{"split", "num_workers", "seen": workers that told, "generators": {name: {"equal", "drawn", "same_each_pass"}}}`.

    Names are `python`, `numpy` and `torch` for the global generators, and the place of each generator that the data set
    holds, or its module (`dataset.rng`, `RNG`). `equal`: at least two workers began their first batch in the same
    state. `drawn`: the state had changed when the first batch was made; only then it matters. `same_each_pass`: a
    worker began the second pass in the state it began the first one with; null before, and with persistent workers.

    torch seeds Python, numpy and itself in each worker (numpy since 1.9); what undoes that is a `worker_init_fn` with a
    fixed seed, or a generator of the data set's own. Forked workers tell by a note in the run's folder, written with
    the first batch; spawned ones cannot.
    """

    name = "workers"

    def __init__(self, training: Training) -> None:
        global _folder
        super().__init__(training)
        self._loaders: list[tuple[Loader, list[int]]] = []
        self._is_settled = True
        self._place = training.session.rundir.path / "opened"
        self._place.mkdir(exist_ok=True)
        _folder = str(self._place)
        self._holds = True
        _patches.use()

    def note_pass(self, iterator: Any, loader: Loader) -> None:
        """A pass over a loader begins; its workers are there."""
        if not iterator._num_workers:
            return
        key = id(iterator._dataset)
        if len(_passes) > _MOST_DATASETS:
            _passes.clear()
        _passes[key] = _passes.get(key, 0) + 1
        bases = next((bases for known, bases in self._loaders if known is loader), None)
        if bases is None:
            bases = []
            self._loaders.append((loader, bases))
        if len(bases) < _wanted(loader):
            bases.append(int(iterator._base_seed))
            self._is_settled = False

    def end_epoch(self) -> None:
        if not self._is_settled:
            self._say()
            self._is_settled = all(len(bases) == _wanted(loader) for loader, bases in self._loaders)

    def finish(self) -> None:
        self._say()

    def release(self) -> None:
        global _folder
        if self._holds:
            self._holds = False
            _patches.release()
            if _folder == str(self._place):
                _folder = None
                _passes.clear()

    def _say(self) -> None:
        if not self._loaders:
            return
        notes = _read_notes(self._place)
        found: list[Json] = []
        for loader, bases in self._loaders:
            passes = [notes.get(base, {}) for base in bases]
            first = passes[0]
            if not first:
                self.training.unseen(
                    "workers",
                    "The worker processes of a loader told nothing of their generators: they were not forked (spawned "
                    "ones begin without us), or ended before their first batch.",
                )
                continue
            found.append(
                {
                    "split": loader.split,
                    "num_workers": loader.described.get("num_workers"),
                    "seen": len(first),
                    "generators": _compared(first, passes[1] if len(passes) > 1 else {}),
                }
            )
        if found:
            self.training.fact("workers", found)


def _wanted(loader: Loader) -> int:
    """Passes whose workers are asked: those that stay are the same in each."""
    return 1 if loader.described.get("persistent_workers") else PASSES


_Notes = dict[int, dict[str, tuple[str, bool]]]
"""By number of the worker and name of the generator: digest of its state, and whether the first batch drew from it."""


def _compared(first: _Notes, second: _Notes) -> dict[str, Json]:
    found: dict[str, Json] = {}
    for name in dict.fromkeys(name for notes in first.values() for name in notes):
        told = {worker: notes[name] for worker, notes in first.items() if name in notes}
        states = [state for state, _ in told.values()]
        again = [second[w][name][0] == state for w, (state, _) in told.items() if name in second.get(w, {})]
        found[name] = {
            "equal": len(set(states)) < len(states),
            "drawn": any(drawn for _, drawn in told.values()),
            "same_each_pass": any(again) if again else None,
        }
    return found


def _read_notes(folder: Path) -> dict[int, _Notes]:
    """The notes of all workers, by the base seed of their pass."""
    found: dict[int, _Notes] = {}
    for file in folder.glob("worker-*.json"):
        try:
            note = json.loads(file.read_text(encoding="utf-8"))
        except ValueError:
            continue  # the worker is writing, or was killed while it did
        told = {name: (state, drawn) for name, (state, drawn) in note["generators"].items()}
        found.setdefault(note["base"], {})[note["worker"]] = told
    return found


# -- in the worker ---------------------------------------------------------------------------------------------------


def _install() -> None:
    # It is called in the worker behind seeding and `worker_init_fn`, ahead of the first batch.
    _patches.replace(dataloader._DatasetKind, "create_fetcher", _watched)


def _watched(original: Callable[..., Any]) -> Callable[..., Any]:
    def create_fetcher(kind: Any, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        if _folder is None or os.getpid() == _pid:
            return original(kind, dataset, *args, **kwargs)
        try:
            fetcher = original(kind, dataset, *args, **kwargs)
        except BaseException as error:
            # This frame leaves the traceback, which then prints as without us; `raise` adds no other.
            error.__traceback__ = error.__traceback__ and error.__traceback__.tb_next
            raise
        info = torch.utils.data.get_worker_info()
        if info is not None and _passes.get(id(dataset), 0) < PASSES:
            _watch_first(fetcher, info, dataset, _folder)
        return fetcher

    return create_fetcher


def _watch_first(fetcher: Any, info: Any, dataset: Any, folder: str) -> None:
    """Has the states noted that the first batch is made with, and which of them it changes."""
    try:
        before = generator_states(dataset)
    except Exception:
        return
    fetch = fetcher.fetch

    def first(index: Any) -> Any:
        del fetcher.fetch  # from here on it is the class's again
        try:
            batch = fetch(index)
        except BaseException as error:
            error.__traceback__ = error.__traceback__ and error.__traceback__.tb_next
            raise
        try:
            after = generator_states(dataset)
            told = {name: (state, after.get(name) != state) for name, state in before.items()}
            note = {"base": info.seed - info.id, "worker": info.id, "generators": told}
            with open(os.path.join(folder, f"worker-{os.getpid()}.json"), "w", encoding="utf-8") as file:
                json.dump(note, file)
        except Exception:
            return batch  # a full disk must not change what the user's worker gives
        return batch

    fetcher.fetch = first


def generator_states(dataset: Any) -> dict[str, str]:
    """Digests of the generators' states: reading draws nothing."""
    found = {"python": _digest(random.getstate()), "torch": _digest(bytes(torch.get_rng_state().numpy().tobytes()))}
    numpy: Any = sys.modules.get("numpy")
    if numpy is not None:
        found["numpy"] = _digest(_plain(numpy.random.get_state(legacy=False)))
    kinds: tuple[Any, ...] = (random.Random, torch.Generator)
    if numpy is not None:
        kinds += (numpy.random.Generator, numpy.random.RandomState)
    for name, generator in generators_of(dataset, kinds):
        if len(found) < 3 + _MOST_OWN:
            found.setdefault(name, _digest(_state_of(generator)))
    return found


def _state_of(generator: Any) -> Any:
    if isinstance(generator, torch.Generator):
        return generator.get_state().numpy().tobytes()
    if isinstance(generator, random.Random):
        return random.Random.getstate(generator)
    bits = getattr(generator, "bit_generator", None)
    return _plain(bits.state if bits is not None else generator.get_state(legacy=False))


def generators_of(dataset: Any, kinds: tuple[Any, ...]) -> Iterable[tuple[str, Any]]:
    """Generators that the data set holds, in its attributes or what these hold, and those of its module."""
    queue: list[tuple[str, Any, int]] = [("dataset", dataset, 0)]
    while queue:
        name, value, depth = queue.pop(0)
        if isinstance(value, kinds):
            yield name, value
        elif depth < _DEPTH and not isinstance(value, (type, torch.Tensor)):
            attributes = getattr(value, "__dict__", None)
            if isinstance(value, (list, tuple)) and len(value) <= _MAX_ITEMS:
                queue += [(f"{name}[{index}]", item, depth + 1) for index, item in enumerate(value)]
            elif isinstance(value, dict) and len(value) <= _MAX_ITEMS:
                queue += [(f"{name}.{key}", item, depth + 1) for key, item in list(dict.items(value))]
            elif type(attributes) is dict and len(attributes) <= _MAX_ITEMS:
                queue += [(f"{name}.{key}", item, depth + 1) for key, item in list(attributes.items())]
    module = sys.modules.get(type(dataset).__module__)
    for key, item in list(vars(module).items()) if module is not None else ():
        if isinstance(item, kinds):
            yield key, item


def _plain(state: Any) -> Any:
    """A state without arrays, whose text form is shortened."""
    if isinstance(state, dict):
        return {key: _plain(value) for key, value in sorted(state.items())}
    return state.tobytes() if hasattr(state, "tobytes") else state


def _digest(state: Any) -> str:
    data = state if isinstance(state, bytes) else repr(state).encode()
    return hashlib.blake2b(data, digest_size=8).hexdigest()


_patches = Patches(_install)
