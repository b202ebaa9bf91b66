"""Batches that no loader gave: inputs and targets are told apart by the user's variables, which are only read."""

from __future__ import annotations

import itertools
import re
import weakref
from types import FrameType
from typing import Any

import torch

from ..frames import user_frames, variables
from . import digests
from .criterion import Target
from .data import MOST_SAMPLES, TRAIN, Data, input_of
from .nested import is_measurable, tensors_in
from .probe import Pass

_MAX_FRAMES = 4
_MAX_ITEMS = 16
_MAX_ATTRIBUTES = 100
_MOST_SETS = 4
_FEW = 8
"""Samples below which all of them may have been in the training by chance."""

_INPUTS = frozenset(
    {"x", "inp", "input", "inputs", "data", "feature", "features", "image", "images", "img", "imgs", "ids", "tokens"}
)
_TARGETS = frozenset(
    {"y", "t", "target", "targets", "label", "labels", "lab", "truth", "gt", "expected", "class", "classes", "answers"}
    | {"mask", "masks"}
)
_TRAINING = frozenset({"train", "training", "tr", "trn"})
_SHORT = re.compile(r"([xyt])(tr|trn|te|tst|va|val|b|s|train|test|valid|batch)")

Named = list[tuple[str, torch.Tensor]]


class Variables:
    """Finds tensors among the variables of the running frames. It keeps weak references only."""

    def __init__(self) -> None:
        self._trained: list[weakref.ref[torch.Tensor]] = []
        self._sets: dict[str, str] = {}

    def around(self, frame: FrameType | None) -> Named:
        """The user's tensors, innermost frame first: variables, and what lists, dictionaries and objects there hold."""
        found: Named = []
        scopes: list[Any] = []
        for at in itertools.islice(user_frames(frame), _MAX_FRAMES):
            scopes.append(variables(at))
            if at.f_code.co_name != "<module>" and not any(scope is at.f_globals for scope in scopes):
                scopes.append(at.f_globals)
        for scope in scopes:
            for name, value in list(scope.items()):
                if not name.startswith("__"):
                    found += _tensors(name, value)
        return found

    def note_training(self, call: Pass, frame: FrameType | None) -> None:
        """A training pass on a batch made by hand: what its inputs were taken from is training data."""
        inputs = _inputs(call)
        known = [ref for ref in self._trained[-_MAX_ITEMS:] if ref() is not None]
        for _, tensor in _sharing(inputs, self.around(frame)):
            if not any(ref() is tensor for ref in known):
                known.append(weakref.ref(tensor))
        self._trained = known

    def target_for(self, call: Pass, target: Target, output: torch.Tensor, frame: FrameType | None) -> Any:
        """The variable with the targets of a pass; None unless just one can be meant."""
        around, inputs = self.around(frame), _inputs(call)
        of_inputs = [_words(name) for name, _ in _sharing(inputs, around)]
        taken = {_place(tensor) for tensor in (*inputs, output)}
        best: dict[int, int] = {}
        chosen: dict[int, torch.Tensor] = {}
        for name, tensor in around:
            if tensor.dtype is not target.dtype or tensor.dim() != target.dims or _place(tensor) in taken:
                continue
            if not output.dim() or not tensor.dim() or len(tensor) != len(output):
                continue
            score = _score(_words(name), of_inputs, name == target.path)
            if score > best.get(_place(tensor), 0):
                best[_place(tensor)], chosen[_place(tensor)] = score, tensor
        most = [place for place, score in best.items() if score == max(best.values())]
        return chosen[most[0]] if len(most) == 1 else None

    def split_of(self, call: Pass, data: Data, frame: FrameType | None) -> str | None:
        """`train` for training data, else the name of a held-out set; None when there are too many."""
        inputs = _inputs(call)
        sharing = _sharing(inputs, self.around(frame))
        if any(ref() is tensor for ref in self._trained for _, tensor in sharing):
            return TRAIN
        if any(_TRAINING & _words(name) for name, _ in sharing):
            return TRAIN
        main = input_of(inputs)
        samples = digests.of_samples(main, MOST_SAMPLES) if main is not None else []
        if len(samples) >= _FEW and data.seen_share(samples) == 1:
            return TRAIN
        key = sharing[-1][0] if sharing else ""
        split = self._sets.get(key)
        if split is None:
            if len(self._sets) >= _MOST_SETS:
                return None
            split = self._sets[key] = data.next_split()
        data.share(split, samples)
        return split


def _tensors(name: str, value: Any) -> Named:
    if isinstance(value, torch.Tensor):
        return [(name, value)] if is_measurable(value) else []
    items: Any = ()
    if isinstance(value, (list, tuple)) and len(value) <= _MAX_ITEMS:
        items = [(f"{name}[{index}]", item) for index, item in enumerate(value)]
    elif isinstance(value, dict) and len(value) <= _MAX_ITEMS:
        items = [(f"{name}.{key}", item) for key, item in list(dict.items(value))]
    elif type(value).__module__.partition(".")[0] not in ("builtins", "torch") and not isinstance(value, type):
        attributes = getattr(value, "__dict__", None)
        if type(attributes) is dict and len(attributes) <= _MAX_ATTRIBUTES:
            items = [(f"{name}.{key}", item) for key, item in list(attributes.items())]
    return [(key, item) for key, item in items if isinstance(item, torch.Tensor) and is_measurable(item)]


def _inputs(call: Pass) -> list[torch.Tensor]:
    return [tensor for _, tensor in tensors_in((list(call.args), call.kwargs))]


def _place(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _sharing(inputs: list[torch.Tensor], around: Named) -> Named:
    """The variables that hold the inputs, or what they are a part of."""
    places = {_place(tensor) for tensor in inputs if tensor.numel()}
    return [(name, tensor) for name, tensor in around if tensor.numel() and _place(tensor) in places]


def _words(name: str) -> frozenset[str]:
    """The parts of a variable's name, in lower case: `X_val` and `xval` are `x` and `val`."""
    found: set[str] = set()
    for word in re.findall(r"[a-z]+|\d+", name.lower()):
        short = _SHORT.fullmatch(word)
        found.update(short.groups() if short is not None else (word,))
    return frozenset(found)


def _score(words: frozenset[str], inputs: list[frozenset[str]], is_learned: bool) -> int:
    """How well a variable fits: it is called as targets are, and belongs to the inputs by its name."""
    belongs = {of - _INPUTS for of in inputs}
    if words & _TRAINING and not any(of & _TRAINING for of in inputs):
        return 0
    rest = words - _TARGETS
    return int(bool(words & _TARGETS)) + int(is_learned) + (2 if rest and rest in belongs else 0)
