"""Batches that no loader gave: inputs and targets are told apart by the user's variables, which are only read."""

from __future__ import annotations

import itertools
import re
import weakref
from types import FrameType
from typing import Any, NamedTuple

import torch

from ..frames import user_frames, variables
from .criterion import Target
from .data import Data
from .drawn import input_of
from .loaders import TRAIN
from .nested import is_measurable, tensors_in
from .overlap import MOST_SAMPLES, Samples, nowhere
from .probe import Pass

_MAX_FRAMES = 4
_MAX_ITEMS = 16
_MAX_ATTRIBUTES = 100
_MOST_SETS = 4
_MOST_COMPARED, _ROWS_COMPARED = 1 << 20, 8
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
_HELD_OUT = frozenset({"val", "va", "valid", "validation", "test", "te", "tst", "dev", "eval", "holdout"})
_SHORT = re.compile(r"([xyt])(tr|trn|te|tst|va|val|v|b|s|train|test|valid|batch)")

Named = list[tuple[str, torch.Tensor]]


class Variables:
    """Finds tensors among the variables of the running frames. It keeps weak references only."""

    def __init__(self) -> None:
        self.names: list[str] = []
        """Variables that held the inputs of the latest pass that was asked about."""
        self._trained: list[_Trained] = []
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
        inputs = [tensor for tensor in _inputs(call) if tensor.numel()]
        known = [one for one in self._trained[-_MAX_ITEMS:] if one.ref() is not None]
        for _, tensor in _sharing(inputs, self.around(frame)):
            spans = [_span(given) for given in inputs if _place(given) == _place(tensor)]
            low, high = min(span[0] for span in spans), max(span[1] for span in spans)
            place = next((index for index, one in enumerate(known) if one.ref() is tensor), None)
            if place is None:
                known.append(_Trained(weakref.ref(tensor), low, high))
            else:
                known[place] = known[place]._replace(low=min(low, known[place].low), high=max(high, known[place].high))
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

    def indexed(self, inputs: list[torch.Tensor], used: torch.Tensor, frame: FrameType | None) -> Named:
        """Variables that the targets `used` are rows of, where `loss(model(X[i]), y[i])` gave them no name.

        The rows `i` are those at which the inputs are found in a variable of their kind; at most one name is given.
        """
        main = input_of(inputs)
        if main is None or not (main.is_cpu and used.is_cpu) or not used.dim() or len(used) != len(main):
            return []
        around = [(name, tensor) for name, tensor in self.around(frame) if tensor.is_cpu and tensor.dim()]
        for _, tensor in around:
            is_alike = tensor.shape[1:] == main.shape[1:] and tensor.dtype is main.dtype and len(tensor) > len(main)
            if not is_alike or tensor.numel() > _MOST_COMPARED or not tensor.numel():
                continue
            rows = _rows_in(main, tensor)
            if rows is None:
                continue
            for name, other in around:
                if len(other) != len(tensor) or other.dtype is not used.dtype or other is tensor:
                    continue
                part = other.detach()[[at for _, at in rows]]
                mine = used[[at for at, _ in rows]]
                if part.numel() == mine.numel() and torch.equal(part.reshape(-1), mine.reshape(-1)):
                    return [(name, other)]
        return []

    def split_of(self, call: Pass, data: Data, frame: FrameType | None) -> str | None:
        """`train` for training data, else the name of a held-out set; None when there are too many."""
        inputs = _inputs(call)
        sharing = _sharing(inputs, self.around(frame))
        spans = [(_place(given), *_span(given)) for given in inputs if given.numel()]
        sharing = [(name, tensor) for name, tensor in sharing if _overlaps(tensor, spans)]
        self.names = [name for name, _ in sharing]
        if any(self._was_trained_on(tensor, inputs) for _, tensor in sharing):
            return TRAIN
        if any(_TRAINING & _words(name) for name, _ in sharing):
            return TRAIN
        main = input_of(inputs)
        samples = data.overlap.look(main, MOST_SAMPLES, nowhere) if main is not None else Samples([])
        if len(samples.digests) >= _FEW and data.overlap.seen_share(samples) == 1:
            return TRAIN
        called = [name for name, _ in sharing if _HELD_OUT & _words(name)]
        key = next(iter([*reversed(called), *(name for name, _ in reversed(sharing))]), "")
        split = self._sets.get(key)
        if split is None:
            if len(self._sets) >= _MOST_SETS:
                return None
            split = self._sets[key] = data.next_split()
        data.overlap.hold_out(split, samples)
        return split

    def _was_trained_on(self, variable: torch.Tensor, inputs: list[torch.Tensor]) -> bool:
        """Whether what is given of a variable overlaps with what training was given of it: splits may be its slices."""
        spans = [_span(given) for given in inputs if given.numel() and _place(given) == _place(variable)]
        return any(
            low < one.high and one.low < high for one in self._trained if one.ref() is variable for low, high in spans
        )


class _Trained(NamedTuple):
    """A variable that training took its inputs from, and the addresses of these, from `low` up to `high`."""

    ref: weakref.ref[torch.Tensor]
    low: int
    high: int


def _span(tensor: torch.Tensor) -> tuple[int, int]:
    """First address of a tensor's values, and the one behind its last."""
    last = sum((n - 1) * stride for n, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return tensor.data_ptr(), tensor.data_ptr() + (last + 1) * tensor.element_size()


def _rows_in(part: torch.Tensor, whole: torch.Tensor) -> list[tuple[int, int]] | None:
    """(row of the part, the same row of the whole) for some rows; None unless each is there just once."""
    found = []
    for at in range(0, len(part), max(1, len(part) // _ROWS_COMPARED)):
        same = (whole.detach() == part[at].detach()).reshape(len(whole), -1).all(1).nonzero()
        if len(same) != 1:
            return None
        found.append((at, int(same[0])))
    return found


def _overlaps(tensor: torch.Tensor, spans: list[tuple[int, int, int]]) -> bool:
    """Whether a variable holds values of an input, not only of the same tensor."""
    low, high = _span(tensor)
    return any(place == _place(tensor) and start < high and low < end for place, start, end in spans)


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
